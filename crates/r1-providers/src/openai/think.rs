//! What a model thinks, where it stands in the text of the answer between tags.
//!
//! Models that reason write `<think>`, what they think, `</think>`, and then the answer. A server that knows the model
//! takes that apart; others send all of it as text. Some models are given the opening tag as the beginning of their
//! answer, so that only the closing one comes: for a model that is known for this, or has done so before, the text is
//! held back until that tag. A tag in mid-answer is a word like any other: an answer may be about tags, and have them
//! in blocks of code.
//!
//! **Invariant:** every letter comes out once, in order, but the tags and the white space around them; what is held
//! back is bounded by [`HELD`]; each letter is looked at a bounded number of times, however the text is cut.

#[cfg(test)]
mod tests;

/// The tags, each with its end.
const TAGS: [(&str, &str); 8] = [
    (OPENING, CLOSING),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
];
const OPENING: &str = "<think>";
/// The tag that comes alone.
const CLOSING: &str = "</think>";
/// Most bytes of text that wait for it.
const HELD: usize = 512 * 1024;
/// Most bytes of white space that wait for what comes behind them.
const WHITE: usize = 1024;

/// Takes an answer's text apart.
#[derive(Debug)]
pub(super) struct Think {
    state: State,
    /// What can't be told yet.
    held: String,
    /// How much of it was searched for the tag that comes alone.
    searched: usize,
    /// What the answer says about tags.
    page: Page,
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
    /// Nothing but white space and closing tags has come since a closing tag.
    Behind {
        /// Nothing of the answer has come before it: more may be thought.
        thinks: bool,
    },
    /// In the answer, looking out for a closing tag that was never opened.
    Answer,
    /// Text goes through.
    Off,
}

/// Where in its text the answer is.
#[derive(Debug, Default)]
struct Page {
    /// The last letter so far.
    last: Option<char>,
    /// How many backticks stand at its end.
    ticks: usize,
    /// A block of code has begun and has not ended.
    in_code: bool,
    /// Opening tags whose closing ones have not come.
    open_tags: usize,
}

impl Page {
    fn add(&mut self, text: &str) {
        self.last = text.chars().next_back().or(self.last);
        if self.ticks > 0 || text.contains('`') {
            for letter in text.chars() {
                self.ticks = if letter == '`' { self.ticks + 1 } else { 0 };
                self.in_code ^= self.ticks == 3;
            }
        }
    }

    /// Whether a closing tag here belongs to nothing that the answer is about: it stands at a line's front, was not
    /// opened, and is in no block of code.
    fn closes_thinking(&self) -> bool {
        self.last.is_none_or(|last| last == '\n') && self.open_tags == 0 && !self.in_code
    }
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
        let lone_tag = expects_closing.then_some(false);
        Self { state: State::Before { expects: expects_closing }, lone_tag, ..Self::off() }
    }

    /// Lets everything through: in mid-answer, or where there are no tags.
    pub(super) fn off() -> Self {
        Self { state: State::Off, held: String::new(), searched: 0, page: Page::default(), lone_tag: None }
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
        let is_said = match self.state {
            State::Off => true,
            State::Answer => self.held.is_empty() && !text.contains('<'),
            _ => false,
        };
        if is_said {
            if self.state == State::Answer {
                self.page.add(&text);
            }
            return Spoken { reasoning: String::new(), text };
        }
        let mut held = std::mem::take(&mut self.held);
        held.push_str(&text);
        let mut spoken = Spoken::default();
        let mut rest = held.as_str();
        loop {
            let (behind, goes_on) = self.step(rest, &mut spoken);
            rest = behind;
            if !goes_on {
                break;
            }
        }
        let taken = held.len() - rest.len();
        held.drain(..taken);
        self.held = held;
        spoken
    }

    /// At the end of the answer: what was held back.
    pub(super) fn finish(&mut self) -> Spoken {
        let held = std::mem::take(&mut self.held);
        match std::mem::replace(&mut self.state, State::Off) {
            State::Inside(_) => Spoken { reasoning: held, text: String::new() },
            _ => Spoken { reasoning: String::new(), text: held },
        }
    }

    /// Whether the model sends a closing tag alone, where this answer has shown it.
    pub(super) const fn lone_tag(&self) -> Option<bool> {
        self.lone_tag
    }

    /// Takes as much from the front of `rest` as can be told, and gives what is left; true while there may be more.
    fn step<'a>(&mut self, rest: &'a str, spoken: &mut Spoken) -> (&'a str, bool) {
        match self.state {
            State::Before { expects } => {
                let text = rest.trim_start();
                if let Some((open, close)) = TAGS.iter().find(|(open, _)| text.starts_with(open)) {
                    self.lone_tag = None;
                    self.state = State::Inside(close);
                    return (&text[open.len()..], true);
                }
                let may_be_tag = TAGS.iter().any(|(open, _)| open.starts_with(text));
                if may_be_tag && rest.len() - text.len() <= WHITE {
                    return (rest, false);
                }
                self.state = if expects { State::Waiting } else { State::Answer };
                (rest, true)
            }
            State::Behind { thinks } => {
                let text = rest.trim_start();
                if let Some((open, close)) = TAGS.iter().find(|(open, _)| thinks && text.starts_with(open)) {
                    self.state = State::Inside(close);
                    return (&text[open.len()..], true);
                }
                // Who thinks in two tags at once closes both.
                if let Some((_, close)) = TAGS.iter().find(|(_, close)| text.starts_with(close)) {
                    return (&text[close.len()..], true);
                }
                if TAGS.iter().any(|(open, close)| open.starts_with(text) || close.starts_with(text)) {
                    return (text, false);
                }
                self.state = State::Off;
                (text, true)
            }
            State::Inside(close) => match rest.find(close) {
                Some(at) => {
                    spoken.reasoning.push_str(&rest[..at]);
                    self.state = State::Behind { thinks: true };
                    (&rest[at + close.len()..], true)
                }
                None => {
                    let (thought, begun) = rest.split_at(rest.len() - begun(rest, close));
                    spoken.reasoning.push_str(thought);
                    (begun, false)
                }
            },
            State::Waiting => {
                let from = rest.floor_char_boundary(self.searched.saturating_sub(CLOSING.len()));
                self.searched = rest.len();
                match rest[from..].find(CLOSING) {
                    Some(at) => {
                        spoken.reasoning.push_str(&rest[..from + at]);
                        self.lone_tag = Some(true);
                        self.state = State::Behind { thinks: true };
                        (&rest[from + at + CLOSING.len()..], true)
                    }
                    None if rest.len() > HELD => {
                        self.state = State::Answer;
                        (rest, true)
                    }
                    None => (rest, false),
                }
            }
            State::Answer => {
                let (at, tag) = next_tag(rest);
                let (said, behind) = rest.split_at(at);
                self.say(said, spoken);
                match tag {
                    None => return (behind, false),
                    Some(CLOSING) if self.page.closes_thinking() => {
                        // What stands before it was thought, and has been shown. The next answer is read better.
                        self.lone_tag = Some(true);
                        self.state = State::Behind { thinks: false };
                    }
                    Some(tag) => {
                        let open = &mut self.page.open_tags;
                        *open = if tag == OPENING { *open + 1 } else { open.saturating_sub(1) };
                        self.say(tag, spoken);
                    }
                }
                (&behind[tag.unwrap_or_default().len()..], true)
            }
            State::Off => {
                spoken.text.push_str(rest);
                ("", false)
            }
        }
    }

    fn say(&mut self, text: &str, spoken: &mut Spoken) {
        self.page.add(text);
        spoken.text.push_str(text);
    }
}

/// Where the next tag begins, and which it is; none where it can't be told yet, or there is none up to the end.
fn next_tag(text: &str) -> (usize, Option<&'static str>) {
    for at in memchr::memchr_iter(b'<', text.as_bytes()) {
        for tag in [OPENING, CLOSING] {
            if text[at..].starts_with(tag) {
                return (at, Some(tag));
            }
            if tag.starts_with(&text[at..]) {
                return (at, None);
            }
        }
    }
    (text.len(), None)
}

/// Bytes at the end of `text` that may be the beginning of `tag`.
fn begun(text: &str, tag: &str) -> usize {
    let ends_with = |length: usize| tag.get(..length).is_some_and(|begin| text.ends_with(begin));
    (1..tag.len()).rev().find(|&length| ends_with(length)).unwrap_or(0)
}
