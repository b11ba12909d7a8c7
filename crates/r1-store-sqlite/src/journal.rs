//! The journal: an append-only table, one row per commit, that holds the newest records of all
//! running generations until they are folded into `generation_log`.
//!
//! A row is a version byte, a CRC-32 (IEEE, little endian) of all that follows, and the entries: the
//! generation's id (16 bytes), epoch, seq of the first event and length (LEB128 each), and the
//! records. A row per generation instead would dirty a page per generation and commit, which costs
//! more than everything else on the way of a chunk.
//!
//! **Invariant:** the entries of one generation, walked by row, are its log's tail in order; those
//! whose seq is below what `generation_log` has, or whose epoch is an earlier one, are leftovers and
//! skipped.

use r1_domain::{
    id::GenerationId,
    leb128::{push_number, take_number},
};
use rusqlite::{Connection, params};

use crate::{column::Id, error::Fault};

const VERSION: u8 = 1;
/// Version and checksum.
const HEAD: usize = 5;

/// Records of one generation in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) generation_id: GenerationId,
    pub(crate) epoch: u32,
    pub(crate) first_seq: u64,
    pub(crate) records: &'a [u8],
}

/// Encodes a row.
pub(crate) fn encode<'a>(entries: impl Iterator<Item = Entry<'a>>) -> Vec<u8> {
    let mut row = vec![VERSION, 0, 0, 0, 0];
    for entry in entries {
        row.extend_from_slice(&entry.generation_id.blob());
        push_number(&mut row, u64::from(entry.epoch));
        push_number(&mut row, entry.first_seq);
        push_number(&mut row, entry.records.len() as u64);
        row.extend_from_slice(entry.records);
    }
    let checksum = crc32fast::hash(&row[HEAD..]);
    row[1..HEAD].copy_from_slice(&checksum.to_le_bytes());
    row
}

/// Reads a row.
pub(crate) fn decode(row: &[u8]) -> Result<Vec<Entry<'_>>, Fault> {
    const DAMAGED: Fault = Fault::Broken("a journal row is damaged");
    let (head, mut rest) = row.split_first_chunk::<HEAD>().ok_or(DAMAGED)?;
    let [version, checksum @ ..] = *head;
    if version != VERSION {
        return Err(Fault::Broken("a journal row has a version that this build doesn't know"));
    }
    if crc32fast::hash(rest) != u32::from_le_bytes(checksum) {
        return Err(DAMAGED);
    }
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let (id, after) = rest.split_first_chunk::<16>().ok_or(DAMAGED)?;
        let (epoch, after) = take_number(after).ok_or(DAMAGED)?;
        let (first_seq, after) = take_number(after).ok_or(DAMAGED)?;
        let (length, after) = take_number(after).ok_or(DAMAGED)?;
        let length = usize::try_from(length).map_err(|_| DAMAGED)?;
        let (records, after) = after.split_at_checked(length).ok_or(DAMAGED)?;
        let epoch = u32::try_from(epoch).map_err(|_| DAMAGED)?;
        entries.push(Entry { generation_id: GenerationId::from_blob(*id), epoch, first_seq, records });
        rest = after;
    }
    Ok(entries)
}

/// Appends a row.
pub(crate) fn append(db: &Connection, id: i64, row: &[u8]) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT INTO journal (id, entries) VALUES (?1, ?2)")?.execute(params![id, row])?;
    Ok(())
}

/// A row that was skipped: where it is, and why.
pub(crate) type Skipped = (i64, Fault);

/// Shows every entry of the rows from `from` on, in order. Gives back the rows that can't be decoded:
/// damaged ones, since a build that writes another version has another schema as well.
pub(crate) fn walk(db: &Connection, from: i64, mut visit: impl FnMut(i64, Entry<'_>)) -> Result<Vec<Skipped>, Fault> {
    let mut skipped = Vec::new();
    let mut statement = db.prepare_cached("SELECT id, entries FROM journal WHERE id >= ?1 ORDER BY id")?;
    let mut rows = statement.query([from])?;
    while let Some(row) = rows.next()? {
        let id = row.get(0)?;
        let bytes = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        match decode(bytes) {
            Ok(entries) => entries.into_iter().for_each(|entry| visit(id, entry)),
            Err(fault) => skipped.push((id, fault)),
        }
    }
    Ok(skipped)
}

/// At most this many rows, and this many bytes, go in one transaction.
const PRUNED_ROWS: i64 = 256;
const PRUNED_BYTES: i64 = 1 << 20;

/// Deletes a slice of the rows below `keep_from`. Gives back the row that is now the first one that
/// may exist.
pub(crate) fn prune(db: &Connection, keep_from: i64) -> rusqlite::Result<i64> {
    let mut first = keep_from;
    {
        // length() of a blob reads the row's head, not its pages.
        let mut statement =
            db.prepare_cached("SELECT id, length(entries) FROM journal WHERE id < ?1 ORDER BY id LIMIT ?2")?;
        let mut rows = statement.query([keep_from, PRUNED_ROWS + 1])?;
        let (mut count, mut bytes) = (0, 0);
        while let Some(row) = rows.next()? {
            if count == PRUNED_ROWS || bytes >= PRUNED_BYTES {
                first = row.get(0)?;
                break;
            }
            count += 1;
            bytes += row.get::<_, i64>(1)?;
        }
    }
    db.prepare_cached("DELETE FROM journal WHERE id < ?1")?.execute([first])?;
    Ok(first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use r1_domain::time::Timestamp;

    use super::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            parts in proptest::collection::vec(
                (any::<u32>(), 0..=i64::MAX as u64, proptest::collection::vec(any::<u8>(), 0..300)), 0..20)
        ) {
            let id = GenerationId::new(Timestamp::from_micros(1));
            let entries: Vec<_> = parts
                .iter()
                .map(|(epoch, first_seq, records)| Entry {
                    generation_id: id, epoch: *epoch, first_seq: *first_seq, records,
                })
                .collect();
            let row = encode(entries.iter().copied());
            prop_assert_eq!(decode(&row).unwrap(), entries);
        }

        #[test]
        fn a_changed_byte_is_noticed(at in 0usize..60, to in any::<u8>()) {
            let id = GenerationId::new(Timestamp::from_micros(1));
            let records = [7; 40];
            let mut row =
                encode(std::iter::once(Entry { generation_id: id, epoch: 1, first_seq: 2, records: &records }));
            prop_assume!(row[at] != to);
            row[at] = to;
            prop_assert!(decode(&row).is_err());
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }
}
