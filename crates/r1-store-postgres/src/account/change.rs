//! What an account is changed to by its person or an administrator, each in one transaction.

use r1_domain::{
    accounts::{Changed, NewPassword},
    id::{SessionId, UserId},
    store::StoreError,
    time::Timestamp,
};
use secrecy::ExposeSecret;
use tokio_postgres::Row;

use super::{ADMINISTRATOR, ONE_AT_A_TIME, drop_setup_code, from_row};
use crate::{
    column,
    connection::{Db, LOCK_SPACE},
    error::Fault,
};

/// A session that is being made holds this row too, by its reference: so it is either there when the others
/// end, or its maker sees what was changed.
const ALONE: &str = "SELECT password_hash FROM account WHERE id = $1 FOR UPDATE";
const SET_PASSWORD: &str = "UPDATE account SET password_hash = $2 WHERE id = $1";
const END_SESSIONS: &str = "UPDATE session SET ended_at = $3
    WHERE user_id = $1 AND id IS DISTINCT FROM $2 AND ended_at IS NULL RETURNING id";

/// None where the present hash is another one than was expected.
pub(crate) async fn set_password(db: &Db, new: &NewPassword) -> Result<Option<Vec<SessionId>>, Fault> {
    let present: String = column::get(&alone(db, new.user).await?, 0)?;
    if new.expected.as_ref().is_some_and(|expected| expected.expose_secret() != present) {
        return Ok(None);
    }
    db.run(SET_PASSWORD, &[&new.user.as_uuid(), &new.hash.expose_secret()]).await?;
    end_of(db, new.user, new.kept, new.now).await.map(Some)
}

/// Ends all of an account's sessions; gives them back.
pub(crate) async fn end_sessions(db: &Db, user: UserId, now: Timestamp) -> Result<Vec<SessionId>, Fault> {
    alone(db, user).await?;
    end_of(db, user, None, now).await
}

async fn alone(db: &Db, user: UserId) -> Result<Row, Fault> {
    Ok(db.maybe(ALONE, &[&user.as_uuid()]).await?.ok_or(StoreError::NotFound)?)
}

async fn end_of(db: &Db, user: UserId, kept: Option<SessionId>, now: Timestamp) -> Result<Vec<SessionId>, Fault> {
    let kept = kept.map(|id| id.as_uuid());
    let rows = db.all(END_SESSIONS, &[&user.as_uuid(), &kept, &now.as_micros()]).await?;
    rows.iter().map(|row| column::id(row, 0, SessionId::from_uuid)).collect()
}

const SET_ADMIN: &str = "UPDATE account SET is_admin = $2 WHERE id = $1
    RETURNING id, username, email, is_admin, disabled, created_at";

pub(crate) async fn set_admin(db: &Db, id: UserId, is_admin: bool, even_last: bool) -> Result<Changed, Fault> {
    db.run(ONE_AT_A_TIME, &[&LOCK_SPACE, &ADMINISTRATOR]).await?;
    if !is_admin && !even_last && is_last_admin(db, id).await? {
        return Ok(Changed::LastAdministrator);
    }
    let row = db.maybe(SET_ADMIN, &[&id.as_uuid(), &is_admin]).await?;
    let user = from_row(&row.ok_or(StoreError::NotFound)?)?;
    if is_admin {
        drop_setup_code(db).await?;
    }
    Ok(Changed::Done(user))
}

const IS_LAST_ADMIN: &str = "SELECT 1 FROM account WHERE id = $1 AND is_admin
    AND NOT EXISTS (SELECT 1 FROM account WHERE is_admin AND NOT disabled AND id <> $1)";

/// Whether it is an administrator's, and nobody else's who can sign in is.
async fn is_last_admin(db: &Db, id: UserId) -> Result<bool, Fault> {
    Ok(db.maybe(IS_LAST_ADMIN, &[&id.as_uuid()]).await?.is_some())
}

const HAS_BEGUN: &str = "SELECT 1 FROM account WHERE id = $1 AND deleted_at IS NOT NULL";
const DELETE: &str = "UPDATE account SET disabled = TRUE, deleted_at = coalesce(deleted_at, $2) WHERE id = $1
    RETURNING id, username, email, is_admin, disabled, created_at";

/// The first transaction of a deletion. To begin again where one has begun is fine.
pub(crate) async fn delete(db: &Db, id: UserId, even_last: bool, now: Timestamp) -> Result<Changed, Fault> {
    db.run(ONE_AT_A_TIME, &[&LOCK_SPACE, &ADMINISTRATOR]).await?;
    let has_begun = db.maybe(HAS_BEGUN, &[&id.as_uuid()]).await?.is_some();
    if !has_begun && !even_last && is_last_admin(db, id).await? {
        return Ok(Changed::LastAdministrator);
    }
    alone(db, id).await?;
    let user = from_row(&db.one(DELETE, &[&id.as_uuid(), &now.as_micros()]).await?)?;
    end_of(db, id, None, now).await?;
    Ok(Changed::Done(user))
}
