//! This process as a node: one of those that serve from the same database.
//!
//! A node's lease is renewed every third of its time or so. One that can't renew it closes its providers'
//! connections before the lease can have run out, lets go of what it runs, and joins again under another
//! id: to the others, and to itself, the old one is gone, and what it ran is taken over like anybody's.
//! The node that finds another's lease to have run out ends it, and from then on nothing is stored under
//! it; the epochs decide who goes on.
//!
//! Where one process serves from a database there is nothing to renew, and the first life is the only one.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use r1_domain::{
    id::{GenerationId, NodeId},
    log::{FIRST_GRAMMAR, GRAMMAR},
    nodes::{Bus, Nodes, Renewal, Signal},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{engine::Engine, error::EngineError};

/// Between two attempts to renew that fail, and two to join.
const AGAIN: Duration = Duration::from_millis(250);
/// However many hints come: from one renewal to the next.
const LEAST_PAUSE: Duration = Duration::from_millis(10);

/// From one lease to its end.
#[derive(Clone)]
pub(crate) struct Life {
    pub(crate) node_id: NodeId,
    /// Nothing that was begun under it may go on.
    pub(crate) over: CancellationToken,
    /// The lease is there.
    joined: bool,
}

impl Life {
    fn new(node_id: NodeId, joined: bool) -> Self {
        Self { node_id, over: CancellationToken::new(), joined }
    }
}

/// What the rest of the engine asks about it.
pub(crate) struct Node {
    life: Mutex<Life>,
    bus: Option<Arc<dyn Bus>>,
    /// Other nodes that had a lease when it was looked at last.
    others: AtomicUsize,
    /// The newest grammar of logs that all of them knew then.
    grammar: AtomicU32,
    /// What was left alone at the last look, for its grammar: each is told of once.
    pub(crate) left_alone: Mutex<HashSet<GenerationId>>,
    /// Look now.
    woken: Notify,
    /// Runs that another node can go on with shall be left to it.
    pub(crate) handing_over: CancellationToken,
    /// It is not a node any more.
    pub(crate) left: CancellationToken,
}

impl Node {
    /// `alone`: no other process serves from the database.
    pub(crate) fn new(node_id: NodeId, alone: bool, bus: Option<Arc<dyn Bus>>) -> Self {
        Self {
            life: Mutex::new(Life::new(node_id, alone)),
            bus,
            others: AtomicUsize::new(0),
            // Until the others are known, what each of them knows.
            grammar: AtomicU32::new(if alone { GRAMMAR } else { FIRST_GRAMMAR }),
            left_alone: Mutex::default(),
            woken: Notify::new(),
            handing_over: CancellationToken::new(),
            left: CancellationToken::new(),
        }
    }

    /// The present life, for something new.
    pub(crate) fn life(&self) -> Result<Life, EngineError> {
        let life = self.life.lock().clone();
        if life.joined { Ok(life) } else { Err(EngineError::NoLease) }
    }

    /// How many other nodes there are, for all that is known.
    pub(crate) fn others(&self) -> usize {
        self.others.load(Ordering::Relaxed)
    }

    /// The newest grammar of logs that every node knows, for all that is known: what new logs are written in.
    pub(crate) fn grammar(&self) -> u32 {
        self.grammar.load(Ordering::Relaxed)
    }

    /// Whether this generation, which nobody runs, is not for this build to go on with.
    pub(crate) fn leaves_alone(&self, id: GenerationId) -> bool {
        self.left_alone.lock().contains(&id)
    }

    pub(crate) fn has_others(&self) -> bool {
        self.others() > 0
    }

    pub(crate) fn tell(&self, signal: Signal) {
        if let Some(bus) = &self.bus {
            bus.tell(signal);
        }
    }

    /// Something was added to logs. Nobody is told where nobody is.
    pub(crate) fn tell_of_logs(&self) {
        if self.has_others() {
            self.tell(Signal::Log);
        }
    }

    /// Leaves a generation, whose run has ended without an end, to other nodes.
    pub(crate) async fn release(&self, nodes: &dyn Nodes, life: &Life, id: GenerationId) {
        match nodes.release(life.node_id, vec![id]).await {
            Ok(()) => self.tell(Signal::Nodes),
            // It is taken over once this node has left.
            Err(error) => tracing::warn!(generation_id = %id, "generation {id} can't be handed over now: {error}"),
        }
    }

    fn begin(&self, life: Life) -> Life {
        std::mem::replace(&mut self.life.lock(), life)
    }
}

impl Engine {
    /// Takes a lease, where processes have them. Call it before [`Engine::recover`]; then see to it that
    /// [`Engine::keep`] runs.
    ///
    /// # Errors
    /// `Store`.
    pub async fn join(&self) -> Result<(), EngineError> {
        let Some(nodes) = self.store.nodes() else { return Ok(()) };
        let mut life = self.node.life.lock().clone();
        nodes.join(life.node_id, self.options().lease, GRAMMAR).await?;
        life.joined = true;
        self.node.begin(life);
        self.node.tell(Signal::Nodes);
        Ok(())
    }

    /// Keeps the lease, takes over what other nodes leave behind, and reads on in the logs of other nodes
    /// that readers here follow. Ends when the engine has drained; at once where no processes share the
    /// database.
    pub async fn keep(&self) {
        if let Some(nodes) = self.store.nodes() {
            let kept = async { tokio::join!(self.keep_lease(nodes), self.follow(nodes)) };
            self.node.left.run_until_cancelled(kept).await;
        }
    }

    /// Whether this process may begin anything: always, where processes have no leases.
    pub fn has_lease(&self) -> bool {
        self.node.life.lock().joined
    }

    /// Under which id this node may claim work, and what is cancelled when it may no longer go on with it. None
    /// while it has no lease.
    pub fn lease(&self) -> Option<(NodeId, CancellationToken)> {
        self.node.life().ok().map(|life| (life.node_id, life.over))
    }

    /// A hint for other nodes.
    pub fn tell(&self, signal: Signal) {
        if self.node.has_others() {
            self.node.tell(signal);
        }
    }

    /// A hint of another node.
    pub fn hear(&self, signal: Signal) {
        match signal {
            Signal::Log => self.following.wake(),
            Signal::Stop | Signal::Nodes => self.node.woken.notify_one(),
            Signal::Session(_) | Signal::Jobs => {}
            Signal::Missed => {
                self.following.wake();
                self.node.woken.notify_one();
            }
        }
    }

    async fn keep_lease(&self, nodes: &dyn Nodes) {
        let lease = self.options().lease;
        // Nobody can have taken over before this.
        let mut safe_until = Instant::now() + lease / 10 * 9;
        let mut pause = Duration::ZERO;
        loop {
            sleep(LEAST_PAUSE).await;
            let _ = tokio::time::timeout(pause, self.node.woken.notified()).await;
            let asked = Instant::now();
            let life = self.node.life.lock().clone();
            // Late already where the process was stopped for a while: then nothing is asked first.
            let renewed = timeout_at(safe_until, nodes.renew(life.node_id, lease));
            let renewed = if asked < safe_until { renewed.await.ok() } else { None };
            match renewed {
                Some(Ok(renewal)) if renewal.held => {
                    safe_until = asked + lease / 10 * 9;
                    pause = self.look_around(nodes, &renewal, lease * 3 / 10).await;
                }
                Some(Err(error)) if Instant::now() < safe_until => {
                    tracing::warn!("this node's lease can't be renewed now: {error}");
                    pause = AGAIN.min(lease / 20);
                }
                _ => {
                    self.lapse(nodes, &life).await;
                    safe_until = Instant::now() + lease / 10 * 9;
                    pause = Duration::ZERO;
                }
            }
        }
    }

    /// Does what a renewal says is to be done. Gives back how long there will be nothing to do.
    async fn look_around(&self, nodes: &dyn Nodes, renewal: &Renewal, most: Duration) -> Duration {
        self.node.others.store(renewal.others, Ordering::Relaxed);
        self.node.grammar.store(renewal.grammar, Ordering::Relaxed);
        for id in &renewal.stops {
            self.registry.stop(*id);
        }
        let mut orphans = renewal.orphans;
        if renewal.next_expiry.is_some_and(|expiry| expiry.is_zero()) {
            match nodes.reap().await {
                Ok(0) => {}
                Ok(ended) => {
                    tracing::warn!(ended, "the leases of {ended} other nodes ran out");
                    orphans = true;
                }
                Err(error) => tracing::warn!("leases that ran out can't be ended now: {error}"),
            }
        }
        if !orphans || self.is_draining() {
            return renewal.next_expiry.filter(|expiry| !expiry.is_zero()).map_or(most, |expiry| most.min(expiry));
        }
        match self.recover().await {
            // Others were sooner, or it can't be had.
            Ok(0) => most,
            Ok(taken_over) => {
                tracing::info!(taken_over, "generations taken over from other nodes: {taken_over}");
                // Somebody may have asked to stop one of them.
                Duration::ZERO
            }
            Err(error) => {
                tracing::warn!("what other nodes left behind can't be taken over now: {error}");
                AGAIN
            }
        }
    }

    /// The lease may have run out: whatever was begun under it ends here, now. Then this is a new node.
    async fn lapse(&self, nodes: &dyn Nodes, life: &Life) {
        let running = self.registry.take_all();
        self.observer.lapsed();
        tracing::warn!(running = running.len(), "this node's lease has lapsed: it lets go of what it runs");
        let mut next = Life::new(NodeId::new(self.clock.now()), false);
        self.node.begin(next.clone());
        // The providers' connections are closed by this.
        life.over.cancel();
        for running in running {
            running.log.abandon();
        }
        while let Err(error) = nodes.join(next.node_id, self.options().lease, GRAMMAR).await {
            tracing::warn!("this node can't join again yet: {error}");
            sleep(AGAIN).await;
        }
        next.joined = true;
        self.node.begin(next);
        // What it ran is free for all.
        if let Err(error) = nodes.leave(life.node_id).await {
            tracing::debug!("the lease that lapsed is left to run out: {error}");
        }
        self.node.tell(Signal::Nodes);
        tracing::info!("this node has joined again");
    }

    /// The last thing that a node does.
    pub(crate) async fn leave(&self) {
        self.node.left.cancel();
        let life = self.node.life.lock().clone();
        if let Some(nodes) = self.store.nodes() {
            match nodes.leave(life.node_id).await {
                Ok(()) => self.node.tell(Signal::Nodes),
                Err(error) => tracing::warn!("this node's lease is left to run out: {error}"),
            }
        }
    }
}
