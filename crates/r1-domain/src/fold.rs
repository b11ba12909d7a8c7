//! What a log says, added up: the message's text and where it stands.

use crate::{
    cursor::Cursor,
    event::{Event, Start},
    log::{DamagedLog, Kind, Position, Records},
};

/// A log's sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folded {
    /// The `start` event, if there is one yet.
    pub start: Option<Start>,
    /// All chunks joined.
    pub text: String,
    /// The newest event.
    pub last: Cursor,
    /// The terminal event, if there is one.
    pub terminal: Option<Event>,
}

/// Adds up a whole log. Events that only a newer build knows move `last`, and nothing else.
///
/// # Errors
/// [`DamagedLog`] where the bytes are no record, or the payload of a `start` or a terminal event is none.
pub fn fold(bytes: &[u8]) -> Result<Folded, DamagedLog> {
    let mut folded = Folded { start: None, text: String::new(), last: Cursor::BEGINNING, terminal: None };
    let mut records = Records::new(bytes, Position::START);
    loop {
        let damaged = DamagedLog { offset: records.position().offset };
        let Some(record) = records.next_record()? else { return Ok(folded) };
        folded.last = record.cursor;
        match record.kind {
            Kind::Chunk => folded.text.push_str(record.content),
            Kind::Start | Kind::End | Kind::Error => match Event::read(record.kind, record.content).ok_or(damaged)? {
                Event::Start(start) => folded.start = Some(start),
                terminal => folded.terminal = Some(terminal),
            },
            Kind::Resumed | Kind::Reasoning | Kind::ToolArguments | Kind::Open(_) => {}
        }
    }
}
