//! Accounts and the setup code.

use super::{ALL, SharedStore, at, eight_at_once, new_user, user};
use anyhow::Context;
use r1_domain::{
    id::{SessionId, UserId},
    page::PageRequest,
    session::{NewSession, SessionKind},
    store::StoreError,
};
use secrecy::ExposeSecret;

/// `Demo` and `demo` are one name; either form, and the address, finds the account.
pub async fn names_and_addresses_are_unique_without_regard_to_case(store: SharedStore) -> anyhow::Result<()> {
    let made = store.user_create(new_user("Demo_User"), None).await?;
    assert_eq!((made.username.as_str(), made.is_admin, made.disabled), ("Demo_User", false, false));

    let mut same_name = new_user("dEMO_uSER");
    same_name.email = "else@example.com".to_owned();
    let refused = store.user_create(same_name, None).await;
    assert!(matches!(refused, Err(StoreError::Taken { field: "username" })), "{refused:?}");
    let mut same_address = new_user("else");
    same_address.email = "DEMO_user@Example.com".to_owned();
    let refused = store.user_create(same_address, None).await;
    assert!(matches!(refused, Err(StoreError::Taken { field: "email" })), "{refused:?}");

    for login in ["Demo_User", "demo_user", " DEMO_USER ", "demo_user@EXAMPLE.com"] {
        let found = store.user_by_login(login).await?.context("by login")?;
        assert_eq!(found.user, made, "{login}");
    }
    assert!(store.user_by_login("else").await?.is_none(), "a refused account is not there");
    Ok(())
}

/// One name in whichever spelling: as many systems write it, it is taken once and finds the account.
pub async fn names_and_addresses_are_one_in_all_spellings(store: SharedStore) -> anyhow::Result<()> {
    let mut straße = new_user("Straße");
    straße.email = "jose\u{301}@example.com".to_owned();
    let made = store.user_create(straße, None).await?;
    assert_eq!(made.username, "Straße");
    for login in ["straße", "STRASSE", "Ｓtraße", "stra\u{17f}\u{17f}e", "José@example.com", "JOSE\u{301}@EXAMPLE.COM"]
    {
        let found = store.user_by_login(login).await?.with_context(|| login.to_owned())?;
        assert_eq!(found.user.id, made.id, "{login}");
    }
    for name in ["strasse", "STRAẞE", "ｓｔｒａｓｓｅ"] {
        let refused = store.user_create(new_user(name), None).await;
        assert!(matches!(refused, Err(StoreError::Taken { field: "username" })), "{name}: {refused:?}");
    }
    let mut same_address = new_user("else");
    same_address.email = "josé@example.com".to_owned();
    let refused = store.user_create(same_address, None).await;
    assert!(matches!(refused, Err(StoreError::Taken { field: "email" })), "{refused:?}");
    assert!(store.user_by_login("strase").await?.is_none());

    assert!(store.user_set_disabled("STRASSE", true, at(1)).await?.disabled);
    assert!(store.user_by_login("straße").await?.context("by its own spelling")?.user.disabled);

    let names = ["ångström", "a\u{30a}ngstro\u{308}m", "\u{212b}NGSTRÖM", "ＡNGSTRÖM"];
    let many = eight_at_once(&store, move |store, number| async move {
        let mut user = new_user(names[usize::from(number) % names.len()]);
        user.email = format!("{number}@example.com");
        store.user_create(user, None).await
    })
    .await?;
    // The last is another name: an A without a ring.
    let (made, refused): (Vec<_>, Vec<_>) = many.into_iter().partition(Result::is_ok);
    assert_eq!(made.len(), 2, "{made:?}");
    for refused in refused {
        assert!(matches!(refused, Err(StoreError::Taken { field: "username" })), "{refused:?}");
    }
    Ok(())
}

/// The right code, once; a failed attempt does not use it up.
pub async fn a_setup_code_makes_one_administrator(store: SharedStore) -> anyhow::Result<()> {
    user(&store, "first").await?;
    let refused = store.user_create(new_user("admin"), Some([1; 32])).await;
    assert!(matches!(refused, Err(StoreError::SetupCode)), "there is none yet: {refused:?}");
    assert!(store.setup_code_set([1; 32]).await?);
    let refused = store.user_create(new_user("admin"), Some([2; 32])).await;
    assert!(matches!(refused, Err(StoreError::SetupCode)), "a wrong one: {refused:?}");
    let refused = store.user_create(new_user("first"), Some([1; 32])).await;
    assert!(matches!(refused, Err(StoreError::Taken { field: "username" })), "{refused:?}");

    assert!(store.user_create(new_user("admin"), Some([1; 32])).await?.is_admin);
    assert!(store.user_by_login("admin").await?.context("the administrator")?.user.is_admin);
    let refused = store.user_create(new_user("second"), Some([1; 32])).await;
    assert!(matches!(refused, Err(StoreError::SetupCode)), "used up: {refused:?}");
    assert!(!store.setup_code_set([3; 32]).await?, "there is an administrator");
    Ok(())
}

/// Only the newest code counts.
pub async fn a_new_setup_code_replaces_the_old_one(store: SharedStore) -> anyhow::Result<()> {
    assert!(store.setup_code_set([1; 32]).await?);
    assert!(store.setup_code_set([2; 32]).await?);
    let refused = store.user_create(new_user("admin"), Some([1; 32])).await;
    assert!(matches!(refused, Err(StoreError::SetupCode)), "{refused:?}");
    assert!(store.user_create(new_user("admin"), Some([2; 32])).await?.is_admin);
    Ok(())
}

/// Whoever has been told a code can't become a second first administrator.
pub async fn an_administrator_made_otherwise_ends_the_setup_code(store: SharedStore) -> anyhow::Result<()> {
    assert!(store.setup_code_set([1; 32]).await?);
    let mut admin = new_user("admin");
    admin.is_admin = true;
    assert!(store.user_create(admin, None).await?.is_admin);
    let refused = store.user_create(new_user("other"), Some([1; 32])).await;
    assert!(matches!(refused, Err(StoreError::SetupCode)), "{refused:?}");
    Ok(())
}

/// In pages, by age and then id.
pub async fn users_are_listed_oldest_first(store: SharedStore) -> anyhow::Result<()> {
    let mut made = Vec::new();
    for (i, seconds) in [5, 3, 3, 9, 1].into_iter().enumerate() {
        let mut user = new_user(&format!("user{i}"));
        user.created_at = at(seconds);
        made.push(store.user_create(user, None).await?);
    }
    made.sort_by_key(|user| (user.created_at, user.id));
    let mut request = PageRequest { after: None, limit: 2 };
    let mut listed = Vec::new();
    loop {
        let page = store.user_list(request).await?;
        assert!(page.items.len() <= 2);
        listed.extend(page.items);
        request.after = page.next;
        if request.after.is_none() {
            break;
        }
    }
    assert_eq!(listed, made);
    assert_eq!(store.user_list(ALL).await?.items, made);
    Ok(())
}

/// Disabling ends what there is; enabling brings none of it back.
pub async fn a_disabled_user_has_no_sessions(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let session = |id, hash| NewSession {
        id,
        user_id: owner,
        kind: SessionKind::Cookie,
        token_hash: [hash; 32],
        created_at: at(0),
        expires_at: at(1000),
    };
    let id = SessionId::new(at(0));
    store.session_create(session(id, 1)).await?;
    let disabled = store.user_set_disabled("DEMO@example.com", true, at(1)).await?;
    assert!(disabled.disabled && disabled.id == owner);
    assert!(store.user_by_login("demo").await?.context("still there")?.user.disabled);
    assert_eq!(store.session_get(id, at(2)).await?, None);
    let enabled = store.user_set_disabled("demo", false, at(3)).await?;
    assert!(!enabled.disabled);
    assert_eq!(store.session_get(id, at(4)).await?, None);
    assert_eq!(store.session_by_cookie([1; 32], at(4)).await?, None);
    let again = SessionId::new(at(5));
    store.session_create(session(again, 2)).await?;
    assert!(store.session_get(again, at(6)).await?.is_some());

    let missing = store.user_set_disabled("nobody", true, at(1)).await;
    assert!(matches!(missing, Err(StoreError::NotFound)), "{missing:?}");
    let stranger = NewSession { user_id: UserId::new(at(0)), ..session(SessionId::new(at(0)), 3) };
    let missing = store.session_create(stranger).await;
    assert!(matches!(missing, Err(StoreError::NotFound)), "{missing:?}");
    Ok(())
}

/// A sign-in that comes late must not bring an old password back.
pub async fn a_hash_is_replaced_only_if_it_is_still_the_same(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let old = "$argon2id$of-demo".to_owned().into();
    store.user_rehash(owner, &old, "$argon2id$second".to_owned().into()).await?;
    store.user_rehash(owner, &old, "$argon2id$third".to_owned().into()).await?;
    let found = store.user_by_login("demo").await?.context("the account")?;
    assert_eq!(found.password_hash.expose_secret(), "$argon2id$second");
    Ok(())
}

/// The others learn that it is taken; and of many with one code, one is an administrator.
pub async fn of_many_with_one_name_one_is_made(store: SharedStore) -> anyhow::Result<()> {
    let same = eight_at_once(&store, |store, _| async move { store.user_create(new_user("demo"), None).await }).await?;
    assert_eq!(same.iter().filter(|made| made.is_ok()).count(), 1, "{same:?}");
    let taken = |made: &&Result<_, StoreError>| matches!(made, Err(StoreError::Taken { field: "username" }));
    assert_eq!(same.iter().filter(taken).count(), 7, "{same:?}");

    assert!(store.setup_code_set([1; 32]).await?);
    let admins = eight_at_once(&store, |store, number| async move {
        store.user_create(new_user(&format!("admin{number}")), Some([1; 32])).await
    })
    .await?;
    assert_eq!(admins.iter().filter(|made| made.is_ok()).count(), 1, "{admins:?}");
    let refused = |made: &&Result<_, StoreError>| matches!(made, Err(StoreError::SetupCode));
    assert_eq!(admins.iter().filter(refused).count(), 7, "{admins:?}");
    Ok(())
}
