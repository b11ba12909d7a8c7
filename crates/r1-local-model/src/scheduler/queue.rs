//! Requests on their way to the inference thread, and the bell that wakes it.

use std::collections::{HashMap, VecDeque};
use std::sync::OnceLock;
use std::thread::Thread;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Event, Limits, Request};

/// Why a request was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Too many requests are waiting, of this user or of all.
    #[error("the local model has too many requests waiting")]
    Overloaded,
    /// The scheduler was shut down.
    #[error("the local model is shutting down")]
    Closed,
    /// There is no token to go on from.
    #[error("the prompt is empty")]
    Empty,
}

/// A request that waits for its turn.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) request: Request,
    pub(super) events: mpsc::Sender<Event>,
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<Waiting>,
    open: bool,
}

#[derive(Debug)]
pub(super) struct Queue {
    limits: Limits,
    state: Mutex<State>,
    thread: OnceLock<Thread>,
    closed: CancellationToken,
}

impl Queue {
    pub(super) fn new(limits: Limits) -> Self {
        let state = State { waiting: VecDeque::new(), open: true };
        Self { limits, state: Mutex::new(state), thread: OnceLock::new(), closed: CancellationToken::new() }
    }

    pub(super) fn set_thread(&self, thread: Thread) {
        // Nobody could wake the thread before this; it looks again.
        thread.unpark();
        let _ = self.thread.set(thread);
    }

    /// Makes the thread look at its work again. Cheap when it is busy.
    pub(super) fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    pub(super) fn push(&self, request: Request, events: mpsc::Sender<Event>) -> Result<(), SubmitError> {
        if request.prompt.is_empty() {
            return Err(SubmitError::Empty);
        }
        let mut state = self.state.lock();
        if !state.open {
            return Err(SubmitError::Closed);
        }
        state.waiting.retain(|waiting| !waiting.events.is_closed());
        let same_user = |waiting: &&Waiting| waiting.request.user == request.user;
        if state.waiting.len() >= self.limits.queued
            || state.waiting.iter().filter(same_user).count() >= self.limits.queued_per_user
        {
            return Err(SubmitError::Overloaded);
        }
        state.waiting.push_back(Waiting { request, events });
        drop(state);
        self.wake();
        Ok(())
    }

    pub(super) fn close(&self) {
        let dropped = {
            let mut state = self.state.lock();
            state.open = false;
            std::mem::take(&mut state.waiting)
        };
        drop(dropped);
        self.closed.cancel();
        self.wake();
    }

    pub(super) fn closed(&self) -> CancellationToken {
        self.closed.clone()
    }

    pub(super) fn is_open(&self) -> bool {
        self.state.lock().open
    }

    /// Takes the request whose turn it is: of the user with fewest running answers, the oldest.
    /// `admit` may refuse it for now, then it keeps its place.
    pub(super) fn pop(
        &self,
        running: &HashMap<String, usize>,
        admit: impl FnOnce(&Request) -> bool,
    ) -> Option<Waiting> {
        let mut state = self.state.lock();
        state.waiting.retain(|waiting| !waiting.events.is_closed());
        let (next, waiting) = state
            .waiting
            .iter()
            .enumerate()
            .min_by_key(|(_, waiting)| running.get(&waiting.request.user).copied().unwrap_or(0))?;
        if !admit(&waiting.request) {
            return None;
        }
        state.waiting.remove(next)
    }
}
