//! Where each running generation's log stands: what may be appended next, and from which journal
//! row on it has records that are not folded.
//!
//! The writer decides by this table and changes it after its commit; readers ask it where to start
//! in the journal. It is made from the database at open, and after a job that panicked.
//!
//! **Invariant:** a reader that asks before its snapshot begins never starts too late: rows move out
//! of the journal only by a commit that puts them elsewhere, and the table learns of it afterwards.

use std::collections::HashMap;

use r1_domain::id::GenerationId;
use rusqlite::Connection;

use crate::{column, error::Fault, journal, readable::Reach};

/// One running generation's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tail {
    /// The lease that may append.
    pub(crate) epoch: u32,
    /// The seq that it must append.
    pub(crate) next_seq: u64,
    /// The seq up to, not including, which `generation_log` has the log.
    pub(crate) folded_to: u64,
    /// The oldest journal row with later records, if there are any.
    pub(crate) oldest_row: Option<i64>,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Tails {
    pub(crate) running: HashMap<GenerationId, Tail>,
    /// The journal's next row.
    pub(crate) next_row: i64,
    /// The oldest journal row that may exist.
    pub(crate) first_row: i64,
    /// There may be rows that nobody needs.
    pub(crate) prunable: bool,
}

impl Tails {
    /// Reads the journal once. What can't be read of it is logged and left out; a log that has a gap
    /// for it ends there ([`crate::readable`]).
    pub(crate) fn load(db: &Connection) -> Result<Self, Fault> {
        let mut running = HashMap::new();
        {
            let mut statement = db.prepare(
                "SELECT g.id, g.epoch,
                        coalesce((SELECT max(l.next_seq) FROM generation_log l WHERE l.generation_id = g.id), 1)
                 FROM generation g WHERE g.state IN ('queued', 'running')",
            )?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                // A damaged number: taking the log over sets it right.
                let folded_to = column::unsigned(row, 2).unwrap_or(1);
                let tail = Tail { epoch: column::unsigned(row, 1)?, next_seq: folded_to, folded_to, oldest_row: None };
                running.insert(column::id(row, 0)?, (tail, Reach::up_to(folded_to)));
            }
        }
        let (first_row, last_row): (Option<i64>, Option<i64>) =
            db.query_row("SELECT (SELECT min(id) FROM journal), (SELECT max(id) FROM journal)", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        let next_row = last_row.unwrap_or(0) + 1;
        let skipped = journal::walk(db, first_row.unwrap_or(next_row), |row, entry| {
            if let Some((tail, reach)) = running.get_mut(&entry.generation_id)
                && entry.epoch == tail.epoch
            {
                let before = *reach;
                reach.go_on(entry.first_seq, entry.records);
                if *reach != before {
                    // Damage too: whoever reads the log shall come upon it.
                    tail.next_seq = reach.next_seq;
                    tail.oldest_row.get_or_insert(row);
                }
            }
        })?;
        for (row, fault) in skipped {
            tracing::error!(row, "journal row {row} is left out: {fault}");
        }
        let running = running.into_iter().map(|(id, (tail, _))| (id, tail)).collect();
        Ok(Self { running, next_row, first_row: first_row.unwrap_or(next_row), prunable: true })
    }

    /// Takes over what a commit made of a log: none for one that ended.
    pub(crate) fn set(&mut self, id: GenerationId, tail: Option<Tail>) {
        let now = tail.and_then(|tail| tail.oldest_row);
        let before = match tail {
            Some(tail) => self.running.insert(id, tail),
            None => self.running.remove(&id),
        };
        self.prunable |= before.is_some_and(|before| before.oldest_row.is_some() && before.oldest_row != now);
    }

    /// How many rows nobody needs, about: some may be gone already.
    pub(crate) fn unneeded(&mut self) -> i64 {
        if !self.prunable {
            return 0;
        }
        let rows = self.keep_from() - self.first_row;
        self.prunable = rows > 0;
        rows
    }

    /// Where to start in the journal for all that is not folded of this generation's log.
    pub(crate) fn journal_from(&self, id: GenerationId) -> i64 {
        self.running.get(&id).and_then(|tail| tail.oldest_row).unwrap_or(self.next_row)
    }

    /// The oldest row that is needed.
    pub(crate) fn keep_from(&self) -> i64 {
        self.running.values().filter_map(|tail| tail.oldest_row).min().unwrap_or(self.next_row)
    }
}
