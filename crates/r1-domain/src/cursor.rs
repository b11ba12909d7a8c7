//! A reader's place in a log: `<generation>:<epoch>.<seq>`, the `id:` of a frame.

use std::{fmt, str::FromStr};

use crate::id::GenerationId;

/// The place of one event within its generation's log.
///
/// `seq` alone orders a log (1, 2, 3, … with no gap); `epoch` says under whose lease the event was
/// written, so that a cursor into a log that was rewound by a power loss is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cursor {
    /// Which lease wrote it, from 1.
    pub epoch: u32,
    /// Number of the event, from 1; 0 stands for "before the first".
    pub seq: u64,
}

impl Cursor {
    /// Before the first event.
    pub const BEGINNING: Self = Self { epoch: 0, seq: 0 };

    /// Before the event with this seq, for those who count and don't ask for epochs.
    #[must_use]
    pub const fn before(seq: u64) -> Self {
        Self { epoch: 1, seq: seq.saturating_sub(1) }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.seq)
    }
}

/// A cursor that this server can't have made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the id of an event of this stream, unchanged")]
pub struct InvalidCursor;

/// Digits only, as they are written: `parse` alone would take a sign, and zeros before them.
fn number<T: FromStr>(text: &str) -> Result<T, InvalidCursor> {
    if text.is_empty() || text.starts_with('0') || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(InvalidCursor);
    }
    text.parse().map_err(|_| InvalidCursor)
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    /// Reads `<epoch>.<seq>`, or `0` for the beginning.
    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        if text == "0" {
            return Ok(Self::BEGINNING);
        }
        let (epoch, seq) = text.split_once('.').ok_or(InvalidCursor)?;
        Ok(Self { epoch: number(epoch)?, seq: number(seq)? })
    }
}

/// A cursor together with the log that it points into: the whole value of `Last-Event-ID`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventId {
    /// Which log.
    pub generation_id: GenerationId,
    /// Where in it.
    pub cursor: Cursor,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.generation_id, self.cursor)
    }
}

impl FromStr for EventId {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let (id, cursor) = text.split_once(':').ok_or(InvalidCursor)?;
        let generation_id = id.parse().map_err(|_| InvalidCursor)?;
        let cursor: Cursor = cursor.parse()?;
        if cursor == Cursor::BEGINNING {
            return Err(InvalidCursor);
        }
        Ok(Self { generation_id, cursor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn event_ids_survive_a_round_trip() {
        let id = EventId {
            generation_id: GenerationId::new(Timestamp::from_micros(7)),
            cursor: Cursor { epoch: 3, seq: 41 },
        };
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn garbage_is_refused() {
        for bad in [
            "",
            "1",
            "1.",
            ".1",
            "+1.2",
            "0.1",
            "1.0",
            "01.2",
            "1.02",
            "00",
            "1.2.3",
            "a.b",
            "99999999999.1",
            " 1.2",
            "1.٣",
        ] {
            assert_eq!(bad.parse::<Cursor>(), Err(InvalidCursor), "{bad}");
        }
        assert_eq!("0".parse(), Ok(Cursor::BEGINNING));
        assert!(":1.2".parse::<EventId>().is_err());
    }
}
