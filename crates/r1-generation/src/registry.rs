//! The logs that this process knows: those of its runs, and those that readers follow again.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use r1_domain::{
    generation::Generation,
    id::{ConversationId, GenerationId, UserId},
    store::StoreError,
};
use tokio_util::sync::CancellationToken;

use crate::{
    error::EngineError,
    log::{Log, SharedLog},
};

/// One run of this process.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) log: SharedLog,
    pub(crate) conversation_id: ConversationId,
    /// Cancelled = stopped by the user.
    pub(crate) stop: CancellationToken,
    /// Of the request that asked for it.
    pub(crate) request_id: Option<String>,
}

impl Running {
    pub(crate) fn new(log: SharedLog, generation: &Generation) -> Self {
        let (conversation_id, request_id) = (generation.conversation_id, generation.request.request_id.clone());
        Self { log, conversation_id, stop: CancellationToken::new(), request_id }
    }
}

/// A log that was read from storage, alive while somebody reads it.
#[derive(Default)]
struct Shelf {
    /// The lock is held while it is read, so that all who come at once share one read.
    log: tokio::sync::Mutex<Weak<Log>>,
    /// Reads that storage did not carry out, so that they share that as well.
    failures: AtomicU64,
}

/// Held by the one request with an idempotency key that is being decided.
type KeyLock = Arc<tokio::sync::Mutex<()>>;

#[derive(Default)]
pub(crate) struct Registry {
    running: Mutex<HashMap<GenerationId, Running>>,
    keys: Mutex<HashMap<(UserId, String), KeyLock>>,
    stored: Mutex<HashMap<(UserId, GenerationId), Arc<Shelf>>>,
}

impl Registry {
    pub(crate) fn insert(&self, running: Running) {
        self.running.lock().insert(running.log.id(), running);
    }

    /// Adds a run unless its user has `limit` already. False if it was not added.
    pub(crate) fn insert_within(&self, limit: Option<usize>, run: Running) -> bool {
        let mut running = self.running.lock();
        let of_user = |other: &&Running| other.log.owner() == run.log.owner();
        if limit.is_some_and(|limit| running.values().filter(of_user).count() >= limit) {
            return false;
        }
        running.insert(run.log.id(), run);
        true
    }

    /// Removes the run that writes this very log: another life of the process may run the same generation
    /// by now.
    pub(crate) fn remove(&self, log: &SharedLog) -> Option<Running> {
        let mut running = self.running.lock();
        let same = running.get(&log.id()).is_some_and(|found| Arc::ptr_eq(&found.log, log));
        if same { running.remove(&log.id()) } else { None }
    }

    pub(crate) fn take_all(&self) -> Vec<Running> {
        self.running.lock().drain().map(|(_, running)| running).collect()
    }

    /// Stops a run, whosever it is.
    pub(crate) fn stop(&self, id: GenerationId) {
        if let Some(running) = self.running.lock().get(&id) {
            running.stop.cancel();
        }
    }

    /// Whose runs there are.
    pub(crate) fn owners(&self) -> BTreeSet<UserId> {
        self.running.lock().values().map(|running| running.log.owner()).collect()
    }

    /// Stops all runs of a user.
    pub(crate) fn stop_all_of(&self, owner: UserId) {
        for running in self.running.lock().values().filter(|running| running.log.owner() == owner) {
            running.stop.cancel();
        }
    }

    /// A run of this user.
    pub(crate) fn get(&self, owner: UserId, id: GenerationId) -> Option<Running> {
        self.running.lock().get(&id).filter(|running| running.log.owner() == owner).cloned()
    }

    /// How many runs there are.
    pub(crate) fn running(&self) -> usize {
        self.running.lock().len()
    }

    pub(crate) fn all(&self) -> Vec<Running> {
        self.running.lock().values().cloned().collect()
    }

    /// Requests with the same idempotency key are decided one after the other, so that a repeat finds
    /// what the first made instead of meeting its limits.
    pub(crate) async fn lock_key(&self, owner: UserId, key: &str) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = {
            let mut keys = self.keys.lock();
            keys.retain(|_, lock| Arc::strong_count(lock) > 1);
            keys.entry((owner, key.to_owned())).or_default().clone()
        };
        lock.lock_owned().await
    }

    /// The runs in one conversation of this user.
    pub(crate) fn in_conversation(&self, owner: UserId, id: ConversationId) -> Vec<Running> {
        let running = self.running.lock();
        running.values().filter(|r| r.conversation_id == id && r.log.owner() == owner).cloned().collect()
    }

    /// The log of `id` from storage, read by `load` once for all who follow it at the same time; where
    /// storage fails, once for all who waited. None is what `load` gave: it is not kept.
    pub(crate) async fn stored<F, L>(
        &self,
        owner: UserId,
        id: GenerationId,
        load: F,
    ) -> Result<Option<SharedLog>, EngineError>
    where
        F: FnOnce() -> L,
        L: Future<Output = Result<Option<SharedLog>, EngineError>>,
    {
        let shelf = {
            let mut stored = self.stored.lock();
            // Nobody reads it and nobody is about to.
            let idle = |shelf: &Arc<Shelf>| {
                Arc::strong_count(shelf) == 1 && shelf.log.try_lock().is_ok_and(|log| log.strong_count() == 0)
            };
            stored.retain(|key, shelf| *key == (owner, id) || !idle(shelf));
            stored.entry((owner, id)).or_default().clone()
        };
        let failures = shelf.failures.load(Ordering::Relaxed);
        let mut shelved = shelf.log.lock().await;
        if let Some(log) = shelved.upgrade().filter(|log| !log.is_abandoned()) {
            return Ok(Some(log));
        }
        if shelf.failures.load(Ordering::Relaxed) != failures {
            // Tried by each in turn, a storage that hangs would keep the last of them for ever.
            return Err(EngineError::Store(StoreError::Unavailable("the log could not be read just now".into())));
        }
        let loaded = load().await;
        match &loaded {
            Ok(Some(log)) => *shelved = Arc::downgrade(log),
            Err(EngineError::Store(_)) => {
                shelf.failures.fetch_add(1, Ordering::Relaxed);
            }
            Ok(None) | Err(_) => {}
        }
        loaded
    }
}
