//! The ports to the other processes that serve from the same database.
//!
//! A process that serves is a **node**. It has a lease, a row in the database that it renews; whoever runs
//! a generation does it under its node's lease. **Invariant (the log is the truth, signals are hints):**
//! nothing here is correct because a [`Signal`] arrived; it is only sooner.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    id::{GenerationId, NodeId, SessionId, UserId},
    store::StoreResult,
};

/// What a node learns when it renews its lease.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Renewal {
    /// Whether it still had one. Not: others may have taken over what it runs, and nothing of it is stored
    /// any more; it may join again, under another id.
    pub held: bool,
    /// How many other nodes have a lease.
    pub others: usize,
    /// The newest grammar of logs that every node with a lease knows, this one among them.
    pub grammar: u32,
    /// In how long the first of theirs runs out, unless it is renewed. Zero: it has.
    pub next_expiry: Option<Duration>,
    /// Whether generations are running that no node has, in whatever grammar.
    pub orphans: bool,
    /// This node's generations that somebody asked to stop.
    pub stops: Vec<GenerationId>,
}

/// What was added to a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPart {
    /// Whose.
    pub generation_id: GenerationId,
    /// Seq of the first event in `records`.
    pub first_seq: u64,
    /// Whole records. None: there is no such log any more.
    pub records: Option<Bytes>,
}

/// What a node needs of the database to be one of several. All times are by the database's clock.
#[async_trait::async_trait]
pub trait Nodes: Send + Sync + 'static {
    /// Takes a lease for `lease`, which names the newest grammar of logs that the node knows. A node of the same
    /// place that was killed is fenced at once.
    async fn join(&self, node_id: NodeId, lease: Duration, grammar: u32) -> StoreResult<()>;

    /// Renews it for `lease` from now, if it is still there. It goes over a connection of its own, and
    /// takes no longer than a part of that time.
    async fn renew(&self, node_id: NodeId, lease: Duration) -> StoreResult<Renewal>;

    /// Gives it back: what still runs under it may be taken over at once.
    async fn leave(&self, node_id: NodeId) -> StoreResult<()>;

    /// Ends the leases that have run out, and waits for what is being stored under them. From then on
    /// nothing is. Gives back how many.
    async fn reap(&self) -> StoreResult<usize>;

    /// Gives up generations that this node runs and has stopped writing to, so that others take them over.
    async fn release(&self, node_id: NodeId, generations: Vec<GenerationId>) -> StoreResult<()>;

    /// Asks whoever runs it to stop a generation. `NotFound` for an unknown or foreign one; nothing
    /// happens to one that has ended.
    async fn request_stop(&self, owner: UserId, id: GenerationId) -> StoreResult<()>;

    /// What stands in logs from these seqs on, in order; of each no more than some MiB at a time, so ask
    /// again until nothing comes. One snapshot for all.
    async fn read_on(&self, logs: &[(GenerationId, u64)]) -> StoreResult<Vec<LogPart>>;
}

/// A hint to other nodes: look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Something was added to logs.
    Log,
    /// Somebody asked for a stop.
    Stop,
    /// A node has come or gone, or gives generations up.
    Nodes,
    /// There are more jobs than one node does at a time.
    Jobs,
    /// A session was ended.
    Session(SessionId),
    /// Any number of any of the above: this node could not hear for a while.
    Missed,
}

/// The way of hints between nodes. They may be lost, come late, and be merged.
#[async_trait::async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Tells the other nodes. Does not wait.
    fn tell(&self, signal: Signal);

    /// The next hint of another node. For one caller.
    async fn hear(&self) -> Signal;
}
