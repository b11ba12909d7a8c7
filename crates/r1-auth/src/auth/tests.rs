use secrecy::ExposeSecret;

use super::*;
use crate::{
    attempts::Rate,
    error::FieldError,
    fake::{FakeStore, Hand},
    key::SigningKey,
    setup,
};

macro_rules! refused {
    ($result:expr, $pattern:pat) => {{
        let refused = $result.unwrap_err();
        assert!(matches!(refused, $pattern), "{refused:?}");
    }};
}

mod passwords;

struct Bench {
    auth: Auth,
    store: Arc<FakeStore>,
    clock: Arc<Hand>,
}

const DAY: Duration = Duration::from_secs(86_400);

fn config() -> AuthConfig {
    AuthConfig {
        access_token_ttl: Duration::from_secs(3600),
        refresh_ttl: 30 * DAY,
        cookie_ttl: 30 * DAY,
        registration_open: true,
        passwords: PasswordConfig { memory_kib: 8, iterations: 1, parallelism: 1, workers: 1, queue: 16 },
        attempts: None,
    }
}

fn node(store: &Arc<FakeStore>, clock: &Arc<Hand>, config: AuthConfig) -> Auth {
    let key = SigningKey::from_secret(&SecretString::from("k".repeat(32))).unwrap();
    Auth::new(Arc::clone(store) as Arc<dyn Store>, Arc::clone(clock) as Arc<dyn Clock>, &key.into(), config).unwrap()
}

fn bench(config: AuthConfig) -> Bench {
    let (store, clock) = (Arc::new(FakeStore::default()), Hand::new());
    Bench { auth: node(&store, &clock, config), store, clock }
}

fn form(username: &str, email: &str, password: &str) -> Registration {
    Registration { username: username.to_owned(), email: email.to_owned(), password: SecretString::from(password) }
}

impl Bench {
    async fn demo(&self) -> User {
        self.auth.register(form("demo_user", "demo@example.com", "demo123456"), None, None).await.unwrap()
    }

    async fn login(&self, login: &str, password: &str, kind: SessionKind) -> Result<Login, AuthError> {
        self.auth.login(login, SecretString::from(password), kind, None).await
    }

    async fn bearer(&self) -> (Login, String, String) {
        let login = self.login("demo_user", "demo123456", SessionKind::Bearer).await.unwrap();
        let (access, refresh) = tokens(&login);
        (login, access, refresh)
    }

    async fn cookie(&self) -> (Login, String) {
        let login = self.login("demo_user", "demo123456", SessionKind::Cookie).await.unwrap();
        let Grant::Cookie { secret, max_age } = &login.grant else { panic!("a cookie was asked for") };
        assert_eq!(*max_age, 30 * DAY);
        let secret = secret.expose_secret().to_owned();
        (login, secret)
    }
}

fn tokens(login: &Login) -> (String, String) {
    let Grant::Bearer { access_token, expires_in, refresh_token } = &login.grant else {
        panic!("tokens were asked for")
    };
    assert_eq!(*expires_in, Duration::from_secs(3600));
    (access_token.expose_secret().to_owned(), refresh_token.expose_secret().to_owned())
}

#[tokio::test]
async fn registers_signs_in_and_is_known() {
    let b = bench(config());
    let user = b.demo().await;
    assert!(!user.is_admin);
    let (login, access, refresh) = b.bearer().await;
    assert_eq!(login.user, user);
    let who = b.auth.authenticate_bearer(&access).await.unwrap();
    assert_eq!((&who.user, who.id), (&user, login.session_id));

    // The e-mail address, and either in any case, serve as the name.
    for name in ["demo@example.com", "DEMO_USER", " Demo@Example.COM "] {
        assert_eq!(b.login(name, "demo123456", SessionKind::Bearer).await.unwrap().user, user);
    }
    let (login, cookie) = b.cookie().await;
    assert_eq!(b.auth.authenticate_cookie(&cookie).await.unwrap().id, login.session_id);

    refused!(b.login("demo_user", "demo123457", SessionKind::Bearer).await, AuthError::BadCredentials);
    refused!(b.login("nobody", "demo123456", SessionKind::Bearer).await, AuthError::BadCredentials);
    refused!(b.login("demo_user", &"x".repeat(100_000), SessionKind::Bearer).await, AuthError::BadCredentials);
    for secret in [&access, &refresh, &cookie] {
        assert!(!b.store.dump().contains(secret.as_str()));
        assert!(!format!("{login:?} {:?}", b.auth).contains(secret.as_str()));
    }
}

#[tokio::test]
async fn each_kind_of_proof_opens_its_own_door_only() {
    let b = bench(config());
    b.demo().await;
    let (_, access, refresh) = b.bearer().await;
    let (_, cookie) = b.cookie().await;
    refused!(b.auth.authenticate_cookie(&refresh).await, AuthError::SessionEnded);
    refused!(b.auth.authenticate_cookie(&access).await, AuthError::SessionEnded);
    refused!(b.auth.authenticate_bearer(&refresh).await, AuthError::TokenInvalid);
    refused!(b.auth.authenticate_bearer(&cookie).await, AuthError::TokenInvalid);
    refused!(b.auth.refresh(&cookie).await, AuthError::TokenInvalid);
    refused!(b.auth.refresh(&access).await, AuthError::TokenInvalid);
}

#[tokio::test]
async fn an_access_token_expires_and_a_refresh_token_gets_the_next() {
    let b = bench(config());
    b.demo().await;
    let (first, access, refresh) = b.bearer().await;
    b.clock.forward(Duration::from_secs(3600));
    refused!(b.auth.authenticate_bearer(&access).await, AuthError::TokenExpired);

    let second = b.auth.refresh(&refresh).await.unwrap();
    assert_eq!(second.session_id, first.session_id);
    let (access, refresh) = tokens(&second);
    assert!(b.auth.authenticate_bearer(&access).await.is_ok());

    // Each use moves the end.
    b.clock.forward(29 * DAY);
    let (_, refresh) = tokens(&b.auth.refresh(&refresh).await.unwrap());
    b.clock.forward(30 * DAY);
    refused!(b.auth.refresh(&refresh).await, AuthError::TokenInvalid);
}

#[tokio::test]
async fn a_refresh_token_used_twice_ends_the_session_at_once() {
    let b = bench(config());
    b.demo().await;
    let (_, _, stolen) = b.bearer().await;
    let (access, next) = tokens(&b.auth.refresh(&stolen).await.unwrap());
    assert!(b.auth.authenticate_bearer(&access).await.is_ok());
    refused!(b.auth.refresh(&stolen).await, AuthError::SessionEnded);
    refused!(b.auth.authenticate_bearer(&access).await, AuthError::SessionEnded);
    refused!(b.auth.refresh(&next).await, AuthError::TokenInvalid);
}

#[tokio::test]
async fn logout_is_at_once_here_and_within_five_seconds_elsewhere() {
    let b = bench(config());
    b.demo().await;
    let elsewhere = node(&b.store, &b.clock, config());
    let (login, access, refresh) = b.bearer().await;
    let (page, cookie) = b.cookie().await;
    for auth in [&b.auth, &elsewhere] {
        auth.authenticate_bearer(&access).await.unwrap();
        auth.authenticate_cookie(&cookie).await.unwrap();
    }
    b.auth.logout(login.user.id, login.session_id).await.unwrap();
    b.auth.logout(page.user.id, page.session_id).await.unwrap();
    b.auth.logout(page.user.id, page.session_id).await.unwrap();
    refused!(b.auth.authenticate_bearer(&access).await, AuthError::SessionEnded);
    refused!(b.auth.authenticate_cookie(&cookie).await, AuthError::SessionEnded);
    refused!(b.auth.refresh(&refresh).await, AuthError::TokenInvalid);
    assert!(elsewhere.authenticate_bearer(&access).await.is_ok());
    b.clock.forward(Duration::from_secs(5));
    refused!(elsewhere.authenticate_bearer(&access).await, AuthError::SessionEnded);
    refused!(elsewhere.authenticate_cookie(&cookie).await, AuthError::SessionEnded);
}

#[tokio::test]
async fn streams_learn_of_what_ended_elsewhere() {
    let b = bench(config());
    b.demo().await;
    let elsewhere = node(&b.store, &b.clock, config());
    let (login, access, _) = b.bearer().await;
    let (other, _) = b.cookie().await;
    let generation = r1_domain::id::GenerationId::new(b.clock.now());
    let watch = |login: &Login| elsewhere.watch(login.session_id, login.user.id, generation);
    let (ends, stays) = (watch(&login), watch(&other));
    elsewhere.authenticate_bearer(&access).await.unwrap();
    assert_eq!(elsewhere.look_again(&[]).await.unwrap(), []);
    b.auth.logout(login.user.id, login.session_id).await.unwrap();
    assert!(!ends.is_over());
    assert_eq!(elsewhere.look_again(&[]).await.unwrap(), []);
    assert!(ends.is_over() && !stays.is_over());
    refused!(elsewhere.authenticate_bearer(&access).await, AuthError::SessionEnded);
    // By itself it just ends: what is being followed is followed to its end.
    b.clock.forward(31 * DAY);
    elsewhere.look_again(&[]).await.unwrap();
    assert!(!stays.is_over());
    b.auth.set_disabled("demo_user", true).await.unwrap();
    assert_eq!(elsewhere.look_again(&[login.user.id]).await.unwrap(), [login.user.id]);
    assert!(stays.is_over());
    drop((ends, stays));
    assert_eq!(elsewhere.look_again(&[]).await.unwrap(), []);
    b.store.break_down();
    refused!(elsewhere.look_again(&[login.user.id]).await, AuthError::Store(_));
}

#[tokio::test]
async fn the_database_is_asked_once_in_three_seconds() {
    let b = bench(config());
    b.demo().await;
    let (_, access, _) = b.bearer().await;
    for _ in 0..10 {
        b.auth.authenticate_bearer(&access).await.unwrap();
    }
    assert_eq!(b.store.lookups(), 1);
    b.clock.forward(Duration::from_secs(3));
    b.auth.authenticate_bearer(&access).await.unwrap();
    assert_eq!(b.store.lookups(), 2);
}

#[tokio::test]
async fn a_token_that_was_just_seen_is_over_when_its_time_is() {
    let b = bench(config());
    b.demo().await;
    let (_, access, _) = b.bearer().await;
    b.clock.forward(Duration::from_secs(3598));
    b.auth.authenticate_bearer(&access).await.unwrap();
    // The same claims under another signature.
    let (claims, signature) = access.rsplit_once('.').unwrap();
    let forged = format!("{claims}.{}", signature.chars().rev().collect::<String>());
    refused!(b.auth.authenticate_bearer(&forged).await, AuthError::TokenInvalid);
    b.auth.authenticate_bearer(&access).await.unwrap();
    assert_eq!(b.store.lookups(), 1, "nobody asked the database in between");
    b.clock.forward(Duration::from_secs(2));
    refused!(b.auth.authenticate_bearer(&access).await, AuthError::TokenExpired);
}

#[tokio::test]
async fn a_disabled_user_is_out_and_may_come_back() {
    let b = bench(config());
    b.demo().await;
    let (_, access, _) = b.bearer().await;
    b.auth.authenticate_bearer(&access).await.unwrap();
    assert!(b.auth.set_disabled("Demo_User", true).await.unwrap().disabled);
    refused!(b.auth.authenticate_bearer(&access).await, AuthError::SessionEnded);
    refused!(b.login("demo_user", "demo123456", SessionKind::Bearer).await, AuthError::Disabled);
    refused!(b.login("demo_user", "wrong-password", SessionKind::Bearer).await, AuthError::BadCredentials);
    b.auth.set_disabled("demo_user", false).await.unwrap();
    refused!(b.auth.authenticate_bearer(&access).await, AuthError::SessionEnded);
    b.bearer().await;
    refused!(b.auth.set_disabled("nobody", true).await, AuthError::Store(r1_domain::store::StoreError::NotFound));
}

#[tokio::test]
async fn a_form_hears_of_all_its_faults_at_once() {
    let b = bench(config());
    let AuthError::Invalid(faults) = b.auth.register(form("a b", "nowhere", "short"), None, None).await.unwrap_err()
    else {
        panic!("three faults")
    };
    assert_eq!(faults.iter().map(|fault| fault.field).collect::<Vec<_>>(), ["username", "email", "password"]);
    assert_eq!(faults[2], FieldError { field: "password", message: "must have 8 to 256 characters".to_owned() });

    b.demo().await;
    refused!(
        b.auth.register(form("DEMO_user", "other@example.com", "demo123456"), None, None).await,
        AuthError::Taken { field: "username" }
    );
    refused!(
        b.auth.register(form("other", "Demo@example.com", "demo123456"), None, None).await,
        AuthError::Taken { field: "email" }
    );
}

#[tokio::test]
async fn the_setup_code_makes_one_administrator_even_while_registration_is_closed() {
    let b = bench(AuthConfig { registration_open: false, ..config() });
    let demo = || form("demo_user", "demo@example.com", "demo123456");
    refused!(b.auth.register(demo(), None, None).await, AuthError::RegistrationClosed);
    refused!(b.auth.register(demo(), Some(" "), None).await, AuthError::RegistrationClosed);

    let replaced = setup::offer(&*b.store).await.unwrap().unwrap();
    let code = setup::offer(&*b.store).await.unwrap().unwrap();
    refused!(b.auth.register(demo(), Some(replaced.expose_secret()), None).await, AuthError::SetupCode);
    refused!(b.auth.register(demo(), Some("nonsense"), None).await, AuthError::SetupCode);
    let admin = b.auth.register(demo(), Some(&code.expose_secret().to_lowercase()), None).await.unwrap();
    assert!(admin.is_admin);
    let second = form("second", "second@example.com", "demo123456");
    refused!(b.auth.register(second.clone(), Some(code.expose_secret()), None).await, AuthError::SetupCode);
    assert!(setup::offer(&*b.store).await.unwrap().is_none());

    // The command line is not held up by it.
    assert!(!b.auth.add_user(second, false).await.unwrap().is_admin);
}

#[tokio::test]
async fn guessing_is_limited_and_knowing_is_not() {
    let rate = |attempts| Rate { attempts, per: Duration::from_secs(60) };
    let limits = AttemptLimits { per_login: rate(3), per_address: rate(5), registrations: rate(2) };
    let b = bench(AuthConfig { attempts: Some(limits), ..config() });
    b.demo().await;
    for _ in 0..20 {
        b.bearer().await;
    }
    for _ in 0..3 {
        refused!(b.login("demo_user", "wrong-password", SessionKind::Bearer).await, AuthError::BadCredentials);
    }
    let AuthError::Limited { retry_after } = b.login("DEMO_USER", "demo123456", SessionKind::Bearer).await.unwrap_err()
    else {
        panic!("limited, even with the password")
    };
    assert_eq!(retry_after, Duration::from_secs(20));
    b.clock.forward(retry_after);
    b.bearer().await;

    // One account, whatever it is called; and time passes, whatever the clock says.
    b.clock.forward(DAY);
    b.clock.set_back(DAY);
    for login in ["demo_user", "demo@example.com", "Demo@Example.com"] {
        refused!(b.login(login, "wrong-password", SessionKind::Bearer).await, AuthError::BadCredentials);
    }
    for login in ["demo_user", "demo@example.com"] {
        refused!(b.login(login, "demo123456", SessionKind::Bearer).await, AuthError::Limited { .. });
    }
    b.clock.set_back(DAY);
    let limited = b.login("demo_user", "demo123456", SessionKind::Bearer).await.unwrap_err();
    assert!(matches!(limited, AuthError::Limited { retry_after } if retry_after <= Duration::from_secs(20)));
    b.clock.forward(Duration::from_secs(60));
    // What can be no account's name or password is no guess at one.
    for _ in 0..10 {
        refused!(b.login("demo_user", &"x".repeat(257), SessionKind::Bearer).await, AuthError::BadCredentials);
        refused!(b.login(&"x".repeat(255), "demo123456", SessionKind::Bearer).await, AuthError::BadCredentials);
    }
    b.bearer().await;

    let address = Some(std::net::IpAddr::from([10, 0, 0, 1]));
    for n in 0..2 {
        b.auth
            .register(form(&format!("user{n}"), &format!("{n}@example.com"), "demo123456"), None, address)
            .await
            .unwrap();
    }
    refused!(
        b.auth.register(form("user3", "3@example.com", "demo123456"), None, address).await,
        AuthError::Limited { .. }
    );
}

#[tokio::test]
async fn a_sign_in_renews_an_outdated_hash() {
    let b = bench(config());
    b.demo().await;
    let old = b.store.hash_of("demo_user");
    let stronger = PasswordConfig { memory_kib: 16, ..config().passwords };
    let later = node(&b.store, &b.clock, AuthConfig { passwords: stronger, ..config() });
    let login = || later.login("demo_user", SecretString::from("demo123456"), SessionKind::Bearer, None);
    login().await.unwrap();
    let new = b.store.hash_of("demo_user");
    assert!(old.contains("m=8,") && new.contains("m=16,"), "{new}");
    login().await.unwrap();
    assert_eq!(b.store.hash_of("demo_user"), new);
}

#[tokio::test]
async fn text_is_one_on_all_systems() {
    let b = bench(config());
    let typed = form(" JOSE\u{301} ".trim(), "jose\u{301}@example.com", "pa\u{308}ss wo\u{308}rter");
    let user = b.auth.register(typed, None, None).await.unwrap();
    assert_eq!((user.username.as_str(), user.email.as_str()), ("JOSÉ", "josé@example.com"));
    for name in ["josé", "jose\u{301}", "JOSÉ@example.com", "ｊｏｓé"] {
        for password in ["pa\u{308}ss wo\u{308}rter", "päss wörter", "p\u{e4}ss\u{a0}wo\u{308}rter"] {
            let login = b.login(name, password, SessionKind::Bearer).await;
            assert_eq!(login.unwrap().user, user, "{name} {password:?}");
        }
    }
    refused!(b.login("josé", "pass worter", SessionKind::Bearer).await, AuthError::BadCredentials);
    refused!(b.login("jose", "päss wörter", SessionKind::Bearer).await, AuthError::BadCredentials);
    let again = form("ＪＯＳÉ", "other@example.com", "demo123456");
    refused!(b.auth.register(again, None, None).await, AuthError::Taken { field: "username" });
    let again = form("other", "JOSE\u{301}@example.com", "demo123456");
    refused!(b.auth.register(again, None, None).await, AuthError::Taken { field: "email" });
    assert!(b.auth.set_disabled("ｊｏｓé", true).await.unwrap().disabled);
}

#[tokio::test]
async fn a_password_that_was_hashed_as_it_was_typed_still_opens_and_is_hashed_anew() {
    let b = bench(config());
    for (name, old, other) in [
        ("mac", "pa\u{308}sswort", "pässwort"),
        ("linux", "pässwort", "pa\u{308}sswort"),
        ("nbsp", "correct\u{a0}horse", "correct horse"),
        ("korean", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}!!", "한글!!"),
        ("angstrom", "\u{212b}ngstrom", "Ångstrom"),
    ] {
        let now = b.clock.now();
        let password_hash = b.auth.passwords.hash(SecretString::from(old)).await.unwrap();
        let email = format!("{name}@example.com");
        let (id, username) = (r1_domain::id::UserId::new(now), name.to_owned());
        let user = r1_domain::user::NewUser { id, username, email, password_hash, is_admin: false, created_at: now };
        b.store.user_create(user, None).await.unwrap();
        let before = b.store.hash_of(name);
        refused!(b.login(name, "another one", SessionKind::Bearer).await, AuthError::BadCredentials);
        b.login(name, old, SessionKind::Bearer).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let after = b.store.hash_of(name);
        assert_eq!(before != after, name != "linux", "{name}: the hash is of today's form");
        for password in [other, old] {
            b.login(name, password, SessionKind::Bearer).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        }
        assert_eq!(b.store.hash_of(name), after, "{name}: once");
    }
}

#[tokio::test]
async fn all_spellings_of_a_name_have_one_count() {
    let rate = |attempts| Rate { attempts, per: Duration::from_secs(60) };
    let limits = AttemptLimits { per_login: rate(3), per_address: rate(100), registrations: rate(2) };
    let b = bench(AuthConfig { attempts: Some(limits), ..config() });
    b.demo().await;
    for name in ["demo_user", "ＤＥＭＯ_user", "demo_u\u{17f}er"] {
        refused!(b.login(name, "wrong-password", SessionKind::Bearer).await, AuthError::BadCredentials);
    }
    refused!(b.login("ｄemo_user", "wrong-password", SessionKind::Bearer).await, AuthError::Limited { .. });
}

#[tokio::test]
async fn a_broken_store_is_not_a_wrong_password() {
    let b = bench(config());
    b.demo().await;
    b.store.break_down();
    refused!(b.login("demo_user", "demo123456", SessionKind::Bearer).await, AuthError::Store(_));
}
