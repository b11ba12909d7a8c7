//! What the upstream answers: a text that follows from a seed, whole or from any of its bytes on.
//!
//! **Invariant:** words are numbered and no two are alike, so whatever is lost, doubled or misplaced
//! shows; and a continuation that repeats the end of the text so far can be told from one that
//! merely looks like it.

use std::{collections::HashMap, fmt::Write as _, sync::Arc, time::Duration};

use parking_lot::Mutex;
use r1_testkit::upstream::{RecordedRequest, Script, Step, Upstream};
use rand::{Rng, RngExt};
use reqwest::StatusCode;
use serde_json::Value;

use super::seed::chance;

/// What stands between two words: characters of every length, everything that JSON, SSE and chunked
/// bodies have a meaning for, and what is written in several code points.
const BETWEEN: [&str; 24] = [
    " ",
    " ",
    " ",
    " ",
    "\n",
    "\n\n",
    " – ",
    " „“ ",
    " ☀ ",
    " 🌞 ",
    " 👩‍👩‍👧‍👦 ",
    " e\u{301} ",
    " \u{200b}",
    " \"\\\" ",
    " \r\n",
    "\t",
    " data: ",
    "\nid: ",
    "\n: ",
    " \u{2028} ",
    " \0 ",
    " \u{7f} ",
    " نص ",
    " </script> ",
];

/// This many words with all of that in between.
pub(super) fn text(chance: &mut impl Rng, words: usize) -> String {
    let mut text = String::new();
    for number in 0..words {
        let letter = ["w", "wö", "日", "ж", "𝔴"][chance.random_range(0..5)];
        let _ = write!(text, "{letter}{number:05}");
        text.push_str(BETWEEN[chance.random_range(0..BETWEEN.len())]);
    }
    text.push('.');
    text
}

/// In what way an answer fails, once this many bytes of it are said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Cut,
    Reset,
    ErrorObject,
    NoFinish,
    Status(u16),
}

impl Fault {
    /// The code of its event.
    pub(super) const fn codes(self) -> &'static [&'static str] {
        match self {
            Self::Cut | Self::Reset | Self::NoFinish => &["upstream_truncated", "provider_unavailable"],
            Self::ErrorObject => &["provider_failed"],
            Self::Status(401) => &["provider_auth"],
            Self::Status(_) => &["provider_failed", "provider_unavailable"],
        }
    }
}

/// One answer.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) text: String,
    /// Before the first word.
    pub(super) late: Duration,
    /// Between two pieces.
    pub(super) pause: Duration,
    /// Longest piece, in characters.
    pub(super) piece: usize,
    /// After this many bytes it fails.
    pub(super) fault: Option<(usize, Fault)>,
    /// Who goes on says all of it, or the last words, again first.
    pub(super) echo: bool,
    pub(super) seed: u64,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { text, late, pause, piece, fault, echo, .. } = self;
        let bytes = text.len();
        write!(f, "{bytes} bytes by {piece} every {pause:?} after {late:?}, {fault:?}, echo {echo}")
    }
}

/// Scripts pass here, for a kill that is to hit what comes next.
pub(super) const LAST_WORD: &str = "the last word is said";
pub(super) const FOLD: &str = "256 KiB are said";
const FOLD_BYTES: usize = 256 * 1024;

impl Answer {
    /// What is said of it before it ends, well or not.
    pub(super) fn said(&self) -> &str {
        self.fault.map_or(&self.text, |(at, _)| &self.text[..at])
    }

    /// From byte `from` on, which is the end of what was said before: `prefilled` with it, or asked to
    /// go on.
    fn script(&self, from: usize, prefilled: bool) -> Script {
        if let Some((0, Fault::Status(status))) = self.fault {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::IM_A_TEAPOT);
            return Script::error(status, "scripted", "a status that was asked for");
        }
        let mut script = Script::new().pause(self.late).role();
        if self.echo && from > 0 {
            let again = if prefilled { 0 } else { last_words(&self.text[..from]) };
            script = script.chunk(&self.text[again..from]);
        }
        let mut chance = chance(self.seed, from as u64);
        let (said, mut at) = (self.said(), from.min(self.said().len()));
        while at < said.len() {
            let characters = chance.random_range(1..=self.piece);
            let length = said[at..].chars().take(characters).map(char::len_utf8).sum::<usize>();
            if at < FOLD_BYTES && at + length >= FOLD_BYTES {
                script = script.wait_for(FOLD);
            }
            script = script.chunk(&said[at..at + length]);
            at += length;
            // Not after each one: pieces arrive in bursts.
            if !self.pause.is_zero() && chance.random_range(0..4) > 0 {
                script = script.pause(self.pause);
            }
        }
        script = script.wait_for(LAST_WORD);
        match self.fault.map(|(_, fault)| fault) {
            None => script.ending(),
            Some(Fault::Cut) => script.cut(),
            Some(Fault::Reset) => script.reset(),
            Some(Fault::ErrorObject) => {
                script.raw("data: {\"error\":{\"message\":\"the engine is gone\",\"code\":500}}\n\n").then(Step::Close)
            }
            Some(Fault::NoFinish | Fault::Status(_)) => script.then(Step::Close),
        }
    }
}

/// Where a repetition of the last words begins.
fn last_words(said: &str) -> usize {
    let words = said.char_indices().rev().filter(|(_, c)| c.is_whitespace()).map(|(at, c)| at + c.len_utf8());
    words
        .take_while(|at| said.len() - at < 60)
        .filter(|at| said[*at..].chars().any(char::is_alphanumeric))
        .last()
        .unwrap_or(said.len())
}

/// The answers to all questions, and what the upstream was asked.
#[derive(Default)]
pub(super) struct Answers {
    known: Mutex<HashMap<String, Known>>,
    faults: Mutex<Vec<String>>,
}

struct Known {
    answer: Arc<Answer>,
    asked: u64,
}

impl Answers {
    /// From now on they are what the upstream says.
    pub(super) fn given_by(upstream: &Upstream) -> Arc<Self> {
        let answers = Arc::new(Self::default());
        for gate in [LAST_WORD, FOLD] {
            upstream.open(gate);
        }
        let chooser = answers.clone();
        upstream.respond_with(move |request| chooser.choose(request));
        answers
    }

    /// Tells how a question is answered. Questions are unique.
    pub(super) fn learn(&self, question: &str, answer: Answer) -> Arc<Answer> {
        let answer = Arc::new(answer);
        self.known.lock().insert(question.to_owned(), Known { answer: answer.clone(), asked: 0 });
        answer
    }

    /// Forgets a question; gives back how often it was asked.
    pub(super) fn forget(&self, question: &str) -> u64 {
        self.known.lock().remove(question).map_or(0, |known| known.asked)
    }

    /// What should never have been asked.
    pub(super) fn faults(&self) -> Vec<String> {
        self.faults.lock().clone()
    }

    fn choose(&self, request: &RecordedRequest) -> Script {
        self.answer(&request.body).unwrap_or_else(|fault| {
            self.faults.lock().push(fault);
            Script::error(StatusCode::BAD_REQUEST, "soak", "this should not have been asked")
        })
    }

    fn answer(&self, body: &Value) -> Result<Script, String> {
        let turns: Vec<_> = body["messages"].as_array().into_iter().flatten().collect();
        let content = |turn: &Value| {
            let text = turn["content"].as_str().unwrap_or_default();
            // Questions before it that got no word of answer are one turn with it.
            let newest = if turn["role"] == "user" { text.rsplit("\n\n").next() } else { None };
            newest.unwrap_or(text).to_owned()
        };
        let is = |back: usize, role: &str| {
            turns.len().checked_sub(back).filter(|at| turns[*at]["role"] == role).map(|at| content(turns[at]))
        };
        let mut known = self.known.lock();
        // The question; the question and the answer so far; both and a turn that asks to go on.
        let (question, beginning, prefilled) = match (is(3, "user"), is(2, "assistant"), is(2, "user"), is(1, "user")) {
            (_, _, _, Some(last)) if known.contains_key(&last) => (last, String::new(), false),
            (Some(question), Some(so_far), _, Some(_)) => (question, so_far, false),
            (_, _, Some(question), None) => (question, is(1, "assistant").unwrap_or_default(), true),
            _ => return Err(format!("no question in {body}")),
        };
        let known = known.get_mut(&question).ok_or_else(|| format!("nobody asked {question:?}"))?;
        known.asked += 1;
        if !known.answer.text.starts_with(&beginning) {
            return Err(format!("{question:?} is to go on from what was never said: {beginning:?}"));
        }
        Ok(known.answer.script(beginning.len(), prefilled))
    }
}
