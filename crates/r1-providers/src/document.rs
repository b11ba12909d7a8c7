//! Where a JSON object or list ends, in bytes that come in pieces.
//!
//! Some servers send documents without saying so: one a line, several in one event, or one that stands
//! bare among the fields of an event stream. Brackets and quotes tell where each of them ends; whether it
//! is JSON is the parser's question.
//!
//! **Invariant:** a byte is looked at once, and nothing is kept of it.

use bytes::{Buf, Bytes};

/// The state between two pieces of one value.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Scanner {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Scanner {
    /// Takes one byte; true if the value ends with it.
    pub(crate) fn step(&mut self, byte: u8) -> bool {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.in_string => self.escaped = true,
            b'"' => self.in_string = !self.in_string,
            _ if self.in_string => {}
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }

    /// Whether something was opened and not closed.
    pub(crate) const fn is_open(&self) -> bool {
        self.depth > 0
    }
}

/// Takes the next of several documents from the front of `data`, or what stands between two of them.
/// None: nothing is left.
pub(crate) fn next(data: &mut Bytes) -> Option<Bytes> {
    loop {
        let lead = data.iter().take_while(|byte| byte.is_ascii_whitespace() || matches!(byte, b',' | b'\x1e')).count();
        data.advance(lead);
        // A field's name that was written twice, or once too often.
        let Some(rest) = data.strip_prefix(b"data:") else { break };
        data.advance(data.len() - rest.len());
    }
    let end = match data.first()? {
        b'{' | b'[' => {
            let mut scanner = Scanner::default();
            data.iter().position(|&byte| scanner.step(byte)).map(|last| last + 1)
        }
        _ => data.iter().position(|byte| matches!(byte, b'{' | b'\n')),
    };
    Some(data.split_to(end.unwrap_or(data.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(data: &'static str) -> Vec<String> {
        let mut data = Bytes::from_static(data.as_bytes());
        std::iter::from_fn(|| next(&mut data)).map(|piece| String::from_utf8_lossy(&piece).into_owned()).collect()
    }

    #[test]
    fn documents_are_told_apart_by_their_brackets() {
        for (data, pieces) in [
            ("{\"a\":1}\n{\"b\":2}", &["{\"a\":1}", "{\"b\":2}"][..]),
            ("{\"a\":\"}{\"}{\"b\":[{}]}", &["{\"a\":\"}{\"}", "{\"b\":[{}]}"]),
            ("{\"a\":\"\\\"}\"}, [DONE]", &["{\"a\":\"\\\"}\"}", "[DONE]"]),
            ("{\"a\":1}data: {\"b\":2}", &["{\"a\":1}", "{\"b\":2}"]),
            ("data: data: {}", &["{}"]),
            ("words\n{}more", &["words", "{}", "more"]),
            ("{\"a\":", &["{\"a\":"]),
            (" \n,", &[]),
            ("", &[]),
        ] {
            assert_eq!(all(data), pieces, "{data}");
        }
    }
}
