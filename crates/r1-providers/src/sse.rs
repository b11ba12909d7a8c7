//! An event stream read from bytes that were cut anywhere: Server-Sent Events (WHATWG HTML, 9.2.6), and what
//! servers send in their place.
//!
//! Of the standard's fields only `data` matters to the OpenAI format, and that the `event` is `error`. Beside it:
//!
//! - A line that begins with `{` or `[` is a document of its own, up to its last bracket, over as many lines as it
//!   takes: an answer that was not streamed, a line of NDJSON, an error that somebody put between two events.
//! - A line `error:` is the data of an error.
//! - Lines that are no field go on with data whose brackets are still open.
//!
//! Bytes are looked at once, lines that lie whole in their chunk are never copied to be read, and all buffers are
//! reused, so a stream in its stride allocates nothing here.
//!
//! **Invariant:** no more than [`EVENT_LIMIT`] bytes of an event and [`DOCUMENT_LIMIT`] of a document are ever held,
//! however long a line is.

use bytes::{Buf, Bytes};

use crate::document::Scanner;

#[cfg(test)]
mod tests;

/// Largest event, and largest line, in bytes.
pub(crate) const EVENT_LIMIT: usize = 1024 * 1024;
/// Largest document that stands by itself, in bytes: a whole answer.
pub(crate) const DOCUMENT_LIMIT: usize = 4 * EVENT_LIMIT;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// Why the rest can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// A line or an event over [`EVENT_LIMIT`].
    LongEvent,
    /// A document over [`DOCUMENT_LIMIT`].
    LongDocument,
    /// The first thing that came is markup: a web page.
    Markup,
}

/// Where a piece of data stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// In an event.
    Data,
    /// In an event that calls itself an error.
    Error,
    /// By itself.
    Document,
}

/// The data of an event, or a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    pub(crate) data: &'a [u8],
    pub(crate) source: Source,
}

/// The state between two chunks of a body.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// The line that the last chunk broke off in.
    line: Vec<u8>,
    /// More than the white space at that line's front has come.
    in_line: bool,
    event: EventData,
    /// The last line ended in CR: an LF that follows belongs to it.
    after_cr: bool,
    document: Document,
    /// What was given out goes before anything else is read.
    given: Option<Source>,
}

impl Decoder {
    /// Takes bytes from the front of `input` up to the end of the next event or document and gives its data.
    /// None: all of `input` has been taken, and there is no whole one yet.
    pub(crate) fn next(&mut self, input: &mut Bytes) -> Result<Option<Piece<'_>>, Unreadable> {
        self.forget_given();
        loop {
            if self.document.is_reading {
                let is_whole = self.document.read(input, &mut self.line)?;
                self.in_line = !self.line.is_empty();
                return Ok(is_whole.then(|| self.give(Source::Document)));
            }
            if self.after_cr && !input.is_empty() {
                self.after_cr = false;
                if input[0] == b'\n' {
                    input.advance(1);
                }
            }
            if self.begins_document(input)? {
                if self.event.has_data {
                    return Ok(Some(self.give(Source::Data)));
                }
                self.line.clear();
                self.event.started = true;
                self.document.begin();
                continue;
            }
            let end = memchr::memchr2(b'\n', b'\r', input);
            let length = end.unwrap_or(input.len());
            if self.line.len() + self.event.data.len() + length > EVENT_LIMIT {
                return Err(Unreadable::LongEvent);
            }
            let Some(end) = end else {
                self.line.extend_from_slice(input);
                input.clear();
                return Ok(None);
            };
            self.after_cr = input[end] == b'\r';
            let is_blank = if self.line.is_empty() {
                self.event.read_line(&input[..end])
            } else {
                self.line.extend_from_slice(&input[..end]);
                let is_blank = self.event.read_line(&self.line);
                self.line.clear();
                is_blank
            };
            input.advance(end + 1);
            self.in_line = false;
            if is_blank {
                if self.event.has_data {
                    return Ok(Some(self.give(Source::Data)));
                }
                self.event.is_error = false;
            }
        }
    }

    /// At the end of the body, until it gives none: the event that nobody closed, the document that broke off. The
    /// standard throws such an event away; some providers leave out the last empty line, and half a JSON object is
    /// recognised as such anyway.
    pub(crate) fn finish(&mut self) -> Option<Piece<'_>> {
        self.forget_given();
        if self.document.is_reading {
            self.document.is_reading = false;
            return Some(self.give(Source::Document));
        }
        let line = std::mem::take(&mut self.line);
        self.event.read_line(&line);
        self.event.has_data.then(|| self.give(Source::Data))
    }

    /// How many lines came that are none of these, and may have held words.
    pub(crate) const fn lost_lines(&self) -> u64 {
        self.event.lost_lines
    }

    /// Whether lines came that are neither fields nor comments nor documents.
    pub(crate) const fn has_strange_lines(&self) -> bool {
        self.event.strange_lines
    }

    /// Whether a document starts here. Takes the white space, or the byte order mark, in front of it.
    fn begins_document(&mut self, input: &mut Bytes) -> Result<bool, Unreadable> {
        while let Some(&first) = input.first().filter(|_| !self.in_line) {
            match first {
                b' ' | b'\t' => {}
                0xef | 0xbb | 0xbf if !self.event.started => {}
                b'<' if !self.event.started => return Err(Unreadable::Markup),
                b'{' | b'[' if !self.event.is_open() => return Ok(true),
                _ => {
                    self.in_line = true;
                    return Ok(false);
                }
            }
            if self.line.len() >= EVENT_LIMIT {
                return Err(Unreadable::LongEvent);
            }
            self.line.push(first);
            input.advance(1);
        }
        Ok(false)
    }

    fn give(&mut self, source: Source) -> Piece<'_> {
        self.given = Some(source);
        match source {
            Source::Document => Piece { data: &self.document.bytes, source },
            _ if self.event.is_error => Piece { data: &self.event.data, source: Source::Error },
            _ => Piece { data: &self.event.data, source: Source::Data },
        }
    }

    fn forget_given(&mut self) {
        match self.given.take() {
            None => {}
            Some(Source::Document) => self.document.bytes.clear(),
            Some(_) => self.event.clear(),
        }
    }
}

/// The fields of an event so far.
#[derive(Debug, Default)]
struct EventData {
    /// The values of its `data` fields, joined by LF.
    data: Vec<u8>,
    has_data: bool,
    /// The first byte of it that is no white space.
    first: Option<u8>,
    /// It calls itself an error.
    is_error: bool,
    /// How much of `data` was looked through for open brackets, and what was found.
    scanned: (usize, Scanner),
    /// A line has been read: a byte order mark can't come any more.
    started: bool,
    strange_lines: bool,
    lost_lines: u64,
}

impl EventData {
    fn clear(&mut self) {
        self.data.clear();
        self.has_data = false;
        self.first = None;
        self.is_error = false;
        self.scanned = Default::default();
    }

    /// Reads one line; true if it was empty.
    fn read_line(&mut self, mut line: &[u8]) -> bool {
        if !self.started {
            line = line.strip_prefix(BOM).unwrap_or(line);
            self.started = !line.trim_ascii().is_empty();
        }
        if let Some(value) = field(line, b"data") {
            self.push(value);
        } else if line.is_empty() {
            return true;
        } else if let Some(value) = field(line, b"event") {
            let name = value.to_ascii_lowercase();
            self.is_error = name.ends_with(b"error") || name.ends_with(b"exception");
        } else if let Some(value) = field(line, b"error") {
            self.is_error = true;
            self.push(value);
        } else if line[0] == b':' || field(line, b"id").is_some() || field(line, b"retry").is_some() {
            // Comments, and what only browsers need.
        } else if self.is_open() {
            self.push(line);
        } else {
            self.strange_lines |= line.iter().any(u8::is_ascii_alphanumeric);
            self.lost_lines += u64::from(memchr::memmem::find(line, b"\"choices\"").is_some());
        }
        false
    }

    fn push(&mut self, value: &[u8]) {
        if self.has_data {
            self.data.push(b'\n');
        }
        self.has_data = true;
        self.first = self.first.or_else(|| value.iter().copied().find(|byte| !byte.is_ascii_whitespace()));
        self.data.extend_from_slice(value);
    }

    /// Whether the data is JSON that is not at its end.
    fn is_open(&mut self) -> bool {
        if !matches!(self.first, Some(b'{' | b'[')) {
            return false;
        }
        let (done, scanner) = &mut self.scanned;
        for &byte in &self.data[*done..] {
            scanner.step(byte);
        }
        *done = self.data.len();
        scanner.is_open()
    }
}

/// The value of a line, if it is of this field. Some write templates by hand, with white space in front of the name.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (begin, rest) = line.trim_ascii_start().split_at_checked(name.len())?;
    if !begin.eq_ignore_ascii_case(name) {
        return None;
    }
    match rest.split_first() {
        None => Some(rest),
        Some((b':', value)) => Some(value.strip_prefix(b" ").unwrap_or(value)),
        Some(_) => None,
    }
}

/// A document that stands by itself.
#[derive(Debug, Default)]
struct Document {
    is_reading: bool,
    bytes: Vec<u8>,
    scanner: Scanner,
    /// Where its current line begins.
    line_from: usize,
}

impl Document {
    fn begin(&mut self) {
        *self = Self { is_reading: true, bytes: std::mem::take(&mut self.bytes), ..Self::default() };
    }

    /// Takes bytes up to its end; true at its end. A line that is a field ends it as well, broken as it is: what was
    /// taken of that line goes to `line`.
    fn read(&mut self, input: &mut Bytes, line: &mut Vec<u8>) -> Result<bool, Unreadable> {
        let mut taken = 0;
        for &byte in input.iter() {
            if self.bytes.len() >= DOCUMENT_LIMIT {
                return Err(Unreadable::LongDocument);
            }
            taken += 1;
            self.bytes.push(byte);
            if matches!(byte, b'\n' | b'\r') {
                self.line_from = self.bytes.len();
            } else if byte == b':' && is_field(&self.bytes[self.line_from..]) {
                line.extend_from_slice(&self.bytes[self.line_from..]);
                self.bytes.truncate(self.line_from);
                self.is_reading = false;
            } else if self.scanner.step(byte) {
                self.is_reading = false;
            }
            if !self.is_reading {
                break;
            }
        }
        input.advance(taken);
        Ok(!self.is_reading)
    }
}

/// Whether this is how a line of an event stream begins. Within a document no line can.
fn is_field(begin: &[u8]) -> bool {
    matches!(begin, b":" | b"data:" | b"event:" | b"error:" | b"id:" | b"retry:")
}
