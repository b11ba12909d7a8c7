//! What an account is changed to by its person or an administrator, each in one commit.

use r1_domain::{
    accounts::{Changed, NewPassword},
    id::{SessionId, UserId},
    store::StoreError,
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension, params};
use secrecy::ExposeSecret;

use super::{SETUP_CODE, from_row};
use crate::{
    column::{self, Id},
    error::Fault,
};

/// None where the present hash is another one than was expected.
pub(crate) fn set_password(db: &Connection, new: &NewPassword) -> Result<Option<Vec<SessionId>>, Fault> {
    let present: Option<String> = db
        .prepare_cached("SELECT password_hash FROM user WHERE id = ?1")?
        .query_row([new.user.blob()], |row| row.get(0))
        .optional()?;
    let present = present.ok_or(StoreError::NotFound)?;
    if new.expected.as_ref().is_some_and(|expected| expected.expose_secret() != present) {
        return Ok(None);
    }
    db.prepare_cached("UPDATE user SET password_hash = ?2 WHERE id = ?1")?
        .execute(params![new.user.blob(), new.hash.expose_secret()])?;
    end_sessions(db, new.user, new.kept, new.now).map(Some)
}

/// Ends an account's sessions but one; gives back those that ended.
pub(crate) fn end_sessions(
    db: &Connection,
    user: UserId,
    kept: Option<SessionId>,
    now: Timestamp,
) -> Result<Vec<SessionId>, Fault> {
    if !db.prepare_cached("SELECT 1 FROM user WHERE id = ?1")?.exists([user.blob()])? {
        return Err(StoreError::NotFound.into());
    }
    let mut statement = db.prepare_cached(
        "UPDATE session SET ended_at = ?3 WHERE user_id = ?1 AND id IS NOT ?2 AND ended_at IS NULL RETURNING id",
    )?;
    let ended = statement
        .query_map(params![user.blob(), kept.map(|id| id.blob()), now.as_micros()], |row| column::id(row, 0))?
        .collect::<Result<_, _>>()?;
    Ok(ended)
}

pub(crate) fn set_admin(db: &Connection, id: UserId, is_admin: bool, even_last: bool) -> Result<Changed, Fault> {
    if !is_admin && !even_last && is_last_admin(db, id)? {
        return Ok(Changed::LastAdministrator);
    }
    let user = db
        .prepare_cached(
            "UPDATE user SET is_admin = ?2 WHERE id = ?1
             RETURNING id, username, email, is_admin, disabled, created_at",
        )?
        .query_row(params![id.blob(), is_admin], from_row)
        .optional()?
        .ok_or(StoreError::NotFound)?;
    if is_admin {
        db.prepare_cached("DELETE FROM setting WHERE key = ?1")?.execute([SETUP_CODE])?;
    }
    Ok(Changed::Done(user))
}

/// Whether it is an administrator's, and nobody else's who can sign in is.
fn is_last_admin(db: &Connection, id: UserId) -> Result<bool, Fault> {
    let last = db
        .prepare_cached(
            "SELECT 1 FROM user WHERE id = ?1 AND is_admin = 1
             AND NOT EXISTS (SELECT 1 FROM user WHERE is_admin = 1 AND disabled = 0 AND id <> ?1)",
        )?
        .exists([id.blob()])?;
    Ok(last)
}

/// The first commit of a deletion. To begin again where one has begun is fine.
pub(crate) fn delete(db: &Connection, id: UserId, even_last: bool, now: Timestamp) -> Result<Changed, Fault> {
    let has_begun =
        db.prepare_cached("SELECT 1 FROM user WHERE id = ?1 AND deleted_at IS NOT NULL")?.exists([id.blob()])?;
    if !has_begun && !even_last && is_last_admin(db, id)? {
        return Ok(Changed::LastAdministrator);
    }
    let user = db
        .prepare_cached(
            "UPDATE user SET disabled = 1, deleted_at = coalesce(deleted_at, ?2) WHERE id = ?1
             RETURNING id, username, email, is_admin, disabled, created_at",
        )?
        .query_row(params![id.blob(), now.as_micros()], from_row)
        .optional()?
        .ok_or(StoreError::NotFound)?;
    end_sessions(db, id, None, now)?;
    Ok(Changed::Done(user))
}
