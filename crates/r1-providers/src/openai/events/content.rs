//! Where words can stand: text, parts, parts in parts; and what is thought beside them.
//!
//! **Invariant:** nesting is followed to [`DEPTH`], whatever a provider sends.

use std::borrow::Cow;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// How deep parts may stand in parts.
const DEPTH: usize = 6;

/// What a value holds that is to be read by people.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// WTF-8.
    pub(super) text: Vec<u8>,
    /// WTF-8.
    pub(super) reasoning: Vec<u8>,
    /// Something may have been words, in a shape that we don't know.
    pub(super) unread: bool,
}

impl Words {
    /// Reads a `content`.
    pub(super) fn of(raw: &RawValue) -> Self {
        let mut words = Self::default();
        words.add(raw.get(), Voice::Answer, 0);
        words
    }

    /// Reads a value that holds nothing but what the model thinks.
    pub(super) fn reasoning(raw: &RawValue) -> Vec<u8> {
        let mut words = Self::default();
        words.add(raw.get(), Voice::Reasoning, 0);
        words.reasoning
    }

    fn add(&mut self, raw: &str, voice: Voice, depth: usize) {
        let first = raw.as_bytes().first();
        match first {
            Some(b'"') => match string(raw) {
                Some(words) => self.push(words, voice),
                None => self.unread = true,
            },
            // A word that somebody's JavaScript took for a number.
            Some(b'-' | b'0'..=b'9') => self.push(raw.as_bytes().to_vec(), voice),
            Some(b'[' | b'{') if depth == DEPTH => self.unread = true,
            Some(b'[') => match serde_json::from_str::<Vec<&RawValue>>(raw) {
                Ok(parts) => parts.into_iter().for_each(|part| self.add(part.get(), voice, depth + 1)),
                Err(_) => self.unread = true,
            },
            Some(b'{') => match serde_json::from_str::<Part<'_>>(raw) {
                Ok(part) => self.part(&part, voice, depth + 1),
                Err(_) => self.unread = true,
            },
            _ => {}
        }
    }

    fn part(&mut self, part: &Part<'_>, voice: Voice, depth: usize) {
        let voice = match part.kind.as_deref().map(Voice::of) {
            _ if voice == Voice::Reasoning => voice,
            None => voice,
            Some(Some(voice)) => voice,
            // Pictures, references, what else there may be: no words, unless there is a text.
            Some(None) => {
                self.unread |= part.text.or(part.content).is_some_and(|text| text.get().len() > 2);
                return;
            }
        };
        let own = if voice == Voice::Reasoning { part.reasoning } else { None };
        if let Some(raw) = own.or(part.text).or(part.content).or(part.value).or(part.refusal) {
            self.add(raw.get(), voice, depth);
        } else if let Some(raw) = part.reasoning {
            self.add(raw.get(), Voice::Reasoning, depth);
        } else {
            self.unread |= part.kind.is_none() && part.strange_text;
        }
    }

    fn push(&mut self, words: Vec<u8>, voice: Voice) {
        let place = match voice {
            Voice::Answer => &mut self.text,
            Voice::Reasoning => &mut self.reasoning,
        };
        if place.is_empty() { *place = words } else { place.extend(words) }
    }
}

/// Whose ears words are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Voice {
    Answer,
    Reasoning,
}

impl Voice {
    /// By a part's `type`; none for what is not known to be words.
    fn of(kind: &str) -> Option<Self> {
        let is = |words: &[&str]| words.iter().any(|word| kind.contains(word));
        if is(&["think", "thought", "reason"]) {
            Some(Self::Reasoning)
        } else if matches!(kind, "" | "refusal" | "answer" | "message")
            || kind.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word.eq_ignore_ascii_case("text"))
        {
            Some(Self::Answer)
        } else {
            None
        }
    }
}

/// An object in the place of words. Of a key that stands twice the last one counts.
#[derive(Debug, Default)]
struct Part<'a> {
    kind: Option<Cow<'a, str>>,
    text: Option<&'a RawValue>,
    content: Option<&'a RawValue>,
    value: Option<&'a RawValue>,
    refusal: Option<&'a RawValue>,
    reasoning: Option<&'a RawValue>,
    /// A text stands under a key that we don't know.
    strange_text: bool,
}

impl<'de: 'a, 'a> Deserialize<'de> for Part<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Part<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a part")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Part<'de>, A::Error> {
                let mut part = Part::default();
                while let Some(key) = map.next_key::<Key<'de>>()? {
                    let value: &'de RawValue = map.next_value()?;
                    let value = Some(value).filter(|value| value.get() != "null");
                    match &*key.0 {
                        "type" => part.kind = value.and_then(|value| serde_json::from_str(value.get()).ok()),
                        "text" => part.text = value,
                        "content" | "parts" => part.content = value,
                        "value" => part.value = value,
                        "refusal" => part.refusal = value,
                        "thinking" | "reasoning" | "reasoning_content" | "reasoning_text" | "summary" => {
                            part.reasoning = value;
                        }
                        "id" | "role" | "name" | "object" | "model" => {}
                        _ => {
                            part.strange_text |= value.is_some_and(|value| value.get().starts_with('"'));
                        }
                    }
                }
                Ok(part)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// A key, borrowed where it can be.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Key<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// A JSON string as WTF-8, which serde_json gives where bytes are asked for. None where it is none.
pub(super) fn string(raw: &str) -> Option<Vec<u8>> {
    struct Bytes;
    impl Visitor<'_> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a string")
        }

        fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }
    }
    serde_json::Deserializer::from_str(raw).deserialize_bytes(Bytes).ok()
}
