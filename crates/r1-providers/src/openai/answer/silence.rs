//! How long nothing may come.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep};

/// How long nothing has come. Costs a look at the clock per chunk: the timer itself is only moved
/// when it goes off too early.
pub(super) struct Silence {
    /// Before the answer was said to be at its end.
    idle: Duration,
    /// Now.
    allowed: Duration,
    /// The answer was said to be at its end, at this time: only what the model says counts from then on.
    end_said: Option<Instant>,
    since: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Silence {
    pub(super) fn new(idle: Duration) -> Self {
        let timer = Box::pin(tokio::time::sleep(idle));
        Self { idle, allowed: idle, end_said: None, since: Instant::now(), timer }
    }

    /// The silence that is allowed before an end.
    pub(super) const fn idle(&self) -> Duration {
        self.idle
    }

    /// The silence that is allowed now.
    pub(super) const fn allowed(&self) -> Duration {
        self.allowed
    }

    /// Something came.
    pub(super) fn broken(&mut self) {
        if self.end_said.is_none() {
            self.since = Instant::now();
        }
    }

    /// The model said something: the wait for the end begins anew.
    pub(super) fn spoken(&mut self) {
        self.since = Instant::now();
    }

    /// Something of the model's came with nothing in it: so does this, but not for longer than any silence may be.
    pub(super) fn stirred(&mut self) {
        if self.end_said.is_some_and(|said| said.elapsed() < self.idle) {
            self.since = Instant::now();
        }
    }

    /// The answer is said to be at its end: from now on this silence is enough, where it is less than any may be.
    pub(super) fn end_in(&mut self, allowed: Duration) {
        let now = Instant::now();
        self.end_said.get_or_insert(now);
        self.allowed = allowed.min(self.idle);
        self.since = now;
        self.timer.as_mut().reset(now + self.allowed);
    }

    /// Whether the end has taken long enough, whatever still comes.
    pub(super) fn is_over_at_the_end(&self) -> bool {
        self.end_said.is_some() && self.since.elapsed() >= self.allowed
    }

    /// Ready when nothing has come for too long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let end = self.since + self.allowed;
            if Instant::now() >= end {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(end);
        }
    }
}
