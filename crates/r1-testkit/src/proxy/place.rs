//! What a cut at a byte of a streamed HTTP response goes through.

/// A kind of place, by the byte before the cut and the byte after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Within the status line and the headers.
    Head,
    /// At the frame of an HTTP chunk: before, within or after its line ends.
    ChunkBorder,
    /// Within a character of several bytes.
    Character,
    /// Within a line `id: …`, its end not included.
    Id,
    /// Between the two line ends that end an event.
    BlankLine,
    /// Anywhere else.
    Elsewhere,
}

impl Place {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Head, Self::ChunkBorder, Self::Character, Self::Id, Self::BlankLine, Self::Elsewhere];
}

/// Follows a response byte by byte.
pub(super) struct Scanner {
    seen: u64,
    in_body: bool,
    /// The newest four bytes, the last one newest.
    newest: [u8; 4],
    /// The beginning of the line under way, and how long it is.
    line: [u8; 4],
    line_length: usize,
}

impl Scanner {
    pub(super) const fn new() -> Self {
        Self { seen: 0, in_body: false, newest: [0; 4], line: [0; 4], line_length: 0 }
    }

    /// The first index in `bytes` before which a cut is as wanted, and what it goes through.
    pub(super) fn find(&mut self, bytes: &[u8], after: u64, wanted: Option<Place>) -> Option<(usize, Place)> {
        for (index, byte) in bytes.iter().enumerate() {
            if self.seen >= after {
                let place = self.place(*byte);
                if wanted.is_none_or(|wanted| wanted == place) {
                    return Some((index, place));
                }
            }
            self.pass(*byte);
        }
        None
    }

    fn place(&self, next: u8) -> Place {
        let line = &self.line[..self.line_length.min(4)];
        match (self.newest, next) {
            _ if !self.in_body => Place::Head,
            ([_, _, _, b'\r'], _) | (_, b'\r') | ([_, _, b'\r', b'\n'], _) => Place::ChunkBorder,
            (_, 0x80..=0xBF) => Place::Character,
            ([_, _, _, b'\n'], b'\n') => Place::BlankLine,
            _ if next != b'\n' && !line.is_empty() && b"id: ".starts_with(line) => Place::Id,
            _ => Place::Elsewhere,
        }
    }

    fn pass(&mut self, byte: u8) {
        self.seen += 1;
        self.newest.rotate_left(1);
        self.newest[3] = byte;
        self.in_body |= self.newest == *b"\r\n\r\n";
        if byte == b'\n' {
            self.line_length = 0;
            return;
        }
        if let Some(place) = self.line.get_mut(self.line_length) {
            *place = byte;
        }
        self.line_length += 1;
    }
}
