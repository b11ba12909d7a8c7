//! A log from its run's side: what is appended waits for the writer, who is told where the log was idle.

use r1_domain::{
    call::Call,
    event::Event,
    log::{PrivateKind, push, push_private, push_reasoning, push_tokens},
    store::Terminal,
};

use super::{Log, Phase};

/// What came of an append.
pub(crate) struct Appended {
    /// The log was idle: the writer must be told.
    pub(crate) tell_writer: bool,
    /// Bytes that wait for the writer.
    pub(crate) backlog: usize,
    /// It is nowhere, and the run must end: the log has its terminal event, or another process has it.
    pub(crate) refused: Option<Refused>,
}

/// Why a log takes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It has its terminal event, stored or not.
    Ended,
    /// It is another process's.
    Fenced,
}

impl Log {
    /// Appends a chunk.
    pub(crate) fn append_chunk(&self, text: &str) -> Appended {
        self.append_tokens(text, &[])
    }

    /// Appends a chunk with the tokens that it stands for; none where they aren't known.
    pub(crate) fn append_tokens(&self, text: &str, ids: &[u32]) -> Appended {
        self.append(|records| push_tokens(records, text, ids))
    }

    /// Appends what the model thought.
    pub(crate) fn append_reasoning(&self, text: &str) -> Appended {
        self.append(|records| push_reasoning(records, text))
    }

    fn append(&self, event: impl FnOnce(&mut Vec<u8>)) -> Appended {
        let mut state = self.state.lock();
        let refused = match state.phase {
            Phase::Open => None,
            Phase::Ending | Phase::Ended => Some(Refused::Ended),
            Phase::Abandoned => Some(Refused::Fenced),
        };
        if refused.is_some() {
            return Appended { tell_writer: false, backlog: 0, refused };
        }
        event(&mut state.records);
        let tell_writer = state.advance();
        Appended { tell_writer, backlog: state.records.len() - state.visible.offset, refused: None }
    }

    /// Appends the first event of a log that lost it, and with it all others. True if the writer must be
    /// told.
    pub(crate) fn append_start(&self, start: &Event) -> bool {
        let mut state = self.state.lock();
        push(&mut state.records, start);
        state.advance()
    }

    /// Appends a take-over. True if the writer must be told.
    pub(crate) fn append_resumed(&self, epoch: u32, discards_reasoning: bool) -> bool {
        self.state.lock().resume(self.id, epoch, discards_reasoning)
    }

    /// Appends the terminal event, with what is kept of the calls of the model since the event before. True if the
    /// writer must be told.
    pub(crate) fn append_terminal(&self, terminal: Terminal, calls: &[Call]) -> bool {
        let mut state = self.state.lock();
        if state.phase != Phase::Open {
            return false;
        }
        for call in calls {
            push_private(&mut state.records, PrivateKind::CALL, &call.record());
        }
        state.end(terminal)
    }
}
