//! The full-text index, kept in the message's own transaction.
//!
//! A row has the message's number, its owner's id as one term, and its text. Every query must ask
//! for the owner's term too (`owner : "<hex>" AND content : (…)`), so that the index itself
//! intersects: a filter beside a match walks everybody's postings first.

use r1_domain::id::UserId;
use rusqlite::{Connection, params};

use crate::error::Fault;

/// This much of a message's text is indexed, from its beginning: text of nothing but different words
/// costs some 0.1 ms per KiB, and no write transaction shall take 10 ms.
const INDEXED_BYTES: usize = 32 * 1024;

/// The term that stands for a user.
pub(crate) fn owner_term(owner: UserId) -> String {
    owner.as_uuid().simple().to_string()
}

/// Adds a finished message.
pub(crate) fn insert(db: &Connection, number: i64, owner: UserId, text: &str) -> Result<(), Fault> {
    if text.trim().is_empty() {
        return Ok(());
    }
    let text = &text[..text.floor_char_boundary(INDEXED_BYTES)];
    db.prepare_cached("INSERT INTO message_search (rowid, owner, content) VALUES (?1, ?2, ?3)")?.execute(params![
        number,
        owner_term(owner),
        text
    ])?;
    Ok(())
}

/// Removes a message, whether it is there or not.
pub(crate) fn delete(db: &Connection, number: i64) -> Result<(), Fault> {
    db.prepare_cached("DELETE FROM message_search WHERE rowid = ?1")?.execute([number])?;
    Ok(())
}
