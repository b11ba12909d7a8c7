//! Messages: rows of a tree. An edit or a regeneration is a sibling, never a change in place.

use crate::{
    cursor::Cursor,
    event::Failure,
    generation::State,
    id::{GenerationId, MessageId},
    part::{Content, Part, reasoning_bytes},
    text::is_blank,
    time::Timestamp,
};

/// Who wrote a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Instructions to the model.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// The name in storage and on the wire (the same in the OpenAI format).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }

    /// Reads a stored name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::System, Self::User, Self::Assistant].into_iter().find(|role| role.as_str() == text)
    }
}

/// A message as its owner sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Identifier.
    pub id: MessageId,
    /// The message that this one answers or follows; none for the first.
    pub parent_id: Option<MessageId>,
    /// Who wrote it.
    pub role: Role,
    /// The text; of a running answer, the text so far.
    pub content: String,
    /// What it consists of, where that is more than the text: [`Content::parts`].
    pub parts: Vec<Part>,
    /// State of the generation that writes it; `Completed` for messages that a person wrote.
    pub state: State,
    /// The model that wrote it, as `provider/model`.
    pub model: Option<String>,
    /// The newest generation of an assistant message.
    pub generation_id: Option<GenerationId>,
    /// Of a running answer: the cursor of exactly what is in `content` and `parts`.
    pub last_event: Option<Cursor>,
    /// Why the model ended (`stop`, `length`, …), when it did.
    pub finish_reason: Option<String>,
    /// Code of the error that ended it, when one did.
    pub error_code: Option<String>,
    /// That error, as the event that ended it said it.
    pub failure: Option<Failure>,
    /// Of an answer that has ended: the oldest message that its model was given. None where that was the whole
    /// path, or nobody knows. Of an answer that was gone on with, the newest that is known.
    pub remembers_from: Option<MessageId>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Why an answer can't be gone on with. The words are for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotContinuable {
    /// The model finished it.
    #[error("This answer is complete. Ask a further question, or retry it for another answer.")]
    Complete,
    /// It has no text.
    #[error("This answer has no text to go on from. Retry it instead.")]
    Empty,
    /// It is as long as an answer may be.
    #[error("This answer is as long as answers can be. Ask a further question to get more.")]
    Full,
    /// Its log says what only a newer build knows.
    #[error("A newer version of this server wrote this answer, and can go on with it. Here, ask a further question.")]
    Newer,
}

impl Message {
    /// What it says, and all that stands beside it.
    #[must_use]
    pub fn into_content(self) -> Content {
        Content { text: self.content, parts: self.parts }
    }

    /// Whether a new generation may go on with this answer, whose newest one has ended: it was
    /// stopped, interrupted, failed, or cut at a length limit, and has text, with all that was thought less than
    /// `most_bytes`.
    ///
    /// # Errors
    /// [`NotContinuable`] says what to do instead.
    pub fn check_continuable(&self, most_bytes: usize) -> Result<(), NotContinuable> {
        let complete = match self.state {
            State::Completed => self.finish_reason.as_deref() != Some("length"),
            State::Queued | State::Running | State::Stopped | State::Failed | State::Interrupted => false,
        };
        if complete {
            Err(NotContinuable::Complete)
        } else if self.content.is_empty() {
            Err(NotContinuable::Empty)
        } else if self.content.len() + reasoning_bytes(&self.parts) >= most_bytes {
            Err(NotContinuable::Full)
        } else {
            Ok(())
        }
    }
}

/// One message of the history that goes to a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Who wrote it.
    pub role: Role,
    /// The text.
    pub content: String,
}

impl Turn {
    /// Whether nothing of it can be seen.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        is_blank(&self.content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_is_what_nobody_sees() {
        let blank = |content: &str| Turn { role: Role::User, content: content.to_owned() }.is_blank();
        for content in
            ["", " ", "\n\t ", "\u{a0}\u{3000}", "\u{200b}\u{feff}", "\u{3164}", "\u{2800}", "\u{e0041}", "\0"]
        {
            assert!(blank(content), "{content:?}");
        }
        for content in [".", " a ", "\u{200b}漢", "👩\u{200d}💻", "\u{301}", "\u{fffd}"] {
            assert!(!blank(content), "{content:?}");
        }
    }

    #[test]
    fn what_ended_early_and_has_text_may_go_on() {
        let message = |state, content: &str, finish_reason: Option<&str>| Message {
            id: MessageId::new(Timestamp::from_micros(1)),
            parent_id: None,
            role: Role::Assistant,
            content: content.to_owned(),
            parts: Vec::new(),
            state,
            model: None,
            generation_id: None,
            last_event: None,
            finish_reason: finish_reason.map(str::to_owned),
            error_code: None,
            failure: None,
            remembers_from: None,
            created_at: Timestamp::from_micros(1),
        };
        for state in [State::Stopped, State::Interrupted, State::Failed] {
            assert_eq!(message(state, "half", None).check_continuable(5), Ok(()), "{state:?}");
            assert_eq!(message(state, "", None).check_continuable(5), Err(NotContinuable::Empty), "{state:?}");
            assert_eq!(message(state, "whole", None).check_continuable(5), Err(NotContinuable::Full), "{state:?}");
        }
        let completed = |reason| message(State::Completed, "half", Some(reason)).check_continuable(5);
        assert_eq!(completed("length"), Ok(()));
        for reason in ["stop", "content_filter", "tool_calls"] {
            assert_eq!(completed(reason), Err(NotContinuable::Complete), "{reason}");
        }
    }
}
