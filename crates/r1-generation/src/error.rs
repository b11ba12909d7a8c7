//! What a caller can do about a request that the engine does not carry out.

use r1_domain::{
    id::GenerationId, log::DamagedLog, message::NotContinuable, provider::UnknownModel, store::StoreError,
};

/// Why the engine refused. Nothing was written, unless the variant says so.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// There is no such conversation, message or generation, or it is somebody else's.
    #[error("not found")]
    NotFound,
    /// A generation runs in the conversation; one at a time.
    #[error("an answer is being written in this conversation")]
    Busy {
        /// The one that runs.
        generation_id: GenerationId,
    },
    /// The answer was continued since by a newer generation; that one may be continued.
    #[error("this answer has a newer generation")]
    Superseded {
        /// The newest.
        generation_id: GenerationId,
    },
    /// There is nothing to go on with.
    #[error(transparent)]
    NotContinuable(#[from] NotContinuable),
    /// The user has as many running generations as one may have.
    #[error("{limit} answers are being written for this account already")]
    TooManyRuns {
        /// How many one may have.
        limit: usize,
    },
    /// More requests wait to be accepted than are let wait, or this one has waited too long.
    #[error("too many questions are waiting to be accepted")]
    Crowded,
    /// The idempotency key came with another request before.
    #[error("this idempotency key was used for another request")]
    KeyReused,
    /// The model can't be asked.
    #[error(transparent)]
    UnknownModel(#[from] UnknownModel),
    /// The answer is stopped and its connection closed, but storage does not take its end yet.
    #[error("the end of a stopped answer is not stored yet")]
    StopNotStored,
    /// This process has no lease at the moment, and so may begin nothing.
    #[error("this node has no lease at the moment")]
    NoLease,
    /// The generation is running by its state, but no process runs it; or it is for a newer build to go on with.
    #[error("a generation is running that no process runs")]
    RunsNowhere,
    /// A request with the same key does not end. Nothing is known of it yet.
    #[error("a request with the same key is still being decided")]
    Undecided,
    /// The server is going down and takes no new work.
    #[error("the server is shutting down")]
    Draining,
    /// The log can't be read. Somebody must look at the database.
    #[error("the stored answer is damaged")]
    Damaged(#[from] DamagedLog),
    /// The database did not carry it out.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::NotFound,
            other => Self::Store(other),
        }
    }
}
