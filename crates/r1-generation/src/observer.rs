//! What happens to generations, told as it happens to whoever counts it.

use std::time::Duration;

use r1_domain::{event::Usage, generation::State, provider::ProviderErrorCode};

/// A commit of the writer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// Logs in it.
    pub logs: usize,
    /// Bytes of records in it.
    pub bytes: usize,
    /// How long storage took.
    pub took: Duration,
    /// Whether it was stored.
    pub stored: bool,
}

/// What a provider sent that went no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkippedKind {
    /// It could not be read: there may have been words in it.
    Unread,
    /// A call of a tool, of which none was offered.
    ToolCall,
    /// What the model thought, where a node of an older version would lose it.
    Reasoning,
}

impl SkippedKind {
    /// The word for it where it is counted.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unread => "unread",
            Self::ToolCall => "tool_call",
            Self::Reasoning => "reasoning",
        }
    }
}

/// Told on the way of every chunk: it must be quick and wait for nothing. `provider` is a name of the
/// configuration's. Does nothing about what it is not interested in.
pub trait Observer: Send + Sync + 'static {
    /// A question, or another answer to one, was accepted.
    fn accepted(&self) {}

    /// The end of a generation was stored.
    fn ended(&self, _state: State) {}

    /// A run's first text or thought came, this long after it was asked for.
    fn first_chunk(&self, _provider: &str, _after: Duration) {}

    /// A run's next piece came, this long after the one before; the time is included that it waited for storage.
    fn gap(&self, _gap: Duration) {}

    /// A provider's answer came whole, with what it used where the provider counts. `model` is the provider's own name
    /// for it, which may be any text that somebody asked for.
    fn provider_answered(&self, _provider: &str, _model: &str, _usage: Option<Usage>) {}

    /// A request to a provider failed; it is tried again, or the answer ends with that.
    fn provider_failed(&self, _provider: &str, _code: ProviderErrorCode, _tried_again: bool) {}

    /// This many events of an answer went no further; of reasoning, the answers that had some.
    fn skipped(&self, _provider: &str, _kind: SkippedKind, _events: u64) {}

    /// Records of logs were given to storage.
    fn committed(&self, _commit: Commit) {}

    /// A generation was taken over from a process that is gone.
    fn taken_over(&self) {}

    /// This node's lease lapsed: it let go of what it ran.
    fn lapsed(&self) {}
}

/// Nobody counts.
impl Observer for () {}
