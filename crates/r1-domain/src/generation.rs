//! A generation's states and the only moves between them.

use crate::{
    event::Usage,
    id::{ConversationId, GenerationId, MessageId, NodeId, UserId},
    log::GRAMMAR,
    time::Timestamp,
};

/// Where a generation stands. A message shows the state of its newest generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Accepted; no process runs it yet.
    Queued,
    /// A process runs it, or is about to take it over.
    Running,
    /// The model finished.
    Completed,
    /// The user stopped it; the text so far is kept.
    Stopped,
    /// It ended in an error; the text so far is kept.
    Failed,
    /// Its process died and nobody could go on; the text so far is kept.
    Interrupted,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Running, Self::Completed, Self::Stopped, Self::Failed, Self::Interrupted];

    /// The name in storage and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }

    /// Reads a stored name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether its log has a terminal event.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    /// Whether `next` may follow. A terminal state is for ever: to go on is a new generation.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Queued => matches!(next, Self::Running | Self::Stopped | Self::Failed | Self::Interrupted),
            // Running to running is a take-over.
            Self::Running => !matches!(next, Self::Queued),
            Self::Completed | Self::Stopped | Self::Failed | Self::Interrupted => false,
        }
    }
}

/// A generation as stored beside its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Identifier.
    pub id: GenerationId,
    /// Whose.
    pub owner: UserId,
    /// The conversation of its message.
    pub conversation_id: ConversationId,
    /// The assistant message that it writes.
    pub message_id: MessageId,
    /// Where it stands.
    pub state: State,
    /// The lease under which it is, or was last, run; from 1.
    pub epoch: u32,
    /// The process that holds that lease.
    pub node_id: NodeId,
    /// What its log is written in. Who doesn't know that grammar ([`GRAMMAR`]) shows the log,
    /// and neither takes it over nor continues or cuts it.
    pub grammar: u32,
    /// What the model was asked.
    pub request: GenerationRequest,
    /// When it was accepted.
    pub created_at: Timestamp,
}

/// What a generation took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// Tokens of all its calls of the model; none while it runs, and where no provider was asked.
    pub usage: Option<Usage>,
    /// Milliseconds from its acceptance to the first text or thought; none where neither came, or a process has
    /// heard it that was killed.
    pub first_token_ms: Option<u64>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it ended; none while it runs.
    pub ended_at: Option<Timestamp>,
}

/// The part of a request to a model that is kept with the generation: enough to run it again.
/// The history is not in it; it is the path from the message to the root.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct GenerationRequest {
    /// As `provider/model`.
    pub model: String,
    /// 0 to 2; none for the provider's own default.
    pub temperature: Option<f64>,
    /// At most this many tokens of answer; none where nobody set a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Of the random source, where the provider takes one.
    pub seed: u64,
    /// Run with a key that the provider rejects.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub use_invalid_key: bool,
    /// Bytes of text with which the log begins, one chunk after `start`: an earlier generation of the
    /// message wrote them. 0 for a new answer.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub given_bytes: usize,
    /// Under which id the request that asked for it stands in the logs and traces, for whoever runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The owner may read the provider's own words, should it fail: decided when it was accepted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shows_details: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Generation {
    /// Whether this build knows what its log says, well enough to go on with it.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        self.grammar <= GRAMMAR
    }
}

// A temperature that came from JSON is never NaN.
impl Eq for GenerationRequest {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_state_is_for_ever() {
        for from in State::ALL {
            assert_eq!(State::parse(from.as_str()), Some(from));
            for to in State::ALL {
                assert!(!(from.is_terminal() && from.may_become(to)), "{from:?} to {to:?}");
                assert!(!from.may_become(State::Queued));
            }
        }
        assert!(State::Running.may_become(State::Running), "a take-over");
        assert!(!State::Queued.may_become(State::Completed));
    }
}
