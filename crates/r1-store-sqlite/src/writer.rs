//! The one thread that writes, and the bounded queues to it.
//!
//! Jobs are carried out one after the other, in the order in which they were queued; each is its
//! own transaction, but for those that can share one ([`together`]). An append to the logs comes before all that waits: readers wait for its words, and there is
//! never more than one. No job is lost once it is in the queue: whoever asked may go away. A job that panics is
//! rolled back and the thread goes on.
//!
//! Who asks does not wait for ever ([`Wait`]). Whether a job is given up or carried out is decided
//! between the two of them, once: by its asker, or by the thread just before the commit. So a job
//! whose asker was told that nothing was changed changes nothing, however late its turn comes.

use std::{
    panic,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use futures::executor::block_on;
use parking_lot::Mutex;
use r1_domain::store::{StoreError, StoreResult};
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use crate::{
    checkpoint::{Gate, Signal},
    error::{Failed, Fault},
    journal,
    resync::{Resync, Room},
    tail::Tails,
};

mod asker;
mod together;

use asker::Asker;
use together::{Alike, Shareable};

/// Jobs that may wait; who comes later waits for room.
const QUEUE: usize = 256;
/// Appends that may wait: there is one at a time.
const APPENDS: usize = 1;
/// A request waits this long for the commit to begin, then for it to end.
const BEGIN_TIME: Duration = Duration::from_secs(10);
const COMMIT_TIME: Duration = Duration::from_secs(5);
/// Journal rows that nobody needs, after which they are deleted even while jobs wait.
const PRUNE_AT: i64 = 256;

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Synchronous {
    /// A killed process: written to the system, not yet to the disk.
    Normal,
    /// A power loss: the commit waits for the disk.
    Full,
}

/// How long somebody waits for a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// As long as a request may.
    Request,
    /// The same until its commit begins; from then on to its end, whatever it takes.
    Outcome,
    /// To its end, and before everybody else: an append to the logs.
    Append,
}

enum Job {
    Alone(Box<dyn FnOnce(&mut Session) + Send>),
    Shareable(Box<dyn Shareable>),
}

/// The sending side of the two queues.
#[derive(Debug)]
struct Queues {
    appends: mpsc::Sender<Job>,
    others: mpsc::Sender<Job>,
}

/// The thread's side.
struct Jobs {
    appends: mpsc::Receiver<Job>,
    others: mpsc::Receiver<Job>,
    /// Of the others the next, where it was taken already.
    taken: Option<Job>,
}

/// What jobs work on: the writer thread's own.
pub(crate) struct Session {
    pub(crate) db: Connection,
    /// None beside another process: a guest has no part in logs.
    pub(crate) tails: Option<Arc<Mutex<Tails>>>,
    synchronous: Option<Synchronous>,
    sync_all: bool,
    /// None beside another process, which sees to it.
    resync: Option<Arc<Resync>>,
    /// Who waits for the present job, if that may end.
    asker: Option<Arc<Asker>>,
    /// The newest job failed for want of room or of the database.
    failing: Arc<AtomicBool>,
}

impl Session {
    pub(crate) fn new(
        db: Connection,
        tails: Option<Arc<Mutex<Tails>>>,
        sync_all: bool,
        resync: Option<Arc<Resync>>,
    ) -> Self {
        Self { db, tails, synchronous: None, sync_all, resync, asker: None, failing: Arc::default() }
    }

    /// Carries out work that may write, and sees to what a failure leaves behind.
    fn attempt<T>(&mut self, wanted: Synchronous, work: impl FnOnce(&mut Self) -> Result<T, Fault>) -> StoreResult<T> {
        let level = if self.sync_all { Synchronous::Full } else { wanted };
        let ready = self.resync.as_ref().map_or(Ok(()), |resync| resync.ready(level));
        let done = ready.and_then(|()| Ok(self.synchronise(level)?)).and_then(|()| work(self));
        done.map_err(|fault| self.failed(fault, level))
    }

    /// After a failure, which is rolled back: in the database as this process sees it nothing happened.
    fn failed(&self, fault: Fault, level: Synchronous) -> StoreError {
        let Some(resync) = &self.resync else { return fault.into() };
        match fault.failed() {
            Failed::Other => fault.into(),
            Failed::Sync => {
                resync.suspect();
                if let Err(error) = resync.mend() {
                    tracing::error!(%error, "what the disk did not confirm can't be written again yet");
                }
                match level {
                    Synchronous::Full => StoreError::Unsynced(Box::new(fault)),
                    // It promised nothing about the disk.
                    Synchronous::Normal => fault.into(),
                }
            }
            Failed::Write => match resync.take_back() {
                Ok(Room::Enough) if fault.may_be_no_room() => StoreError::Unavailable(Box::new(fault)),
                Ok(_) => fault.into(),
                Err(error) => {
                    tracing::error!(%error, "what a failed write left in the log can't be taken away yet");
                    resync.suspect();
                    fault.into()
                }
            },
        }
    }

    /// Whether all that was written is on the disk, or will be.
    pub(crate) fn check_disk(&self) -> Result<(), Fault> {
        self.resync.as_ref().map_or(Ok(()), |resync| resync.ready(Synchronous::Full))
    }

    /// Carries out a job's work in a transaction of its own; any error rolls it back.
    pub(crate) fn transaction<T>(&mut self, work: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, Fault> {
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = work(&transaction)?;
        if self.asker.as_ref().is_some_and(|asker| !asker.commit()) {
            return Err(late().into());
        }
        transaction.commit()?;
        Ok(value)
    }

    pub(crate) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Keeps in mind whether the newest job failed for want of room or of the database.
    fn note<T>(&self, result: &StoreResult<T>) {
        let failed = matches!(result, Err(StoreError::Full(_) | StoreError::Unavailable(_) | StoreError::Unsynced(_)));
        self.failing.store(failed, Ordering::Relaxed);
    }

    /// The table of running logs.
    pub(crate) fn tails(&self) -> Result<Arc<Mutex<Tails>>, Fault> {
        self.tails.clone().ok_or(Fault::Broken("a guest of the data directory has no part in generations"))
    }

    /// Between transactions, where alone SQLite lets it change.
    fn synchronise(&mut self, wanted: Synchronous) -> rusqlite::Result<()> {
        if self.synchronous != Some(wanted) {
            let level = match wanted {
                Synchronous::Normal => "normal",
                Synchronous::Full => "full",
            };
            self.db.pragma_update(None, "synchronous", level)?;
            self.synchronous = Some(wanted);
        }
        Ok(())
    }

    /// How many journal rows nobody needs, about.
    fn prunable(&self) -> i64 {
        self.tails.as_ref().map_or(0, |tails| tails.lock().unneeded())
    }

    /// Deletes a slice of them.
    fn prune(&mut self) -> StoreResult<()> {
        let Some(tails) = self.tails.clone() else { return Ok(()) };
        let keep_from = tails.lock().keep_from();
        let first_row =
            self.attempt(Synchronous::Normal, |session| session.transaction(|db| Ok(journal::prune(db, keep_from)?)))?;
        tails.lock().first_row = first_row;
        Ok(())
    }

    /// After a panic: a half-done job may have left the table behind the database.
    fn reload(&mut self) -> Result<(), Fault> {
        self.synchronous = None;
        self.asker = None;
        if let Some(tails) = &self.tails {
            let loaded = Tails::load(&self.db)?;
            *tails.lock() = loaded;
        }
        Ok(())
    }
}

/// The way to the thread. Dropping it carries out what is queued, then ends the thread.
#[derive(Debug)]
pub(crate) struct Writer {
    queues: Option<Queues>,
    failing: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn start(
        mut session: Session,
        signal: Signal,
        gate: Gate,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        session.db.wal_hook(Some(move |_: &mut _, pages| {
            signal.committed(pages);
            Ok(())
        }))?;
        let failing = Arc::clone(&session.failing);
        let ((appends, first), (others, then)) = (mpsc::channel(APPENDS), mpsc::channel(QUEUE));
        let jobs = Jobs { appends: first, others: then, taken: None };
        let thread = thread::Builder::new().name("r1-writer".to_owned()).spawn(move || run(session, jobs, &gate))?;
        Ok(Self { queues: Some(Queues { appends, others }), failing, thread: Some(thread) })
    }

    /// Whether the newest job failed for want of room or of the database.
    pub(crate) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Has a job done, for a request. A future that is dropped before the job is in the queue leaves
    /// nothing; after that the job is done all the same.
    ///
    /// `Unavailable`, and no job done, if its commit does not begin in time; `Unconfirmed` if it does not
    /// end.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        synchronous: Synchronous,
        work: impl FnOnce(&mut Session) -> Result<T, Fault> + Send + 'static,
    ) -> StoreResult<T> {
        self.run_and_wait(Wait::Request, synchronous, work).await
    }

    /// The same, with another patience.
    pub(crate) async fn run_and_wait<T: Send + 'static>(
        &self,
        wait: Wait,
        synchronous: Synchronous,
        work: impl FnOnce(&mut Session) -> Result<T, Fault> + Send + 'static,
    ) -> StoreResult<T> {
        let asker = (wait != Wait::Append).then(Arc::<Asker>::default);
        let (answer, answered) = oneshot::channel();
        let waits = asker.clone();
        let job = Job::Alone(Box::new(move |session| {
            if waits.as_ref().is_some_and(|asker| asker.has_left()) {
                return;
            }
            session.asker = waits;
            let result = session.attempt(synchronous, work);
            session.asker = None;
            session.note(&result);
            // Nobody there: done all the same.
            let _ = answer.send(result);
        }));
        self.queue(wait, asker, job, answered).await
    }

    /// Has work done in a transaction that survives a power loss and that others may share: one wait for the disk
    /// for all of them. `work` may be called again after a rollback; `committed` is called on the thread, once what
    /// `work` gave is stored. Waits for the outcome of a commit that has begun.
    pub(crate) async fn share<T: Send + 'static>(
        &self,
        work: impl FnMut(&Connection) -> Result<T, Fault> + Send + 'static,
        committed: impl FnOnce(&T) + Send + 'static,
    ) -> StoreResult<T> {
        let asker = Arc::<Asker>::default();
        let (answer, answered) = oneshot::channel();
        let job = Job::Shareable(Box::new(Alike { asker: asker.clone(), work, value: None, committed, answer }));
        self.queue(Wait::Outcome, Some(asker), job, answered).await
    }

    async fn queue<T>(
        &self,
        wait: Wait,
        asker: Option<Arc<Asker>>,
        job: Job,
        answered: oneshot::Receiver<StoreResult<T>>,
    ) -> StoreResult<T> {
        let mut done = std::pin::pin!(async {
            let queues = self.queues.as_ref().ok_or_else(ended)?;
            let queue = if wait == Wait::Append { &queues.appends } else { &queues.others };
            queue.send(job).await.map_err(|_| ended())?;
            answered.await.map_err(|_| StoreError::from(Fault::Broken("a job of the writer panicked")))?
        });
        let Some(asker) = asker else { return done.await };
        match tokio::time::timeout(BEGIN_TIME, &mut done).await {
            Ok(result) => return result,
            Err(_) if asker.leave() => return Err(late()),
            Err(_) => {}
        }
        if wait == Wait::Outcome {
            return done.await;
        }
        let unconfirmed = |_| StoreError::Unconfirmed("a commit has begun and does not end".into());
        tokio::time::timeout(COMMIT_TIME, done).await.map_err(unconfirmed)?
    }

    /// Jobs that wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.queues.as_ref().map_or(0, |queues| QUEUE - queues.others.capacity())
    }

    /// The same in a transaction that survives a power loss, for work that needs nothing else.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> StoreResult<T> {
        self.run(Synchronous::Full, |session| session.transaction(work)).await
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queues = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn ended() -> StoreError {
    StoreError::Unavailable("the writer has ended".into())
}

fn late() -> StoreError {
    StoreError::Unavailable("the writer did not come to it in time".into())
}

fn run(mut session: Session, mut jobs: Jobs, gate: &Gate) {
    while let Some(job) = next(&mut session, &mut jobs, gate) {
        let _checkpoint_waits = gate.lock();
        let carry_out = || match job {
            Job::Alone(job) => job(&mut session),
            Job::Shareable(first) => together::carry_out(jobs.like(first), &mut session),
        };
        if panic::catch_unwind(panic::AssertUnwindSafe(carry_out)).is_err() {
            tracing::error!("a job of the database writer panicked and was rolled back");
            if let Err(error) = session.reload() {
                tracing::error!(%error, "the running logs can't be read back after a panic");
                return;
            }
        }
        if session.prunable() >= PRUNE_AT {
            prune(&mut session);
        }
    }
}

/// The next job; while there is none, what else there is to do. None once nobody can ask any more.
fn next(session: &mut Session, jobs: &mut Jobs, gate: &Gate) -> Option<Job> {
    loop {
        if let Some(job) = jobs.appends.try_recv().ok().or_else(|| jobs.other()) {
            return Some(job);
        }
        let pruned = session.prunable() > 0 && {
            let _checkpoint_waits = gate.lock();
            prune(session)
        };
        if !pruned {
            return block_on(jobs.wait());
        }
    }
}

impl Jobs {
    /// The next that is no append, if there is one.
    fn other(&mut self) -> Option<Job> {
        self.taken.take().or_else(|| self.others.try_recv().ok())
    }

    /// This one, and those behind it that can share its commit.
    fn like(&mut self, first: Box<dyn Shareable>) -> Vec<Box<dyn Shareable>> {
        let mut alike = vec![first];
        while alike.len() < together::MOST {
            match self.other() {
                Some(Job::Shareable(job)) => alike.push(job),
                other => {
                    self.taken = other;
                    break;
                }
            }
        }
        alike
    }

    async fn wait(&mut self) -> Option<Job> {
        tokio::select! {
            biased;
            Some(append) = self.appends.recv() => Some(append),
            Some(other) = self.others.recv() => Some(other),
            else => None,
        }
    }
}

/// False where it failed: then it is tried again after the next job.
fn prune(session: &mut Session) -> bool {
    let result = session.prune();
    if let Err(error) = &result {
        tracing::warn!(%error, "old journal rows can't be deleted for now");
    }
    result.is_ok()
}
