//! The log of a generation in the compact form in which it is kept, in memory and in storage.
//!
//! A record is a kind byte, a length (LEB128) and that many bytes: a chunk's text as it is, most other
//! events' payload as JSON. Not every record is an event: an epoch says that what follows was written under
//! another lease, and private records are for others than readers. [`kind`] has the list, and says what
//! becomes of kinds that a newer build has written. Frames are some twenty times the size of a short
//! chunk's text; records are two bytes more than it.
//!
//! Where the provider names the tokens that a chunk stands for, they are in the chunk's own record
//! (see [`crate::token_ids`]) and not in one beside it: wherever a log is cut, by a
//! commit, a slice or damage, it has a chunk with its tokens or neither of them.
//!
//! **Invariant:** decoding then encoding gives the same bytes, and the same records give the same
//! frames (see [`crate::frame`]), so nothing needs to be kept but this. No token shows in a frame.
//!
//! **Invariant:** a record without a seq goes with the event after it, in one append: every place where a log
//! can be cut is behind an event.

pub mod kind;
#[cfg(test)]
mod tests;

pub use kind::{FIRST_GRAMMAR, GRAMMAR, Kind, OpenKind, PrivateKind, REASONING_GRAMMAR};

use crate::{
    cursor::Cursor,
    event::Event,
    leb128::{push_number, take_number},
    token_ids::{TokenIds, ids_len, push_ids},
};
use kind::{Class, EPOCH, TOKENS};

/// Bytes that are not a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the log is damaged at byte {offset}")]
pub struct DamagedLog {
    /// Where the first bad record starts.
    pub offset: usize,
}

/// A place between two records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Bytes before it.
    pub offset: usize,
    /// The newest event before it (seq 0: none).
    pub cursor: Cursor,
}

impl Position {
    /// Before the first record of a whole log.
    pub const START: Self = Self { offset: 0, cursor: Cursor { epoch: 1, seq: 0 } };
}

/// Appends an event.
pub fn push(records: &mut Vec<u8>, event: &Event) {
    let kind = event.kind();
    match event {
        Event::Chunk(text) | Event::Reasoning(text) => push_record(records, kind.number(), text.as_bytes()),
        Event::ToolArguments { call_id, tool, content } => {
            let content = [call_id.as_str(), tool, content].join(ARGUMENTS_SEPARATOR);
            push_record(records, kind.number(), content.as_bytes());
        }
        Event::Other(_, payload) => push_record(records, kind.number(), payload.as_bytes()),
        Event::Resumed { epoch, .. } => {
            push_epoch(records, *epoch);
            push_record(records, kind.number(), event.payload().as_bytes());
        }
        Event::Start(_) | Event::End(_) | Event::Error(_) => {
            push_record(records, kind.number(), event.payload().as_bytes());
        }
    }
}

/// Appends the payload of a terminal event as it was stored.
pub fn push_terminal(records: &mut Vec<u8>, kind: Kind, payload: &str) {
    debug_assert!(kind.is_terminal(), "{kind:?} ends nothing");
    push_record(records, kind.number(), payload.as_bytes());
}

/// Says that what follows is written under `epoch`.
pub fn push_epoch(records: &mut Vec<u8>, epoch: u32) {
    let mut number = Vec::with_capacity(5);
    push_number(&mut number, u64::from(epoch));
    push_record(records, EPOCH, &number);
}

/// Appends what no reader sees. The event that it goes with must follow in the same append.
pub fn push_private(records: &mut Vec<u8>, kind: PrivateKind, content: &[u8]) {
    push_record(records, kind.number(), content);
}

/// Appends what the model thought: the hot path as well.
pub fn push_reasoning(records: &mut Vec<u8>, text: &str) {
    push_record(records, Kind::Reasoning.number(), text.as_bytes());
}

/// Appends a chunk: the hot path, without a detour through [`Event`].
pub fn push_chunk(records: &mut Vec<u8>, text: &str) {
    push_record(records, Kind::Chunk.number(), text.as_bytes());
}

/// Appends a chunk with the tokens that it stands for; without any it is [`push_chunk`].
pub fn push_tokens(records: &mut Vec<u8>, text: &str, ids: &[u32]) {
    if ids.is_empty() {
        return push_chunk(records, text);
    }
    records.push(TOKENS);
    push_number(records, (ids_len(ids) + text.len()) as u64);
    push_ids(records, ids);
    records.extend_from_slice(text.as_bytes());
}

fn push_record(records: &mut Vec<u8>, number: u8, content: &[u8]) {
    records.push(number);
    push_number(records, content.len() as u64);
    records.extend_from_slice(content);
}

/// Between the parts of a [`Kind::ToolArguments`]: in no id and in no name, and JSON has it only as an escape.
const ARGUMENTS_SEPARATOR: &str = "\0";

/// The call's id, the tool's name and the piece.
pub(crate) fn split_arguments(content: &str) -> Option<(&str, &str, &str)> {
    let (call_id, rest) = content.split_once(ARGUMENTS_SEPARATOR)?;
    let (tool, piece) = rest.split_once(ARGUMENTS_SEPARATOR)?;
    Some((call_id, tool, piece))
}

/// Whether it can stand in a frame behind `data: ` as it is. Nothing more is looked at: it is for others to read.
fn is_line_of_json(content: &str) -> bool {
    content.starts_with('{') && content.ends_with('}') && !content.bytes().any(|byte| matches!(byte, b'\n' | b'\r'))
}

/// One event read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its own place.
    pub cursor: Cursor,
    /// A chunk's text, or the payload's JSON: what [`Event::read`] reads.
    pub content: &'a str,
    /// The tokens that a chunk stands for, where they are known.
    pub ids: Option<TokenIds<'a>>,
    /// The records without a seq that go with it.
    before: &'a [u8],
}

impl<'a> Record<'a> {
    /// An event by itself.
    #[must_use]
    pub const fn new(kind: Kind, cursor: Cursor, content: &'a str) -> Self {
        Self { kind, cursor, content, ids: None, before: &[] }
    }

    /// The private records that go with it, in order.
    pub fn private(&self) -> impl Iterator<Item = (PrivateKind, &'a [u8])> + use<'a> {
        let mut rest = self.before;
        // They were looked at when the event was read.
        let next = move || {
            let (number, after) = rest.split_first()?;
            let (length, after) = take_number(after)?;
            let (content, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
            rest = after;
            Some((*number, content))
        };
        std::iter::from_fn(next).filter_map(|(number, content)| Some((PrivateKind::new(number)?, content)))
    }
}

/// Walks over a log's events from a [`Position`].
#[derive(Debug, Clone)]
pub struct Records<'a> {
    bytes: &'a [u8],
    position: Position,
}

impl<'a> Records<'a> {
    /// `bytes` is the whole log up to where reading shall end; `from` must be one of its positions.
    #[must_use]
    pub const fn new(bytes: &'a [u8], from: Position) -> Self {
        Self { bytes, position: from }
    }

    /// Where the next record starts.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// The next event; none at the end. Records without a seq are passed over only together with the event that
    /// follows them.
    ///
    /// # Errors
    /// [`DamagedLog`] where the bytes are no record; the position stays before it.
    pub fn next_record(&mut self) -> Result<Option<Record<'a>>, DamagedLog> {
        let Position { mut offset, mut cursor } = self.position;
        let damaged = DamagedLog { offset };
        let begin = offset;
        loop {
            let before = self.bytes.get(begin..offset).unwrap_or_default();
            let rest = self.bytes.get(offset..).ok_or(damaged)?;
            let Some((number, rest)) = rest.split_first() else { return Ok(None) };
            let class = Class::of(*number).ok_or(damaged)?;
            let (length, rest) = take_number(rest).ok_or(damaged)?;
            let length = usize::try_from(length).map_err(|_| damaged)?;
            let mut content = rest.get(..length).ok_or(damaged)?;
            offset = self.bytes.len() - rest.len() + length;
            let mut ids = None;
            let kind = match class {
                Class::Event(kind) => kind,
                Class::Tokens => {
                    let (known, text) = TokenIds::split(content).ok_or(damaged)?;
                    (ids, content) = (Some(known), text);
                    Kind::Chunk
                }
                Class::Epoch => {
                    let (epoch, _) = take_number(content).ok_or(damaged)?;
                    cursor.epoch = u32::try_from(epoch).map_err(|_| damaged)?;
                    continue;
                }
                Class::Private => continue,
            };
            let content = std::str::from_utf8(content).map_err(|_| damaged)?;
            let sound = match kind {
                Kind::Open(_) => is_line_of_json(content),
                Kind::ToolArguments => split_arguments(content).is_some(),
                _ => true,
            };
            if !sound {
                return Err(damaged);
            }
            cursor.seq += 1;
            self.position = Position { offset, cursor };
            return Ok(Some(Record { kind, cursor, content, ids, before }));
        }
    }
}

/// What a part of a log spans: see [`check`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Behind the last whole event.
    pub end: Position,
    /// The same, but before the event that ends the log: as far as the log of a running generation goes.
    pub running: Position,
    /// Whether nothing is behind `end`.
    pub is_whole: bool,
}

impl Span {
    /// Seq of the event that would come next.
    #[must_use]
    pub const fn next_seq(&self) -> u64 {
        self.end.cursor.seq + 1
    }

    /// Whether the log ends here.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        self.running.offset != self.end.offset
    }

    /// Itself, where all of it is whole events.
    ///
    /// # Errors
    /// [`DamagedLog`] says where the first bytes are that are none.
    pub const fn whole(self) -> Result<Self, DamagedLog> {
        if self.is_whole { Ok(self) } else { Err(DamagedLog { offset: self.end.offset }) }
    }
}

/// Looks at a part of a log, the first event of which is the one after `before`; the epoch matters only where the
/// caller asks for cursors. It goes as far as the records are whole, and no further than the event that ends a log.
#[must_use]
pub fn check(records: &[u8], before: Cursor) -> Span {
    check_each(records, before, |_| {})
}

/// [`check`], which shows the place behind each event.
#[must_use]
pub fn check_each(records: &[u8], before: Cursor, mut each: impl FnMut(Position)) -> Span {
    let mut walk = Records::new(records, Position { offset: 0, cursor: before });
    let (mut running, mut is_ended) = (walk.position(), false);
    while !is_ended && let Ok(Some(record)) = walk.next_record() {
        is_ended = record.kind.is_terminal();
        if !is_ended {
            running = walk.position();
        }
        each(walk.position());
    }
    let end = walk.position();
    Span { end, running, is_whole: end.offset == records.len() }
}
