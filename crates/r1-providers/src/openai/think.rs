//! What a model thinks, where it stands in the text of the answer between tags.
//!
//! Models that reason write `<think>`, what they think, `</think>`, and then the answer. A server that knows the model
//! takes that apart; others send all of it as text. Some models are given the opening tag as the beginning of their
//! answer, so that only the closing one comes: for a model that is known for this, or has done so before, the text is
//! held back until that tag. A tag in mid-answer is a word like any other: an answer may be about tags.
//!
//! **Invariant:** every letter comes out once, in order, but the tags and the white space around them; what is held
//! back is bounded by [`HELD`].

#[cfg(test)]
mod tests;

/// The tags, each with its end.
const TAGS: [(&str, &str); 6] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
];
/// The tag that comes alone.
const CLOSING: &str = "</think>";
/// Most bytes of text that wait for it.
const HELD: usize = 512 * 1024;

/// Takes an answer's text apart.
#[derive(Debug)]
pub(super) struct Think {
    state: State,
    /// What can't be told yet.
    held: String,
    /// The last letter of the answer so far.
    last: Option<char>,
    /// What came of the tag that comes alone.
    lone_tag: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing but white space has come.
    Before {
        /// Text that begins without a tag waits for the closing one.
        expects: bool,
    },
    /// Waiting for the closing tag, whose opening one was not sent.
    Waiting,
    /// Behind an opening tag, until this one.
    Inside(&'static str),
    /// Nothing but white space has come since a closing tag.
    Behind,
    /// In the answer, looking out for a closing tag that was never opened.
    Answer,
    /// Text goes through.
    Off,
}

/// A piece of text, taken apart: what was thought comes before what is said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Spoken {
    pub(super) reasoning: String,
    pub(super) text: String,
}

impl Think {
    /// At the beginning of an answer; `expects_closing` where the model is known to send no opening tag.
    pub(super) fn new(expects_closing: bool) -> Self {
        Self {
            state: State::Before { expects: expects_closing },
            held: String::new(),
            last: None,
            lone_tag: expects_closing.then_some(false),
        }
    }

    /// Lets everything through: in mid-answer, or where there are no tags.
    pub(super) const fn off() -> Self {
        Self { state: State::Off, held: String::new(), last: None, lone_tag: None }
    }

    /// A closing tag is known to come.
    pub(super) fn expect_closing(&mut self) {
        if let State::Before { expects } = &mut self.state {
            *expects = true;
        }
    }

    /// What is thought comes by itself: nothing has to be held back for it.
    pub(super) fn comes_apart(&mut self) {
        if let State::Before { expects: true } = self.state {
            self.state = State::Before { expects: false };
            self.lone_tag = None;
        }
    }

    /// The next text.
    pub(super) fn push(&mut self, text: String) -> Spoken {
        if self.state == State::Off || (self.state == State::Answer && self.held.is_empty() && !text.contains('<')) {
            self.last = text.chars().next_back().or(self.last);
            return Spoken { reasoning: String::new(), text };
        }
        self.held.push_str(&text);
        let mut spoken = Spoken::default();
        while self.step(&mut spoken) {}
        self.last = spoken.text.chars().next_back().or(self.last);
        spoken
    }

    /// At the end of the answer: what was held back.
    pub(super) fn finish(&mut self) -> Spoken {
        let held = std::mem::take(&mut self.held);
        match std::mem::replace(&mut self.state, State::Off) {
            State::Inside(_) => Spoken { reasoning: held, text: String::new() },
            State::Behind if held.trim().is_empty() => Spoken::default(),
            _ => Spoken { reasoning: String::new(), text: held },
        }
    }

    /// Whether the model sends a closing tag alone, where this answer has shown it.
    pub(super) const fn lone_tag(&self) -> Option<bool> {
        self.lone_tag
    }

    /// Takes as much of what is held as can be told; true while there may be more.
    fn step(&mut self, spoken: &mut Spoken) -> bool {
        match self.state {
            State::Before { .. } | State::Behind => {
                let text = self.held.trim_start();
                if text.is_empty() || TAGS.iter().any(|(open, _)| open.len() > text.len() && open.starts_with(text)) {
                    return false;
                }
                let opened = TAGS.iter().find(|(open, _)| text.starts_with(open));
                self.state = match (opened, self.state) {
                    (Some((open, close)), before) => {
                        if before != State::Behind {
                            self.lone_tag = None;
                        }
                        self.held = text[open.len()..].to_owned();
                        State::Inside(close)
                    }
                    (None, State::Behind) => {
                        self.held = text.to_owned();
                        State::Off
                    }
                    (None, State::Before { expects: true }) => State::Waiting,
                    (None, _) => State::Answer,
                };
                true
            }
            State::Inside(close) => match self.held.find(close) {
                Some(at) => {
                    spoken.reasoning.push_str(&self.held[..at]);
                    self.behind(at + close.len());
                    true
                }
                None => {
                    let end = self.held.len() - begun(&self.held, close);
                    spoken.reasoning.extend(self.held.drain(..end));
                    false
                }
            },
            State::Waiting => match self.held.find(CLOSING) {
                Some(at) => {
                    spoken.reasoning.push_str(&self.held[..at]);
                    self.lone_tag = Some(true);
                    self.behind(at + CLOSING.len());
                    true
                }
                None if self.held.len() > HELD => {
                    self.state = State::Answer;
                    true
                }
                None => false,
            },
            State::Answer => match self.held.find(CLOSING) {
                Some(at) => {
                    let before = self.held[..at].chars().next_back().or(self.last);
                    if before.is_none_or(|before| before == '\n') {
                        // What stands before it was thought, and has been shown. The next answer is read better.
                        spoken.text.extend(self.held.drain(..at));
                        self.lone_tag = Some(true);
                        self.behind(CLOSING.len());
                    } else {
                        spoken.text.extend(self.held.drain(..at + CLOSING.len()));
                        self.last = Some('>');
                    }
                    true
                }
                None => {
                    let end = self.held.len() - begun(&self.held, CLOSING);
                    spoken.text.extend(self.held.drain(..end));
                    false
                }
            },
            State::Off => {
                spoken.text.push_str(&std::mem::take(&mut self.held));
                false
            }
        }
    }

    /// The closing tag ends at `end` of what is held.
    fn behind(&mut self, end: usize) {
        self.held.drain(..end);
        self.state = State::Behind;
    }
}

/// Bytes at the end of `text` that may be the beginning of `tag`.
fn begun(text: &str, tag: &str) -> usize {
    (1..tag.len()).rev().find(|&length| text.ends_with(&tag[..length])).unwrap_or(0)
}
