//! One stream, checked chunk by chunk: nothing lost, nothing twice, nothing out of order.
//!
//! It reads both formats, the upstream's own and the server's. Of the server's it also checks that
//! the events are numbered without a gap.

use std::collections::HashSet;

use r1_testkit::upstream::{PacedMark, paced_marks};

/// What was wrong with a stream, or with several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// Chunks that did not come.
    pub(crate) lost: u64,
    /// Chunks that came again.
    pub(crate) doubled: u64,
    /// Chunks that came after a later one.
    pub(crate) disordered: u64,
    /// Events whose number was not the one after the last.
    pub(crate) misnumbered: u64,
    /// Streams that ended without their end.
    pub(crate) broken: u64,
}

impl Faults {
    pub(crate) fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.disordered += other.disordered;
        self.misnumbered += other.misnumbered;
        self.broken += other.broken;
    }
}

/// Reads one stream.
#[derive(Default)]
pub(crate) struct Checker {
    /// A frame that has come in part.
    rest: Vec<u8>,
    next: u64,
    missing: HashSet<u64>,
    next_event: u64,
    ended: bool,
    faults: Faults,
    /// What an `error` event said.
    pub(crate) error: Option<String>,
}

impl Checker {
    /// Takes what has come. Calls `chunk` for each chunk in it.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut chunk: impl FnMut(PacedMark)) {
        if self.rest.is_empty() {
            let read = self.frames(bytes, &mut chunk);
            self.rest.extend_from_slice(&bytes[read..]);
        } else {
            let mut all = std::mem::take(&mut self.rest);
            all.extend_from_slice(bytes);
            let read = self.frames(&all, &mut chunk);
            all.drain(..read);
            self.rest = all;
        }
    }

    /// Reads the whole frames; gives back how many bytes they are.
    fn frames(&mut self, bytes: &[u8], chunk: &mut impl FnMut(PacedMark)) -> usize {
        let mut read = 0;
        while let Some(length) = memchr::memmem::find(&bytes[read..], b"\n\n") {
            self.frame(&bytes[read..read + length], chunk);
            read += length + 2;
        }
        read
    }

    fn frame(&mut self, frame: &[u8], chunk: &mut impl FnMut(PacedMark)) {
        for line in frame.split(|&byte| byte == b'\n') {
            if let Some(id) = line.strip_prefix(b"id: ") {
                self.event(id);
            } else if let Some(data) = line.strip_prefix(b"data: ") {
                self.data(data, chunk);
            }
        }
    }

    fn event(&mut self, id: &[u8]) {
        let dot = memchr::memrchr(b'.', id).map_or(0, |dot| dot + 1);
        let seq = std::str::from_utf8(&id[dot..]).ok().and_then(|seq| seq.parse::<u64>().ok());
        if self.next_event == 0 {
            self.next_event = 1;
        }
        match seq {
            Some(seq) if seq == self.next_event => self.next_event += 1,
            _ => self.faults.misnumbered += 1,
        }
    }

    fn data(&mut self, data: &[u8], chunk: &mut impl FnMut(PacedMark)) {
        // The mark holds no quotes, so its text needs no JSON reader.
        if let Some(text) = content(data) {
            for mark in paced_marks(text) {
                self.mark(mark.index);
                chunk(mark);
            }
        } else if data == b"[DONE]" || data.starts_with(br#"{"type": "end""#) {
            self.ended = true;
        } else if data.starts_with(br#"{"type": "error""#) {
            self.error = Some(String::from_utf8_lossy(data).into_owned());
        }
    }

    fn mark(&mut self, index: u64) {
        if index >= self.next {
            self.missing.extend(self.next..index);
            self.next = index + 1;
        } else if self.missing.remove(&index) {
            self.faults.disordered += 1;
        } else {
            self.faults.doubled += 1;
        }
    }

    /// The verdict, at the end of the body, on a stream of `count` chunks.
    pub(crate) fn finish(mut self, count: u64) -> Faults {
        self.faults.lost = self.missing.len() as u64 + count.saturating_sub(self.next);
        self.faults.doubled += self.next.saturating_sub(count);
        self.faults.broken = u64::from(!self.ended || !self.rest.is_empty());
        self.faults
    }
}

/// The value of the first `"content"` in it.
fn content(data: &[u8]) -> Option<&str> {
    let at = memchr::memmem::find(data, br#""content":"#)? + br#""content":"#.len();
    let rest = data[at..].strip_prefix(b" ").unwrap_or(&data[at..]).strip_prefix(b"\"")?;
    std::str::from_utf8(&rest[..memchr::memchr(b'"', rest)?]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(stream: &str, count: u64) -> Faults {
        let (mut whole, mut pieces) = (Checker::default(), Checker::default());
        let (mut seen, mut seen_in_pieces) = (Vec::new(), Vec::new());
        whole.feed(stream.as_bytes(), |mark| seen.push(mark));
        for byte in stream.as_bytes() {
            pieces.feed(&[*byte], |mark| seen_in_pieces.push(mark));
        }
        assert_eq!(seen, seen_in_pieces);
        let faults = whole.finish(count);
        assert_eq!(faults, pieces.finish(count));
        faults
    }

    fn upstream(indices: &[u64]) -> String {
        indices.iter().fold(String::new(), |stream, index| {
            stream + &format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{index}@17 \"}}}}]}}\n\n")
        })
    }

    fn server(events: &[(u64, u64)]) -> String {
        let start = "id: g:1.1\ndata: {\"type\": \"start\", \"message\": \"Starting\"}\n\n".to_owned();
        events.iter().fold(start, |stream, (seq, index)| {
            stream + &format!("id: g:1.{seq}\ndata: {{\"type\": \"chunk\", \"content\": \"{index}@17 \"}}\n\n")
        })
    }

    const DONE: &str = "data: [DONE]\n\n";

    #[test]
    fn a_whole_stream_has_no_faults() {
        assert_eq!(verdict(&(upstream(&[0, 1, 2]) + DONE), 3), Faults::default());
        let stream = server(&[(2, 0), (3, 1)])
            + ": comment\n\nid: g:1.4\ndata: {\"type\": \"end\", \"status\": \"completed\"}\n\n";
        assert_eq!(verdict(&stream, 2), Faults::default());
    }

    #[test]
    fn every_fault_is_named() {
        let expect =
            |indices: &[u64], faults| assert_eq!(verdict(&(upstream(indices) + DONE), 3), faults, "{indices:?}");
        expect(&[0, 2], Faults { lost: 1, ..Faults::default() });
        expect(&[0, 1], Faults { lost: 1, ..Faults::default() });
        expect(&[0, 1, 1, 2], Faults { doubled: 1, ..Faults::default() });
        expect(&[0, 1, 2, 3], Faults { doubled: 1, ..Faults::default() });
        expect(&[0, 2, 1], Faults { disordered: 1, ..Faults::default() });
        assert_eq!(verdict(&upstream(&[0, 1, 2]), 3), Faults { broken: 1, ..Faults::default() });
        assert_eq!(verdict(&(server(&[(2, 0), (4, 1)]) + DONE), 2), Faults { misnumbered: 1, ..Faults::default() });
    }

    #[test]
    fn an_error_is_kept() {
        let mut checker = Checker::default();
        checker.feed(b"id: g:1.1\ndata: {\"type\": \"error\", \"code\": \"provider_auth\"}\n\n", |_| {});
        assert!(checker.error.as_ref().is_some_and(|error| error.contains("provider_auth")));
        assert_eq!(checker.finish(1), Faults { lost: 1, broken: 1, ..Faults::default() });
    }
}
