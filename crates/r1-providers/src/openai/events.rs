//! The JSON of a chunk (`chat.completion.chunk`) and of a whole answer (`chat.completion`), read as
//! far as we know it.
//!
//! Unknown fields are read over and never passed on. What providers write differently is met with patience, because
//! one odd value must not cost an event's words: see [`wire`] for shapes, [`content`] for where words can stand,
//! [`finish`] for the words of an end, [`lenient`] for what is nearly JSON.
//!
//! **Invariant:** of a chunk, only the text becomes an allocation, and the token ids, which nobody
//! sends who was not asked for them. How a chunk is read ([`Template`]) never changes what it says. What may have
//! held words and gave none is said to be unread.

mod content;
mod fields;
mod finish;
mod lenient;
mod template;
mod usage;
mod wire;

use std::ops::Range;

use r1_domain::event::Usage;

use super::error::ErrorWords;
pub(super) use finish::Finish;
pub(super) use template::Template;
use wire::Wire;

#[cfg(test)]
mod tests;

/// What one event says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// New text; may be empty. WTF-8: see [`super::text`].
    pub(super) text: Vec<u8>,
    /// `text` stood in a `message`, which may repeat what came before, not in a `delta`.
    pub(super) is_message: bool,
    /// The whole answer: a `message` where nothing says that it is a chunk.
    pub(super) is_whole: bool,
    /// What the model thinks; WTF-8 as well.
    pub(super) reasoning: Vec<u8>,
    /// The tokens that the text came from, if they were said.
    pub(super) ids: Vec<u32>,
    /// It is of this format, as far as its keys tell, or has none.
    pub(super) is_known: bool,
    /// Something stood in `choices`.
    pub(super) has_choice: bool,
    /// A tool was called.
    pub(super) tool_call: bool,
    /// There may have been words in it that could not be read.
    pub(super) unread: bool,
    /// Why the answer ends, if it does.
    pub(super) finish: Option<Finish>,
    /// The newest count, if there is one.
    pub(super) usage: Option<Usage>,
    /// That the answer failed.
    pub(super) error: Option<ErrorWords>,
}

impl Said {
    /// Whether this says nothing but text.
    fn is_text_alone(&self) -> bool {
        let plain = !self.is_message && !self.tool_call && !self.unread && self.reasoning.is_empty();
        plain && self.ids.is_empty() && self.finish.is_none() && self.usage.is_none() && self.error.is_none()
    }
}

/// Data that is no JSON object or list of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotJson;

/// Reads one event's data. Bytes that are no UTF-8 become U+FFFD within the text: a damaged letter
/// is better than a lost word. What is nearly JSON is read as what was meant.
pub(super) fn parse(data: &[u8]) -> Result<Said, NotJson> {
    let data = String::from_utf8_lossy(data);
    match parse_str(&data) {
        Ok((said, _)) => Ok(said),
        Err(NotJson) => parse_str(&lenient::mended(&data).ok_or(NotJson)?).map(|(said, _)| said),
    }
}

/// Whether data that is no document says nothing: a scalar, signs, a word that keeps a connection alive, or a comment
/// that somebody took for data.
pub(super) fn is_silence(data: &[u8]) -> bool {
    let words = ["ping", "[ping]", "pong", "keep-alive", "keepalive", "heartbeat", "null", "true", "false", "none"];
    let is_word = words.iter().any(|word| data.eq_ignore_ascii_case(word.as_bytes()));
    let is_comment = data.starts_with(b":") && !data.contains(&b'{');
    is_word
        || is_comment
        || serde_json::from_slice::<f64>(data).is_ok()
        || !data.iter().any(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii())
}

/// Reads strict JSON; also gives where the text stands between its quotes, if it is one string.
fn parse_str(data: &str) -> Result<(Said, Option<Range<usize>>), NotJson> {
    if data.starts_with('"') {
        // JSON in a JSON string: a server that encoded twice.
        let inner: String = serde_json::from_str(data).map_err(|_| NotJson)?;
        return if inner.starts_with('{') { parse_str(&inner).map(|(said, _)| (said, None)) } else { Err(NotJson) };
    }
    if data.starts_with('[') {
        return wire::list(data).map(|said| (said, None)).ok_or(NotJson);
    }
    let wire: Wire<'_> = serde_json::from_str(data).map_err(|_| NotJson)?;
    let (said, literal) = wire.said(data);
    let place = literal.map(|literal| {
        let start = literal.as_ptr().addr() - data.as_ptr().addr();
        start + 1..start + literal.len() - 1
    });
    Ok((said, place))
}
