//! What a log says, added up: the message's text and where it stands.

use crate::{
    cursor::Cursor,
    log::{DamagedLog, Kind, Position, Records},
};

/// A log's sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded {
    /// Payload of the `start` event, if there is one yet.
    pub start: Option<String>,
    /// All chunks joined.
    pub text: String,
    /// The newest event.
    pub last: Cursor,
    /// Kind and payload of the terminal event, if there is one.
    pub terminal: Option<(Kind, String)>,
}

/// Adds up a whole log.
///
/// # Errors
/// [`DamagedLog`] where the bytes are no record.
pub fn fold(bytes: &[u8]) -> Result<Folded, DamagedLog> {
    let mut folded = Folded { start: None, text: String::new(), last: Cursor::BEGINNING, terminal: None };
    let mut records = Records::new(bytes, Position::START);
    while let Some(record) = records.next_record()? {
        folded.last = record.cursor;
        match record.kind {
            Kind::Chunk => folded.text.push_str(record.content),
            Kind::Start => folded.start = Some(record.content.to_owned()),
            kind if kind.is_terminal() => folded.terminal = Some((kind, record.content.to_owned())),
            _ => {}
        }
    }
    Ok(folded)
}
