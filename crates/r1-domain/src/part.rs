//! What a message consists of: its text, and what stands between the pieces of it.
//!
//! The text is whole by itself: it is what is searched, listed, copied and given to a model. The **outline** says
//! where in it the other parts stand. A message of text alone has none, in memory and in storage.
//!
//! In storage the outline is a JSON list beside the text, in which a text part is a span of the text in bytes of
//! UTF-8. A part of a kind that only a newer build knows is kept as it stands.
//!
//! **Invariant:** the text parts are the text in order, without a gap, or there is no outline; two of them never
//! follow each other.

use std::ops::Range;

use serde_json::{Value, json};

/// A message's text and its outline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// All of the text.
    pub text: String,
    /// The outline; empty where there is nothing but the text.
    pub parts: Vec<Part>,
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// These bytes of the text.
    Text(Range<usize>),
    /// What the model thought.
    Reasoning(Reasoning),
    /// A part that only a newer build knows, as it is stored.
    Other(Value),
}

/// What a model thought at a stretch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reasoning {
    /// Its words.
    pub text: String,
    /// From its first word to the first of what followed; none where the call of the model was cut, and nobody knows.
    pub duration_ms: Option<u64>,
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self { text, parts: Vec::new() }
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl Content {
    /// Adds text.
    pub fn push_text(&mut self, text: &str) {
        let from = self.text.len();
        self.text.push_str(text);
        match self.parts.last_mut() {
            // Text alone has no outline.
            None => {}
            Some(Part::Text(span)) => span.end = self.text.len(),
            Some(_) if text.is_empty() => {}
            Some(_) => self.parts.push(Part::Text(from..self.text.len())),
        }
    }

    /// Adds what the model thought: to the part before it if that is reasoning too, unless a new stretch `begins`.
    pub fn push_reasoning(&mut self, text: &str, begins: bool) {
        match self.parts.last_mut() {
            Some(Part::Reasoning(last)) if !begins => last.text.push_str(text),
            last => {
                if last.is_none() && !self.text.is_empty() {
                    self.parts.push(Part::Text(0..self.text.len()));
                }
                self.parts.push(Part::Reasoning(Reasoning { text: text.to_owned(), duration_ms: None }));
            }
        }
    }

    /// Takes away what was thought since the newest text.
    pub fn discard_reasoning(&mut self) {
        while self.ends_in_reasoning() {
            self.parts.pop();
        }
        self.drop_needless_outline();
    }

    /// Whether nothing was said after the newest thought.
    #[must_use]
    pub fn ends_in_reasoning(&self) -> bool {
        matches!(self.parts.last(), Some(Part::Reasoning(_)))
    }

    /// Leaves the first bytes of the text, and the parts that stand before their end.
    pub fn truncate(&mut self, bytes: usize) {
        let end = self.text.floor_char_boundary(bytes);
        if end == self.text.len() {
            return;
        }
        self.text.truncate(end);
        let whole = self.parts.iter().take_while(|part| !matches!(part, Part::Text(span) if span.end >= end)).count();
        self.parts.truncate(whole + 1);
        if let Some(Part::Text(span)) = self.parts.last_mut() {
            span.end = end;
            if span.start == span.end {
                self.parts.pop();
            }
        }
        self.drop_needless_outline();
    }

    /// Bytes of text and reasoning together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.text.len() + reasoning_bytes(&self.parts)
    }

    fn drop_needless_outline(&mut self) {
        if self.parts.iter().all(|part| matches!(part, Part::Text(_))) {
            self.parts = Vec::new();
        }
    }

    /// The outline as it is stored.
    #[must_use]
    pub fn outline(&self) -> Option<String> {
        if self.parts.is_empty() {
            return None;
        }
        let part = |part: &Part| match part {
            Part::Text(span) => json!({"type": TEXT, "span": [span.start, span.end]}),
            Part::Reasoning(Reasoning { text, duration_ms: Some(duration_ms) }) => {
                json!({"type": REASONING, "content": text, "duration_ms": duration_ms})
            }
            Part::Reasoning(Reasoning { text, duration_ms: None }) => json!({"type": REASONING, "content": text}),
            Part::Other(part) => part.clone(),
        };
        Some(self.parts.iter().map(part).collect::<Value>().to_string())
    }

    /// From what is stored. An outline that does not fit the text, which nobody writes, is none: nothing of the text
    /// is lost.
    #[must_use]
    pub fn stored(text: String, outline: Option<&str>) -> Self {
        let parts: Vec<Value> = outline.and_then(|outline| serde_json::from_str(outline).ok()).unwrap_or_default();
        let content = Self { parts: parts.into_iter().map(read).collect(), text };
        if content.is_sound() { content } else { Self::from(content.text) }
    }

    fn is_sound(&self) -> bool {
        let (mut at, mut text_before) = (0, false);
        for part in &self.parts {
            let Part::Text(span) = part else {
                text_before = false;
                continue;
            };
            if text_before || span.start != at || span.start >= span.end || self.text.get(span.clone()).is_none() {
                return false;
            }
            (at, text_before) = (span.end, true);
        }
        self.parts.is_empty() || at == self.text.len()
    }
}

/// Bytes that the model thought.
#[must_use]
pub fn reasoning_bytes(parts: &[Part]) -> usize {
    let bytes = |part: &Part| if let Part::Reasoning(reasoning) = part { reasoning.text.len() } else { 0 };
    parts.iter().map(bytes).sum()
}

const TEXT: &str = "text";
const REASONING: &str = "reasoning";

/// Reads a part.
fn read(mut part: Value) -> Part {
    let number = |value: &Value| value.as_u64().and_then(|number| usize::try_from(number).ok());
    match part["type"].as_str() {
        Some(TEXT) => {
            let span = number(&part["span"][0]).zip(number(&part["span"][1]));
            span.map_or(Part::Other(part), |(start, end)| Part::Text(start..end))
        }
        Some(REASONING) if part["content"].is_string() => {
            let Value::String(text) = part["content"].take() else { return Part::Other(part) };
            Part::Reasoning(Reasoning { text, duration_ms: part["duration_ms"].as_u64() })
        }
        _ => Part::Other(part),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn thought(text: &str, duration_ms: Option<u64>) -> Part {
        Part::Reasoning(Reasoning { text: text.to_owned(), duration_ms })
    }

    #[test]
    fn text_alone_has_no_outline() {
        let mut content = Content::default();
        content.push_text("a");
        content.push_text("ä");
        assert_eq!((&content, content.outline()), (&Content::from("aä"), None));
        content.push_reasoning("hm", false);
        content.push_reasoning("!", false);
        assert_eq!(content.parts, [Part::Text(0..3), thought("hm!", None)]);
        content.discard_reasoning();
        assert_eq!(content, Content::from("aä"));
    }

    #[test]
    fn parts_stand_in_the_order_in_which_they_came() {
        let mut content = Content::default();
        content.push_reasoning("hm", false);
        content.push_text("");
        content.push_text("one ");
        content.push_text("two");
        content.push_reasoning("so", false);
        content.push_reasoning("new", true);
        content.push_text("!");
        let parts =
            [thought("hm", None), Part::Text(0..7), thought("so", None), thought("new", None), Part::Text(7..8)];
        assert_eq!((content.text.as_str(), &content.parts[..], content.bytes()), ("one two!", &parts[..], 15));
        let mut cut = content.clone();
        cut.truncate(7);
        assert_eq!((cut.text.as_str(), &cut.parts[..]), ("one two", &parts[..2]));
        cut.truncate(3);
        assert_eq!(cut.parts, [thought("hm", None), Part::Text(0..3)]);
        cut.truncate(0);
        assert_eq!((cut.text.as_str(), &cut.parts[..]), ("", &parts[..1]));
        cut.discard_reasoning();
        assert_eq!(cut, Content::default());
    }

    #[test]
    fn what_is_stored_is_read() {
        let outline = r#"[{"type":"reasoning","content":"hm\u0000","duration_ms":4200},{"type":"text","span":[0,3]},{"type":"of_tomorrow","span":[1],"x":{"b":1,"a":2}},{"type":"reasoning","content":"so"}]"#;
        let content = Content::stored("aä".to_owned(), Some(outline));
        assert_eq!(content.parts[..2], [thought("hm\0", Some(4200)), Part::Text(0..3)]);
        assert!(matches!(&content.parts[2], Part::Other(_)));
        assert_eq!(content.outline().as_deref(), Some(outline), "byte for byte");
    }

    #[test]
    fn an_outline_that_does_not_fit_takes_nothing_of_the_text() {
        for outline in [
            "",
            "{}",
            "[1",
            r#"[{"type":"text","span":[0,2]}]"#,
            r#"[{"type":"text","span":[0,4]}]"#,
            r#"[{"type":"text","span":[1,3]}]"#,
            r#"[{"type":"text","span":[0,1]},{"type":"text","span":[1,3]}]"#,
            r#"[{"type":"reasoning","content":"hm"}]"#,
            r#"[{"type":"text","span":[3,0]}]"#,
        ] {
            assert_eq!(Content::stored("aä".to_owned(), Some(outline)), Content::from("aä"), "{outline}");
        }
    }

    /// A text, something thought, or an end of what was thought.
    #[derive(Debug, Clone)]
    enum Said {
        Text(String),
        Thought(String, bool),
        Discarded,
    }

    proptest! {
        #[test]
        fn any_content_is_sound_and_survives_storage(
            said in proptest::collection::vec(prop_oneof![
                "[aä€ ]{0,4}".prop_map(Said::Text),
                ("[aä€ ]{1,4}", any::<bool>()).prop_map(|(text, begins)| Said::Thought(text, begins)),
                Just(Said::Discarded),
            ], 0..12),
            cut in 0_usize..20,
        ) {
            let (mut content, mut text) = (Content::default(), String::new());
            for one in &said {
                match one {
                    Said::Text(more) => {
                        content.push_text(more);
                        text.push_str(more);
                    }
                    Said::Thought(more, begins) => content.push_reasoning(more, *begins),
                    Said::Discarded => content.discard_reasoning(),
                }
                prop_assert!(content.is_sound(), "{content:?}");
            }
            prop_assert_eq!(&content.text, &text);
            prop_assert_eq!(&Content::stored(text, content.outline().as_deref()), &content);
            let mut less = content.clone();
            less.truncate(cut);
            prop_assert!(less.is_sound() && content.text.starts_with(&less.text), "{less:?}");
            prop_assert!(less.parts.len() <= content.parts.len());
        }
    }
}
