//! What was said before an answer, as storage has it.

use crate::{id::MessageId, message::Turn};

/// The path down to an answer's question, or the newest part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Oldest first; the last one is the question.
    pub turns: Vec<PastTurn>,
    /// Whether it begins at the conversation's beginning. Not whole: older turns were left out, but for
    /// the system turn, if the conversation begins with one.
    pub whole: bool,
}

/// A turn, and which message it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastTurn {
    /// The message.
    pub id: MessageId,
    /// What it says.
    pub turn: Turn,
}
