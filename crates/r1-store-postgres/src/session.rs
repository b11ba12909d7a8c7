//! Sessions: stored, found, rotated, ended. A session is live while it is neither ended nor expired
//! and its user is not disabled; nothing here finds any other.

use r1_domain::{
    id::{SessionId, UserId},
    session::{NewSession, Rotation, Session, SessionKind, TokenHash},
    store::StoreError,
    time::Timestamp,
};
use tokio_postgres::{Row, error::SqlState};

use crate::{account, column, connection::Db, error::Fault};

/// The user's columns first: [`account::from_row`] reads them.
macro_rules! live_session {
    ($condition:literal) => {
        concat!(
            "SELECT u.id, u.username, u.email, u.is_admin, u.disabled, u.created_at, s.id, s.expires_at
             FROM session s JOIN account u ON u.id = s.user_id AND NOT u.disabled
             WHERE s.ended_at IS NULL AND s.expires_at > $1 AND ",
            $condition
        )
    };
}

const BY_ID: &str = live_session!("s.id = $2");
const BY_TOKEN: &str = live_session!("s.token_hash = $2 AND s.kind = $3");
/// The second of two at once finds what the first has made of it.
const BY_ID_ALONE: &str = live_session!("s.id = $2 FOR UPDATE OF s");
const BY_TOKEN_ALONE: &str = live_session!("s.token_hash = $2 AND s.kind = $3 FOR UPDATE OF s");

fn from_row(row: &Row) -> Result<Session, Fault> {
    let id = column::id(row, 6, SessionId::from_uuid)?;
    Ok(Session { id, user: account::from_row(row)?, expires_at: column::time(row, 7)? })
}

/// The account's newest session goes by in the same statement.
const CREATE: &str = "WITH signed_in AS (
        UPDATE account SET last_sign_in_at = greatest(last_sign_in_at, $5) WHERE id = $2
    )
    INSERT INTO session (id, user_id, kind, token_hash, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";

pub(crate) async fn create(db: &Db, session: &NewSession) -> Result<(), Fault> {
    let created = db
        .run(
            CREATE,
            &[
                &session.id.as_uuid(),
                &session.user_id.as_uuid(),
                &session.kind.as_str(),
                &&session.token_hash[..],
                &session.created_at.as_micros(),
                &session.expires_at.as_micros(),
            ],
        )
        .await;
    match created {
        Ok(0) => Err(StoreError::Taken { field: "id" }.into()),
        Ok(_) => Ok(()),
        Err(Fault::Server { code, .. }) if code == SqlState::FOREIGN_KEY_VIOLATION => Err(StoreError::NotFound.into()),
        Err(fault) => Err(fault),
    }
}

pub(crate) async fn get(db: &Db, id: SessionId, now: Timestamp) -> Result<Option<Session>, Fault> {
    by_id(db, BY_ID, id, now).await
}

async fn by_id(db: &Db, sql: &'static str, id: SessionId, now: Timestamp) -> Result<Option<Session>, Fault> {
    let found = db.maybe(sql, &[&now.as_micros(), &id.as_uuid()]).await?;
    found.as_ref().map(from_row).transpose()
}

/// Finds the cookie session whose secret this is.
pub(crate) async fn by_cookie(db: &Db, hash: &TokenHash, now: Timestamp) -> Result<Option<Session>, Fault> {
    by_token(db, BY_TOKEN, SessionKind::Cookie, hash, now).await
}

async fn by_token(
    db: &Db,
    sql: &'static str,
    kind: SessionKind,
    hash: &TokenHash,
    now: Timestamp,
) -> Result<Option<Session>, Fault> {
    let found = db.maybe(sql, &[&now.as_micros(), &&hash[..], &kind.as_str()]).await?;
    found.as_ref().map(from_row).transpose()
}

const REMEMBER: &str = "INSERT INTO session_replaced_token (token_hash, session_id) VALUES ($1, $2)";
const REPLACE: &str = "UPDATE session SET token_hash = $2, expires_at = $3 WHERE id = $1";
const REPLACED: &str = "SELECT session_id FROM session_replaced_token WHERE token_hash = $1";

/// Replaces a refresh token. Any that the session had before ends it.
pub(crate) async fn rotate(
    db: &Db,
    old: &TokenHash,
    new: &TokenHash,
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<Rotation, Fault> {
    if let Some(session) = by_token(db, BY_TOKEN_ALONE, SessionKind::Bearer, old, now).await? {
        let id = session.id.as_uuid();
        db.run(REMEMBER, &[&&old[..], &id]).await?;
        db.run(REPLACE, &[&id, &&new[..], &expires_at.as_micros()]).await?;
        return Ok(Rotation::Rotated(Session { expires_at, ..session }));
    }
    let live = match db.maybe(REPLACED, &[&&old[..]]).await? {
        Some(row) => by_id(db, BY_ID_ALONE, column::id(&row, 0, SessionId::from_uuid)?, now).await?,
        None => None,
    };
    let Some(session) = live else { return Ok(Rotation::Unknown) };
    end(db, session.user.id, session.id, now).await?;
    Ok(Rotation::Reused(session.id))
}

const END: &str = "UPDATE session SET ended_at = $3 WHERE id = $1 AND user_id = $2 AND ended_at IS NULL";

/// One that is ended, or gone, or another user's, stays as it is.
pub(crate) async fn end(db: &Db, owner: UserId, id: SessionId, now: Timestamp) -> Result<(), Fault> {
    db.run(END, &[&id.as_uuid(), &owner.as_uuid(), &now.as_micros()]).await.map(drop)
}
