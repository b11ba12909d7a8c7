//! Removing what has served its time, a slice per transaction.

use r1_domain::{id::GenerationId, time::Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    column::{self, Id},
    error::Fault,
    search,
};

/// A slice of logs ends at so many bytes as well: each page of a large one is touched.
const SLICE_BYTES: i64 = 2 << 20;

/// Retires logs of generations that ended before: their messages' text stays.
pub(crate) fn logs(db: &Connection, before: Timestamp, slice: usize) -> Result<usize, Fault> {
    let mut retired: Vec<GenerationId> = Vec::new();
    {
        let mut statement = db.prepare_cached(
            "SELECT g.id, coalesce((SELECT sum(length(l.records)) FROM generation_log l
                                    WHERE l.generation_id = g.id), 0)
             FROM generation g WHERE g.ended_at < ?1 AND g.ended_at IS NOT NULL AND g.log_retired = 0
             ORDER BY g.ended_at LIMIT ?2",
        )?;
        let mut rows = statement.query(params![before.as_micros(), column::signed(slice)])?;
        let mut bytes = 0;
        while let Some(row) = rows.next()? {
            retired.push(column::id(row, 0)?);
            bytes += row.get::<_, i64>(1)?;
            if bytes >= SLICE_BYTES {
                break;
            }
        }
    }
    for id in &retired {
        delete_log(db, *id)?;
        db.prepare_cached("UPDATE generation SET log_retired = 1 WHERE id = ?1")?.execute([id.blob()])?;
    }
    Ok(retired.len())
}

fn delete_log(db: &Connection, id: GenerationId) -> Result<(), Fault> {
    db.prepare_cached("DELETE FROM generation_log WHERE generation_id = ?1")?.execute([id.blob()])?;
    Ok(())
}

pub(crate) fn keys(db: &Connection, before: Timestamp, slice: usize) -> Result<usize, Fault> {
    let deleted = db
        .prepare_cached(
            "DELETE FROM idempotency WHERE (owner_id, key) IN
                 (SELECT owner_id, key FROM idempotency WHERE created_at < ?1 ORDER BY created_at LIMIT ?2)",
        )?
        .execute(params![before.as_micros(), column::signed(slice)])?;
    Ok(deleted)
}

pub(crate) fn sessions(db: &Connection, before: Timestamp, slice: usize) -> Result<usize, Fault> {
    let ids: Vec<[u8; 16]> = {
        let mut statement = db.prepare_cached(
            "SELECT id FROM session WHERE expires_at < ?1
             UNION SELECT id FROM session WHERE ended_at IS NOT NULL AND ended_at < ?1 LIMIT ?2",
        )?;
        let rows = statement.query_map(params![before.as_micros(), column::signed(slice)], |row| row.get(0))?;
        rows.collect::<Result<_, _>>()?
    };
    for id in &ids {
        db.prepare_cached("DELETE FROM session_replaced_token WHERE session_id = ?1")?.execute([id])?;
        db.prepare_cached("DELETE FROM session WHERE id = ?1")?.execute([id])?;
    }
    Ok(ids.len())
}

/// Removes rows of one deleted conversation: its generations with their logs, its messages with
/// their search rows, at last itself. One in which something still runs waits for its end.
pub(crate) fn conversations(db: &Connection, slice: usize) -> Result<usize, Fault> {
    let found: Option<[u8; 16]> = db
        .prepare_cached(
            "SELECT c.id FROM conversation c WHERE c.deleted_at IS NOT NULL AND NOT EXISTS
                 (SELECT 1 FROM generation g WHERE g.conversation_id = c.id AND g.state IN ('queued', 'running'))
             ORDER BY c.deleted_at LIMIT 1",
        )?
        .query_row([], |row| row.get(0))
        .optional()?;
    let Some(conversation) = found else { return Ok(0) };
    let mut left = slice.max(1);
    left -= generations_of(db, conversation, left)?;
    left -= messages_of(db, conversation, left)?;
    if left > 0 {
        db.prepare_cached("DELETE FROM conversation WHERE id = ?1")?.execute([conversation])?;
        left -= 1;
    }
    Ok(slice.max(1) - left)
}

fn generations_of(db: &Connection, conversation: [u8; 16], slice: usize) -> Result<usize, Fault> {
    let ids: Vec<GenerationId> = {
        let mut statement = db.prepare_cached("SELECT id FROM generation WHERE conversation_id = ?1 LIMIT ?2")?;
        let rows = statement.query_map(params![conversation, column::signed(slice)], |row| column::id(row, 0))?;
        rows.collect::<Result<_, _>>()?
    };
    for id in &ids {
        delete_log(db, *id)?;
        db.prepare_cached("DELETE FROM generation WHERE id = ?1")?.execute([id.blob()])?;
    }
    Ok(ids.len())
}

fn messages_of(db: &Connection, conversation: [u8; 16], slice: usize) -> Result<usize, Fault> {
    let numbers: Vec<i64> = {
        let mut statement = db.prepare_cached("SELECT number FROM message WHERE conversation_id = ?1 LIMIT ?2")?;
        let rows = statement.query_map(params![conversation, column::signed(slice)], |row| row.get(0))?;
        rows.collect::<Result<_, _>>()?
    };
    for number in &numbers {
        search::delete(db, *number)?;
        db.prepare_cached("DELETE FROM message WHERE number = ?1")?.execute([number])?;
    }
    Ok(numbers.len())
}
