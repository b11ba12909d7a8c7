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
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::Row;

use crate::{
    column::{self, text},
    connection::{Db, LOCK_SPACE},
    error::Fault,
};

pub(crate) mod activity;
pub(crate) mod change;

/// The setting that holds the setup code's digest.
const SETUP_CODE: &str = "setup_code";
/// The advisory lock's second half: who makes an administrator, or a code that does.
const ADMINISTRATOR: i32 = 3;

/// Reads `id, username, email, is_admin, disabled, created_at`.
pub(crate) fn from_row(row: &Row) -> Result<User, Fault> {
    Ok(User {
        id: column::id(row, 0, UserId::from_uuid)?,
        username: column::string(row, 1)?,
        email: column::string(row, 2)?,
        is_admin: column::get(row, 3)?,
        disabled: column::get(row, 4)?,
        created_at: column::time(row, 5)?,
    })
}

const ONE_AT_A_TIME: &str = "SELECT pg_advisory_xact_lock($1, $2)";
const USE_CODE: &str = "DELETE FROM setting WHERE key = $1 AND value = $2";
const DROP_CODE: &str = "DELETE FROM setting WHERE key = $1";
const CREATE: &str = "INSERT INTO account
    (id, username, username_key, username_folded, email, email_key, email_folded, is_folded, password_hash, is_admin,
     created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, TRUE, $8, $9, $10)";

/// Makes an account. The first administrator, however made, ends the setup code.
pub(crate) async fn create(db: &Db, user: &NewUser, setup_code: Option<&TokenHash>) -> Result<User, Fault> {
    let is_admin = user.is_admin || setup_code.is_some();
    if is_admin {
        db.run(ONE_AT_A_TIME, &[&LOCK_SPACE, &ADMINISTRATOR]).await?;
    }
    if let Some(code) = setup_code
        && db.run(USE_CODE, &[&SETUP_CODE, &&code[..]]).await? == 0
    {
        return Err(StoreError::SetupCode.into());
    }
    let (username_key, email_key) = (normalise_login(&user.username), normalise_login(&user.email));
    let (username_folded, email_folded) = (fold_login(&user.username), fold_login(&user.email));
    let created = db
        .run(
            CREATE,
            &[
                &user.id.as_uuid(),
                &text(&user.username),
                &text(&username_key),
                &text(&username_folded),
                &text(&user.email),
                &text(&email_key),
                &text(&email_folded),
                &user.password_hash.expose_secret(),
                &is_admin,
                &user.created_at.as_micros(),
            ],
        )
        .await;
    if let Err(fault) = created {
        let field = match fault.violates() {
            Some("account_username" | "account_username_folded") => "username",
            Some("account_email" | "account_email_folded") => "email",
            Some(_) => "id",
            None => return Err(fault),
        };
        return Err(StoreError::Taken { field }.into());
    }
    if is_admin {
        drop_setup_code(db).await?;
    }
    Ok(User {
        id: user.id,
        username: user.username.clone(),
        email: user.email.clone(),
        is_admin,
        disabled: false,
        created_at: user.created_at,
    })
}

/// Whose `$1` is the spelling of the name or address, or else whose `$2` is the form of it.
macro_rules! by_login {
    () => {
        "id = coalesce(
            (SELECT id FROM account WHERE username_key = $1 OR email_key = $1 LIMIT 1),
            (SELECT id FROM account WHERE username_folded = $2 OR email_folded = $2 LIMIT 1))"
    };
}

const BY_LOGIN: &str = concat!(
    "SELECT id, username, email, is_admin, disabled, created_at, password_hash FROM account WHERE ",
    by_login!()
);

/// A name has no `@` and an address has one, so at most one account answers to a spelling, or a form.
pub(crate) async fn by_login(db: &Db, login: &str) -> Result<Option<Credentials>, Fault> {
    let found = db.maybe(BY_LOGIN, &[&text(&normalise_login(login)), &text(&fold_login(login))]).await?;
    let credentials = |row: Row| {
        let password_hash = SecretString::from(column::get::<String>(&row, 6)?);
        Ok(Credentials { user: from_row(&row)?, password_hash })
    };
    found.map(credentials).transpose()
}

const REHASH: &str = "UPDATE account SET password_hash = $3 WHERE id = $1 AND password_hash = $2";

/// Replaces a password's hash if it still is the one that was checked.
pub(crate) async fn rehash(db: &Db, id: UserId, old: &SecretString, new: &SecretString) -> Result<(), Fault> {
    db.run(REHASH, &[&id.as_uuid(), &old.expose_secret(), &new.expose_secret()]).await.map(drop)
}

const LIST: &str = "SELECT id, username, email, is_admin, disabled, created_at FROM account
    WHERE (created_at, id) > ($1, $2) ORDER BY created_at, id LIMIT $3";

pub(crate) async fn list(db: &Db, page: PageRequest) -> Result<Page<User>, Fault> {
    let (at, id) = column::after(page);
    let rows = db.all(LIST, &[&at, &id, &column::rows(page)]).await?;
    let items = rows.iter().map(from_row).collect::<Result<_, _>>()?;
    Ok(column::page(items, page, |last: &User| PageCursor { at: last.created_at, id: last.id.as_uuid() }))
}

const SET_DISABLED: &str = concat!(
    "UPDATE account SET disabled = $3 WHERE ($3 OR deleted_at IS NULL) AND ",
    by_login!(),
    " RETURNING id, username, email, is_admin, disabled, created_at"
);

/// Disabling ends the account's sessions in the same commit. What is being deleted stays disabled.
pub(crate) async fn set_disabled(db: &Db, login: &str, disabled: bool, now: Timestamp) -> Result<User, Fault> {
    let row = db.maybe(SET_DISABLED, &[&text(&normalise_login(login)), &text(&fold_login(login)), &disabled]).await?;
    let user = from_row(&row.ok_or(StoreError::NotFound)?)?;
    if disabled {
        change::end_sessions(db, user.id, now).await?;
    }
    Ok(user)
}

const HAS_ADMINISTRATOR: &str = "SELECT EXISTS (SELECT 1 FROM account WHERE is_admin)";
const SET: &str = "INSERT INTO setting (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = $2";

/// False where there is an administrator.
pub(crate) async fn setup_code_set(db: &Db, code: &TokenHash) -> Result<bool, Fault> {
    db.run(ONE_AT_A_TIME, &[&LOCK_SPACE, &ADMINISTRATOR]).await?;
    if column::get(&db.one(HAS_ADMINISTRATOR, &[]).await?, 0)? {
        return Ok(false);
    }
    db.run(SET, &[&SETUP_CODE, &&code[..]]).await?;
    Ok(true)
}

/// The setting that holds the instance's word.
const INSTANCE: &str = "instance";
const KEEP_FIRST: &str = "INSERT INTO setting (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING";
const GET: &str = "SELECT value FROM setting WHERE key = $1";

/// The word that was kept first, or this one.
pub(crate) async fn instance_word(db: &Db, first: &str) -> Result<String, Fault> {
    db.run(KEEP_FIRST, &[&INSTANCE, &first.as_bytes()]).await?;
    let kept: Vec<u8> = column::get(&db.one(GET, &[&INSTANCE]).await?, 0)?;
    String::from_utf8(kept).map_err(|_| Fault::Broken("the instance's word is no text"))
}

/// Ends the setup code, if there is one.
pub(crate) async fn drop_setup_code(db: &Db) -> Result<(), Fault> {
    db.run(DROP_CODE, &[&SETUP_CODE]).await.map(drop)
}

/// Writes something that nobody reads, to see whether it can be done.
pub(crate) async fn write_check(db: &Db) -> Result<(), Fault> {
    db.run(SET, &[&"write_check", &&[][..] as &&[u8]]).await.map(drop)
}
