//! What goes into storage with a log's last event.

use crate::{
    event::{End, Event, Failure, Outcome, Usage},
    generation::State,
    id::MessageId,
    jobs::NewJob,
    part::Content,
    time::Timestamp,
};

/// What ends with the terminal event, in its transaction.
#[derive(Debug, Clone)]
pub struct Terminal {
    /// The terminal event. Its payload outlives the log: it is kept with the generation
    /// ([`StoredLog::terminal_payload`](super::StoredLog::terminal_payload)).
    pub event: Event,
    /// What the message says: the fold of the log.
    pub content: Content,
    /// Tokens used, also where the event has no place for them.
    pub usage: Option<Usage>,
    /// As in [`Spent`](crate::generation::Spent).
    pub first_token_ms: Option<u64>,
    /// The oldest message that the model was given, where that was not all of them. None leaves what an earlier
    /// generation of the message has said: a part of its text was written with no more than that.
    pub remembers_from: Option<MessageId>,
    /// Now.
    pub ended_at: Timestamp,
    /// Work that follows. It is handed in by the same commit, unless an open job has its kind and key.
    pub also: Vec<NewJob>,
}

impl Terminal {
    /// The end of an answer that says this.
    #[must_use]
    pub const fn new(event: Event, content: Content, ended_at: Timestamp) -> Self {
        let usage = if let Event::End(end) = &event { end.usage } else { None };
        Self { event, content, usage, first_token_ms: None, remembers_from: None, ended_at, also: Vec::new() }
    }

    /// The final state.
    #[must_use]
    pub fn state(&self) -> State {
        self.event.state()
    }

    /// Why the model ended, if it did.
    #[must_use]
    pub fn finish_reason(&self) -> Option<&str> {
        match &self.event {
            Event::End(End { outcome: Outcome::Completed { finish_reason }, .. }) => Some(finish_reason),
            _ => None,
        }
    }

    /// The failure, where there is one.
    #[must_use]
    pub const fn failure(&self) -> Option<&Failure> {
        match &self.event {
            Event::Error(failure) => Some(failure),
            _ => None,
        }
    }
}
