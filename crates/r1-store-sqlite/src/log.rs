//! Logs: appending to them, ending them, reading them back.
//!
//! **Invariant:** an append goes in whole or not at all, exactly once: only under the generation's
//! present epoch and only at the seq that comes next. A batch is one commit; when that fails nothing
//! of it is stored and the same batch may come again.

use std::collections::HashMap;

use bytes::Bytes;
use parking_lot::Mutex;
use r1_domain::{
    cursor::Cursor,
    generation::{Generation, GenerationRequest},
    id::{GenerationId, UserId},
    log::{check, check_each},
    part::Content,
    store::{AppendOutcome, LogAppend, StoreError, StoredLog, Terminal},
};
use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    column::{self, Id},
    error::Fault,
    generation, job, journal,
    readable::{self, Reach, Readable},
    search,
    tail::{Tail, Tails},
    writer::Session,
};

/// What a batch will do, before anything is written.
#[derive(Default)]
struct Plan<'a> {
    /// How the table will look: None for a log that ends.
    tails: HashMap<GenerationId, Option<Tail>>,
    /// For the journal row.
    entries: Vec<journal::Entry<'a>>,
    folds: Vec<FoldedPart>,
    ends: Vec<(GenerationId, &'a Terminal)>,
}

/// A row-to-be of `generation_log`.
struct FoldedPart {
    id: GenerationId,
    first_seq: u64,
    next_seq: u64,
    records: FoldedRecords,
}

enum FoldedRecords {
    /// The writer of the log sent them along.
    Given(Bytes),
    /// They must be fetched from the journal, and end with these.
    Collected { epoch: u32, from_row: Option<i64>, newest_from: u64, newest: Vec<u8> },
}

/// Appends a batch.
pub(crate) fn append(session: &mut Session, batch: &[LogAppend]) -> Result<Vec<AppendOutcome>, Fault> {
    let shared = session.tails()?;
    let mut plan = Plan::default();
    let mut outcomes = Vec::with_capacity(batch.len());
    let row_id = {
        let tails = shared.lock();
        for append in batch {
            outcomes.push(plan.add(&tails, append));
        }
        tails.next_row
    };
    let wrote_row = !plan.entries.is_empty();
    plan.write(session, row_id)?;
    let mut tails = shared.lock();
    for (id, tail) in plan.tails {
        tails.set(id, tail);
    }
    if wrote_row {
        tails.next_row += 1;
    }
    Ok(outcomes)
}

impl<'a> Plan<'a> {
    fn add(&mut self, tails: &Tails, append: &'a LogAppend) -> AppendOutcome {
        let id = append.generation_id;
        let staged = match self.tails.get(&id) {
            Some(staged) => *staged,
            None => tails.running.get(&id).copied(),
        };
        let Some(mut tail) = staged else { return AppendOutcome::Fenced };
        if append.epoch != tail.epoch || append.first_seq != tail.next_seq {
            return AppendOutcome::Fenced;
        }
        let span = check(&append.records, Cursor::before(append.first_seq));
        if !span.is_whole || span.is_ended() != append.terminal.is_some() {
            // Refused alone: the others of the batch did nothing wrong.
            tracing::error!(generation_id = %id, "generation {id} appended what is no log");
            return AppendOutcome::Fenced;
        }
        tail.next_seq = span.next_seq();
        if append.fold.is_some() || append.terminal.is_some() {
            self.fold(&mut tail, append);
        } else if !append.records.is_empty() {
            tail.oldest_row.get_or_insert(tails.next_row);
            self.entries.push(journal::Entry {
                generation_id: id,
                epoch: append.epoch,
                first_seq: append.first_seq,
                records: &append.records,
            });
        }
        if let Some(terminal) = &append.terminal {
            self.ends.push((id, terminal));
        }
        self.tails.insert(id, append.terminal.is_none().then_some(tail));
        AppendOutcome::Stored
    }

    /// Moves all that is not folded, this append's records included, into `generation_log`; none of
    /// it needs to be in this batch's journal row then.
    fn fold(&mut self, tail: &mut Tail, append: &LogAppend) {
        let id = append.generation_id;
        let records = match given(tail, append) {
            Some(records) => FoldedRecords::Given(records),
            None => {
                let (mut newest, mut newest_from) = (Vec::new(), append.first_seq);
                for entry in self.entries.iter().filter(|entry| entry.generation_id == id) {
                    newest_from = newest_from.min(entry.first_seq);
                    newest.extend_from_slice(entry.records);
                }
                newest.extend_from_slice(&append.records);
                FoldedRecords::Collected { epoch: tail.epoch, from_row: tail.oldest_row, newest_from, newest }
            }
        };
        self.entries.retain(|entry| entry.generation_id != id);
        if tail.folded_to < tail.next_seq {
            self.folds.push(FoldedPart { id, first_seq: tail.folded_to, next_seq: tail.next_seq, records });
        }
        tail.folded_to = tail.next_seq;
        tail.oldest_row = None;
    }

    fn write(&self, session: &mut Session, row_id: i64) -> Result<(), Fault> {
        let row = (!self.entries.is_empty()).then(|| journal::encode(self.entries.iter().copied()));
        if self.folds.is_empty() && self.ends.is_empty() {
            // The hot path: one statement is a transaction by itself.
            return Ok(row.map_or(Ok(()), |row| journal::append(&session.db, row_id, &row))?);
        }
        session.transaction(|db| {
            if let Some(row) = row {
                journal::append(db, row_id, &row)?;
            }
            for part in &self.folds {
                match &part.records {
                    FoldedRecords::Given(records) => insert(db, part, records)?,
                    FoldedRecords::Collected { epoch, from_row, newest_from, newest } => {
                        let mut records = match from_row {
                            Some(row) => collect(db, part.id, *epoch, (part.first_seq, *newest_from), *row)?,
                            None => Vec::new(),
                        };
                        records.extend_from_slice(newest);
                        insert(db, part, &records)?;
                    }
                }
            }
            for (id, terminal) in &self.ends {
                end(db, *id, terminal)?;
            }
            Ok(())
        })
    }
}

/// The records that came with the append for its fold, from where `generation_log` ends. None where
/// they are not exactly what is not folded.
fn given(tail: &Tail, append: &LogAppend) -> Option<Bytes> {
    let fold = append.fold.as_ref().filter(|fold| fold.first_seq <= tail.folded_to)?;
    let mut cut = 0;
    let span = check_each(&fold.records, Cursor::before(fold.first_seq), |position| {
        if position.cursor.seq < tail.folded_to {
            cut = position.offset;
        }
    });
    (span.is_whole && span.next_seq() == tail.next_seq).then(|| fold.records.slice(cut..))
}

fn insert(db: &Connection, part: &FoldedPart, records: &[u8]) -> Result<(), Fault> {
    generation_log_insert(db, part.id, part.first_seq, part.next_seq, records)
}

/// Adds a folded part of a log.
pub(crate) fn generation_log_insert(
    db: &Connection,
    id: GenerationId,
    first_seq: u64,
    next_seq: u64,
    records: &[u8],
) -> Result<(), Fault> {
    db.prepare_cached(
        "INSERT INTO generation_log (generation_id, first_seq, next_seq, records) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![id.blob(), column::signed(first_seq), column::signed(next_seq), records])?;
    Ok(())
}

/// One generation's records in the journal, all those from `first_seq` up to, not including,
/// `next_seq`.
fn collect(
    db: &Connection,
    id: GenerationId,
    epoch: u32,
    (first_seq, next_seq): (u64, u64),
    from_row: i64,
) -> Result<Vec<u8>, Fault> {
    let mut log = Readable::up_to(first_seq);
    log.add_journal(db, id, epoch, from_row)?;
    if log.reach == Reach::up_to(next_seq) { Ok(log.records) } else { Err(Fault::Broken("a log is damaged")) }
}

/// What ends with a log: state and usage, the message's text and parts, the conversation's place in the list,
/// the search index.
fn end(db: &Connection, id: GenerationId, terminal: &Terminal) -> Result<(), Fault> {
    let usage = terminal.usage.map(|usage| serde_json::to_string(&usage)).transpose();
    let usage = usage.map_err(|_| Fault::Broken("usage is not JSON"))?;
    let ended_at = terminal.ended_at.as_micros();
    let first_token_ms = terminal.first_token_ms.map(column::signed);
    let state = terminal.state().as_str();
    let (message, conversation): ([u8; 16], [u8; 16]) = db
        .prepare_cached(
            "UPDATE generation SET state = ?2, usage = ?3, ended_at = ?4, terminal = ?5, first_token_ms = ?6
             WHERE id = ?1
             RETURNING message_id, conversation_id",
        )?
        .query_row(params![id.blob(), state, usage, ended_at, terminal.event.payload(), first_token_ms], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let (number, owner): (i64, UserId) = db
        .prepare_cached(
            "UPDATE message SET content = ?2, state = ?3, finish_reason = ?4, error_code = ?5,
                                remembers_from = coalesce(?6, remembers_from), parts = ?7
             WHERE id = ?1
             RETURNING number, owner_id",
        )?
        .query_row(
            params![
                message,
                terminal.content.text,
                state,
                terminal.finish_reason(),
                terminal.failure().map(|failure| &failure.code),
                terminal.remembers_from.map(|id| id.blob()),
                terminal.content.outline(),
            ],
            |row| Ok((row.get(0)?, column::id(row, 1)?)),
        )?;
    db.prepare_cached("UPDATE conversation SET updated_at = max(updated_at, ?2) WHERE id = ?1")?
        .execute(params![conversation, ended_at])?;
    search::insert(db, number, owner, &terminal.content.text)?;
    for job in &terminal.also {
        job::insert(db, job)?;
    }
    Ok(())
}

/// The log of a generation that ended.
fn ended(db: &Connection, id: GenerationId) -> Result<Vec<u8>, Fault> {
    let (mut log, mut expected) = (Vec::new(), 1);
    readable::parts(db, id, |first_seq, next_seq, records| {
        if first_seq != expected {
            return Err(Fault::Broken("a log has a gap"));
        }
        expected = next_seq;
        log.extend_from_slice(records);
        Ok(())
    })?;
    Ok(log)
}

/// What of a message stood there when this generation of it ended: the next one was given that.
fn of_generation(db: &Connection, generation: &Generation, mut content: Content) -> Result<Content, Fault> {
    let next: Option<String> = db
        .prepare_cached(
            "SELECT request FROM generation
             WHERE conversation_id = ?1 AND (created_at, id) > (?2, ?3) AND message_id = ?4
             ORDER BY created_at, id LIMIT 1",
        )?
        .query_row(
            params![
                generation.conversation_id.blob(),
                generation.created_at.as_micros(),
                generation.id.blob(),
                generation.message_id.blob()
            ],
            |row| row.get(0),
        )
        .optional()?;
    if let Some(next) = next {
        let next: GenerationRequest =
            serde_json::from_str(&next).map_err(|_| Fault::Broken("a request is not JSON"))?;
        content.truncate(next.given_bytes);
    }
    Ok(content)
}

/// Reads a generation with its log.
pub(crate) fn read(db: &Connection, tails: &Mutex<Tails>, owner: UserId, id: GenerationId) -> Result<StoredLog, Fault> {
    // Before the snapshot: see the table's invariant.
    let from_row = tails.lock().journal_from(id);
    let (generation, retired, content, terminal_payload) = db
        .prepare_cached(
            "SELECT g.id, g.owner_id, g.conversation_id, g.message_id, g.state, g.epoch, g.node_id, g.request,
                    g.created_at, g.grammar, g.log_retired, m.content, g.terminal, m.parts
             FROM generation g
             JOIN conversation c ON c.id = g.conversation_id AND c.deleted_at IS NULL
             JOIN message m ON m.id = g.message_id
             WHERE g.id = ?1 AND g.owner_id = ?2",
        )?
        .query_row([id.blob(), owner.blob()], |row| {
            let content = Content::stored(row.get(11)?, row.get_ref(13)?.as_str_or_null()?);
            Ok((generation::from_row(row)?, row.get::<_, bool>(10)?, content, row.get(12)?))
        })
        .optional()?
        .ok_or(StoreError::NotFound)?;
    if retired {
        let content = of_generation(db, &generation, content)?;
        return Ok(StoredLog { generation, records: None, content, terminal_payload });
    }
    let records = if generation.state.is_terminal() {
        ended(db, id)?
    } else {
        let mut log = Readable::folded(db, id)?;
        log.add_journal(db, id, generation.epoch, from_row)?;
        log.records
    };
    Ok(StoredLog { generation, records: Some(records.into()), content, terminal_payload })
}

#[cfg(test)]
mod tests {
    use r1_domain::{event::Event, log, store::Fold, time::Timestamp};

    use super::*;

    #[test]
    fn a_fold_that_was_sent_begins_where_the_log_ends() {
        let generation_id = GenerationId::new(Timestamp::from_micros(1));
        let mut records = Vec::new();
        log::push_chunk(&mut records, "ab");
        let cut = records.len();
        log::push(&mut records, &Event::Resumed { generation_id, epoch: 2, discards_reasoning: false });
        log::push_tokens(&mut records, "c", &[300, 7]);
        let end = records.len();
        let sent = |records: &[u8], folded_to, next_seq| {
            let fold = Some(Fold { first_seq: 5, records: records.to_vec().into() });
            let tail = Tail { epoch: 2, next_seq, folded_to, oldest_row: None };
            let append =
                LogAppend { generation_id, epoch: 2, first_seq: 7, records: Bytes::new(), fold, terminal: None };
            given(&tail, &append)
        };
        let from = |offset: usize| Some(Bytes::copy_from_slice(&records[offset..]));
        assert_eq!(sent(&records, 5, 8), from(0));
        assert_eq!(sent(&records, 6, 8), from(cut), "an epoch's record goes with its event");
        assert_eq!(sent(&records, 8, 8), from(end));
        assert_eq!(sent(&records, 4, 8), None, "it begins too late");
        assert_eq!(sent(&records, 5, 9), None, "it ends too early");
        assert_eq!(sent(&records[..end - 1], 5, 8), None, "it is cut in the middle of a record");
        let mut torn = records.clone();
        log::push_epoch(&mut torn, 3);
        assert_eq!(sent(&torn, 5, 8), None, "an epoch without an event");
    }
}
