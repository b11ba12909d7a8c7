//! A running generation's log as far as it can be read.
//!
//! Where a part is missing or is no log any more (a bad disk, a foreign hand), the log ends before it.
//!
//! **Invariant:** the same database gives the same log to whoever asks, so what
//! [`crate::recovery::take_over`] keeps is what [`crate::recovery::list_orphaned`] showed.

use r1_domain::{cursor::Cursor, id::GenerationId, log::check};

use crate::{column, connection::Db, error::Fault};

/// A log, with its records.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Readable {
    pub(crate) records: Vec<u8>,
    /// Seq of the event that would come next.
    pub(crate) next_seq: u64,
    /// Why nothing more can come, if so.
    pub(crate) damage: Option<Damage>,
}

/// Where a log ends too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) what: &'static str,
    /// First seq of the row from which on they are damaged, and how many bytes of the log are before it.
    pub(crate) from: (u64, usize),
}

const PARTS: &str =
    "SELECT first_seq, next_seq, records FROM generation_log WHERE generation_id = $1 ORDER BY first_seq";

impl Readable {
    pub(crate) async fn read(db: &Db, id: GenerationId) -> Result<Self, Fault> {
        let mut log = Self { records: Vec::new(), next_seq: 1, damage: None };
        for row in db.all(PARTS, &[&id.as_uuid()]).await? {
            // 0 for a number that can't be one.
            let number = |at| column::unsigned(&row, at).unwrap_or(0);
            log.add(number(0), number(1), column::get(&row, 2)?);
        }
        Ok(log)
    }

    /// Adds the next part, or what of it can be read.
    fn add(&mut self, first_seq: u64, next_seq: u64, records: &[u8]) {
        if self.damage.is_some() {
            return;
        }
        let damage = |what| Some(Damage { what, from: (first_seq, self.records.len()) });
        if first_seq != self.next_seq {
            self.damage = damage("it has a gap");
            return;
        }
        // What ends a log is in it only once its generation has ended.
        let end = check(records, Cursor::before(first_seq)).running;
        self.next_seq = end.cursor.seq + 1;
        if end.offset < records.len() {
            self.damage = damage("it has bytes that are no records of a running log");
        } else if self.next_seq != next_seq {
            self.damage = damage("its parts are not what they say");
        }
        self.records.extend_from_slice(records.get(..end.offset).unwrap_or_default());
    }
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

    fn read(parts: &[(u64, u64, &[u8])]) -> Readable {
        let mut log = Readable { records: Vec::new(), next_seq: 1, damage: None };
        parts.iter().for_each(|(first, next, records)| log.add(*first, *next, records));
        log
    }

    #[test]
    fn a_log_ends_before_damage() {
        let (ab, c) = (chunks(&["a", "b"]), chunks(&["c"]));
        let whole = read(&[(1, 3, &ab), (3, 4, &c)]);
        assert_eq!(whole, Readable { records: chunks(&["a", "b", "c"]), next_seq: 4, damage: None });
        let gap = read(&[(1, 3, &ab), (4, 5, &c), (3, 4, &c)]);
        assert_eq!((gap.records, gap.next_seq), (ab.clone(), 3));
        assert_eq!(gap.damage.unwrap().from, (4, ab.len()));
        let lies = read(&[(1, 4, &ab), (4, 5, &c)]);
        assert_eq!((lies.records, lies.next_seq, lies.damage.unwrap().from), (ab, 3, (1, 0)));
    }

    #[test]
    fn a_part_is_cut_before_what_is_no_record() {
        let generation_id = GenerationId::new(Timestamp::from_micros(1));
        let whole = chunks(&["a", "b"]);
        let mut epoch = whole.clone();
        log::push(&mut epoch, &Event::Resumed { generation_id, epoch: 2, discards_reasoning: false });
        // The epoch's record is whole, its event is not.
        epoch.truncate(whole.len() + 4);
        let mut ended = whole.clone();
        log::push_terminal(&mut ended, log::Kind::Error, "{}");
        let foreign = [&whole[..], &[0xff, 1, 2]].concat();
        for damaged in [foreign, epoch, ended] {
            let log = read(&[(1, 4, &damaged), (4, 5, &chunks(&["c"]))]);
            assert_eq!((&log.records, log.next_seq), (&whole, 3), "{damaged:?}");
            assert_eq!(log.damage.unwrap().from, (1, 0));
        }
    }
}
