//! Server-Sent Events (WHATWG HTML, 9.2.6) read from bytes that were cut anywhere.
//!
//! Only `data` matters to the OpenAI format: other fields and comments are read over. Bytes are
//! looked at once, lines that lie whole in their chunk are never copied to be read, and both
//! buffers are reused, so a stream in its stride allocates nothing here.
//!
//! **Invariant:** no more than [`EVENT_LIMIT`] bytes are ever held, however long a line is.

use bytes::{Buf, Bytes};

#[cfg(test)]
mod tests;

/// Largest event, and largest line, in bytes.
pub(crate) const EVENT_LIMIT: usize = 1024 * 1024;

/// A line or an event over [`EVENT_LIMIT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

/// The state between two chunks of a body.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// The line that the last chunk broke off in.
    line: Vec<u8>,
    /// The values of the event's `data` fields so far, joined by LF.
    data: Vec<u8>,
    has_data: bool,
    /// The last line ended in CR: an LF that follows belongs to it.
    after_cr: bool,
    /// A line has been read: a byte order mark can't come any more.
    started: bool,
    /// `data` has been given out and goes before anything else is read.
    given: bool,
}

impl Decoder {
    /// Takes bytes from the front of `input` up to the end of the next event and gives its data.
    /// None: all of `input` has been taken, and there is no whole event yet.
    pub(crate) fn next(&mut self, input: &mut Bytes) -> Result<Option<&[u8]>, TooLong> {
        self.forget_given();
        loop {
            if self.after_cr && !input.is_empty() {
                self.after_cr = false;
                if input[0] == b'\n' {
                    input.advance(1);
                }
            }
            let end = memchr::memchr2(b'\n', b'\r', input);
            let length = end.unwrap_or(input.len());
            if self.line.len() + self.data.len() + length > EVENT_LIMIT {
                return Err(TooLong);
            }
            let Some(end) = end else {
                self.line.extend_from_slice(input);
                input.clear();
                return Ok(None);
            };
            self.after_cr = input[end] == b'\r';
            let is_blank = if self.line.is_empty() {
                Self::read_line(&mut self.data, &mut self.has_data, &mut self.started, &input[..end])
            } else {
                self.line.extend_from_slice(&input[..end]);
                let is_blank = Self::read_line(&mut self.data, &mut self.has_data, &mut self.started, &self.line);
                self.line.clear();
                is_blank
            };
            input.advance(end + 1);
            if is_blank && self.has_data {
                self.given = true;
                return Ok(Some(&self.data));
            }
        }
    }

    /// At the end of the body: the event that nobody closed, if there is one. The standard throws
    /// it away; some providers leave out the last empty line, and half a JSON object is recognised
    /// as such anyway.
    pub(crate) fn finish(&mut self) -> Option<&[u8]> {
        self.forget_given();
        let line = std::mem::take(&mut self.line);
        Self::read_line(&mut self.data, &mut self.has_data, &mut self.started, &line);
        self.given = self.has_data;
        self.has_data.then_some(&self.data)
    }

    fn forget_given(&mut self) {
        if self.given {
            self.data.clear();
            self.has_data = false;
            self.given = false;
        }
    }

    /// Reads one line; true if it was empty.
    fn read_line(data: &mut Vec<u8>, has_data: &mut bool, started: &mut bool, mut line: &[u8]) -> bool {
        if !*started {
            *started = true;
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        let Some(rest) = line.strip_prefix(b"data") else { return line.is_empty() };
        let value = match rest.split_first() {
            None => rest,
            Some((b':', value)) => value.strip_prefix(b" ").unwrap_or(value),
            Some(_) => return false,
        };
        if *has_data {
            data.push(b'\n');
        }
        *has_data = true;
        data.extend_from_slice(value);
        false
    }
}
