//! What a question asks for.
//!
//! | question (its first line)    | answer                                                          |
//! |------------------------------|-----------------------------------------------------------------|
//! | `words N [CLAUSE…]`          | `w1 w2 … wN`, a chunk per word                                  |
//! | `rich [CLAUSE…]`             | Markdown with code, a table, a formula and a diagram            |
//! | `say [CLAUSE…]` + more lines | those lines, word for word, in chunks of uneven length          |
//! | `chunks [CLAUSE…]` + JSON    | the strings of that array, a chunk each; `[TEXT, N]` is one of N |
//! | `attempt`                    | how often exactly this has been asked                           |
//! | `error STATUS`               | that status with an error as OpenAI words it; 429 says when     |
//! | `hang`                       | 200, then nothing                                               |
//! | anything else                | `You said: ` and the question                                   |
//!
//! Clauses come in any order: `every MS` (between chunks), `hold N GATE` (wait at the gate after N
//! chunks), and how it ends after N chunks in place of its good end: `cut N`, `stall N`,
//! `length N` (finish reason `length`). `once` makes that end, or that `error`, happen only the
//! first time that this is asked.
//!
//! **Invariant:** an answer depends on the conversation alone, so it can be continued: sent the
//! beginning of the answer as the last turn, or as the turn before one that asks to go on, this
//! gives exactly the rest.

use std::time::Duration;

use http::StatusCode;
use r1_testkit::upstream::{Script, Step};
use serde_json::Value;

const SAMPLE: &str = include_str!("sample.md");

/// The part of a request that decides the answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Turns<'a> {
    /// What the answer is to.
    pub(crate) question: &'a str,
    /// Its beginning, if it is to be continued.
    pub(crate) beginning: &'a str,
}

/// The newest of the questions that stand in one turn, because those before it got no word of answer.
fn newest(mut question: &str) -> &str {
    const WITHOUT_LINES: [&str; 5] = ["words", "rich", "attempt", "error", "hang"];
    while let Some((earlier, rest)) = question.split_once("\n\n")
        && !earlier.contains('\n')
        && earlier.split_whitespace().next().is_some_and(|word| WITHOUT_LINES.contains(&word))
    {
        question = rest;
    }
    question
}

/// Finds them in the body of a request for a completion.
pub(crate) fn turns(body: &Value) -> Turns<'_> {
    let messages = body["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let turn = |back: usize, role: &str| {
        let message = messages.get(messages.len().checked_sub(back)?)?;
        let text = (message["role"] == role).then(|| message["content"].as_str())??;
        Some(if role == "user" { newest(text) } else { text })
    };
    let last = turn(1, "user");
    if let (Some(question), Some(beginning)) = (turn(2, "user"), turn(1, "assistant")) {
        return Turns { question, beginning };
    }
    // A turn of the server's that asks to go on follows an answer that is not whole.
    if let (Some(question), Some(beginning)) = (turn(3, "user"), turn(2, "assistant"))
        && last.is_some_and(|text| Plan::read(text).is_none())
        && let Some(plan) = Plan::read(question)
        && plan.rest(1, beginning).is_some_and(|rest| !rest.trim().is_empty())
    {
        return Turns { question, beginning };
    }
    Turns { question: last.unwrap_or_default(), beginning: "" }
}

/// The answer when this is asked for the `attempt`-th time, from 1.
pub(crate) fn script(turns: &Turns<'_>, attempt: u32) -> Script {
    let Some(plan) = Plan::read(turns.question) else {
        return Script::text(&format!("You said: {}", turns.question));
    };
    plan.script(turns.beginning, attempt)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Good,
    Cut,
    Stall,
    Length,
}

#[derive(Debug)]
enum Verb<'a> {
    Words(usize),
    Rich,
    Say(&'a str),
    Chunks(Vec<String>),
    Attempt,
    Error(StatusCode),
    Hang,
}

#[derive(Debug)]
struct Plan<'a> {
    verb: Verb<'a>,
    every: Duration,
    hold: Option<(usize, String)>,
    ending: (Ending, usize),
    once: bool,
}

impl<'a> Plan<'a> {
    /// What is no request of this language is `None`.
    fn read(question: &'a str) -> Option<Self> {
        let (line, more) = question.split_once('\n').unwrap_or((question, ""));
        let mut words = line.split_ascii_whitespace();
        let verb = match words.next()? {
            "words" => Verb::Words(words.next()?.parse().ok()?),
            "rich" => Verb::Rich,
            "say" => Verb::Say(more),
            "chunks" => Verb::Chunks(given_chunks(more)?),
            "attempt" => Verb::Attempt,
            "error" => Verb::Error(words.next()?.parse().ok()?),
            "hang" => Verb::Hang,
            _ => return None,
        };
        let mut plan = Self { verb, every: Duration::ZERO, hold: None, ending: (Ending::Good, 0), once: false };
        while let Some(word) = words.next() {
            if word == "once" {
                plan.once = true;
                continue;
            }
            let number: usize = words.next()?.parse().ok()?;
            match word {
                "every" => plan.every = Duration::from_millis(number as u64),
                "hold" => plan.hold = Some((number, words.next()?.to_owned())),
                "cut" => plan.ending = (Ending::Cut, number),
                "stall" => plan.ending = (Ending::Stall, number),
                "length" => plan.ending = (Ending::Length, number),
                _ => return None,
            }
        }
        Some(plan)
    }

    fn text(&self, attempt: u32) -> String {
        match &self.verb {
            Verb::Words(count) => (1..=*count).map(|n| format!("w{n}")).collect::<Vec<_>>().join(" "),
            Verb::Rich => SAMPLE.to_owned(),
            Verb::Say(text) => (*text).to_owned(),
            Verb::Chunks(chunks) => chunks.concat(),
            Verb::Attempt => format!("attempt {attempt}"),
            Verb::Error(_) | Verb::Hang => String::new(),
        }
    }

    /// What comes after this beginning, if it is one of the answer.
    fn rest(&self, attempt: u32, beginning: &str) -> Option<String> {
        self.text(attempt).strip_prefix(beginning).map(str::to_owned)
    }

    /// What is left of the answer, as it comes.
    fn chunks(&self, whole: &str, rest: &str) -> Vec<String> {
        let Verb::Chunks(given) = &self.verb else { return chunks(rest) };
        let mut said = whole.len() - rest.len();
        let mut left = given.iter().map(|chunk| {
            let cut = said.min(chunk.len());
            said -= cut;
            chunk[cut..].to_owned()
        });
        left.by_ref().skip_while(String::is_empty).collect()
    }

    fn script(&self, beginning: &str, attempt: u32) -> Script {
        let spoiled = !self.once || attempt == 1;
        match &self.verb {
            Verb::Hang => return Script::new().hang(),
            Verb::Error(status) if spoiled && *status == StatusCode::TOO_MANY_REQUESTS => {
                return Script::rate_limited("7");
            }
            Verb::Error(status) if spoiled => {
                return Script::error(*status, "scripted", "The question asked for this error.");
            }
            Verb::Error(_) => return Script::text("It works now."),
            _ => {}
        }
        // A beginning that is none of ours (the question was edited, say) is not continued.
        let rest = self.rest(attempt, beginning).unwrap_or_else(|| self.text(attempt));
        let whole = self.text(attempt);
        let all = self.chunks(&whole, &whole).len();
        let pieces = self.chunks(&whole, &rest);
        let done = all.saturating_sub(pieces.len());
        let (ending, end) = if spoiled { self.ending } else { (Ending::Good, 0) };
        let mut script = Script::new().role();
        for (n, piece) in pieces.into_iter().enumerate().map(|(n, piece)| (n + done, piece)) {
            if ending != Ending::Good && n >= end {
                break;
            }
            if self.hold.as_ref().is_some_and(|(at, _)| *at == n) {
                script = self.hold.iter().fold(script, |script, (_, gate)| script.wait_for(gate));
            }
            if n > done && !self.every.is_zero() {
                script = script.pause(self.every);
            }
            script = script.chunk(piece);
        }
        match ending {
            Ending::Good => script.ending(),
            Ending::Cut => script.cut(),
            Ending::Stall => script.hang(),
            Ending::Length => script.finish("length").then(Step::Usage).done(),
        }
    }
}

/// Chunks that a question gives itself: strings, or a string and how often.
fn given_chunks(json: &str) -> Option<Vec<String>> {
    let given: Vec<Value> = serde_json::from_str(json).ok()?;
    let text = |given: &Value| match given {
        Value::Array(often) => Some(often.first()?.as_str()?.repeat(often.get(1)?.as_u64()?.try_into().ok()?)),
        once => once.as_str().map(str::to_owned),
    };
    given.iter().map(text).collect()
}

/// A chunk per word; a long word comes in pieces, so that markup is cut in its middle too.
fn chunks(text: &str) -> Vec<String> {
    const LONGEST: usize = 11;
    let mut chunks = Vec::new();
    for word in text.split_inclusive([' ', '\n']) {
        let characters: Vec<char> = word.chars().collect();
        chunks.extend(characters.chunks(LONGEST).map(|piece| piece.iter().collect::<String>()));
    }
    chunks
}

#[cfg(test)]
mod tests;
