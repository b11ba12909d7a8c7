//! What is known from outside, and what of it can't be true.
//!
//! Facts come in as clients learn them, in whatever life of the engine; each is compared with the
//! earlier ones at once, and with what is stored at the end ([`crate::verdict`]).

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::{Result, ensure};
use bytes::Bytes;
use r1_domain::{
    cursor::Cursor,
    generation::State,
    id::{ConversationId, GenerationId, MessageId, UserId},
    part::Content,
    store::IdempotencyKey,
};
use r1_testkit::sse::Frame;

/// A generation that a client was told of.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) id: GenerationId,
    pub(crate) owner: UserId,
    pub(crate) conversation: ConversationId,
    pub(crate) message: MessageId,
    pub(crate) seed: u64,
    /// Bytes of text that it began with.
    pub(crate) given: usize,
    /// The ended one that it goes on from.
    pub(crate) continues: Option<GenerationId>,
}

/// A running answer on a page of messages.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) generation: GenerationId,
    pub(crate) cursor: Cursor,
    pub(crate) content: Content,
}

/// What an idempotency key stands for.
#[derive(Debug, Clone)]
pub(crate) struct Keyed {
    pub(crate) owner: UserId,
    pub(crate) key: IdempotencyKey,
    pub(crate) request: Request,
    pub(crate) made: Option<GenerationId>,
}

/// What a client may ask for again.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    Send { text: String, conversation: Option<ConversationId> },
    Continue(GenerationId),
    Retry(GenerationId),
}

#[derive(Default)]
pub(crate) struct Facts {
    pub(crate) known: Vec<Known>,
    /// Every frame that anybody got.
    pub(crate) frames: HashMap<GenerationId, BTreeMap<Cursor, Bytes>>,
    pub(crate) snapshots: Vec<Snapshot>,
    /// States that somebody was told as final.
    pub(crate) ended: HashMap<GenerationId, State>,
    /// Cursors after which there was nothing to follow.
    pub(crate) at_end: Vec<(GenerationId, Cursor)>,
    pub(crate) keys: HashMap<u8, Keyed>,
    /// Generations that somebody was given.
    pub(crate) acknowledged: Vec<(UserId, GenerationId)>,
    /// Text and state of messages that had ended, by their newest generation.
    pub(crate) finals: HashMap<GenerationId, (String, State)>,
    /// Generations that their owner tried to stop, and to continue.
    pub(crate) stops: HashSet<GenerationId>,
    /// Stops that have begun: the life that was asked, and how many calls there were by then.
    pub(crate) stopping: Vec<(usize, Known, usize)>,
    pub(crate) continued: HashSet<GenerationId>,
    /// Lives that began while another one still wrote.
    pub(crate) beside: HashSet<usize>,
    /// Logs may have been retired.
    pub(crate) purged: bool,
    /// Storage was not as it should be, or two processes had it: requests may be refused for that.
    pub(crate) disturbed: bool,
    faults: Vec<String>,
}

impl Facts {
    /// Something that can't be.
    pub(crate) fn fault(&mut self, what: impl Into<String>) {
        self.faults.push(what.into());
    }

    pub(crate) fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.fault(what());
        }
    }

    /// # Errors
    /// The faults so far.
    pub(crate) fn check(&self) -> Result<()> {
        ensure!(self.faults.is_empty(), "{}", self.faults.join("\n"));
        Ok(())
    }

    pub(crate) fn accepted(&mut self, known: Known) {
        match self.known.iter().find(|other| other.id == known.id) {
            Some(other) if other.owner != known.owner => {
                self.fault(format!("generation {} was given to two users", known.id));
            }
            Some(_) => {}
            None => self.known.push(known),
        }
    }

    /// A frame as somebody got it.
    pub(crate) fn frame(&mut self, owner: UserId, frame: &Frame) {
        let Some(id) = frame.id else { return self.fault("a frame without id") };
        let foreign = self.known.iter().any(|known| known.id == id.generation_id && known.owner != owner);
        self.expect(!foreign, || format!("a frame of another user's: {id}"));
        let seen =
            self.frames.entry(id.generation_id).or_default().entry(id.cursor).or_insert_with(|| frame.raw.clone());
        if *seen != frame.raw {
            let message = format!("{id} was {seen:?} and is {:?}", frame.raw);
            self.fault(message);
        }
    }

    pub(crate) fn ended(&mut self, id: GenerationId, state: State) {
        let before = *self.ended.entry(id).or_insert(state);
        self.expect(state.is_terminal(), || format!("{id} was given back as {state:?}"));
        self.expect(before == state, || format!("{id} was {before:?} and is {state:?}"));
    }

    pub(crate) fn newest(&self, id: GenerationId) -> Option<Cursor> {
        self.frames.get(&id)?.keys().next_back().copied()
    }

    pub(crate) fn get(&self, n: u8) -> Option<&Known> {
        (!self.known.is_empty()).then(|| &self.known[usize::from(n) % self.known.len()])
    }
}
