//! The log of a generation in the compact form in which it is kept, in memory and in storage.
//!
//! A record is a kind byte, a length (LEB128) and so many bytes: a chunk's text as it is, any other
//! event's payload as JSON. A record of kind [`Kind::Epoch`] has no event: it says that what
//! follows was written under another lease. Frames are some twenty times the size of a short
//! chunk's text; records are two bytes more than it.
//!
//! **Invariant:** decoding then encoding gives the same bytes, and the same records give the same
//! frames (see [`crate::frame`]), so nothing needs to be kept but this.

use crate::{
    cursor::Cursor,
    event::Event,
    leb128::{push_number, take_number},
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

    /// The next event; none at the end.
    ///
    /// # Errors
    /// [`DamagedLog`] where the bytes are no record; the position stays before it.
    pub fn next_record(&mut self) -> Result<Option<Record<'a>>, DamagedLog> {
        let damaged = DamagedLog { offset: self.position.offset };
        loop {
            let rest = self.bytes.get(self.position.offset..).ok_or(damaged)?;
            let Some((kind, rest)) = rest.split_first() else { return Ok(None) };
            let kind = Kind::parse(*kind).ok_or(damaged)?;
            let (length, rest) = take_number(rest).ok_or(damaged)?;
            let length = usize::try_from(length).map_err(|_| damaged)?;
            let content = rest.get(..length).ok_or(damaged)?;
            let end = self.bytes.len() - rest.len() + length;
            if kind == Kind::Epoch {
                let (epoch, _) = take_number(content).ok_or(damaged)?;
                self.position.cursor.epoch = u32::try_from(epoch).map_err(|_| damaged)?;
                self.position.offset = end;
                continue;
            }
            let content = std::str::from_utf8(content).map_err(|_| damaged)?;
            self.position.cursor.seq += 1;
            self.position.offset = end;
            return Ok(Some(Record { kind, cursor: self.position.cursor, content }));
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

    proptest! {
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
