//! Token ids to text, as they come.

use super::Tokenizer;

/// Turns tokens into text piece by piece.
///
/// A character may be spread over several tokens: its bytes are held back until it is whole, so
/// that what is given out never has to be taken back. Bytes that cannot become a character are
/// replaced by U+FFFD as soon as that is certain, at the latest by [`Decoder::finish`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decoder {
    /// The beginning of a character; at most three bytes between calls.
    pending: Vec<u8>,
}

impl Decoder {
    /// Adds a token; returns the whole characters that are now there, often a word, sometimes
    /// nothing. Control tokens have no text.
    pub fn push(&mut self, tokenizer: &Tokenizer, id: u32) -> String {
        if !tokenizer.is_control(id) {
            self.pending.extend_from_slice(tokenizer.bytes(id));
        }
        let mut text = String::new();
        let mut rest = self.pending.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    rest = &[];
                    break;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    match error.error_len() {
                        Some(invalid) => {
                            text.push(char::REPLACEMENT_CHARACTER);
                            rest = &after[invalid..];
                        }
                        None => {
                            rest = after;
                            break;
                        }
                    }
                }
            }
        }
        self.pending = rest.to_vec();
        text
    }

    /// Whether nothing is held back.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.pending.is_empty()
    }

    /// What is left when no more tokens come.
    pub fn finish(&mut self) -> String {
        let left = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending.clear();
        left
    }
}
