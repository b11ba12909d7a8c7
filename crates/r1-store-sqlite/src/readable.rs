//! A running generation's log as far as it can be read.
//!
//! It is what `generation_log` has, then the journal's entries of the present epoch from there on: a
//! take-over folds, so entries of an earlier epoch are leftovers whatever their seq. Where a part is
//! missing or is no log any more (a bad disk, a foreign hand), the log ends before it. A whole log
//! is worth more than all logs: nothing else in the database is the worse for one that is cut.
//!
//! **Invariant:** the same database gives the same log to whoever asks, so what
//! [`crate::recovery::take_over`] keeps is what [`crate::recovery::list_orphaned`] showed.

use r1_domain::{cursor::Cursor, id::GenerationId, log::check};
use rusqlite::Connection;

use crate::{
    column::{self, Id},
    error::Fault,
    journal,
};

/// Up to where a log can be read; nothing of it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Seq of the event that would come next.
    pub(crate) next_seq: u64,
    /// Why nothing more can come, if so.
    pub(crate) damage: Option<&'static str>,
}

impl Reach {
    /// So far, without a look at what is before.
    pub(crate) const fn up_to(next_seq: u64) -> Self {
        Self { next_seq, damage: None }
    }

    /// Looks at the next part. Gives back how many of its bytes, from its beginning, go on the log:
    /// whole records, and none of a part that the log has already.
    pub(crate) fn go_on(&mut self, first_seq: u64, records: &[u8]) -> usize {
        if self.damage.is_some() || first_seq < self.next_seq {
            return 0;
        }
        if first_seq > self.next_seq {
            self.damage = Some("it has a gap");
            return 0;
        }
        // What ends a log is in it only once its generation has ended.
        let end = check(records, Cursor::before(first_seq)).running;
        self.next_seq = end.cursor.seq + 1;
        if end.offset < records.len() {
            self.damage = Some("it has bytes that are no records of a running log");
        }
        end.offset
    }
}

/// A log, with its records.
#[derive(Debug)]
pub(crate) struct Readable {
    pub(crate) records: Vec<u8>,
    pub(crate) reach: Reach,
}

impl Readable {
    /// What `generation_log` has.
    pub(crate) fn folded(db: &Connection, id: GenerationId) -> Result<Self, Fault> {
        let mut log = Self::up_to(1);
        parts(db, id, |first_seq, next_seq, records| {
            log.add(first_seq, records);
            if log.reach.next_seq != next_seq {
                log.reach.damage.get_or_insert("its parts are not what they say");
            }
            Ok(())
        })?;
        Ok(log)
    }

    /// Without what comes before `next_seq`.
    pub(crate) const fn up_to(next_seq: u64) -> Self {
        Self { records: Vec::new(), reach: Reach::up_to(next_seq) }
    }

    /// Adds what the journal has of it from a row on.
    pub(crate) fn add_journal(
        &mut self,
        db: &Connection,
        id: GenerationId,
        epoch: u32,
        from_row: i64,
    ) -> Result<(), Fault> {
        journal::walk(db, from_row, |_, entry| {
            if entry.generation_id == id {
                self.add_entry(epoch, &entry);
            }
        })?;
        Ok(())
    }

    /// Adds one of its entries in the journal.
    pub(crate) fn add_entry(&mut self, epoch: u32, entry: &journal::Entry<'_>) {
        if entry.epoch == epoch {
            self.add(entry.first_seq, entry.records);
        }
    }

    fn add(&mut self, first_seq: u64, records: &[u8]) {
        let whole = self.reach.go_on(first_seq, records);
        self.records.extend_from_slice(records.get(..whole).unwrap_or_default());
    }
}

/// Shows the rows of `generation_log`, each with the seq of its first event and of the one after its
/// last: 0 for a number that can't be one.
pub(crate) fn parts(
    db: &Connection,
    id: GenerationId,
    mut visit: impl FnMut(u64, u64, &[u8]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut statement = db.prepare_cached(
        "SELECT first_seq, next_seq, records FROM generation_log WHERE generation_id = ?1 ORDER BY first_seq",
    )?;
    let mut rows = statement.query([id.blob()])?;
    while let Some(row) = rows.next()? {
        let number = |at| column::unsigned(row, at).unwrap_or(0);
        visit(number(0), number(1), row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use r1_domain::{event::Event, log, time::Timestamp};

    use super::*;

    fn chunks(texts: &[&str]) -> Vec<u8> {
        let mut records = Vec::new();
        texts.iter().for_each(|text| log::push_chunk(&mut records, text));
        records
    }

    #[test]
    fn parts_go_on_where_the_log_ends() {
        let mut reach = Reach::up_to(5);
        assert_eq!(reach.go_on(3, &chunks(&["x", "y"])), 0, "it has that already");
        assert_eq!(reach.go_on(5, &chunks(&["a", "b"])), 6);
        assert_eq!(reach, Reach::up_to(7));
        assert_eq!(reach.go_on(8, &chunks(&["gap"])), 0);
        assert!(reach.damage.is_some());
        assert_eq!(reach.go_on(7, &chunks(&["late"])), 0, "nothing follows damage");
        assert_eq!(reach.next_seq, 7);
    }

    #[test]
    fn a_part_is_cut_before_what_is_no_record() {
        let generation_id = GenerationId::new(Timestamp::from_micros(1));
        let whole = chunks(&["a", "b"]);
        let mut epoch = whole.clone();
        log::push(&mut epoch, &Event::Resumed { generation_id, epoch: 2, discards_reasoning: false });
        // The epoch's record is whole, its event is not.
        epoch.truncate(whole.len() + 4);
        // The tokens are whole, their text is not.
        let mut tokens = whole.clone();
        log::push_tokens(&mut tokens, "text", &[300, 7]);
        tokens.truncate(tokens.len() - 1);
        let mut ended = whole.clone();
        log::push_terminal(&mut ended, log::Kind::Error, "{}");
        let foreign = [[&whole[..], &[0xff, 1, 2]].concat(), [&whole[..], &[1, 2, 0xff, 0xff]].concat()];
        for damaged in foreign.into_iter().chain([epoch, tokens, ended]) {
            let mut reach = Reach::up_to(2);
            assert_eq!(reach.go_on(2, &damaged), whole.len(), "{damaged:?}");
            assert_eq!(reach.next_seq, 4);
            assert!(reach.damage.is_some());
        }
    }
}
