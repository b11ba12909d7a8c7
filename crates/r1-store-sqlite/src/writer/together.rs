//! Commits that jobs share: all that came while the disk was waited for, with one wait for the disk.
//!
//! Each job has a savepoint of its own: one that is refused leaves nothing, and the others go on.
//!
//! **Invariant:** a shared transaction that fails has stored nothing of any job. Each is then carried out alone, and
//! has the outcome that it would have had alone.

use std::sync::Arc;

use r1_domain::store::{StoreError, StoreResult};
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use super::{Asker, Session, Synchronous, late};
use crate::error::Fault;

/// Jobs in one transaction, at most: an append waits for its end.
pub(super) const MOST: usize = 32;

/// A job that may share its commit.
pub(super) trait Shareable: Send {
    /// Whether nobody waits for it any more.
    fn has_left(&self) -> bool;
    /// Writes, and decides whether that is to be kept.
    ///
    /// # Errors
    /// `Fault::Store`: this job is refused. Any other: the database fails.
    fn write(&mut self, db: &Connection) -> Result<(), Fault>;
    /// What was written is stored, or the job was refused.
    fn answer(self: Box<Self>, refused: Option<StoreError>);
    /// Carries it out in a transaction of its own.
    fn alone(self: Box<Self>, session: &mut Session);
}

/// The one kind there is.
pub(super) struct Alike<T, W, C> {
    pub(super) asker: Arc<Asker>,
    pub(super) work: W,
    pub(super) value: Option<T>,
    pub(super) committed: C,
    pub(super) answer: oneshot::Sender<StoreResult<T>>,
}

impl<T, W, C> Shareable for Alike<T, W, C>
where
    T: Send,
    W: FnMut(&Connection) -> Result<T, Fault> + Send,
    C: FnOnce(&T) + Send,
{
    fn has_left(&self) -> bool {
        self.asker.has_left()
    }

    fn write(&mut self, db: &Connection) -> Result<(), Fault> {
        self.value = Some((self.work)(db)?);
        if self.asker.commit() { Ok(()) } else { Err(late().into()) }
    }

    fn answer(self: Box<Self>, refused: Option<StoreError>) {
        let Self { value, committed, answer, .. } = *self;
        let result = match (refused, value) {
            (Some(error), _) => Err(error),
            (None, Some(value)) => {
                committed(&value);
                Ok(value)
            }
            (None, None) => Err(Fault::Broken("a job was committed before it was carried out").into()),
        };
        // Nobody there: done all the same.
        let _ = answer.send(result);
    }

    fn alone(mut self: Box<Self>, session: &mut Session) {
        if self.has_left() {
            return;
        }
        let written = session.attempt(Synchronous::Full, |session| session.transaction(|db| self.write(db)));
        session.note(&written);
        self.answer(written.err());
    }
}

/// Carries jobs out in one transaction.
pub(super) fn carry_out(mut jobs: Vec<Box<dyn Shareable>>, session: &mut Session) {
    jobs.retain(|job| !job.has_left());
    let shared = jobs.len() > 1;
    let outcomes =
        shared.then(|| session.attempt(Synchronous::Full, |session| write_all(&mut jobs, &mut session.db)).ok());
    match outcomes.flatten() {
        Some(outcomes) => {
            session.note(&Ok(()));
            for (job, refused) in jobs.into_iter().zip(outcomes) {
                job.answer(refused);
            }
        }
        None => jobs.into_iter().for_each(|job| job.alone(session)),
    }
}

/// Gives for each job why it was refused, if it was.
fn write_all(jobs: &mut [Box<dyn Shareable>], db: &mut Connection) -> Result<Vec<Option<StoreError>>, Fault> {
    let mut transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut outcomes = Vec::with_capacity(jobs.len());
    for job in jobs {
        // Dropped without its commit, a savepoint takes back what was written since.
        let savepoint = transaction.savepoint()?;
        outcomes.push(match job.write(&savepoint) {
            Ok(()) => {
                savepoint.commit()?;
                None
            }
            Err(Fault::Store(error)) => {
                savepoint.finish()?;
                Some(error)
            }
            Err(other) => return Err(other),
        });
    }
    transaction.commit()?;
    Ok(outcomes)
}
