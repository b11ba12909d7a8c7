//! The one writer of a process: commits what has gathered in all logs while the last commit ran.
//!
//! Where few answers are written, a chunk is committed at once. Where many are, a commit begins [`PACE`]
//! after the one before at the earliest: it costs the same for one chunk as for twenty, and so do the
//! threads that it wakes. Beyond that commits grow by themselves.
//!
//! **Invariant (one writer):** [`Writer::run`] is the only caller of `Store::log_append`, and it
//! waits for one commit before it takes for the next, so records reach storage in the order in
//! which their runs appended them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use parking_lot::Mutex;
use r1_domain::{
    event::{Event, Failure},
    store::{AppendOutcome, Store, StoreError, Terminal},
    time::Clock,
};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    log::{SharedLog, Taken},
    node::Node,
    observer::{Commit, Observer},
    registry::Registry,
};

/// At most this many bytes of records in one commit, so that none takes long.
const COMMIT_BYTES: usize = 1024 * 1024;
/// At most this many generations end in one commit: an end writes the whole message, its row in the
/// search index and its log.
const COMMIT_ENDS: usize = 16;
/// From one commit's beginning to the next one's, at the least: far below what an eye sees of an answer.
const PACE: Duration = Duration::from_millis(2);
/// Holds the records of a commit, where they are few.
const BUFFER: usize = 32 * 1024;
/// Fewer runs than these are not paced: hardly ever would two chunks share a commit, and each would wait for
/// a timer, the first one of an answer for the end of the answer before it.
const PACED_RUNS: usize = 16;
/// Pause after a failed commit: doubles from the first to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// The way to the writer: logs that have something to take. Each stands in it once at most, so it
/// is as long as there are runs.
#[derive(Default)]
pub(crate) struct Queue {
    logs: Mutex<Vec<SharedLog>>,
    filled: Notify,
    /// Logs in the commit that is under way.
    in_hand: AtomicUsize,
    pulse: Pulse,
}

/// Whether the writer is alive, for whoever asks.
#[derive(Default)]
struct Pulse {
    wanted: Notify,
    felt: Notify,
}

impl Queue {
    /// Tells the writer about a log. Call it when an append says so, and only then.
    pub(crate) fn push(&self, log: &SharedLog) {
        self.logs.lock().push(log.clone());
        self.filled.notify_one();
    }

    /// Waits until the writer answers.
    pub(crate) async fn pulse(&self) {
        let mut felt = std::pin::pin!(self.pulse.felt.notified());
        // From here on no answer is missed.
        felt.as_mut().enable();
        self.pulse.wanted.notify_one();
        felt.await;
    }

    fn is_empty(&self) -> bool {
        self.logs.lock().is_empty()
    }

    /// How many logs wait for storage: those that stand in it and those in the commit under way.
    pub(crate) fn unwritten(&self) -> usize {
        self.logs.lock().len() + self.in_hand.load(Ordering::Relaxed)
    }
}

/// What goes into one commit.
type Batch = Vec<(SharedLog, Taken)>;

pub(crate) struct Writer {
    pub(crate) queue: Arc<Queue>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) node: Arc<Node>,
    pub(crate) observer: Arc<dyn Observer>,
    /// Told once work is handed in.
    pub(crate) handed_in: Arc<Notify>,
    pub(crate) stall_limit: Duration,
}

impl Writer {
    /// Writes until `closing`, then until the queue is empty.
    pub(crate) async fn run(self, closing: CancellationToken) {
        let (mut batch, mut records) = (Batch::new(), BytesMut::with_capacity(BUFFER));
        let mut pause = RETRY.0;
        let mut failing_since = None;
        let mut next_commit = Instant::now();
        loop {
            if self.queue.is_empty() {
                tokio::select! {
                    biased;
                    () = self.queue.filled.notified() => continue,
                    () = self.queue.pulse.wanted.notified() => {
                        self.queue.pulse.felt.notify_waiters();
                        continue;
                    }
                    () = closing.cancelled() => return,
                }
            }
            if next_commit > Instant::now() && self.registry.running() >= PACED_RUNS {
                let _ = tokio::time::timeout_at(next_commit, closing.cancelled()).await;
            }
            // What has arrived by now is read before it begins.
            tokio::task::yield_now().await;
            next_commit = Instant::now() + PACE;
            if self.gather(&mut batch, &mut records) == 0 {
                continue;
            }
            let since = *failing_since.get_or_insert_with(Instant::now);
            match self.commit(&batch, since).await {
                Ok(outcomes) => {
                    (pause, failing_since) = (RETRY.0, None);
                    self.publish(&mut batch, &outcomes);
                }
                // Not the storage but something in the batch: find out what, and let the rest live.
                Err(StoreError::Internal(_)) if batch.len() > 1 => {
                    failing_since = None;
                    self.commit_one_by_one(&mut batch, since).await;
                }
                Err(error @ StoreError::Internal(_)) => {
                    failing_since = None;
                    self.give_up(&mut batch, &error);
                }
                Err(error) => {
                    match error {
                        StoreError::Unsynced(_) => self.fail(&mut batch, &error).await,
                        _ => self.stall(&mut batch, since, &error),
                    }
                    // Going down, and this was the last attempt: nobody saw what is not stored.
                    if closing.is_cancelled() {
                        return;
                    }
                    let _ = tokio::time::timeout(pause, closing.cancelled()).await;
                    pause = (pause * 2).min(RETRY.1);
                }
            }
        }
    }

    /// One commit, however long it takes: a storage that hangs sends the readers away.
    async fn commit(&self, batch: &Batch, since: Instant) -> Result<Vec<AppendOutcome>, StoreError> {
        let appends = batch.iter().map(|(_, taken)| taken.append.clone()).collect();
        let begun = Instant::now();
        let mut commit = self.store.log_append(appends);
        self.queue.in_hand.store(batch.len(), Ordering::Relaxed);
        let mut stands_still = std::pin::pin!(tokio::time::sleep(self.stall_limit));
        loop {
            tokio::select! {
                biased;
                outcomes = &mut commit => {
                    self.queue.in_hand.store(0, Ordering::Relaxed);
                    self.observer.committed(Commit {
                        logs: batch.len(),
                        bytes: batch.iter().map(|(_, taken)| taken.bytes()).sum(),
                        took: begun.elapsed(),
                        stored: outcomes.is_ok(),
                    });
                    return outcomes;
                }
                () = self.queue.pulse.wanted.notified() => self.queue.pulse.felt.notify_waiters(),
                () = &mut stands_still => {
                    stands_still.as_mut().reset(Instant::now() + self.stall_limit);
                    tracing::error!(logs = batch.len(), "the log has not been written for {:?}", since.elapsed());
                    for running in self.registry.all() {
                        running.log.stall(since, self.stall_limit);
                    }
                }
            }
        }
    }

    async fn commit_one_by_one(&self, batch: &mut Batch, since: Instant) {
        for one in std::mem::take(batch) {
            let mut alone = vec![one];
            match self.commit(&alone, since).await {
                Ok(outcomes) => self.publish(&mut alone, &outcomes),
                Err(error @ StoreError::Internal(_)) => self.give_up(&mut alone, &error),
                Err(error @ StoreError::Unsynced(_)) => self.fail(&mut alone, &error).await,
                Err(error) => self.stall(&mut alone, since, &error),
            }
        }
    }

    /// Ends generations of whose newest records nobody knows whether the disk has them: the store has
    /// taken them back, and they don't go into it again. The message says what readers saw; the error is
    /// stored, and shown, once the disk confirms what it is given.
    async fn fail(&self, batch: &mut Batch, error: &StoreError) {
        let source = std::error::Error::source(error).map(ToString::to_string);
        for (log, _) in batch.drain(..) {
            tracing::error!(source, generation_id = %log.id(), "generation {} fails: {error}", log.id());
            let Ok(shown) = log.fold().await else {
                self.let_go(&log);
                continue;
            };
            let running = self.registry.get(log.owner(), log.id());
            let message = "The server's disk failed while this answer was written.";
            let failure = Failure {
                request_id: running.as_ref().and_then(|running| running.request_id.clone()),
                ..Failure::new("storage_failed", message, true)
            };
            log.fail(Terminal::new(Event::Error(failure), shown.content, self.clock.now()));
            if let Some(running) = running {
                running.stop.cancel();
            }
            self.queue.push(&log);
        }
    }

    /// Lets logs go that can't be stored whatever we do: their runs end, and the next start of the
    /// server finds what is stored of them.
    fn give_up(&self, batch: &mut Batch, error: &StoreError) {
        let source = std::error::Error::source(error).map(ToString::to_string);
        for (log, _) in batch.drain(..) {
            tracing::error!(source, generation_id = %log.id(), "generation {} can't be stored: {error}", log.id());
            self.let_go(&log);
        }
    }

    fn let_go(&self, log: &SharedLog) {
        log.abandon();
        if let Some(running) = self.registry.remove(log) {
            running.stop.cancel();
        }
    }

    /// Takes from every queued log, up to the size of one commit, by way of one buffer. Gives back how
    /// many logs.
    fn gather(&self, batch: &mut Batch, buffer: &mut BytesMut) -> usize {
        let mut logs = std::mem::take(&mut *self.queue.logs.lock());
        let (mut bytes, mut ends) = (0, 0);
        let mut waiting = logs.drain(..);
        while bytes < COMMIT_BYTES && ends < COMMIT_ENDS {
            let Some(log) = waiting.next() else { break };
            if let Some(taken) = log.take(buffer) {
                bytes += taken.bytes();
                ends += usize::from(taken.append.terminal.is_some());
                batch.push((log, taken));
            }
        }
        let rest: Vec<SharedLog> = waiting.collect();
        if !rest.is_empty() {
            // They are first in the next commit.
            self.queue.logs.lock().splice(0..0, rest);
            self.queue.filled.notify_one();
        }
        batch.len()
    }

    fn publish(&self, batch: &mut Batch, outcomes: &[AppendOutcome]) {
        self.node.tell_of_logs();
        for ((log, taken), outcome) in batch.drain(..).zip(outcomes) {
            match outcome {
                AppendOutcome::Stored => {
                    if let Some(terminal) = &taken.append.terminal {
                        self.observer.ended(terminal.state());
                        if !terminal.also.is_empty() {
                            self.handed_in.notify_one();
                        }
                        // Before anybody can know of the end: its place among the runs is free then.
                        self.registry.remove(&log);
                    }
                    if log.publish(&taken) {
                        self.queue.push(&log);
                    }
                }
                AppendOutcome::Fenced => {
                    tracing::warn!(generation_id = %log.id(), "another process has taken over generation {}", log.id());
                    self.let_go(&log);
                }
            }
        }
    }

    fn stall(&self, batch: &mut Batch, since: Instant, error: &StoreError) {
        let source = std::error::Error::source(error).map(ToString::to_string);
        tracing::error!(source, logs = batch.len(), "the log can't be written: {error}");
        for (log, _) in batch.drain(..) {
            log.stall(since, self.stall_limit);
            self.queue.push(&log);
        }
    }
}
