//! Taking over what another process left running.
//!
//! **Invariant:** a damaged log is cut once, in the commit that takes it over, to the records that
//! [`list_orphaned`] gave back; from then on it is a log like any other.

use std::collections::HashMap;

use parking_lot::Mutex;
use r1_domain::{
    generation::Generation,
    id::{GenerationId, NodeId},
    log::GRAMMAR,
    part::Content,
    store::StoredLog,
};
use rusqlite::{Connection, params};

use crate::{
    column::Id,
    error::Fault,
    generation, journal, log,
    readable::{Reach, Readable},
    tail::{Tail, Tails},
    writer::Session,
};

/// Reads all running generations of other nodes with their logs, the journal once for all.
pub(crate) fn list_orphaned(db: &Connection, tails: &Mutex<Tails>, node_id: NodeId) -> Result<Vec<StoredLog>, Fault> {
    let from_row = tails.lock().keep_from();
    let (mut orphans, mut newer): (Vec<(Generation, Readable)>, Vec<StoredLog>) = Default::default();
    {
        let mut statement = db.prepare_cached(
            "SELECT id, owner_id, conversation_id, message_id, state, epoch, node_id, request, created_at,
                    grammar
             FROM generation WHERE state IN ('queued', 'running') AND node_id <> ?1 ORDER BY created_at, id",
        )?;
        let mut rows = statement.query([node_id.blob()])?;
        while let Some(row) = rows.next()? {
            let generation: Generation = generation::from_row(row)?;
            if !generation.is_known() {
                newer.push(stored(generation, None));
                continue;
            }
            let log = Readable::folded(db, generation.id)?;
            orphans.push((generation, log));
        }
    }
    if orphans.is_empty() {
        return Ok(newer);
    }
    let places: HashMap<_, _> = orphans.iter().enumerate().map(|(i, (generation, _))| (generation.id, i)).collect();
    journal::walk(db, from_row, |_, entry| {
        let orphan = places.get(&entry.generation_id).and_then(|place| orphans.get_mut(*place));
        if let Some((generation, log)) = orphan {
            log.add_entry(generation.epoch, &entry);
        }
    })?;
    Ok(orphans.into_iter().map(|(generation, log)| stored(generation, Some(log))).chain(newer).collect())
}

fn stored(generation: Generation, log: Option<Readable>) -> StoredLog {
    if let Some(Reach { next_seq, damage: Some(damage) }) = log.as_ref().map(|log| log.reach) {
        let (id, last) = (generation.id, next_seq - 1);
        tracing::error!(generation_id = %id, "the log of generation {id} is damaged: {damage}; it ends after seq {last}");
    }
    // What a running answer says is in its log; its row has what an earlier generation wrote.
    let records = log.map(|log| log.records.into());
    StoredLog { generation, records, content: Content::default(), terminal_payload: None }
}

/// Takes an orphan over. What it has in the journal is folded, so that its next writer need not know
/// where the fold before was; what can't be read is dropped. One of a newer grammar is left alone.
pub(crate) fn take_over(
    session: &mut Session,
    id: GenerationId,
    epoch: u32,
    node_id: NodeId,
    grammar: u32,
) -> Result<bool, Fault> {
    let shared = session.tails()?;
    let tail = match shared.lock().running.get(&id) {
        Some(tail) if tail.epoch == epoch => *tail,
        _ => return Ok(false),
    };
    let taken = session.transaction(|db| {
        let taken = db
            .prepare_cached(
                "UPDATE generation SET epoch = ?2, node_id = ?3, state = 'running', grammar = max(grammar, ?4)
                 WHERE id = ?1 AND grammar <= ?5",
            )?
            .execute(params![id.blob(), i64::from(epoch) + 1, node_id.blob(), grammar, GRAMMAR])?;
        if taken == 0 { Ok(None) } else { fold(db, id, &tail).map(Some) }
    })?;
    let Some(next_seq) = taken else { return Ok(false) };
    let tail = Tail { epoch: epoch + 1, next_seq, folded_to: next_seq, oldest_row: None };
    shared.lock().set(id, Some(tail));
    Ok(true)
}

/// Leaves all that can be read of a log, and nothing else, in `generation_log`. Gives back the seq
/// that comes next.
fn fold(db: &Connection, id: GenerationId, tail: &Tail) -> Result<u64, Fault> {
    let mut log = Readable::folded(db, id)?;
    let mut kept = (log.reach.next_seq, log.records.len());
    if log.reach.damage.is_some() {
        db.prepare_cached("DELETE FROM generation_log WHERE generation_id = ?1")?.execute([id.blob()])?;
        kept = (1, 0);
    } else if let Some(row) = tail.oldest_row {
        log.add_journal(db, id, tail.epoch, row)?;
    }
    let (first_seq, bytes) = kept;
    let next_seq = log.reach.next_seq;
    if next_seq > first_seq {
        log::generation_log_insert(db, id, first_seq, next_seq, log.records.get(bytes..).unwrap_or_default())?;
    }
    Ok(next_seq)
}
