//! A database of before names were folded: everybody is found by what they always typed.

#![expect(clippy::unwrap_used, reason = "what the tests share fails as they do")]

use std::path::Path;

use r1_domain::store::{Store, StoreError};
use r1_store_sqlite::{SqliteOptions, SqliteStore};
use r1_testkit::store_contract::{ALL, at, new_user};
use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};

const BEFORE: [&str; 2] =
    [include_str!("../migrations/0001_initial.sql"), include_str!("../migrations/0002_nodes.sql")];

/// A database of schema 2 with these accounts, the first the oldest.
fn of_before<'a>(dir: &Path, accounts: impl IntoIterator<Item = (&'a str, &'a str)>) {
    let mut db = Connection::open(dir.join("gpt-r1.db")).unwrap();
    db.pragma_update(None, "application_id", 0x4750_5231).unwrap();
    db.execute_batch(
        "CREATE TABLE schema_migration (
             version INTEGER NOT NULL PRIMARY KEY, checksum BLOB NOT NULL, applied_at INTEGER NOT NULL
         ) STRICT",
    )
    .unwrap();
    let change = db.transaction().unwrap();
    for (version, sql) in (1..).zip(BEFORE) {
        change.execute_batch(sql).unwrap();
        let checksum: [u8; 32] = Sha256::digest(sql.as_bytes()).into();
        change.execute("INSERT INTO schema_migration VALUES (?1, ?2, 0)", params![version, checksum]).unwrap();
    }
    for (number, (username, email)) in (0..).zip(accounts) {
        let insert =
            "INSERT INTO user (id, username, username_key, email, email_key, password_hash, is_admin, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, 'hash', 0, ?6)";
        let keys = (username.to_lowercase(), email.to_lowercase());
        // The oldest has the highest id: age counts.
        let id = u128::MAX - number;
        let made = at(i64::try_from(number).unwrap()).as_micros();
        change.execute(insert, params![id.to_be_bytes(), username, keys.0, email, keys.1, made]).unwrap();
    }
    change.commit().unwrap();
}

#[tokio::test]
async fn accounts_that_have_become_the_same_all_stay() {
    let dir = tempfile::tempdir().unwrap();
    let accounts = [
        ("Ａｄａ", "ada@example.com"),
        ("ada", "ADA+2@example.com"),
        ("ADA\u{17f}", "jose\u{301}@example.com"),
        ("adas", "josé@example.com"),
        ("Straße", "s@example.com"),
        ("\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}", "h@example.com"),
    ];
    of_before(dir.path(), accounts);
    let store = SqliteStore::open(&SqliteOptions::new(dir.path())).unwrap();
    let name_of = async |login: &str| store.user_by_login(login).await.unwrap().map(|found| found.user.username);
    for (username, email) in accounts {
        assert_eq!(name_of(username).await.as_deref(), Some(username));
        assert_eq!(name_of(email).await.as_deref(), Some(username));
        assert_eq!(name_of(&email.to_uppercase()).await.as_deref(), Some(username));
    }
    // A spelling that nobody has finds the oldest of those that share the form.
    assert_eq!(name_of("aｄa").await.as_deref(), Some("Ａｄａ"));
    assert_eq!(name_of("STRASSE").await.as_deref(), Some("Straße"));
    assert_eq!(name_of("한글").await.as_deref(), Some(accounts[5].0));
    // Only new ones are refused.
    for name in ["aｄa", "ＡＤＡＳ", "strasse", "한글"] {
        let refused = store.user_create(new_user(name), None).await;
        assert!(matches!(refused, Err(StoreError::Taken { field: "username" })), "{name}: {refused:?}");
    }
    let mut address = new_user("else");
    address.email = "JOSE\u{301}@example.com".to_owned();
    assert!(matches!(store.user_create(address, None).await, Err(StoreError::Taken { field: "email" })));
    store.user_create(new_user("new"), None).await.unwrap();
    drop(store);

    // Nothing changes the next time.
    let store = SqliteStore::open(&SqliteOptions::new(dir.path())).unwrap();
    assert_eq!(store.user_list(ALL).await.unwrap().items.len(), accounts.len() + 1);
    for (username, _) in accounts {
        assert_eq!(store.user_by_login(username).await.unwrap().unwrap().user.username, username);
    }
}

#[tokio::test]
async fn many_accounts_are_filled_in_in_slices() {
    let dir = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..1201).map(|number| format!("user{number}ß")).collect();
    let emails: Vec<String> = (0..1201).map(|number| format!("{number}@example.com")).collect();
    of_before(dir.path(), names.iter().map(String::as_str).zip(emails.iter().map(String::as_str)));
    let store = SqliteStore::open(&SqliteOptions::new(dir.path())).unwrap();
    for number in [0, 499, 500, 1200] {
        assert!(store.user_by_login(&format!("USER{number}SS")).await.unwrap().is_some(), "{number}");
    }
    let db = Connection::open(dir.path().join("gpt-r1.db")).unwrap();
    let left: i64 = db.query_row("SELECT count(*) FROM user WHERE is_folded = 0", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}
