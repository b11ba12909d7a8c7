//! Accounts, and the setup code that makes the first administrator.

use r1_domain::{
    id::UserId,
    page::{Page, PageCursor, PageRequest},
    session::TokenHash,
    store::{Credentials, StoreError},
    text::fold_login,
    time::Timestamp,
    user::{NewUser, User, normalise_login},
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    column::{self, Id},
    error::Fault,
};

pub(crate) mod activity;
pub(crate) mod change;

/// The setting that holds the setup code's digest.
const SETUP_CODE: &str = "setup_code";

/// Reads `id, username, email, is_admin, disabled, created_at`.
pub(crate) fn from_row(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        id: column::id(row, 0)?,
        username: row.get(1)?,
        email: row.get(2)?,
        is_admin: row.get(3)?,
        disabled: row.get(4)?,
        created_at: column::time(row, 5)?,
    })
}

/// Makes an account. The first administrator, however made, ends the setup code.
pub(crate) fn create(db: &Connection, user: NewUser, setup_code: Option<&TokenHash>) -> Result<User, Fault> {
    if let Some(code) = setup_code {
        let used = db
            .prepare_cached("DELETE FROM setting WHERE key = ?1 AND value = ?2")?
            .execute(params![SETUP_CODE, code])?;
        if used == 0 {
            return Err(StoreError::SetupCode.into());
        }
    }
    let is_admin = user.is_admin || setup_code.is_some();
    let (username_key, email_key) = (normalise_login(&user.username), normalise_login(&user.email));
    let (username_folded, email_folded) = (fold_login(&user.username), fold_login(&user.email));
    let taken =
        |column, key: &str| db.prepare_cached(&format!("SELECT 1 FROM user WHERE {column} = ?1"))?.exists([key]);
    if taken("username_folded", &username_folded)? || taken("username_key", &username_key)? {
        return Err(StoreError::Taken { field: "username" }.into());
    }
    if taken("email_folded", &email_folded)? || taken("email_key", &email_key)? {
        return Err(StoreError::Taken { field: "email" }.into());
    }
    let inserted = db
        .prepare_cached(
            "INSERT INTO user (id, username, username_key, username_folded, email, email_key, email_folded, is_folded,
                               password_hash, is_admin, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 1, ?8, ?9, ?10) ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![
            user.id.blob(),
            user.username,
            username_key,
            username_folded,
            user.email,
            email_key,
            email_folded,
            user.password_hash.expose_secret(),
            is_admin,
            user.created_at.as_micros(),
        ])?;
    if inserted == 0 {
        return Err(StoreError::Taken { field: "id" }.into());
    }
    if is_admin {
        db.prepare_cached("DELETE FROM setting WHERE key = ?1")?.execute([SETUP_CODE])?;
    }
    Ok(User {
        id: user.id,
        username: user.username,
        email: user.email,
        is_admin,
        disabled: false,
        created_at: user.created_at,
    })
}

/// Whose `?1` is the spelling of the name or address, or else whose `?2` is the form of it.
macro_rules! by_login {
    () => {
        "id = coalesce(
             (SELECT id FROM user WHERE username_key = ?1 OR email_key = ?1 LIMIT 1),
             (SELECT id FROM user WHERE username_folded = ?2 OR email_folded = ?2 LIMIT 1))"
    };
}

pub(crate) const BY_LOGIN: &str =
    concat!("SELECT id, username, email, is_admin, disabled, created_at, password_hash FROM user WHERE ", by_login!());

/// A name has no `@` and an address has one, so at most one account answers to a spelling, or a form.
pub(crate) fn by_login(db: &Connection, login: &str) -> Result<Option<Credentials>, Fault> {
    let found = db
        .prepare_cached(BY_LOGIN)?
        .query_row([normalise_login(login), fold_login(login)], |row| {
            Ok(Credentials { user: from_row(row)?, password_hash: SecretString::from(row.get::<_, String>(6)?) })
        })
        .optional()?;
    Ok(found)
}

/// Replaces a password's hash if it still is the one that was checked.
pub(crate) fn rehash(db: &Connection, id: UserId, old: &SecretString, new: &SecretString) -> Result<(), Fault> {
    db.prepare_cached("UPDATE user SET password_hash = ?3 WHERE id = ?1 AND password_hash = ?2")?.execute(params![
        id.blob(),
        old.expose_secret(),
        new.expose_secret()
    ])?;
    Ok(())
}

pub(crate) const LIST: &str = "SELECT id, username, email, is_admin, disabled, created_at FROM user
     WHERE (created_at, id) > (?1, ?2) ORDER BY created_at, id LIMIT ?3";

pub(crate) fn list(db: &Connection, page: PageRequest) -> Result<Page<User>, Fault> {
    let (at, id) = column::after(page);
    let mut statement = db.prepare_cached(LIST)?;
    let items = statement.query_map(params![at, id, column::rows(page)], from_row)?.collect::<Result<_, _>>()?;
    Ok(column::page(items, page, |last: &User| PageCursor { at: last.created_at, id: last.id.as_uuid() }))
}

const SET_DISABLED: &str = concat!(
    "UPDATE user SET disabled = ?3 WHERE (?3 OR deleted_at IS NULL) AND ",
    by_login!(),
    " RETURNING id, username, email, is_admin, disabled, created_at"
);

/// Disabling ends the account's sessions in the same commit. What is being deleted stays disabled.
pub(crate) fn set_disabled(db: &Connection, login: &str, disabled: bool, now: Timestamp) -> Result<User, Fault> {
    let user = db
        .prepare_cached(SET_DISABLED)?
        .query_row(params![normalise_login(login), fold_login(login), disabled], from_row)
        .optional()?
        .ok_or(StoreError::NotFound)?;
    if disabled {
        change::end_sessions(db, user.id, None, now)?;
    }
    Ok(user)
}

/// False where there is an administrator.
pub(crate) fn setup_code_set(db: &Connection, code: &TokenHash) -> Result<bool, Fault> {
    if db.prepare_cached("SELECT 1 FROM user WHERE is_admin = 1")?.exists([])? {
        return Ok(false);
    }
    set(db, SETUP_CODE, code)?;
    Ok(true)
}

/// The setting that holds the instance's word.
const INSTANCE: &str = "instance";

/// The word that was kept first, or this one.
pub(crate) fn instance_word(db: &Connection, first: &str) -> Result<String, Fault> {
    db.prepare_cached("INSERT INTO setting (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO NOTHING")?
        .execute(params![INSTANCE, first.as_bytes()])?;
    kept_instance_word(db)?.ok_or(Fault::Broken("the instance's word is not there"))
}

/// The word that was kept first, if there is one.
pub(crate) fn kept_instance_word(db: &Connection) -> Result<Option<String>, Fault> {
    let kept: Option<Vec<u8>> = db
        .prepare_cached("SELECT value FROM setting WHERE key = ?1")?
        .query_row([INSTANCE], |row| row.get(0))
        .optional()?;
    kept.map(|kept| String::from_utf8(kept).map_err(|_| Fault::Broken("the instance's word is no text"))).transpose()
}

/// Writes something that nobody reads, to see whether it can be done.
pub(crate) fn write_check(db: &Connection) -> Result<(), Fault> {
    set(db, "write_check", &[])
}

fn set(db: &Connection, key: &str, value: &[u8]) -> Result<(), Fault> {
    db.prepare_cached("INSERT INTO setting (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2")?
        .execute(params![key, value])?;
    Ok(())
}
