//! The one thread that writes, and the bounded queue to it.
//!
//! Jobs are carried out one after the other, in the order in which they were queued; each is its
//! own transaction. No job is lost once it is in the queue: whoever asked may go away. A job that
//! panics is rolled back and the thread goes on.

use std::{
    panic,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use parking_lot::Mutex;
use r1_domain::store::{StoreError, StoreResult};
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use crate::{
    checkpoint::{Gate, Signal},
    error::Fault,
    journal,
    tail::Tails,
};

/// Jobs that may wait; who comes later waits for room.
const QUEUE: usize = 256;
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

type Job = Box<dyn FnOnce(&mut Session) + Send>;

/// What jobs work on: the writer thread's own.
pub(crate) struct Session {
    pub(crate) db: Connection,
    /// None beside another process: a guest has no part in logs.
    pub(crate) tails: Option<Arc<Mutex<Tails>>>,
    synchronous: Option<Synchronous>,
    sync_all: bool,
    /// The newest job failed for want of room or of the database.
    failing: Arc<AtomicBool>,
}

impl Session {
    pub(crate) fn new(db: Connection, tails: Option<Arc<Mutex<Tails>>>, sync_all: bool) -> Self {
        Self { db, tails, synchronous: None, sync_all, failing: Arc::default() }
    }

    /// Carries out a job's work in a transaction of its own; any error rolls it back.
    pub(crate) fn transaction<T>(&mut self, work: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, Fault> {
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let value = work(&transaction)?;
        transaction.commit()?;
        Ok(value)
    }

    pub(crate) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// The table of running logs.
    pub(crate) fn tails(&self) -> Result<Arc<Mutex<Tails>>, Fault> {
        self.tails.clone().ok_or(Fault::Broken("a guest of the data directory has no part in generations"))
    }

    /// Between transactions, where alone SQLite lets it change.
    fn synchronise(&mut self, wanted: Synchronous) -> rusqlite::Result<()> {
        let wanted = if self.sync_all { Synchronous::Full } else { wanted };
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
    fn prune(&mut self) -> Result<(), Fault> {
        let Some(tails) = self.tails.clone() else { return Ok(()) };
        let keep_from = tails.lock().keep_from();
        self.synchronise(Synchronous::Normal)?;
        let first_row = self.transaction(|db| Ok(journal::prune(db, keep_from)?))?;
        tails.lock().first_row = first_row;
        Ok(())
    }

    /// After a panic: a half-done job may have left the table behind the database.
    fn reload(&mut self) -> Result<(), Fault> {
        self.synchronous = None;
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
    jobs: Option<mpsc::Sender<Job>>,
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
        let (jobs, queue) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new().name("r1-writer".to_owned()).spawn(move || run(session, queue, &gate))?;
        Ok(Self { jobs: Some(jobs), failing, thread: Some(thread) })
    }

    /// Whether the newest job failed for want of room or of the database.
    pub(crate) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Has a job done. A future that is dropped before the job is in the queue leaves nothing; after
    /// that the job is done all the same.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        synchronous: Synchronous,
        work: impl FnOnce(&mut Session) -> Result<T, Fault> + Send + 'static,
    ) -> StoreResult<T> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |session| {
            let result = session.synchronise(synchronous).map_err(Fault::from).and_then(|()| work(session));
            let result = result.map_err(StoreError::from);
            let failed = matches!(result, Err(StoreError::Full(_) | StoreError::Unavailable(_)));
            session.failing.store(failed, Ordering::Relaxed);
            // Nobody there: done all the same.
            let _ = answer.send(result);
        });
        let jobs = self.jobs.as_ref().ok_or_else(ended)?;
        jobs.send(job).await.map_err(|_| ended())?;
        answered.await.map_err(|_| StoreError::from(Fault::Broken("a job of the writer panicked")))?
    }

    /// Jobs that wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.jobs.as_ref().map_or(0, |jobs| QUEUE - jobs.capacity())
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
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn ended() -> StoreError {
    StoreError::Unavailable("the writer has ended".into())
}

fn run(mut session: Session, mut queue: mpsc::Receiver<Job>, gate: &Gate) {
    while let Some(job) = next(&mut session, &mut queue, gate) {
        let _checkpoint_waits = gate.lock();
        if panic::catch_unwind(panic::AssertUnwindSafe(|| job(&mut session))).is_err() {
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

/// The next job; while there is none, what else there is to do.
fn next(session: &mut Session, queue: &mut mpsc::Receiver<Job>, gate: &Gate) -> Option<Job> {
    loop {
        match queue.try_recv() {
            Ok(job) => return Some(job),
            Err(mpsc::error::TryRecvError::Disconnected) => return None,
            Err(mpsc::error::TryRecvError::Empty) => {}
        }
        let pruned = session.prunable() > 0 && {
            let _checkpoint_waits = gate.lock();
            prune(session)
        };
        if !pruned {
            return queue.blocking_recv();
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
