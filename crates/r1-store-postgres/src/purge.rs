//! Removing what has served its time, a slice per transaction.

use r1_domain::time::Timestamp;
use uuid::Uuid;

use crate::{
    column,
    connection::Db,
    error::Fault,
    job,
    usage::{each_used, sums},
};

/// A slice has at most this many logs: each has a row per commit that it was part of.
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
    these_sessions(db, &ids).await
}

/// Removes sessions with the tokens that they had.
pub(crate) async fn these_sessions(db: &Db, ids: &[Uuid]) -> Result<usize, Fault> {
    if ids.is_empty() {
        return Ok(0);
    }
    db.run(TOKENS, &[&ids]).await?;
    changed(db.run(SESSIONS, &[&ids]).await)
}

const DELETED: &str = "SELECT c.id FROM conversation c WHERE c.deleted_at IS NOT NULL AND NOT EXISTS
        (SELECT 1 FROM generation g WHERE g.conversation_id = c.id AND g.state IN ('queued', 'running'))
    ORDER BY c.deleted_at LIMIT 1";
/// Of two nodes that remove the same, the second waits and finds what is left: no usage is counted twice.
const GENERATIONS: &str = "SELECT id FROM generation WHERE conversation_id = $1 ORDER BY id LIMIT $2 FOR UPDATE";
const KEEP_USAGE: &str = concat!(
    "INSERT INTO usage_of_deleted AS kept
        (owner_id, day, model, answers, estimated, uncounted, prompt_tokens, completion_tokens)
    SELECT owner_id, day, model, ",
    sums!(),
    " FROM (",
    each_used!(),
    "id = ANY($1)) AS used GROUP BY owner_id, day, model
    ON CONFLICT (owner_id, day, model) DO UPDATE SET
        answers = kept.answers + excluded.answers, estimated = kept.estimated + excluded.estimated,
        uncounted = kept.uncounted + excluded.uncounted, prompt_tokens = kept.prompt_tokens + excluded.prompt_tokens,
        completion_tokens = kept.completion_tokens + excluded.completion_tokens"
);
const THESE_GENERATIONS: &str = "WITH gone AS (DELETE FROM generation_log WHERE generation_id = ANY($1))
    DELETE FROM generation WHERE id = ANY($1)";
/// Their documents go with them.
const MESSAGES: &str = "DELETE FROM message WHERE id IN (SELECT id FROM message WHERE conversation_id = $1 LIMIT $2)";
const CONVERSATION: &str = "DELETE FROM conversation WHERE id = $1";

/// What becomes of what answers used whose rows go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usage {
    /// It is kept by day and model.
    Kept,
    /// It goes with its account.
    Forgotten,
}

/// Removes rows of one deleted conversation. One in which something still runs waits for its end.
pub(crate) async fn conversations(db: &Db, slice: usize) -> Result<usize, Fault> {
    let slice = slice.max(1);
    let Some(row) = db.maybe(DELETED, &[]).await? else { return Ok(0) };
    Ok(slice - conversation(db, column::get(&row, 0)?, Usage::Kept, slice).await?)
}

/// Removes rows of a conversation: its generations with their logs, its messages, its jobs, at last itself. Gives back
/// how many more of a slice may go.
pub(crate) async fn conversation(db: &Db, id: Uuid, usage: Usage, slice: usize) -> Result<usize, Fault> {
    let mut left = slice;
    let rows = db.all(GENERATIONS, &[&id, &column::signed(left)]).await?;
    let generations: Vec<Uuid> = rows.iter().map(|row| column::get(row, 0)).collect::<Result<_, _>>()?;
    if !generations.is_empty() {
        if usage == Usage::Kept {
            db.run(KEEP_USAGE, &[&generations]).await?;
        }
        left -= changed(db.run(THESE_GENERATIONS, &[&generations]).await)?;
    }
    left -= changed(db.run(MESSAGES, &[&id, &column::signed(left)]).await)?;
    left -= changed(job::delete_of_conversation(db, id, left).await)?;
    if left > 0 {
        left -= changed(db.run(CONVERSATION, &[&id]).await)?;
    }
    Ok(left)
}

/// How many rows a statement changed.
pub(crate) fn changed(rows: Result<u64, Fault>) -> Result<usize, Fault> {
    Ok(usize::try_from(rows?).unwrap_or(usize::MAX))
}
