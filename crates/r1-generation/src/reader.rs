//! A reader: a cursor over a log, and a slot in which it is woken.
//!
//! **Invariant (readers pull):** a reader owns no queue. What it has not asked for stays in the
//! log; a slow one costs its cursor.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use r1_domain::{
    fold::Folded,
    frame,
    id::GenerationId,
    log::{DamagedLog, Position},
};
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::log::{Found, SharedLog};

/// How long a reader that is sent away shall wait before it comes back.
const COME_BACK_AFTER: Duration = Duration::from_secs(2);

/// Follows one generation from a cursor on. Dropping it is detaching: the run goes on.
pub struct Reader {
    log: SharedLog,
    slot: usize,
    position: Position,
    stall_limit: Duration,
    done: bool,
    /// It is one of those that this counts.
    _attached: Option<TaskTrackerToken>,
}

impl Reader {
    pub(crate) fn new(log: SharedLog, position: Position, stall_limit: Duration) -> Self {
        let slot = log.join();
        Self { log, slot, position, stall_limit, done: false, _attached: None }
    }

    /// Has it counted until it is dropped.
    pub(crate) fn counted(mut self, attached: TaskTrackerToken) -> Self {
        self._attached = Some(attached);
        self
    }

    /// The generation that it follows.
    #[must_use]
    pub fn generation_id(&self) -> GenerationId {
        self.log.id()
    }

    /// Whether it has had the terminal event, so that there is nothing to wait for.
    #[must_use]
    pub fn at_end(&self) -> bool {
        self.log.ends_at(self.position)
    }

    /// The next frames, whole and in order, all that are ready up to some 100 KiB (short chunks) or one chunk. None after the
    /// terminal event, or after a `retry:` line where the stream can't go on here for now.
    pub fn poll_frames(&mut self, context: &Context<'_>) -> Poll<Option<Bytes>> {
        if self.done {
            return Poll::Ready(None);
        }
        match self.log.poll_read(self.slot, self.position, self.stall_limit, context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Found::Frames(frames, position)) => {
                self.position = position;
                Poll::Ready(Some(frames))
            }
            Poll::Ready(Found::End) => {
                self.done = true;
                Poll::Ready(None)
            }
            Poll::Ready(Found::ComeBack) => {
                self.done = true;
                let mut retry = Vec::with_capacity(32);
                frame::encode_retry(&mut retry, COME_BACK_AFTER);
                Poll::Ready(Some(Bytes::from(retry)))
            }
        }
    }

    /// Waits for the terminal event and adds the whole log up: the answer for a caller that does
    /// not stream. `terminal` is none where the stream can't go on here for now.
    ///
    /// # Errors
    /// [`DamagedLog`] if the log can't be read.
    pub async fn fold(self) -> Result<Folded, DamagedLog> {
        self.log.wait_closed(self.stall_limit).await;
        self.log.fold().await
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.log.leave(self.slot);
    }
}
