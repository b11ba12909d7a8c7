//! Claims jobs and has them done, a few at a time.
//!
//! **Invariant:** what runs here was claimed under a lease that is believed to be there, and ends with it. What came of
//! an attempt is said under its claim, until the database has heard it: a job that this node has is never left lying.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use r1_domain::{
    id::NodeId,
    jobs::{Claim, Job, Release},
    nodes::Signal,
    store::{Store, StoreResult},
    time::Clock,
};
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{Ending, Handler, JobError, Observer, Progress};

#[cfg(test)]
mod tests;

/// Jobs that a node does at a time.
const AT_ONCE: usize = 4;
/// From one look to the next where nobody says that there is something to do.
const LOOK: Duration = Duration::from_secs(5);
/// Between two attempts to tell the database something.
const AGAIN: Duration = Duration::from_millis(500);
/// Clocks and timers differ by less.
const MARGIN: Duration = Duration::from_millis(10);
/// The pause after the first attempt that failed. Each further one is four times as long, up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));

/// A lease that a node has.
#[derive(Debug, Clone)]
pub struct Held {
    /// Under which id.
    pub node_id: NodeId,
    /// Cancelled before somebody else may claim what was claimed under it.
    pub over: CancellationToken,
}

/// This node's place among the others.
pub trait Lease: Send + Sync + 'static {
    /// The present lease, if there is one.
    fn held(&self) -> Option<Held>;

    /// A hint for other nodes.
    fn tell(&self, signal: Signal);
}

/// Does a node's jobs.
pub struct Runner {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    lease: Arc<dyn Lease>,
    observer: Arc<dyn Observer>,
    handlers: Vec<Arc<dyn Handler>>,
    /// There may be something to do.
    woken: Arc<Notify>,
    running: AtomicUsize,
}

/// What came of an attempt.
enum Attempted {
    Done,
    Failed(JobError),
    /// The lease is gone, and with it the claim.
    Lost,
    /// The server goes down.
    Stopped,
}

impl Runner {
    /// With a handler for each kind that it does. `handed_in` is notified when work was handed in here.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        lease: Arc<dyn Lease>,
        observer: Arc<dyn Observer>,
        handlers: Vec<Arc<dyn Handler>>,
        handed_in: Arc<Notify>,
    ) -> Arc<Self> {
        let running = AtomicUsize::new(0);
        Arc::new(Self { store, clock, lease, observer, handlers, woken: handed_in, running })
    }

    /// How many jobs are being done.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// There may be something to do.
    pub fn wake(&self) {
        self.woken.notify_one();
    }

    /// Does what is due, until `stopping`; then what is under way is broken off and given back.
    pub async fn run(self: Arc<Self>, stopping: CancellationToken) {
        let kinds: Vec<&'static str> = self.handlers.iter().map(|handler| handler.kind()).collect();
        let mut tasks: JoinSet<Option<Instant>> = JoinSet::new();
        let (mut failing, mut was_full) = (false, false);
        // When the next of those is due that failed here.
        let mut due: Option<Instant> = None;
        loop {
            due = due.filter(|due| *due > Instant::now());
            let free = AT_ONCE.saturating_sub(tasks.len());
            if free > 0
                && let Some(held) = self.lease.held()
            {
                let claim = self.store.job_claim(held.node_id, &kinds, free, self.clock.now());
                match stopping.run_until_cancelled(claim).await {
                    // What it has claimed all the same is another node's, or the next start's.
                    None => break,
                    Some(Ok(jobs)) => {
                        failing = false;
                        for job in jobs {
                            tasks.spawn(self.clone().attempt(job, held.clone(), stopping.clone()));
                        }
                    }
                    Some(Err(error)) => {
                        if !failing {
                            tracing::warn!("jobs can't be claimed now: {error}");
                        }
                        failing = true;
                    }
                }
            }
            let is_full = tasks.len() == AT_ONCE;
            if is_full && !was_full {
                // There may be more.
                self.lease.tell(Signal::Jobs);
            }
            was_full = is_full;
            let look = Instant::now() + LOOK;
            tokio::select! {
                biased;
                () = stopping.cancelled() => break,
                Some(ended) = tasks.join_next() => {
                    let again = ended.ok().flatten();
                    due = [due, again].into_iter().flatten().min();
                }
                () = self.woken.notified() => {}
                () = sleep_until(due.map_or(look, |due| due.min(look))) => {}
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    /// One attempt. Gives back when the job is due again, if it is.
    async fn attempt(self: Arc<Self>, job: Job, held: Held, stopping: CancellationToken) -> Option<Instant> {
        // Claimed by its kind.
        let handler = self.handlers.iter().find(|handler| handler.kind() == job.kind)?.clone();
        let span = tracing::info_span!(
            "job",
            job_id = %job.claim.id,
            kind = handler.kind(),
            user_id = %job.owner,
            conversation_id = job.conversation.map(tracing::field::display),
        );
        self.running.fetch_add(1, Ordering::Relaxed);
        let again = self.attempt_with(&*handler, &job, &held, &stopping).instrument(span).await;
        self.running.fetch_sub(1, Ordering::Relaxed);
        again
    }

    async fn attempt_with(
        &self,
        handler: &dyn Handler,
        job: &Job,
        held: &Held,
        stopping: &CancellationToken,
    ) -> Option<Instant> {
        let begun = Instant::now();
        let attempted = if job.attempts > handler.attempts() {
            // Its nodes died, again and again: of something else, or of it.
            Attempted::Failed(JobError::lasting("no attempt came to an end"))
        } else {
            self.carry_out(handler, job, held, stopping).await
        };
        let (kind, id, attempts) = (handler.kind(), job.claim.id, job.attempts);
        let mut again = None;
        let (release, ending) = match attempted {
            Attempted::Lost => return None,
            Attempted::Stopped => (Some(Release::Back), None),
            Attempted::Done => (None, Some(Ending::Done)),
            Attempted::Failed(JobError::Passing { why, after }) if attempts < handler.attempts() => {
                let pause = after.unwrap_or_else(|| pause_after(attempts));
                tracing::info!(attempts, "job {id} ({kind}) is tried again in {pause:.1?}: {why}");
                let release = Release::Retry(self.clock.now().plus(pause));
                // Not a moment before it is due by the clock.
                again = Some(Instant::now() + pause + MARGIN);
                (Some(release), Some(Ending::Retried))
            }
            Attempted::Failed(error) => {
                tracing::warn!(attempts, "job {id} ({kind}) is given up: {error}");
                (None, Some(Ending::Failed))
            }
        };
        if let Some(ending) = ending {
            self.observer.attempted(kind, ending, begun.elapsed());
        }
        self.say(job.claim, release, held, stopping).await;
        again
    }

    async fn carry_out(
        &self,
        handler: &dyn Handler,
        job: &Job,
        held: &Held,
        stopping: &CancellationToken,
    ) -> Attempted {
        let progress = Progress::new(self.store.clone(), job.claim);
        let work = AssertUnwindSafe(timeout(handler.time(), handler.run(job, &progress))).catch_unwind();
        tokio::select! {
            biased;
            () = held.over.cancelled() => Attempted::Lost,
            () = stopping.cancelled() => Attempted::Stopped,
            done = work => match done {
                Ok(Ok(Ok(()))) => Attempted::Done,
                Ok(Ok(Err(error))) => Attempted::Failed(error),
                Ok(Err(_)) => Attempted::Failed(JobError::passing(format!("it took longer than {:?}", handler.time()))),
                Err(_) => {
                    tracing::error!("job {} panicked", job.claim.id);
                    Attempted::Failed(JobError::passing("it panicked"))
                }
            }
        }
    }

    /// Gives a job back or, without a word what for, ends it: until the database has heard it, or it is no more ours to
    /// say. At the shutdown it is said once; the next start, or another node, finds what was not heard.
    async fn say(&self, claim: Claim, release: Option<Release>, held: &Held, stopping: &CancellationToken) {
        loop {
            match self.say_once(claim, release).await {
                Ok(true) => return,
                Ok(false) => {
                    tracing::debug!("job {} is another node's, or gone", claim.id);
                    return;
                }
                Err(error) => tracing::warn!("what came of job {} can't be stored now: {error}", claim.id),
            }
            tokio::select! {
                biased;
                () = held.over.cancelled() => return,
                () = stopping.cancelled() => return,
                () = sleep(AGAIN) => {}
            }
        }
    }

    async fn say_once(&self, claim: Claim, release: Option<Release>) -> StoreResult<bool> {
        match release {
            Some(release) => self.store.job_release(claim, release).await,
            None => self.store.job_end(claim).await,
        }
    }
}

/// The pause after the attempt with this number, from 1.
fn pause_after(attempt: u32) -> Duration {
    (PAUSE.0 * 4_u32.saturating_pow(attempt.saturating_sub(1).min(8))).min(PAUSE.1)
}
