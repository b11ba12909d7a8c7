//! Passwords that are changed, also while somebody signs in.

use super::*;

const NEW: &str = "difference engine";

async fn change(b: &Bench, session: &Session, present: &str, new: &str) -> Result<(), AuthError> {
    b.auth.change_password(session, SecretString::from(present), SecretString::from(new), None).await
}

fn field(refused: Result<(), AuthError>) -> &'static str {
    match refused {
        Err(AuthError::Invalid(faults)) if faults.len() == 1 => faults[0].field,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn who_knows_the_present_one_changes_it_and_ends_all_other_sessions() {
    let b = bench(config());
    b.demo().await;
    let (_, mine, _) = b.bearer().await;
    let (_, other, refresh) = b.bearer().await;
    let (_, cookie) = b.cookie().await;
    let session = b.auth.authenticate_bearer(&mine).await.unwrap();
    // Known to the cache: what ends is gone from there too.
    b.auth.authenticate_bearer(&other).await.unwrap();
    b.auth.authenticate_cookie(&cookie).await.unwrap();
    let watch = b.auth.watch(session.id, session.user.id, GenerationId::new(b.clock.now()));

    assert_eq!(field(change(&b, &session, "demo123457", NEW).await), "current_password");
    assert_eq!(field(change(&b, &session, "demo123456", "short").await), "new_password");
    b.auth.authenticate_bearer(&other).await.unwrap();
    change(&b, &session, "demo123456", NEW).await.unwrap();
    b.auth.authenticate_bearer(&mine).await.unwrap();
    assert!(!watch.is_over());
    refused!(b.auth.authenticate_bearer(&other).await, AuthError::SessionEnded);
    refused!(b.auth.authenticate_cookie(&cookie).await, AuthError::SessionEnded);
    refused!(b.auth.refresh(&refresh).await, AuthError::TokenInvalid);
    refused!(b.login("demo_user", "demo123456", SessionKind::Bearer).await, AuthError::BadCredentials);
    b.login("demo_user", NEW, SessionKind::Bearer).await.unwrap();

    // By the administrator's word, all of them.
    b.auth.set_password(session.user.id, SecretString::from("demo123456")).await.unwrap();
    refused!(b.auth.authenticate_bearer(&mine).await, AuthError::SessionEnded);
    assert!(watch.is_over());
    refused!(change(&b, &session, "demo123456", NEW).await, AuthError::SessionEnded);
}

#[tokio::test]
async fn wrong_ones_count_as_failed_sign_ins() {
    let rate = |attempts| Rate { attempts, per: Duration::from_secs(60) };
    let attempts = AttemptLimits { per_login: rate(2), per_address: rate(100), registrations: rate(100) };
    let b = bench(AuthConfig { attempts: Some(attempts), ..config() });
    b.demo().await;
    let (_, mine, _) = b.bearer().await;
    let session = b.auth.authenticate_bearer(&mine).await.unwrap();
    refused!(b.login("demo_user", "demo123457", SessionKind::Bearer).await, AuthError::BadCredentials);
    assert_eq!(field(change(&b, &session, "demo123457", NEW).await), "current_password");
    refused!(change(&b, &session, "demo123456", NEW).await, AuthError::Limited { .. });
    refused!(b.login("demo_user", "demo123456", SessionKind::Bearer).await, AuthError::Limited { .. });
    b.clock.forward(Duration::from_secs(60));
    // What is right costs nothing, nor what is no password at all.
    for (present, new) in [("demo123456", NEW), (NEW, "demo123456"), ("demo123456", NEW)] {
        change(&b, &session, present, new).await.unwrap();
        assert_eq!(field(change(&b, &session, new, "short").await), "new_password");
    }
}

#[tokio::test]
async fn a_sign_in_that_is_under_way_does_not_outlive_the_change() {
    let b = bench(config());
    let user = b.demo().await;
    // Its password was checked, and then came the change.
    b.store.replace_hash_before_next_session("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$bm90aGluZyBvZiB0aGlz");
    refused!(b.login("demo_user", "demo123456", SessionKind::Cookie).await, AuthError::BadCredentials);
    assert_eq!(b.auth.sign_out(user.id).await.unwrap(), 0, "its session has ended");

    // Another hash of the same password is no change.
    b.auth.set_password(user.id, SecretString::from("demo123456")).await.unwrap();
    let same = b.store.hash_of("demo_user");
    b.auth.set_password(user.id, SecretString::from("demo123456")).await.unwrap();
    assert_ne!(same, b.store.hash_of("demo_user"));
    b.store.replace_hash_before_next_session(&same);
    b.login("demo_user", "demo123456", SessionKind::Cookie).await.unwrap();
    assert_eq!(b.auth.sign_out(user.id).await.unwrap(), 1);
}
