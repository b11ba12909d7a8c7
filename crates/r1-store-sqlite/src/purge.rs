//! Removing what has served its time, a slice per transaction.

use std::time::{Duration, Instant};

use r1_domain::{
    id::{GenerationId, SessionId},
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    column::{self, Id},
    error::Fault,
    job, search, usage,
};

/// A transaction that removes rows begins no other row after this time: commits of chunks wait for it.
const SLICE_TIME: Duration = Duration::from_millis(4);

/// What one transaction may remove.
#[derive(Debug)]
pub(crate) struct Slice {
    rows: usize,
    taken: usize,
    until: Instant,
}

impl Slice {
    /// At most this many rows from now on.
    pub(crate) fn begin(rows: usize) -> Self {
        Self { rows: rows.max(1), taken: 0, until: Instant::now() + SLICE_TIME }
    }

    /// Whether one more row may go; counts it. The first one always may.
    pub(crate) fn take(&mut self) -> bool {
        let may = !self.is_over();
        self.taken += usize::from(may);
        may
    }

    /// Counts rows that went together.
    pub(crate) fn took(&mut self, rows: usize) {
        self.taken += rows;
    }

    pub(crate) fn is_over(&self) -> bool {
        self.taken >= self.rows || (self.taken > 0 && Instant::now() >= self.until)
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken
    }

    /// How many rows may still go, as a limit of a query.
    pub(crate) fn rows(&self) -> i64 {
        column::signed(self.rows.saturating_sub(self.taken))
    }
}

/// What becomes of what answers used whose rows go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usage {
    /// It is kept by day and model.
    Kept,
    /// It goes with its account.
    Forgotten,
}

/// A slice of logs ends at this many bytes as well: each page of a large one is touched.
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
    let ids: Vec<SessionId> = {
        let mut statement = db.prepare_cached(
            "SELECT id FROM session WHERE expires_at < ?1
             UNION SELECT id FROM session WHERE ended_at IS NOT NULL AND ended_at < ?1 LIMIT ?2",
        )?;
        let rows = statement.query_map(params![before.as_micros(), column::signed(slice)], |row| column::id(row, 0))?;
        rows.collect::<Result<_, _>>()?
    };
    for id in &ids {
        session(db, *id)?;
    }
    Ok(ids.len())
}

/// Removes a session with the tokens that it had.
pub(crate) fn session(db: &Connection, id: SessionId) -> Result<(), Fault> {
    db.prepare_cached("DELETE FROM session_replaced_token WHERE session_id = ?1")?.execute([id.blob()])?;
    db.prepare_cached("DELETE FROM session WHERE id = ?1")?.execute([id.blob()])?;
    Ok(())
}

/// Removes rows of one deleted conversation. One in which something still runs waits for its end.
pub(crate) fn conversations(db: &Connection, slice: usize) -> Result<usize, Fault> {
    let found: Option<[u8; 16]> = db
        .prepare_cached(
            "SELECT c.id FROM conversation c WHERE c.deleted_at IS NOT NULL AND NOT EXISTS
                 (SELECT 1 FROM generation g WHERE g.conversation_id = c.id AND g.state IN ('queued', 'running'))
             ORDER BY c.deleted_at LIMIT 1",
        )?
        .query_row([], |row| row.get(0))
        .optional()?;
    let Some(found) = found else { return Ok(0) };
    let mut slice = Slice::begin(slice);
    conversation(db, found, Usage::Kept, &mut slice)?;
    Ok(slice.taken())
}

/// Removes rows of a conversation: its generations with their logs, its messages with their search rows, its
/// jobs, at last itself.
pub(crate) fn conversation(db: &Connection, id: [u8; 16], usage: Usage, slice: &mut Slice) -> Result<(), Fault> {
    generations_of(db, id, usage, slice)?;
    messages_of(db, id, slice)?;
    slice.took(job::delete_of_conversation(db, id, slice.rows())?);
    if slice.take() {
        db.prepare_cached("DELETE FROM conversation WHERE id = ?1")?.execute([id])?;
    }
    Ok(())
}

fn generations_of(db: &Connection, conversation: [u8; 16], usage: Usage, slice: &mut Slice) -> Result<(), Fault> {
    let ids: Vec<GenerationId> = {
        let mut statement = db.prepare_cached("SELECT id FROM generation WHERE conversation_id = ?1 LIMIT ?2")?;
        let rows = statement.query_map(params![conversation, slice.rows()], |row| column::id(row, 0))?;
        rows.collect::<Result<_, _>>()?
    };
    for id in ids {
        if !slice.take() {
            break;
        }
        if usage == Usage::Kept {
            usage::keep(db, id)?;
        }
        delete_log(db, id)?;
        db.prepare_cached("DELETE FROM generation WHERE id = ?1")?.execute([id.blob()])?;
    }
    Ok(())
}

fn messages_of(db: &Connection, conversation: [u8; 16], slice: &mut Slice) -> Result<(), Fault> {
    let numbers: Vec<i64> = {
        let mut statement = db.prepare_cached("SELECT number FROM message WHERE conversation_id = ?1 LIMIT ?2")?;
        let rows = statement.query_map(params![conversation, slice.rows()], |row| row.get(0))?;
        rows.collect::<Result<_, _>>()?
    };
    for number in numbers {
        if !slice.take() {
            break;
        }
        search::delete(db, number)?;
        db.prepare_cached("DELETE FROM message WHERE number = ?1")?.execute([number])?;
    }
    Ok(())
}
