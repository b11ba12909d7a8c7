//! The JSON of a chunk (`chat.completion.chunk`) and of a whole answer (`chat.completion`), read as
//! far as we know it.
//!
//! Unknown fields are read over and never passed on; so are `reasoning_content` and tool calls.
//! What providers write differently is met with patience: `content` may be absent, null, a string
//! or an array of parts, numbers may be missing, an error may be an object or a string, a character
//! may be cut in two.
//!
//! **Invariant:** of a chunk, only the text becomes an allocation, and the token ids, which nobody
//! sends who was not asked for them. How a chunk is read ([`Template`]) never changes what it says.

mod template;

use std::{fmt, ops::Range};

use r1_domain::event::Usage;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::error::ErrorWords;
pub(super) use template::Template;

#[cfg(test)]
mod tests;

/// Token ids that take more of a chunk than this are not read: some thousand, where a chunk of our own
/// engine has one mostly and never more than a stop text has bytes.
const IDS_LIMIT: usize = 8 * 1024;

/// What one event says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// New text; may be empty. WTF-8: see [`super::text`].
    pub(super) text: Vec<u8>,
    /// The tokens that it came from, if they were said.
    pub(super) ids: Vec<u32>,
    /// Why the answer ends, if it does.
    pub(super) finish: Option<Finish>,
    /// The newest count, if there is one.
    pub(super) usage: Option<Usage>,
    /// That the answer failed.
    pub(super) error: Option<ErrorWords>,
}

/// Why an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    /// One of OpenAI's words, or `other`.
    Reason(&'static str),
    /// The provider gave up.
    Failed,
}

/// Data that is no JSON object of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotJson;

/// Reads one event's data. Bytes that are no UTF-8 become U+FFFD within the text: a damaged letter
/// is better than a lost word.
pub(super) fn parse(data: &[u8]) -> Result<Said, NotJson> {
    match std::str::from_utf8(data) {
        Ok(data) => parse_str(data).map(|(said, _)| said),
        Err(_) => parse_str(&String::from_utf8_lossy(data)).map(|(said, _)| said),
    }
}

/// As [`parse`]; also gives where the text stands between its quotes, if it is one string.
fn parse_str(data: &str) -> Result<(Said, Option<Range<usize>>), NotJson> {
    let wire: Wire<'_> = serde_json::from_str(data).map_err(|_| NotJson)?;
    let (said, literal) = wire.said();
    let place = literal.map(|literal| {
        let start = literal.as_ptr().addr() - data.as_ptr().addr();
        start + 1..start + literal.len() - 1
    });
    Ok((said, place))
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(default, borrow, deserialize_with = "first")]
    choices: Option<Choice<'a>>,
    #[serde(default, borrow)]
    usage: Option<&'a RawValue>,
    #[serde(default, borrow)]
    error: Option<&'a RawValue>,
    /// vLLM's older form of an error: no `error`, but `"object": "error"` beside the message.
    #[serde(default)]
    object: Word,
    #[serde(default, borrow)]
    message: Option<&'a RawValue>,
}

impl<'a> Wire<'a> {
    /// What it says, and the JSON string that holds the text, if one does.
    fn said(self) -> (Said, Option<&'a str>) {
        let choice = self.choices.unwrap_or_default();
        let content = choice.delta.or(choice.message).unwrap_or_default().content;
        let error = match (self.error.filter(|error| !is_nothing(error)), self.object.0) {
            (Some(error), _) => Some(ErrorWords::from_json(error.get())),
            (None, Known::Error) => Some(ErrorWords::from_json(self.message.map_or("", RawValue::get))),
            _ => None,
        };
        let said = Said {
            text: content.text,
            ids: choice.token_ids.map(ids).unwrap_or_default(),
            finish: choice.finish_reason.finish(),
            usage: self.usage.and_then(|usage| serde_json::from_str::<Counts>(usage.get()).ok()).map(Into::into),
            error,
        };
        (said, content.literal)
    }
}

/// Some send an `error` with every chunk, and nothing in it as long as all is well.
fn is_nothing(error: &RawValue) -> bool {
    matches!(error.get(), "false" | "0" | "\"\"" | "{}" | "[]")
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Choice<'a> {
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    /// In place of `delta` where the answer comes whole.
    #[serde(borrow)]
    message: Option<Delta<'a>>,
    finish_reason: Word,
    #[serde(borrow)]
    token_ids: Option<&'a RawValue>,
}

/// A list of token ids; empty where it is none, or too long a one: the text counts all the same.
fn ids(json: &RawValue) -> Vec<u32> {
    let json = Some(json.get()).filter(|json| json.len() <= IDS_LIMIT);
    json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Delta<'a> {
    #[serde(borrow)]
    content: Content<'a>,
}

#[derive(Deserialize)]
struct Counts {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    total_tokens: Option<u64>,
}

impl From<Counts> for Usage {
    fn from(counts: Counts) -> Self {
        let prompt_tokens = counts.prompt_tokens.unwrap_or(0);
        let completion_tokens = counts.completion_tokens.unwrap_or(0);
        let total_tokens = counts.total_tokens.unwrap_or(prompt_tokens.saturating_add(completion_tokens));
        Self { prompt_tokens, completion_tokens, total_tokens, estimated: false }
    }
}

/// Of a list only the first: we never ask for more than one choice.
fn first<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Choice<'de>>, D::Error> {
    struct First;
    impl<'de> Visitor<'de> for First {
        type Value = Option<Choice<'de>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of choices")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut choices: A) -> Result<Self::Value, A::Error> {
            let first = choices.next_element()?;
            while choices.next_element::<IgnoredAny>()?.is_some() {}
            Ok(first)
        }
    }
    deserializer.deserialize_any(First)
}

/// A word that decides something, of those that we know.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Known {
    #[default]
    Nothing,
    Stop,
    Length,
    ContentFilter,
    ToolCalls,
    Error,
    Other,
}

#[derive(Default)]
struct Word(Known);

impl Word {
    fn read(word: &str) -> Self {
        let is = |known: &[&str]| known.iter().any(|known| known.eq_ignore_ascii_case(word));
        Self(if word.is_empty() {
            Known::Nothing
        } else if is(&["stop", "eos", "end_turn", "stop_sequence", "complete"]) {
            Known::Stop
        } else if is(&["length", "max_tokens", "model_length"]) {
            Known::Length
        } else if is(&["content_filter", "safety"]) {
            Known::ContentFilter
        } else if is(&["tool_calls", "function_call", "tool_use"]) {
            Known::ToolCalls
        } else if is(&["error", "insufficient_system_resource"]) {
            Known::Error
        } else {
            Known::Other
        })
    }

    const fn finish(&self) -> Option<Finish> {
        Some(match self.0 {
            Known::Nothing => return None,
            Known::Stop => Finish::Reason("stop"),
            Known::Length => Finish::Reason("length"),
            Known::ContentFilter => Finish::Reason("content_filter"),
            Known::ToolCalls => Finish::Reason("tool_calls"),
            Known::Error => Finish::Failed,
            // Not passed on: it is a word that we don't know.
            Known::Other => Finish::Reason("other"),
        })
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Lenient(Self::read))
    }
}

/// Text as a string or as an array of parts; anything else is no text.
#[derive(Default)]
struct Content<'a> {
    /// As [`Said::text`] has it.
    text: Vec<u8>,
    /// Where it is a string: that, as JSON.
    literal: Option<&'a str>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        if !raw.starts_with('[') {
            let text = string(raw).map_err(serde::de::Error::custom)?;
            return Ok(Self { text, literal: Some(raw).filter(|raw| raw.starts_with('"')) });
        }
        let parts: Vec<Part> = serde_json::from_str(raw).map_err(serde::de::Error::custom)?;
        // A part of thinking, say, is no part of the answer.
        let text = parts.into_iter().filter(|part| part.kind.0).flat_map(|part| part.text.0).collect();
        Ok(Self { text, literal: None })
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Part {
    #[serde(rename = "type")]
    kind: IsText,
    text: PartText,
}

/// As [`Content::text`], without parts in parts: how deep they nest would be the provider's to say.
#[derive(Default)]
struct PartText(Vec<u8>);

impl<'de> Deserialize<'de> for PartText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        string(raw).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A JSON string as WTF-8, which serde_json gives where bytes are asked for; empty for other values.
fn string(raw: &str) -> serde_json::Result<Vec<u8>> {
    struct Bytes;
    impl Visitor<'_> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
            Ok(bytes.to_vec())
        }
    }
    if raw.starts_with('"') { serde_json::Deserializer::from_str(raw).deserialize_bytes(Bytes) } else { Ok(Vec::new()) }
}

/// Whether a part's `type` is one for the reader's eyes.
struct IsText(bool);

impl Default for IsText {
    fn default() -> Self {
        Self(true)
    }
}

impl<'de> Deserialize<'de> for IsText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Lenient(|word: &str| Self(matches!(word, "text" | "output_text"))))
    }
}

/// Reads a word without keeping it; anything but a string is the empty word.
struct Lenient<F>(F);

impl<'de, T, F: FnOnce(&str) -> T> Visitor<'de> for Lenient<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word")
    }

    fn visit_str<E>(self, word: &str) -> Result<T, E> {
        Ok((self.0)(word))
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok((self.0)(""))
    }

    fn visit_bool<E>(self, _: bool) -> Result<T, E> {
        Ok((self.0)(""))
    }

    fn visit_u64<E>(self, _: u64) -> Result<T, E> {
        Ok((self.0)(""))
    }

    fn visit_i64<E>(self, _: i64) -> Result<T, E> {
        Ok((self.0)(""))
    }

    fn visit_f64<E>(self, _: f64) -> Result<T, E> {
        Ok((self.0)(""))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok((self.0)(""))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<T, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok((self.0)(""))
    }
}
