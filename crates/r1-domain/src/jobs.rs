//! The port to background work: jobs, each a row from the commit that hands it in until it is done.
//!
//! Work that something else wants is handed in with it, in one commit ([`Terminal::also`](crate::store::Terminal)),
//! or by itself ([`Jobs::job_add`]). A node claims what is due under its lease; a job whose node is gone is claimed by
//! another. A job is done at least once, so what it does has to bear a repetition.
//!
//! **Invariant:** a job has one valid claim at a time. Whatever is said under an earlier one changes nothing.

use crate::{
    id::{ConversationId, JobId, MessageId, NodeId, UserId},
    store::StoreResult,
    time::Timestamp,
};

/// Most bytes of a job's payload, and of its progress.
pub const JOB_BYTES: usize = 4096;

/// The kind of the jobs that give conversations their titles: as long as one is open, a title is on its way.
pub const TITLE: &str = "title";

/// A job to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// Its id.
    pub id: JobId,
    /// For whom it is done; it goes with the account.
    pub owner: UserId,
    /// The conversation that it is about; it goes with that.
    pub conversation: Option<ConversationId>,
    /// What is to be done, as a word: a node claims the kinds that it knows.
    pub kind: &'static str,
    /// Of all open jobs of a kind one has this key; another one with it is not needed, and not added.
    pub key: String,
    /// What the handler has to know: JSON of at most [`JOB_BYTES`].
    pub payload: String,
    /// Now: it is due at once.
    pub now: Timestamp,
}

/// By which a node says something about a job that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The job.
    pub id: JobId,
    /// Who has it.
    pub node_id: NodeId,
    /// Raised by each claim.
    pub epoch: u32,
}

/// A job that was claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The claim.
    pub claim: Claim,
    /// For whom.
    pub owner: UserId,
    /// About which conversation.
    pub conversation: Option<ConversationId>,
    /// What is to be done.
    pub kind: String,
    /// What was handed in with it.
    pub payload: String,
    /// How far an earlier attempt has come, in its own words.
    pub progress: Option<String>,
    /// How many attempts were begun, with this one; those of nodes that died count.
    pub attempts: u32,
}

/// What becomes of a job that is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// The attempt failed: there may be another from this instant on.
    Retry(Timestamp),
    /// Nothing is wrong with it, and the attempt does not count: anybody may claim it at once.
    Back,
}

/// Background work. False means that the claim is not valid any more, and then nothing was changed.
#[async_trait::async_trait]
pub trait Jobs: Send + Sync + 'static {
    /// Hands a job in by itself. False where an open one has its kind and key.
    async fn job_add(&self, job: NewJob) -> StoreResult<bool>;

    /// Claims at most this many jobs of these kinds that are due and that no living node has; those that wait longest
    /// first. None where the node has no lease. Where one process serves, the data directory's lock proves that every
    /// other node is gone. A node never gets what it has already.
    async fn job_claim(
        &self,
        node_id: NodeId,
        kinds: &[&'static str],
        most: usize,
        now: Timestamp,
    ) -> StoreResult<Vec<Job>>;

    /// Keeps how far a job has come, for the attempt that may follow: JSON of at most [`JOB_BYTES`].
    async fn job_progress(&self, claim: Claim, progress: &str) -> StoreResult<bool>;

    /// Gives a job back.
    async fn job_release(&self, claim: Claim, release: Release) -> StoreResult<bool>;

    /// The job is done, or given up: its row goes, and its key is free.
    async fn job_end(&self, claim: Claim) -> StoreResult<bool>;
}

/// An answer that ends, as those see it who may have something to do after it.
#[derive(Debug, Clone, Copy)]
pub struct EndingAnswer<'a> {
    /// Whose.
    pub owner: UserId,
    /// In which conversation.
    pub conversation: ConversationId,
    /// The answer.
    pub message: MessageId,
    /// As `provider/model`.
    pub model: &'a str,
    /// Nothing was answered before it on its branch.
    pub is_first: bool,
    /// All that it says.
    pub text: &'a str,
    /// Now.
    pub now: Timestamp,
}

/// Says which work follows an answer that was completed, or stopped by its user.
pub trait FollowUp: Send + Sync + 'static {
    /// The jobs that are handed in by the commit that ends the answer. Asked before that, so it must be quick and wait
    /// for nothing.
    fn after(&self, answer: &EndingAnswer<'_>) -> Vec<NewJob>;
}

/// Nothing follows.
impl FollowUp for () {
    fn after(&self, _: &EndingAnswer<'_>) -> Vec<NewJob> {
        Vec::new()
    }
}
