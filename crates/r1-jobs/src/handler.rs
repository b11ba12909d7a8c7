//! What does the jobs of one kind.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use r1_domain::{
    jobs::{Claim, JOB_BYTES, Job},
    store::{Store, StoreError},
};

/// Why an attempt at a job came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// It may succeed later.
    #[error("{why}")]
    Passing {
        /// For the log: no prompt, no name, no key.
        why: String,
        /// Not before this much time has gone. None: the runner knows a pause.
        after: Option<Duration>,
    },
    /// It won't succeed, however often it is tried.
    #[error("{why}")]
    Lasting {
        /// For the log: no prompt, no name, no key.
        why: String,
    },
}

impl JobError {
    /// May pass, nobody knows when.
    pub fn passing(why: impl Into<String>) -> Self {
        Self::Passing { why: why.into(), after: None }
    }

    /// Will last.
    pub fn lasting(why: impl Into<String>) -> Self {
        Self::Lasting { why: why.into() }
    }
}

impl From<StoreError> for JobError {
    fn from(error: StoreError) -> Self {
        Self::passing(error.to_string())
    }
}

/// Does the jobs of one kind. What it does may be done again: a node that dies in the middle is followed by another.
pub trait Handler: Send + Sync + 'static {
    /// The word for it.
    fn kind(&self) -> &'static str;

    /// How often a job is tried, all in all.
    fn attempts(&self) -> u32;

    /// How long an attempt may take.
    fn time(&self) -> Duration;

    /// Does one. The future is dropped when the job must not go on here: at the shutdown, or without a lease.
    fn run<'a>(&'a self, job: &'a Job, progress: &'a Progress) -> BoxFuture<'a, Result<(), JobError>>;
}

/// Keeps how far a job has come, for the attempt that may follow this one.
pub struct Progress {
    store: Arc<dyn Store>,
    claim: Claim,
}

impl Progress {
    pub(crate) fn new(store: Arc<dyn Store>, claim: Claim) -> Self {
        Self { store, claim }
    }

    /// Keeps this: JSON of at most [`JOB_BYTES`].
    ///
    /// # Errors
    /// It is too long, the database does not take it, or another node has the job by now.
    pub async fn keep(&self, progress: &str) -> Result<(), JobError> {
        if progress.len() > JOB_BYTES {
            return Err(JobError::lasting("its progress is too long to be kept"));
        }
        match self.store.job_progress(self.claim, progress).await? {
            true => Ok(()),
            false => Err(JobError::passing("another node has it")),
        }
    }
}
