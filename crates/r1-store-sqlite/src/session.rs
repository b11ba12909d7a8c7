//! Sessions: stored, found, rotated, ended. A session is live while it is neither ended nor expired
//! and its user is not disabled; nothing here finds any other.

use r1_domain::{
    id::{SessionId, UserId},
    session::{NewSession, Rotation, Session, SessionKind, TokenHash},
    store::StoreError,
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{
    account,
    column::{self, Id},
    error::Fault,
};

/// The user's columns first: [`account::from_row`] reads them.
macro_rules! live_session {
    ($condition:literal) => {
        concat!(
            "SELECT u.id, u.username, u.email, u.is_admin, u.disabled, u.created_at, s.id, s.expires_at
             FROM session s JOIN user u ON u.id = s.user_id AND u.disabled = 0
             WHERE s.ended_at IS NULL AND s.expires_at > ?1 AND ",
            $condition
        )
    };
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session { id: column::id(row, 6)?, user: account::from_row(row)?, expires_at: column::time(row, 7)? })
}

pub(crate) fn create(db: &Connection, session: &NewSession) -> Result<(), Fault> {
    let known = db
        .prepare_cached("UPDATE user SET last_sign_in_at = max(coalesce(last_sign_in_at, ?2), ?2) WHERE id = ?1")?
        .execute(params![session.user_id.blob(), session.created_at.as_micros()])?;
    if known == 0 {
        return Err(StoreError::NotFound.into());
    }
    let inserted = db
        .prepare_cached(
            "INSERT INTO session (id, user_id, kind, token_hash, created_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            session.id.blob(),
            session.user_id.blob(),
            session.kind.as_str(),
            session.token_hash,
            session.created_at.as_micros(),
            session.expires_at.as_micros(),
        ])?;
    if inserted == 0 { Err(StoreError::Taken { field: "id" }.into()) } else { Ok(()) }
}

pub(crate) fn get(db: &Connection, id: SessionId, now: Timestamp) -> Result<Option<Session>, Fault> {
    let found = db
        .prepare_cached(live_session!("s.id = ?2"))?
        .query_row(params![now.as_micros(), id.blob()], from_row)
        .optional()?;
    Ok(found)
}

/// Finds the session whose present token this is.
pub(crate) fn by_token(
    db: &Connection,
    kind: SessionKind,
    hash: &TokenHash,
    now: Timestamp,
) -> Result<Option<Session>, Fault> {
    let found = db
        .prepare_cached(live_session!("s.token_hash = ?2 AND s.kind = ?3"))?
        .query_row(params![now.as_micros(), hash, kind.as_str()], from_row)
        .optional()?;
    Ok(found)
}

/// Replaces a refresh token. Any that the session had before ends it.
pub(crate) fn rotate(
    db: &Connection,
    old: &TokenHash,
    new: &TokenHash,
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<Rotation, Fault> {
    if let Some(session) = by_token(db, SessionKind::Bearer, old, now)? {
        db.prepare_cached("INSERT INTO session_replaced_token (token_hash, session_id) VALUES (?1, ?2)")?
            .execute(params![old, session.id.blob()])?;
        db.prepare_cached("UPDATE session SET token_hash = ?2, expires_at = ?3 WHERE id = ?1")?.execute(params![
            session.id.blob(),
            new,
            expires_at.as_micros()
        ])?;
        return Ok(Rotation::Rotated(Session { expires_at, ..session }));
    }
    let robbed = db
        .prepare_cached("SELECT session_id FROM session_replaced_token WHERE token_hash = ?1")?
        .query_row(params![old], |row| column::id(row, 0))
        .optional()?;
    let live = match robbed {
        Some(id) => get(db, id, now)?,
        None => None,
    };
    let Some(session) = live else { return Ok(Rotation::Unknown) };
    end(db, session.user.id, session.id, now)?;
    Ok(Rotation::Reused(session.id))
}

/// One that is ended, or gone, or another user's, stays as it is.
pub(crate) fn end(db: &Connection, owner: UserId, id: SessionId, now: Timestamp) -> Result<(), Fault> {
    db.prepare_cached("UPDATE session SET ended_at = ?3 WHERE id = ?1 AND user_id = ?2 AND ended_at IS NULL")?
        .execute(params![id.blob(), owner.blob(), now.as_micros()])?;
    Ok(())
}
