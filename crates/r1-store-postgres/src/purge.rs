//! Removing what has served its time, a slice per transaction.

use r1_domain::time::Timestamp;
use uuid::Uuid;

use crate::{column, connection::Db, error::Fault};

/// A slice has at most so many logs: each has a row per commit that it was part of.
const MOST_LOGS: usize = 64;

const LOGS: &str = "WITH old AS (
        SELECT id FROM generation WHERE ended_at < $1 AND ended_at IS NOT NULL AND NOT log_retired
        ORDER BY ended_at LIMIT $2 FOR UPDATE SKIP LOCKED
    ),
    gone AS (DELETE FROM generation_log WHERE generation_id IN (SELECT id FROM old))
    UPDATE generation SET log_retired = TRUE WHERE id IN (SELECT id FROM old)";

/// Retires logs of generations that ended before: their messages' text stays.
pub(crate) async fn logs(db: &Db, before: Timestamp, slice: usize) -> Result<usize, Fault> {
    changed(db.run(LOGS, &[&before.as_micros(), &column::signed(slice.min(MOST_LOGS))]).await)
}

const KEYS: &str = "DELETE FROM idempotency WHERE (owner_id, key) IN
    (SELECT owner_id, key FROM idempotency WHERE created_at < $1 ORDER BY created_at LIMIT $2)";

pub(crate) async fn keys(db: &Db, before: Timestamp, slice: usize) -> Result<usize, Fault> {
    changed(db.run(KEYS, &[&before.as_micros(), &column::signed(slice)]).await)
}

const OLD_SESSIONS: &str = "SELECT id FROM session WHERE expires_at < $1
    UNION SELECT id FROM session WHERE ended_at IS NOT NULL AND ended_at < $1 LIMIT $2";
const TOKENS: &str = "DELETE FROM session_replaced_token WHERE session_id = ANY($1)";
const SESSIONS: &str = "DELETE FROM session WHERE id = ANY($1)";

pub(crate) async fn sessions(db: &Db, before: Timestamp, slice: usize) -> Result<usize, Fault> {
    let rows = db.all(OLD_SESSIONS, &[&before.as_micros(), &column::signed(slice)]).await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| column::get(row, 0)).collect::<Result<_, _>>()?;
    if ids.is_empty() {
        return Ok(0);
    }
    db.run(TOKENS, &[&ids]).await?;
    changed(db.run(SESSIONS, &[&ids]).await)
}

const DELETED: &str = "SELECT c.id FROM conversation c WHERE c.deleted_at IS NOT NULL AND NOT EXISTS
        (SELECT 1 FROM generation g WHERE g.conversation_id = c.id AND g.state IN ('queued', 'running'))
    ORDER BY c.deleted_at LIMIT 1";
const GENERATIONS: &str = "WITH slice AS (SELECT id FROM generation WHERE conversation_id = $1 LIMIT $2),
    gone AS (DELETE FROM generation_log WHERE generation_id IN (SELECT id FROM slice))
    DELETE FROM generation WHERE id IN (SELECT id FROM slice)";
/// Their documents go with them.
const MESSAGES: &str = "DELETE FROM message WHERE id IN (SELECT id FROM message WHERE conversation_id = $1 LIMIT $2)";
const CONVERSATION: &str = "DELETE FROM conversation WHERE id = $1";

/// Removes rows of one deleted conversation: its generations with their logs, its messages, at last
/// itself. One in which something still runs waits for its end.
pub(crate) async fn conversations(db: &Db, slice: usize) -> Result<usize, Fault> {
    let slice = slice.max(1);
    let Some(row) = db.maybe(DELETED, &[]).await? else { return Ok(0) };
    let conversation: Uuid = column::get(&row, 0)?;
    let mut left = slice;
    left -= changed(db.run(GENERATIONS, &[&conversation, &column::signed(left)]).await)?;
    left -= changed(db.run(MESSAGES, &[&conversation, &column::signed(left)]).await)?;
    if left > 0 {
        db.run(CONVERSATION, &[&conversation]).await?;
        left -= 1;
    }
    Ok(slice - left)
}

fn changed(rows: Result<u64, Fault>) -> Result<usize, Fault> {
    Ok(usize::try_from(rows?).unwrap_or(usize::MAX))
}
