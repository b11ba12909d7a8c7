//! Removing all that an account has, a slice per transaction, and the account at last.
//!
//! **Invariant:** the account's row goes in a transaction that finds nothing of it left; what refers to it can't
//! be made afterwards.

use r1_domain::{accounts::Erased, id::UserId};
use uuid::Uuid;

use crate::{
    column,
    connection::Db,
    error::Fault,
    purge::{self, Usage, changed},
};

/// One process at a time; the others find nothing to do meanwhile.
const ACCOUNT: &str = "SELECT id FROM account WHERE deleted_at IS NOT NULL AND ($1::uuid IS NULL OR id = $1)
    ORDER BY deleted_at LIMIT 1 FOR UPDATE SKIP LOCKED";
const IS_THERE: &str = "SELECT 1 FROM account WHERE deleted_at IS NOT NULL AND id = $1";
/// One in which no node writes. Of a node without a lease nothing more is stored.
const CONVERSATION: &str = "SELECT c.id FROM conversation c WHERE c.owner_id = $1 AND NOT EXISTS
        (SELECT 1 FROM generation g JOIN lease l ON l.node_id = g.node_id
         WHERE g.conversation_id = c.id AND g.state IN ('queued', 'running'))
    LIMIT 1";
const RUNNING: &str = "SELECT count(*) FROM generation WHERE owner_id = $1 AND state IN ('queued', 'running')";
const SESSIONS: &str = "SELECT id FROM session WHERE user_id = $1 LIMIT $2";
const KEYS: &str = "DELETE FROM idempotency WHERE owner_id = $1 AND key IN
    (SELECT key FROM idempotency WHERE owner_id = $1 LIMIT $2)";
const JOBS: &str = "DELETE FROM job WHERE id IN (SELECT id FROM job WHERE owner_id = $1 LIMIT $2)";
const USAGE: &str = "DELETE FROM usage_of_deleted WHERE owner_id = $1 AND (day, model) IN
    (SELECT day, model FROM usage_of_deleted WHERE owner_id = $1 LIMIT $2)";
const GONE: &str = "DELETE FROM account WHERE id = $1";

/// Removes a slice of what this account has, or any account whose deletion has begun.
pub(crate) async fn erase(db: &Db, user: Option<UserId>, slice: usize) -> Result<Erased, Fault> {
    let slice = slice.max(1);
    let wanted = user.map(|user| user.as_uuid());
    let Some(row) = db.maybe(ACCOUNT, &[&wanted]).await? else {
        let is_there = match wanted {
            Some(id) => db.maybe(IS_THERE, &[&id]).await?.is_some(),
            None => false,
        };
        return Ok(if is_there { Erased::Rows(0) } else { Erased::Done });
    };
    let user: Uuid = column::get(&row, 0)?;
    let mut left = slice;
    while left > 0
        && let Some(row) = db.maybe(CONVERSATION, &[&user]).await?
    {
        left = purge::conversation(db, column::get(&row, 0)?, Usage::Forgotten, left).await?;
    }
    if left == 0 {
        return Ok(Erased::Rows(slice));
    }
    let running: usize = column::unsigned(&db.one(RUNNING, &[&user]).await?, 0)?;
    if running > 0 {
        return Ok(if left < slice { Erased::Rows(slice - left) } else { Erased::Waits(running) });
    }
    let rows = db.all(SESSIONS, &[&user, &column::signed(left)]).await?;
    let sessions: Vec<Uuid> = rows.iter().map(|row| column::get(row, 0)).collect::<Result<_, _>>()?;
    left -= purge::these_sessions(db, &sessions).await?;
    for sql in [KEYS, JOBS, USAGE] {
        left -= changed(db.run(sql, &[&user, &column::signed(left)]).await)?;
    }
    if left > 0 {
        left -= changed(db.run(GONE, &[&user]).await)?;
    }
    Ok(Erased::Rows(slice - left))
}
