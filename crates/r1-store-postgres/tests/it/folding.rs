//! A database of before names were folded: everybody is found by what they always typed.

use anyhow::{Context, Result};
use r1_domain::store::{Store, StoreError};
use r1_store_postgres::PostgresStore;
use r1_testkit::{
    postgres::Client,
    store_contract::{ALL, at, new_user},
};
use uuid::Uuid;

use crate::support;

/// What the version before says to make an account.
const CREATE: &str = "INSERT INTO account
    (id, username, username_key, email, email_key, password_hash, is_admin, created_at)
    VALUES ($1, $2, $3, $4, $5, 'hash', FALSE, $6)";

/// Makes an account as the version before does.
async fn create(client: &Client, number: u32, username: &str, email: &str) -> Result<()> {
    // The oldest has the highest id: age counts.
    let id = Uuid::from_u128(u128::MAX - u128::from(number));
    let (username_key, email_key) = (username.to_lowercase(), email.to_lowercase());
    let made = at(number.into()).as_micros();
    client.execute(CREATE, &[&id, &username, &username_key, &email, &email_key, &made]).await?;
    Ok(())
}

#[tokio::test]
async fn accounts_that_have_become_the_same_all_stay() -> Result<()> {
    let database = support::of_schema(2).await?;
    let client = database.client().await?;
    let accounts = [
        ("Ａｄａ", "ada@example.com"),
        ("ada", "ADA+2@example.com"),
        ("ADA\u{17f}", "jose\u{301}@example.com"),
        ("adas", "josé@example.com"),
        ("Straße", "s@example.com"),
        ("\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}", "h@example.com"),
    ];
    for (number, (username, email)) in (0..).zip(accounts) {
        create(&client, number, username, email).await?;
    }
    let store = support::open(&database).await?;
    for (username, email) in accounts {
        for login in [username, email, &email.to_uppercase()] {
            let found = store.user_by_login(login).await?.with_context(|| login.to_owned())?;
            assert_eq!(found.user.username, username, "{login}");
        }
    }
    for (login, username) in [("aｄa", "Ａｄａ"), ("STRASSE", "Straße"), ("한글", accounts[5].0)] {
        let found = store.user_by_login(login).await?.with_context(|| login.to_owned())?;
        assert_eq!(found.user.username, username, "{login}: the oldest that shares the form");
    }
    // Only new ones are refused.
    for name in ["aｄa", "ＡＤＡＳ", "strasse", "한글"] {
        let refused = store.user_create(new_user(name), None).await;
        assert!(matches!(refused, Err(StoreError::Taken { field: "username" })), "{name}: {refused:?}");
    }
    let mut address = new_user("else");
    address.email = "JOSE\u{301}@example.com".to_owned();
    assert!(matches!(store.user_create(address, None).await, Err(StoreError::Taken { field: "email" })));
    store.user_create(new_user("new"), None).await?;

    // A node of the version before, which has not been replaced yet, makes two more; one is the same as ours.
    create(&client, 10, "ｎｅｗ", "late@example.com").await?;
    create(&client, 11, "Ｌａｔｅｒ", "later@example.com").await?;
    assert_eq!(store.user_by_login("new").await?.context("ours")?.user.username, "new");
    assert_eq!(store.user_by_login("ｎｅｗ").await?.context("theirs")?.user.username, "ｎｅｗ");
    drop(store);
    let store = support::open(&database).await?;
    for (login, username) in [("new", "new"), ("ｎｅｗ", "ｎｅｗ"), ("neｗ", "new"), ("later", "Ｌａｔｅｒ")]
    {
        assert_eq!(store.user_by_login(login).await?.context("found")?.user.username, username, "{login}");
    }
    assert_eq!(store.user_list(ALL).await?.items.len(), accounts.len() + 3);
    Ok(())
}

/// Several nodes start at once; none waits for long, and each account is filled in once.
#[tokio::test]
async fn many_accounts_are_filled_in_in_slices() -> Result<()> {
    let database = support::of_schema(2).await?;
    let client = database.client().await?;
    for number in 0..1201 {
        create(&client, number, &format!("user{number}ß"), &format!("{number}@example.com")).await?;
    }
    let mut nodes = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let options = support::options(database.url());
        nodes.spawn(async move { PostgresStore::open(&options).await });
    }
    while let Some(store) = nodes.join_next().await {
        let store = store??;
        for number in [0, 499, 500, 1200] {
            assert!(store.user_by_login(&format!("USER{number}SS")).await?.is_some(), "{number}");
        }
    }
    let left = client.query_one("SELECT count(*) FROM account WHERE NOT is_folded", &[]).await?;
    assert_eq!(left.get::<_, i64>(0), 0);
    Ok(())
}
