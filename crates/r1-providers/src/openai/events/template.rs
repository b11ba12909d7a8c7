//! The chunk before, as a template for the next.
//!
//! The chunks of an answer repeat some hundred bytes (ids, model, empty fields) around a few new
//! ones. Where all but the text is byte for byte what it was, and the text needs no unescaping, the
//! JSON need not be read again: the same bytes around a string say the same.
//!
//! **Invariant:** what a template gives is what [`parse`] gives; it only gives it sooner.

use std::ops::Range;

use super::{NotJson, Said, parse, parse_str};

#[cfg(test)]
mod tests;

/// A chunk with more than this around its text is no template: it would be kept for each answer.
const LIMIT: usize = 2048;

/// The bytes around the text of the last chunk that said nothing but text.
#[derive(Debug, Default)]
pub(in crate::openai) struct Template {
    /// What stood before the text, its opening quote included, and after it.
    around: Vec<u8>,
    /// How much of it stood before; 0: nothing is known yet.
    before: usize,
}

impl Template {
    /// As [`parse`].
    pub(in crate::openai) fn parse(&mut self, data: &[u8]) -> Result<Said, NotJson> {
        if let Some(text) = self.text_of(data) {
            return Ok(Said { text: text.to_vec(), has_choice: true, is_known: true, ..Said::default() });
        }
        let strict = std::str::from_utf8(data).ok().and_then(|whole| parse_str(whole).ok());
        let Some((said, place)) = strict else { return parse(data) };
        if let Some(place) = place.filter(|_| said.is_text_alone()) {
            self.learn(data, place);
        }
        Ok(said)
    }

    /// The text, if the rest is as it was.
    fn text_of<'a>(&self, data: &'a [u8]) -> Option<&'a [u8]> {
        if self.before == 0 {
            return None;
        }
        let (before, after) = self.around.split_at(self.before);
        let text = data.strip_prefix(before)?.strip_suffix(after)?;
        // A quote or a backslash would mean that the string ends elsewhere, or says something else; control
        // characters are no JSON.
        let is_plain = !text.iter().any(|&byte| byte < b' ' || byte == b'"' || byte == b'\\');
        (is_plain && std::str::from_utf8(text).is_ok()).then_some(text)
    }

    fn learn(&mut self, data: &[u8], text: Range<usize>) {
        self.around.clear();
        self.before = 0;
        if data.len() - text.len() <= LIMIT {
            self.around.extend_from_slice(&data[..text.start]);
            self.around.extend_from_slice(&data[text.end..]);
            self.before = text.start;
        }
    }
}
