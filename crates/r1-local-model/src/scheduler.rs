//! Many answers at once from one thread.
//!
//! One thread owns the model and every sequence. Each step is one forward pass, with one row for
//! every answer being written and a bounded number of rows of prompts still being read, shared in
//! turn, so a long question never makes running answers stutter by more than one small step.
//!
//! Outside, an answer is a bounded channel. Its reader steers: a reader that is behind pauses its
//! own answer and nobody else's, and one that is gone cancels it before the next step. Waiting
//! requests are admitted by user, the one with fewest running answers first.
//!
//! **Invariant:** nothing outside this module's thread ever waits for the model while holding
//! anything the thread needs, and the thread waits for nothing but work.

mod engine;
mod prefixes;
mod queue;
mod sequence;

#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use futures::Stream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::model::Model;
use crate::sampler::Sampling;
use crate::tokenizer::Tokenizer;
use engine::Engine;
use queue::Queue;
pub use queue::SubmitError;

/// Events that a reader may be behind before its answer pauses.
const CHANNEL: usize = 64;

/// Bounds of the scheduler.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Answers written at the same time.
    pub active: usize,
    /// Requests waiting, in all.
    pub queued: usize,
    /// Requests waiting per user.
    pub queued_per_user: usize,
    /// Prompt tokens read per step, in all.
    pub prefill_rows: usize,
    /// Tokens in one sequence.
    pub context: usize,
    /// Bytes of keys and values that running answers may come to need.
    pub running_bytes: usize,
    /// Bytes of keys and values kept of finished conversations.
    pub kept_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            active: 16,
            queued: 128,
            queued_per_user: 16,
            prefill_rows: 32,
            context: 8192,
            running_bytes: 1 << 30,
            kept_bytes: 64 << 20,
        }
    }
}

/// One answer to write.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Whose turn it takes, and whose kept conversations it may build on. Opaque.
    pub user: String,
    /// The conversation, up to where the answer begins. Not empty.
    pub prompt: Vec<u32>,
    /// The answer so far, when one is continued; it is not sent again.
    pub answer: Vec<u32>,
    /// New tokens at most.
    pub max_tokens: usize,
    /// Texts that end the answer and do not appear in it.
    pub stop: Vec<String>,
    /// How tokens are chosen.
    pub sampling: Sampling,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The model ended it, or a stop text came up.
    Stop,
    /// The token limit or the end of the context.
    Length,
}

/// What an answer cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, the continued part of an answer included.
    pub prompt_tokens: usize,
    /// Of these, the ones that were still in memory.
    pub cached_tokens: usize,
    /// Tokens chosen, a final end token not counted.
    pub completion_tokens: usize,
}

/// Something an answer's reader learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The answer goes on.
    Text {
        /// Whole characters; may be empty in the last event before the end.
        text: String,
        /// The tokens that brought it, for continuing from exactly here: the text is theirs and no
        /// other's. Where the answer ends with text that was held back, the token that ended it is the
        /// last.
        tokens: Vec<u32>,
    },
    /// The answer is complete; nothing follows.
    Done {
        /// Why it ended.
        finish: Finish,
        /// What it cost.
        usage: Usage,
    },
}

/// A running answer. Dropping it cancels it.
#[derive(Debug)]
pub struct Answer {
    events: mpsc::Receiver<Event>,
    queue: Arc<Queue>,
}

impl Stream for Answer {
    type Item = Event;

    /// Ends without [`Event::Done`] only when the scheduler was shut down.
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let event = self.events.poll_recv(context);
        if event.is_ready() {
            // There is room again, which a paused answer may be waiting for.
            self.queue.wake();
        }
        event
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.events.close();
        self.queue.wake();
    }
}

/// The way to the thread that runs the model.
#[derive(Debug)]
pub struct Scheduler {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

impl Scheduler {
    /// Reads `prefix`, which most prompts begin with, into memory, and starts the thread.
    ///
    /// Blocks for as long as reading the prefix takes; the first request is then as fast as later
    /// ones.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(model: Model, tokenizer: Arc<Tokenizer>, prefix: &[u32], limits: Limits) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::new(limits));
        let mut engine = Engine::new(model, tokenizer, limits, Arc::clone(&queue));
        engine.warm(prefix);
        let thread = std::thread::Builder::new().name(String::from("inference")).spawn(move || engine.run())?;
        queue.set_thread(thread.thread().clone());
        Ok(Self { queue, thread: Some(thread) })
    }

    /// Asks for an answer.
    ///
    /// # Errors
    /// [`SubmitError`]: too much is waiting already, the scheduler was shut down, or the prompt is
    /// empty.
    pub fn submit(&self, request: Request) -> Result<Answer, SubmitError> {
        let (sender, events) = mpsc::channel(CHANNEL);
        self.queue.push(request, sender)?;
        Ok(Answer { events, queue: Arc::clone(&self.queue) })
    }

    /// Cancelled when no more answers will come: after [`Scheduler::shut_down`], or because the
    /// thread died.
    pub fn closed(&self) -> CancellationToken {
        self.queue.closed()
    }

    /// Ends the thread after its current step; answers under way end without [`Event::Done`].
    pub fn shut_down(&self) {
        self.queue.close();
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the inference thread had panicked");
        }
    }
}
