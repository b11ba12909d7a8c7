//! From a conversation to the token ids that the model reads, within its context window.
//!
//! When a conversation has outgrown the window its oldest turns are left out. The system prompt
//! stays, and so does everything from the newest question on; if that alone is too long there is
//! no honest answer, and the request fails.

use crate::template::{ChatTemplate, Message, Role, TemplateError};
use crate::tokenizer::{Decoder, Tokenizer};

/// Of the window, at most one part in this many is kept free for the answer when history has to
/// make room for it.
const ANSWER_SHARE: usize = 4;
/// What the template adds to a message, in tokens: rather too much than too little, since a wrong
/// guess then costs another round and not a turn that would have fitted.
const FRAME: usize = 16;

/// Why there is no prompt.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// The newest question does not fit, even alone.
    #[error("the question is too long for this model: {needed} tokens, and its context holds {limit}")]
    ContextTooLong {
        /// Tokens of the shortest prompt that contains the question, and room for an answer.
        needed: usize,
        /// Tokens that the model can look back over.
        limit: usize,
    },
    /// There is nothing to answer.
    #[error("there is no user message to answer")]
    NoQuestion,
    /// The template failed.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// The answer so far, when one is to be continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partial<'a> {
    /// A new answer.
    None,
    /// Its text; tokenised anew, so the continuation may differ in its turns.
    Text(&'a str),
    /// The very tokens: the continuation is the one that an undisturbed run would have written.
    Tokens {
        /// All its text.
        text: &'a str,
        /// The tokens of its end, as [`crate::scheduler::Event::Text`] gave them; what stands before
        /// their text is tokenised anew, as it was for the run that went on from there. Where they are
        /// not what the text ends with (another model's, say), the text alone counts.
        ids: &'a [u32],
    },
}

/// What to run the model on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenPrompt {
    /// The conversation, up to where the answer begins.
    pub prompt: Vec<u32>,
    /// The answer so far.
    pub answer: Vec<u32>,
    /// How many of the oldest messages are not in it; the system prompt always is, and does not count.
    pub left_out: usize,
}

/// Fits a conversation into `context` tokens.
///
/// `max_tokens` is how long the rest of the answer may get. A run that is continued counts its
/// answer so far towards the same room, so it drops the same turns as the run before.
///
/// # Errors
/// [`PromptError`].
pub fn fit(
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
    messages: &[Message],
    partial: Partial<'_>,
    max_tokens: usize,
    context: usize,
) -> Result<TokenPrompt, PromptError> {
    let answer: Vec<u32> = match partial {
        Partial::None => Vec::new(),
        Partial::Text(text) => tokenizer.encode_text(text),
        Partial::Tokens { text, ids } => match text_before(tokenizer, text, ids) {
            Some(before) => [&tokenizer.encode_text(before), ids].concat(),
            None => {
                tracing::warn!("an answer's tokens are not those of its text; it goes on from the text");
                tokenizer.encode_text(text)
            }
        },
    };
    let newest = messages.iter().rposition(|message| message.role == Role::User).ok_or(PromptError::NoQuestion)?;
    let room = answer.len().saturating_add(max_tokens).clamp(1, (context / ANSWER_SHARE).max(1));
    let budget = context.saturating_sub(room);

    let mut first = 0;
    loop {
        let kept: Vec<&Message> = messages
            .iter()
            .enumerate()
            .filter(|(i, message)| *i >= first || message.role == Role::System)
            .map(|(_, message)| message)
            .collect();
        let rendered = template.render(&kept)?;
        let segments: Vec<_> = rendered.segments().collect();
        let mut prompt: Vec<u32> = tokenizer.begin().into_iter().collect();
        prompt.extend(tokenizer.encode(&segments));
        if prompt.len() >= 2 && tokenizer.begin().is_some() && prompt[0] == prompt[1] {
            // The template writes the opening token itself.
            prompt.remove(0);
        }
        if prompt.len() <= budget {
            let left_out = messages.len() - kept.len();
            return Ok(TokenPrompt { prompt, answer, left_out });
        }
        let excess = prompt.len() - budget;
        match next_first(tokenizer, messages, first, newest, excess) {
            Some(next) => first = next,
            None => {
                let needed = prompt.len() + room;
                return Err(PromptError::ContextTooLong { needed, limit: context });
            }
        }
    }
}

/// What of an answer stands before its last tokens; none if these are not what it ends with.
fn text_before<'a>(tokenizer: &Tokenizer, text: &'a str, ids: &[u32]) -> Option<&'a str> {
    if ids.iter().any(|id| *id as usize >= tokenizer.vocabulary()) {
        return None;
    }
    let mut decoder = Decoder::default();
    let said = ids.iter().filter(|id| !tokenizer.is_end(**id));
    let mut end: String = said.map(|id| decoder.push(tokenizer, *id)).collect();
    end.push_str(&decoder.finish());
    text.strip_suffix(&end)
}

/// Where history may begin so that about `excess` fewer tokens remain: later than `first`, with a
/// question, at the latest with the newest one. `None`: there is nothing left to drop.
fn next_first(
    tokenizer: &Tokenizer,
    messages: &[Message],
    first: usize,
    newest: usize,
    excess: usize,
) -> Option<usize> {
    let mut saved = 0;
    let mut next = None;
    for (i, message) in messages.iter().enumerate().take(newest + 1).skip(first) {
        if message.role == Role::User && saved > 0 {
            next = Some(i);
            if saved >= excess {
                break;
            }
        }
        if message.role != Role::System {
            saved += tokenizer.encode_text(&message.content).len() + FRAME;
        }
    }
    next
}
