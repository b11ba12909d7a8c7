//! Accepting a generation, whatever asked for it.
//!
//! Once it is accepted, all that it consists of is one commit. The commit and the run that follows
//! belong to a task of the engine's: a client that goes away in between changes nothing.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use r1_domain::{
    generation::Generation,
    id::{GenerationId, UserId},
    log::Position,
    part::Content,
    provider::ResolvedModel,
    store::{Earlier, HistoryRead, IdempotencyKey, Store, StoreError, StoreResult, TurnOutcome},
};
use rand::RngExt;
use tokio::sync::{OwnedMutexGuard, oneshot};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::Instrument;

use crate::{
    engine::{Engine, Target},
    error::EngineError,
    log::{Log, SharedLog},
    node::Life,
    reader::Reader,
    registry::{Registry, Running},
    run::span,
    start::start_event,
};

/// A request waits at most this long until it is accepted: longer than a store takes to give it up.
const ACCEPT_TIME: Duration = Duration::from_secs(15);

/// Longer than a store leaves anybody without an answer about a commit.
const KEY_TIME: Duration = Duration::from_secs(20);

/// A generation that is, or was earlier, accepted.
pub struct Accepted {
    /// The generation.
    pub generation_id: GenerationId,
    /// Follows it from the beginning.
    pub reader: Reader,
}

/// A commit that accepts a generation or does not; and, where that has begun, the reading of its history.
pub(crate) type Commit = BoxFuture<'static, StoreResult<(TurnOutcome, Option<HistoryRead>)>>;

/// Whether a request is to be decided.
pub(crate) enum Admission {
    /// Its key came before: this is what it made then.
    Earlier(Accepted),
    /// A new request; holds the key's lock until the outcome is known.
    Now(Admitted),
}

/// Nobody else decides about the same key, and a drain waits.
pub(crate) struct Admitted {
    /// Under which it is begun.
    pub(crate) life: Life,
    _deciding: Option<OwnedMutexGuard<()>>,
    _accepting: TaskTrackerToken,
}

impl Engine {
    /// Its turn first ([`Turnstile`](crate::turnstile::Turnstile)), then the key, then the drain. Limits come later: a repeated request costs nothing and must
    /// not be refused for them.
    pub(crate) async fn admit(&self, owner: UserId, key: Option<&IdempotencyKey>) -> Result<Admission, EngineError> {
        self.turnstile.pass().await?;
        let deciding = match key {
            Some(key) => {
                let deciding = self.lock_key(owner, key).await?;
                if let Some(earlier) = self.made_by(owner, key).await? {
                    return Ok(Admission::Earlier(earlier));
                }
                Some(deciding)
            }
            None => None,
        };
        // Taken before the look at the drain: a drain that begins now waits for this request.
        let accepting = self.runs.token();
        if self.is_draining() {
            return Err(EngineError::Draining);
        }
        let life = self.node.life()?;
        Ok(Admission::Now(Admitted { life, _deciding: deciding, _accepting: accepting }))
    }

    /// What an earlier request with this key made, if there was one; waits while one is being decided.
    /// For a caller that has no room for a new generation and must not refuse an old one for that.
    ///
    /// # Errors
    /// `KeyReused`, `NotFound` (what it made was deleted since), `Damaged`, `Store`.
    pub async fn earlier(&self, owner: UserId, key: &IdempotencyKey) -> Result<Option<Accepted>, EngineError> {
        let _deciding = self.lock_key(owner, key).await?;
        self.made_by(owner, key).await
    }

    /// Waits while another request with this key is decided, but not for ever: a disk may hang.
    async fn lock_key(&self, owner: UserId, key: &IdempotencyKey) -> Result<OwnedMutexGuard<()>, EngineError> {
        let locked = tokio::time::timeout(KEY_TIME, self.registry.lock_key(owner, &key.key)).await;
        locked.map_err(|_| EngineError::Undecided)
    }

    async fn made_by(&self, owner: UserId, key: &IdempotencyKey) -> Result<Option<Accepted>, EngineError> {
        match self.store.idempotency_find(owner, key).await? {
            Some(earlier) => self.accepted_earlier(owner, earlier).await.map(Some),
            None => Ok(None),
        }
    }

    /// Accepts a generation by `commit`, which is given the first records of its log, and runs it. What the
    /// model gets to read may be on its way from there. `given` is what the answer says already.
    pub(crate) async fn accept(
        &self,
        generation: Generation,
        model: ResolvedModel,
        given: Option<Content>,
        admitted: Admitted,
        commit: impl FnOnce(Arc<dyn Store>, Bytes) -> Commit,
    ) -> Result<Accepted, EngineError> {
        let log = Log::new(generation.id, generation.owner, &start_event(&generation), given.as_ref());
        let commit = commit(self.store.clone(), log.start_records());
        let running = Running::new(Arc::new(log), &generation);
        // In the registry before the commit: whoever learns of the generation from storage finds
        // its log here. It also holds a place among those of the user's that are begun here; the commit
        // counts those of all nodes.
        if !self.registry.insert_within(self.options().runs_per_user, running.clone()) {
            return Err(EngineError::TooManyRuns { limit: self.options().runs_per_user.unwrap_or_default() });
        }

        let reader = self.reader(running.log.clone(), Position::START);
        let run = self.run(&running, &admitted.life, model, &generation, given);
        let mut unaccepted = Unaccepted { registry: self.registry.clone(), log: Some(running.log.clone()) };
        let observer = self.observer.clone();
        // Below the request's, and so with its id.
        let span = span(&generation);
        let (answer, outcome) = oneshot::channel();
        let accepting = async move {
            // Until it is decided, whether its client is still there or not: a repeat that came sooner
            // would find nothing under the key, and meet the limits that this one has used up.
            let deciding = admitted;
            let (outcome, history) = match commit.await {
                Ok((outcome, history)) => (Ok(outcome), history),
                Err(error) => (Err(error), None),
            };
            let accepted = matches!(outcome, Ok(TurnOutcome::Accepted));
            if accepted {
                unaccepted.log = None;
                running.log.accepted();
                observer.accepted();
            }
            drop(unaccepted);
            drop(deciding);
            // Nobody waits for it any more if the client has gone: that changes nothing.
            let _ = answer.send(outcome);
            if accepted {
                run.run(history).await;
            }
        };
        self.runs.spawn(accepting.instrument(span));
        let gone = |_| EngineError::Store(StoreError::Internal("the accepting task is gone".into()));
        // The store gives up by itself what it has not begun to commit. What it has begun goes on, and if it
        // comes to be it is answered.
        let late = |_| EngineError::Store(StoreError::Unconfirmed("a commit has begun and does not end".into()));
        match tokio::time::timeout(ACCEPT_TIME, outcome).await.map_err(late)?.map_err(gone)?? {
            TurnOutcome::Accepted => Ok(Accepted { generation_id: generation.id, reader }),
            TurnOutcome::TooMany => {
                Err(EngineError::TooManyRuns { limit: self.options().runs_per_user.unwrap_or_default() })
            }
            TurnOutcome::Busy(generation_id) => Err(EngineError::Busy { generation_id }),
            TurnOutcome::Superseded(generation_id) => Err(EngineError::Superseded { generation_id }),
            TurnOutcome::Earlier(earlier) => self.accepted_earlier(generation.owner, earlier).await,
        }
    }

    async fn accepted_earlier(&self, owner: UserId, earlier: Earlier) -> Result<Accepted, EngineError> {
        let Earlier::Generation(generation_id) = earlier else { return Err(EngineError::KeyReused) };
        match self.attach(owner, Target::Generation(generation_id), None).await? {
            Some(reader) => Ok(Accepted { generation_id, reader }),
            None => Err(EngineError::NotFound),
        }
    }
}

/// Of a new random source; within what JSON numbers carry exactly everywhere.
pub(crate) fn new_seed() -> u64 {
    rand::rng().random_range(0..1 << 53)
}

/// Forgets a run that does not come to be, in whatever way.
struct Unaccepted {
    registry: Arc<Registry>,
    log: Option<SharedLog>,
}

impl Drop for Unaccepted {
    fn drop(&mut self) {
        if let Some(log) = self.log.take() {
            self.registry.remove(&log);
            log.abandon();
        }
    }
}
