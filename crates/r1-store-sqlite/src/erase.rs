//! Removing all that an account has, a slice per transaction, and the account at last.
//!
//! **Invariant:** the account's row goes in a transaction that finds nothing of it left; what refers to it can't
//! be made afterwards.

use r1_domain::{
    accounts::Erased,
    id::{SessionId, UserId},
};
use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    column::{self, Id},
    error::Fault,
    purge::{self, Slice, Usage},
};

/// Removes a slice of what this account has, or any account whose deletion has begun. Where nobody serves
/// from the database, nobody writes the answers that are not at their end.
pub(crate) fn erase(
    db: &Connection,
    user: Option<UserId>,
    is_served: bool,
    slice: &mut Slice,
) -> Result<Erased, Fault> {
    let found: Option<UserId> = db
        .prepare_cached(
            "SELECT id FROM user WHERE deleted_at IS NOT NULL AND (?1 IS NULL OR id = ?1) ORDER BY deleted_at LIMIT 1",
        )?
        .query_row([user.map(|user| user.blob())], |row| column::id(row, 0))
        .optional()?;
    let Some(user) = found else { return Ok(Erased::Done) };
    while !slice.is_over() {
        let conversation: Option<[u8; 16]> = db
            .prepare_cached(
                "SELECT c.id FROM conversation c WHERE c.owner_id = ?1 AND (NOT ?2 OR NOT EXISTS
                     (SELECT 1 FROM generation g
                      WHERE g.conversation_id = c.id AND g.state IN ('queued', 'running'))) LIMIT 1",
            )?
            .query_row(params![user.blob(), is_served], |row| row.get(0))
            .optional()?;
        let Some(conversation) = conversation else { break };
        purge::conversation(db, conversation, Usage::Forgotten, slice)?;
    }
    if slice.is_over() {
        return Ok(Erased::Rows(slice.taken()));
    }
    let running: usize = db
        .prepare_cached("SELECT count(*) FROM generation WHERE owner_id = ?1 AND state IN ('queued', 'running')")?
        .query_row([user.blob()], |row| column::unsigned(row, 0))?;
    if running > 0 {
        return Ok(if slice.taken() > 0 { Erased::Rows(slice.taken()) } else { Erased::Waits(running) });
    }
    let sessions: Vec<SessionId> = {
        let mut statement = db.prepare_cached("SELECT id FROM session WHERE user_id = ?1 LIMIT ?2")?;
        let rows = statement.query_map(params![user.blob(), slice.rows()], |row| column::id(row, 0))?;
        rows.collect::<Result<_, _>>()?
    };
    for session in sessions {
        if !slice.take() {
            break;
        }
        purge::session(db, session)?;
    }
    for sql in [
        "DELETE FROM idempotency WHERE owner_id = ?1 AND key IN
             (SELECT key FROM idempotency WHERE owner_id = ?1 LIMIT ?2)",
        "DELETE FROM job WHERE id IN (SELECT id FROM job WHERE owner_id = ?1 LIMIT ?2)",
        "DELETE FROM usage_of_deleted WHERE owner_id = ?1 AND (day, model) IN
             (SELECT day, model FROM usage_of_deleted WHERE owner_id = ?1 LIMIT ?2)",
    ] {
        if !slice.is_over() {
            let gone = db.prepare_cached(sql)?.execute(params![user.blob(), slice.rows()])?;
            slice.took(gone);
        }
    }
    if slice.take() {
        db.prepare_cached("DELETE FROM user WHERE id = ?1")?.execute([user.blob()])?;
    }
    Ok(Erased::Rows(slice.taken()))
}
