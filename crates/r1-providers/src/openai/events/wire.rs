//! The shapes of a chunk and of an answer, of which each field may be of any type: see [`super::fields`].
//!
//! **Invariant:** each part of a document is parsed at most twice, however it nests.

use std::borrow::Cow;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess},
};
use serde_json::{Value, value::RawValue};

use super::{
    Said,
    content::{Words, string},
    fields::{Fields, Fill, filled, object, skip},
    finish::Finish,
    parse,
    usage::{counts, number},
};
use crate::openai::error::ErrorWords;

/// Token ids that take more of a chunk than this are not read: some thousand, where a chunk of our own
/// engine has one mostly and never more than a stop text has bytes.
const IDS_LIMIT: usize = 8 * 1024;

/// An error that takes more bytes than this says something.
const NOTHING_LIMIT: usize = 1024;

/// A list of documents in one: some servers send all chunks as one list. None: it is no JSON.
pub(super) fn list(data: &str) -> Option<Said> {
    let mut all = Said::default();
    for raw in serde_json::from_str::<Vec<&RawValue>>(data).ok()? {
        match raw.get() {
            // A list in a list would be read without an end.
            nested if nested.starts_with('[') => all.unread |= nested.len() > 2,
            one => match parse(one.as_bytes()) {
                Ok(said) => merge(&mut all, said),
                Err(_) => all.unread |= may_be_words(one),
            },
        }
    }
    Some(all)
}

/// Puts what a later chunk says behind what an earlier one said.
fn merge(all: &mut Said, said: Said) {
    all.text.extend(said.text);
    all.reasoning.extend(said.reasoning);
    all.is_message |= said.is_message;
    all.is_whole |= said.is_whole;
    all.is_known |= said.is_known;
    all.has_choice |= said.has_choice;
    all.tool_call |= said.tool_call;
    all.unread |= said.unread;
    all.finish = said.finish.or(all.finish);
    all.usage = said.usage.or(all.usage);
    all.error = all.error.take().or(said.error);
}

/// Whether a value that is no object may have been words: a text, of more than signs.
fn may_be_words(json: &str) -> bool {
    json.starts_with('"') && json.bytes().any(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii())
}

/// A document.
#[derive(Default)]
pub(super) struct Wire<'a> {
    choices: Choices<'a>,
    usage: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
    /// `object` or `type` is `error`.
    is_error: bool,
    /// `object` says that this is a chunk.
    is_chunk: bool,
    /// A sentence where an error has one: `message`, `detail`, …
    sentence: bool,
    /// A code or a word that says that all is well.
    is_fine: bool,
    /// Keys of this format.
    is_known: bool,
    /// Any keys.
    has_keys: bool,
    /// Something that holds words in other formats than this one.
    elsewhere: bool,
}

impl<'a> Wire<'a> {
    /// What it says, and the JSON string that holds the text, if one does. `data` is the whole document.
    pub(super) fn said(self, data: &str) -> (Said, Option<&'a str>) {
        let is_known = self.is_known || !self.has_keys;
        let mut said = Said { usage: self.usage.and_then(counts), is_known, ..Said::default() };
        let mut literal = None;
        let failed = self.error.or(self.choices.error).is_some_and(|error| !is_nothing(error));
        let has_choices = self.choices.first.is_some();
        if failed || self.is_error || (!has_choices && self.sentence && !self.is_fine) {
            said.error = Some(ErrorWords::read(data.as_bytes()));
        }
        // A document without choices that holds words nobody can place is no ping.
        said.unread = !has_choices && said.error.is_none() && self.elsewhere;
        for choice in self.choices.first.into_iter().chain(self.choices.more) {
            literal = choice.add_to(&mut said, self.is_chunk);
        }
        said.unread |= self.choices.unread;
        (said, literal)
    }
}

impl<'de> Fields<'de> for Wire<'de> {
    const NAME: &'static str = "an answer";

    fn field<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        self.has_keys = true;
        self.is_known |= matches!(key, "choices" | "usage" | "error");
        match key {
            "choices" => map.next_value_seed(Fill(&mut self.choices))?,
            "usage" => self.usage = filled(map)?,
            "error" | "errors" | "error_msg" | "error_message" | "errorMessage" => {
                self.error = filled(map)?.or(self.error);
            }
            "object" | "type" => {
                let word = filled(map)?.map(word).unwrap_or_default();
                self.is_error |= word.eq_ignore_ascii_case("error");
                self.is_chunk |= word.eq_ignore_ascii_case("chat.completion.chunk");
            }
            "code" | "status" | "success" => self.is_fine |= filled(map)?.is_some_and(is_fine),
            // MiniMax's.
            "base_resp" => {
                #[derive(Deserialize)]
                struct Status<'a> {
                    #[serde(borrow)]
                    status_code: Option<&'a RawValue>,
                }
                let status = filled(map)?.and_then(|raw| serde_json::from_str::<Status<'_>>(raw.get()).ok());
                self.is_error |= status.and_then(|status| status.status_code).is_some_and(|code| !is_fine(code));
            }
            "message" | "detail" | "msg" => {
                let value = filled(map)?;
                let is_object = value.is_some_and(|value| value.get().starts_with('{'));
                self.sentence |= value.is_some_and(|value| value.get().len() > 2 && !is_fine(value)) && !is_object;
                self.elsewhere |= is_object;
            }
            "content" | "text" | "delta" | "response" | "output" | "output_text" | "candidates" | "completion"
            | "answer" | "generated_text" | "generation" | "token" | "result" | "results" | "data" | "outputs" => {
                self.elsewhere |= filled(map)?.is_some_and(|value| holds_words(value.get()));
            }
            _ => skip(map)?,
        }
        Ok(())
    }
}

/// Whether a value of another format may hold words: a text, or something with a text in it.
fn holds_words(json: &str) -> bool {
    match json.as_bytes().first() {
        Some(b'"') => may_be_words(json),
        Some(b'{' | b'[') => json.contains('"'),
        _ => false,
    }
}

/// Some send an `error` with every chunk, and nothing in it as long as all is well.
fn is_nothing(error: &RawValue) -> bool {
    fn is_empty(value: &Value) -> bool {
        match value {
            Value::Null | Value::Bool(false) => true,
            Value::Bool(true) => false,
            Value::Number(number) => number.as_f64() == Some(0.0),
            Value::String(text) => matches!(text.trim().to_ascii_lowercase().as_str(), "" | "null" | "none"),
            Value::Array(list) => list.iter().all(is_empty),
            Value::Object(object) => object.values().all(is_empty),
        }
    }
    error.get().len() <= NOTHING_LIMIT && serde_json::from_str(error.get()).is_ok_and(|value| is_empty(&value))
}

/// Whether a code, a status or a sentence says that all is well.
fn is_fine(raw: &RawValue) -> bool {
    let word = raw.get().trim_matches('"').trim_end_matches(['.', '!']);
    ["0", "200", "ok", "success", "true", "succeeded"].iter().any(|fine| word.eq_ignore_ascii_case(fine))
}

/// What stands in `choices`: of a list the first one, and further ones of its index. We never ask for more than one
/// answer.
#[derive(Default)]
struct Choices<'a> {
    first: Option<Choice<'a>>,
    more: Vec<Choice<'a>>,
    error: Option<&'a RawValue>,
    unread: bool,
}

impl<'de> Fields<'de> for Choices<'de> {
    const NAME: &'static str = "choices";

    /// One choice where a list is due.
    fn field<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        self.first.get_or_insert_default().field(key, map)
    }

    fn element<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        let Some(first) = &self.first else {
            let found = list.next_element_seed(Fill(&mut self.first))?.is_some();
            self.error = self.first.as_ref().and_then(|choice| choice.error);
            return Ok(found);
        };
        let mut choice = None::<Choice<'de>>;
        let found = list.next_element_seed(Fill(&mut choice))?.is_some();
        if let Some(choice) = choice {
            self.error = self.error.or(choice.error);
            if choice.index.is_some() && choice.index == first.index {
                self.more.push(choice);
            }
        }
        Ok(found)
    }

    fn text(&mut self, text: &str) {
        self.unread |= text.bytes().any(|byte| byte.is_ascii_alphanumeric());
    }
}

#[derive(Default)]
struct Choice<'a> {
    index: Option<u64>,
    delta: Delta<'a>,
    /// In place of `delta` where the answer comes whole.
    message: Option<Delta<'a>>,
    /// In place of both in the format of before chats.
    text: Option<&'a RawValue>,
    finish: Option<Finish>,
    /// The same under another name than the format's.
    other_finish: Option<Finish>,
    token_ids: Option<&'a RawValue>,
    error: Option<&'a RawValue>,
    /// It is a text, and nothing says what it means.
    unread: bool,
}

impl<'a> Choice<'a> {
    /// Adds what it says; gives the JSON string that holds the text, if one does alone.
    fn add_to(self, said: &mut Said, is_chunk: bool) -> Option<&'a str> {
        said.has_choice = true;
        said.unread |= self.unread;
        said.finish = self.finish.or(self.other_finish).or(said.finish);
        if let Some(raw) = self.token_ids {
            said.ids = ids(raw);
        }
        let alone = said.text.is_empty();
        let has_delta = self.delta.is_there;
        // Without a text there, another place may have one.
        let is_only_place = self.message.is_none() && self.text.is_none() && self.delta.refusal.is_none();
        let mut literal = self.delta.add_to(said);
        if said.text.is_empty()
            && let Some(message) = self.message
        {
            let thought = std::mem::take(&mut said.reasoning);
            message.add_to(said);
            said.is_message = !(said.text.is_empty() && said.reasoning.is_empty());
            // Beside a delta that thinks, a message repeats.
            if !thought.is_empty() {
                said.reasoning = thought;
            }
            said.is_whole = !has_delta && !is_chunk;
        }
        if said.text.is_empty()
            && let Some(raw) = self.text
        {
            literal = None;
            let words = Words::of(raw);
            said.text = words.text;
            said.unread |= words.unread;
        }
        literal.filter(|_| alone && is_only_place)
    }
}

impl<'de> Fields<'de> for Choice<'de> {
    const NAME: &'static str = "a choice";

    fn field<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "delta" => map.next_value_seed(Fill(&mut self.delta))?,
            "message" => map.next_value_seed(Fill(&mut self.message))?,
            "finish_reason" => self.finish = filled(map)?.and_then(|raw| Finish::read(&word(raw))),
            "finishReason" | "finish_details" | "stop_reason" => {
                let finish = filled(map)?.and_then(|raw| Finish::read(&word(raw)));
                // A text that ended the answer may stand here as well.
                self.other_finish = finish.filter(|finish| *finish != Finish::Other).or(self.other_finish);
            }
            "index" => self.index = filled(map)?.and_then(number),
            "text" | "content" | "output_text" | "generated_text" => self.text = filled(map)?.or(self.text),
            "token_ids" => self.token_ids = filled(map)?,
            "error" => self.error = filled(map)?,
            _ => skip(map)?,
        }
        Ok(())
    }

    fn text(&mut self, text: &str) {
        self.unread |= text.bytes().any(|byte| byte.is_ascii_alphanumeric());
    }
}

/// New words: an object mostly, or a text, or a list of parts.
#[derive(Default)]
struct Delta<'a> {
    is_there: bool,
    content: Option<&'a RawValue>,
    refusal: Option<&'a RawValue>,
    /// Where reasoning stands, the first name that is used; some servers send the same under two.
    reasoning: [Option<&'a RawValue>; 4],
    tool_call: bool,
    text: String,
    parts: Vec<&'a RawValue>,
}

impl<'a> Delta<'a> {
    /// Adds what it says; gives the JSON string that holds the text, if one does.
    fn add_to(self, said: &mut Said) -> Option<&'a str> {
        said.tool_call |= self.tool_call;
        if let Some(raw) = self.reasoning.into_iter().flatten().find(|raw| !is_nothing(raw)) {
            said.reasoning.extend(Words::reasoning(raw));
        }
        let before = said.text.len();
        said.text.extend_from_slice(self.text.as_bytes());
        for raw in self.content.into_iter().chain(self.parts) {
            add(said, Words::of(raw));
        }
        if said.text.len() == before
            && let Some(raw) = self.refusal
        {
            add(said, Words::of(raw));
            return None;
        }
        self.content.map(RawValue::get).filter(|raw| raw.starts_with('"'))
    }
}

fn add(said: &mut Said, words: Words) {
    said.unread |= words.unread;
    if said.text.is_empty() {
        said.text = words.text;
    } else {
        said.text.extend(words.text);
    }
    if said.reasoning.is_empty() { said.reasoning = words.reasoning } else { said.reasoning.extend(words.reasoning) }
}

impl<'de> Fields<'de> for Delta<'de> {
    const NAME: &'static str = "a delta";

    fn field<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        self.is_there = true;
        match key {
            "content" => self.content = filled(map)?,
            "refusal" => self.refusal = filled(map)?,
            "reasoning_content" => self.reasoning[0] = filled(map)?,
            "reasoning" => self.reasoning[1] = filled(map)?,
            "thinking" => self.reasoning[2] = filled(map)?,
            "reasoning_details" => self.reasoning[3] = filled(map)?,
            "tool_calls" | "function_call" => self.tool_call |= filled(map)?.is_some_and(|calls| !is_nothing(calls)),
            _ => skip(map)?,
        }
        Ok(())
    }

    fn element<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        let part = list.next_element::<&'de RawValue>()?;
        self.is_there |= part.is_some();
        self.parts.extend(part);
        Ok(part.is_some())
    }

    fn text(&mut self, text: &str) {
        self.is_there = true;
        self.text = text.to_owned();
    }
}

/// A word that decides something: a text, or of an object its `type` or `reason`.
fn word(raw: &RawValue) -> Cow<'_, str> {
    #[derive(Deserialize)]
    struct Object<'a> {
        #[serde(borrow, rename = "type")]
        kind: Option<&'a RawValue>,
        #[serde(borrow)]
        reason: Option<&'a RawValue>,
    }
    let raw = match raw.get() {
        object if object.starts_with('{') => {
            let object = serde_json::from_str::<Object<'_>>(object).ok();
            object.and_then(|object| object.kind.or(object.reason)).map_or("", RawValue::get)
        }
        other => other,
    };
    match raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        None => Cow::Borrowed(""),
        Some(plain) if !plain.contains('\\') => Cow::Borrowed(plain),
        Some(_) => String::from_utf8_lossy(&string(raw).unwrap_or_default()).into_owned().into(),
    }
}

/// A list of token ids; empty where it is none, or too long a one: the text counts all the same.
fn ids(json: &RawValue) -> Vec<u32> {
    let json = Some(json.get()).filter(|json| json.len() <= IDS_LIMIT);
    json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}

impl<'de> Deserialize<'de> for Wire<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        object(deserializer)
    }
}
