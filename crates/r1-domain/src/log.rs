//! The log of a generation in the compact form in which it is kept, in memory and in storage.
//!
//! A record is a kind byte, a length (LEB128) and so many bytes: a chunk's text as it is, any other
//! event's payload as JSON. A record of kind [`Kind::Epoch`] has no event: it says that what
//! follows was written under another lease. Frames are some twenty times the size of a short
//! chunk's text; records are two bytes more than it.
//!
//! Where the provider names the tokens that a chunk stands for, they are in the chunk's own record
//! ([`Kind::Tokens`], see [`crate::token_ids`]) and not in one beside it: wherever a log is cut, by a
//! commit, a slice or damage, it has a chunk with its tokens or neither of them.
//!
//! **Invariant:** decoding then encoding gives the same bytes, and the same records give the same
//! frames (see [`crate::frame`]), so nothing needs to be kept but this. No token shows in a frame.

use crate::{
    cursor::Cursor,
    event::Event,
    leb128::{push_number, take_number},
    token_ids::{TokenIds, ids_len, push_ids},
};

/// What a record holds. The numbers are stored; they never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Text of the answer.
    Chunk = 1,
    /// Payload of the first event.
    Start = 2,
    /// Payload of a take-over.
    Resumed = 3,
    /// Payload of a terminal event.
    End = 4,
    /// Payload of a terminal event.
    Error = 5,
    /// Text of the answer behind the tokens that it stands for: a length (LEB128), so many bytes of
    /// token ids, the text. Read back as [`Kind::Chunk`].
    Tokens = 6,
    /// The epoch of what follows, LEB128. Not an event: it has no seq.
    Epoch = 16,
}

impl Kind {
    const fn parse(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Chunk,
            2 => Self::Start,
            3 => Self::Resumed,
            4 => Self::End,
            5 => Self::Error,
            6 => Self::Tokens,
            16 => Self::Epoch,
            _ => return None,
        })
    }

    /// Whether nothing can follow.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::End | Self::Error)
    }
}

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
    match event {
        Event::Chunk(text) => push_chunk(records, text),
        Event::Start(_) => push_record(records, Kind::Start, event.payload().as_bytes()),
        Event::Resumed { epoch, .. } => {
            push_epoch(records, *epoch);
            push_record(records, Kind::Resumed, event.payload().as_bytes());
        }
        Event::End(_) => push_record(records, Kind::End, event.payload().as_bytes()),
        Event::Error(_) => push_record(records, Kind::Error, event.payload().as_bytes()),
    }
}

/// Appends the payload of a terminal event as it was stored.
pub fn push_terminal(records: &mut Vec<u8>, kind: Kind, payload: &str) {
    debug_assert!(kind.is_terminal(), "{kind:?} ends nothing");
    push_record(records, kind, payload.as_bytes());
}

/// Says that what follows is written under `epoch`.
pub fn push_epoch(records: &mut Vec<u8>, epoch: u32) {
    let mut number = Vec::with_capacity(5);
    push_number(&mut number, u64::from(epoch));
    push_record(records, Kind::Epoch, &number);
}

/// Appends a chunk: the hot path, without a detour through [`Event`].
pub fn push_chunk(records: &mut Vec<u8>, text: &str) {
    push_record(records, Kind::Chunk, text.as_bytes());
}

/// Appends a chunk with the tokens that it stands for; without any it is [`push_chunk`].
pub fn push_tokens(records: &mut Vec<u8>, text: &str, ids: &[u32]) {
    if ids.is_empty() {
        return push_chunk(records, text);
    }
    records.push(Kind::Tokens as u8);
    push_number(records, (ids_len(ids) + text.len()) as u64);
    push_ids(records, ids);
    records.extend_from_slice(text.as_bytes());
}

fn push_record(records: &mut Vec<u8>, kind: Kind, content: &[u8]) {
    records.push(kind as u8);
    push_number(records, content.len() as u64);
    records.extend_from_slice(content);
}

/// One event read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its own place.
    pub cursor: Cursor,
    /// A chunk's text, or the payload's JSON.
    pub content: &'a str,
    /// The tokens that a chunk stands for, where they are known.
    pub ids: Option<TokenIds<'a>>,
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

    /// The next event; none at the end. What is no event is passed over only together with the event
    /// after it.
    ///
    /// # Errors
    /// [`DamagedLog`] where the bytes are no record; the position stays before it.
    pub fn next_record(&mut self) -> Result<Option<Record<'a>>, DamagedLog> {
        let Position { mut offset, mut cursor } = self.position;
        let damaged = DamagedLog { offset };
        loop {
            let rest = self.bytes.get(offset..).ok_or(damaged)?;
            let Some((kind, rest)) = rest.split_first() else { return Ok(None) };
            let mut kind = Kind::parse(*kind).ok_or(damaged)?;
            let (length, rest) = take_number(rest).ok_or(damaged)?;
            let length = usize::try_from(length).map_err(|_| damaged)?;
            let mut content = rest.get(..length).ok_or(damaged)?;
            offset = self.bytes.len() - rest.len() + length;
            let mut ids = None;
            match kind {
                Kind::Epoch => {
                    let (epoch, _) = take_number(content).ok_or(damaged)?;
                    cursor.epoch = u32::try_from(epoch).map_err(|_| damaged)?;
                    continue;
                }
                Kind::Tokens => {
                    let (known, text) = TokenIds::split(content).ok_or(damaged)?;
                    (kind, ids, content) = (Kind::Chunk, Some(known), text);
                }
                _ => {}
            }
            let content = std::str::from_utf8(content).map_err(|_| damaged)?;
            cursor.seq += 1;
            self.position = Position { offset, cursor };
            return Ok(Some(Record { kind, cursor, content, ids }));
        }
    }
}

/// Finds the place just after `cursor` in a whole log.
///
/// # Errors
/// [`DamagedLog`]. `Ok(None)` when the log has no event with exactly this cursor.
pub fn position_after(bytes: &[u8], cursor: Cursor) -> Result<Option<Position>, DamagedLog> {
    if cursor == Cursor::BEGINNING {
        return Ok(Some(Position::START));
    }
    let mut records = Records::new(bytes, Position::START);
    while let Some(record) = records.next_record()? {
        if record.cursor.seq == cursor.seq {
            return Ok((record.cursor == cursor).then(|| records.position()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{id::GenerationId, time::Timestamp};

    fn read(bytes: &[u8]) -> Result<Vec<(Kind, Cursor, String)>, DamagedLog> {
        let mut records = Records::new(bytes, Position::START);
        let mut all = Vec::new();
        while let Some(record) = records.next_record()? {
            all.push((record.kind, record.cursor, record.content.to_owned()));
        }
        Ok(all)
    }

    #[test]
    fn a_take_over_raises_the_epoch_and_keeps_seq_dense() {
        let mut bytes = Vec::new();
        push_chunk(&mut bytes, "a");
        push(&mut bytes, &Event::Resumed { generation_id: GenerationId::new(Timestamp::from_micros(0)), epoch: 300 });
        push_chunk(&mut bytes, "b");
        let cursors: Vec<_> = read(&bytes).unwrap().into_iter().map(|(_, c, _)| (c.epoch, c.seq)).collect();
        assert_eq!(cursors, [(1, 1), (300, 2), (300, 3)]);
        assert!(position_after(&bytes, Cursor { epoch: 1, seq: 2 }).unwrap().is_none(), "another epoch's seq");
        assert!(position_after(&bytes, Cursor { epoch: 300, seq: 4 }).unwrap().is_none(), "beyond the end");
        let after = position_after(&bytes, Cursor { epoch: 300, seq: 3 }).unwrap().unwrap();
        assert_eq!(after.offset, bytes.len());
    }

    #[test]
    fn what_is_no_event_is_passed_over_with_its_event() {
        let mut bytes = Vec::new();
        push_chunk(&mut bytes, "a");
        let whole = bytes.len();
        push_epoch(&mut bytes, 2);
        let mut records = Records::new(&bytes, Position::START);
        assert!(records.next_record().unwrap().is_some());
        for _ in 0..2 {
            assert_eq!(records.next_record(), Ok(None));
            assert_eq!(records.position(), Position { offset: whole, cursor: Cursor { epoch: 1, seq: 1 } });
        }
    }

    /// What a recovery needs to know of a chunk.
    type Chunk = (String, Option<Vec<u32>>);

    fn chunks_of(bytes: &[u8]) -> (Vec<Chunk>, Position) {
        let mut records = Records::new(bytes, Position::START);
        let mut chunks = Vec::new();
        while let Ok(Some(record)) = records.next_record() {
            assert_eq!(record.kind, Kind::Chunk);
            chunks.push((record.content.to_owned(), record.ids.map(|ids| ids.read().unwrap())));
        }
        (chunks, records.position())
    }

    proptest! {
        /// Wherever a log is cut, it has a chunk with all its tokens, or nothing of it.
        #[test]
        fn chunks_and_their_tokens_are_one(
            chunks in proptest::collection::vec((".{0,8}", proptest::collection::vec(any::<u32>(), 0..5)), 0..12),
        ) {
            let (mut bytes, mut plain, mut ends) = (Vec::new(), Vec::new(), vec![0]);
            for (text, ids) in &chunks {
                push_tokens(&mut bytes, text, ids);
                push_chunk(&mut plain, text);
                ends.push(bytes.len());
            }
            let expected: Vec<Chunk> =
                chunks.iter().map(|(text, ids)| (text.clone(), Some(ids.clone()).filter(|ids| !ids.is_empty()))).collect();
            for cut in 0..=bytes.len() {
                let whole = ends.iter().filter(|end| **end > 0 && **end <= cut).count();
                let (read, position) = chunks_of(&bytes[..cut]);
                prop_assert_eq!(&read[..], &expected[..whole]);
                prop_assert_eq!(position.offset, ends[whole]);
            }
            // Nothing but the records knows of the tokens.
            let id = GenerationId::new(Timestamp::from_micros(0));
            let frames = |bytes: &[u8]| {
                let (mut frames, mut records) = (Vec::new(), Records::new(bytes, Position::START));
                while let Some(record) = records.next_record().unwrap() {
                    crate::frame::encode(&mut frames, id, &record);
                }
                frames
            };
            prop_assert_eq!(frames(&bytes), frames(&plain));
            prop_assert_eq!(crate::fold::fold(&bytes), crate::fold::fold(&plain));
        }

        #[test]
        fn what_is_pushed_is_read(texts in proptest::collection::vec(".{0,300}", 0..20)) {
            let mut bytes = Vec::new();
            for text in &texts {
                push_chunk(&mut bytes, text);
            }
            let back: Vec<_> = read(&bytes).unwrap().into_iter().map(|(_, _, text)| text).collect();
            prop_assert_eq!(&back, &texts);
            for seq in 0..=texts.len() as u64 {
                let cursor = if seq == 0 { Cursor::BEGINNING } else { Cursor { epoch: 1, seq } };
                let position = position_after(&bytes, cursor).unwrap().unwrap();
                prop_assert_eq!(position.cursor.seq, seq);
                let mut rest = Records::new(&bytes, position);
                let next = rest.next_record().unwrap().map(|record| record.content.to_owned());
                prop_assert_eq!(next.as_ref(), texts.get(usize::try_from(seq).unwrap()));
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }
    }
}
