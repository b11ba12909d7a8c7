//! The full-text index, kept in the message's own transaction.
//!
//! A document has the message's words and its owner as one lexeme more, which no text can have: it
//! begins with a space. Every query must ask for that one too, so that the index itself intersects: a
//! filter beside a match walks everybody's postings first. Words are as they stand, in lower case;
//! languages are not told apart.

use std::borrow::Cow;

use r1_domain::id::{MessageId, UserId};

use crate::{connection::Db, error::Fault};

/// This much of a message's text is indexed, from its beginning.
const INDEXED_BYTES: usize = 32 * 1024;

/// The document of an owner's text: two parameters or columns.
macro_rules! document {
    ($owner:literal, $text:literal) => {
        concat!("array_to_tsvector(ARRAY[' ' || ", $owner, "::text]) || to_tsvector('simple', ", $text, ")")
    };
}
pub(crate) use document;

/// What of a text is indexed; none if there is nothing to find.
pub(crate) fn indexed(text: &str) -> Option<Cow<'_, str>> {
    if text.trim().is_empty() {
        return None;
    }
    let text = &text[..text.floor_char_boundary(INDEXED_BYTES)];
    Some(if text.contains('\0') { Cow::Owned(text.replace('\0', " ")) } else { Cow::Borrowed(text) })
}

const INSERT: &str =
    concat!("INSERT INTO message_search (message_id, document) VALUES ($1, ", document!("$2::uuid", "$3::text"), ")");

/// Adds a finished message.
pub(crate) async fn insert(db: &Db, message: MessageId, owner: UserId, text: &str) -> Result<(), Fault> {
    let Some(text) = indexed(text) else { return Ok(()) };
    db.run(INSERT, &[&message.as_uuid(), &owner.as_uuid(), &text]).await.map(drop)
}

const DELETE: &str = "DELETE FROM message_search WHERE message_id = $1";

/// Removes a message, whether it is there or not.
pub(crate) async fn delete(db: &Db, message: MessageId) -> Result<(), Fault> {
    db.run(DELETE, &[&message.as_uuid()]).await.map(drop)
}
