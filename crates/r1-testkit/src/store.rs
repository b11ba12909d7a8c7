//! A store under a test's control, around a real one: calls are counted and held up, commits fail, wait, or
//! are the last thing that a process does.
//!
//! What is read goes through as it is (unless [`ScriptedStore::fail_reads`] or [`ScriptedStore::before`]). The four operations that
//! write generations (`turn_begin`, `generation_begin`, `generation_take_over`, `log_append`) are its
//! **commits**: each has a [`Moment`] before the inner commit and one after it, before its answer,
//! and at either a test can hold it ([`ScriptedStore::hold`]) or end the store's life
//! ([`ScriptedStore::die_at`]).
//!
//! **Invariant:** once the store is dead no call resolves any more, and none reaches the inner store:
//! whoever uses it is frozen, as a killed process is. Nor has a call reached it that [`ScriptedStore::before`] holds up or fails.
//!
//! A call is carried out at once, while the caller's thread waits, with a few turns for other tasks
//! before and after it, drawn from a seed. So on a runtime of one thread the seed alone decides what
//! happens in which order, and a paused clock never overtakes the real database.

mod accounts;
mod delegate;
mod jobs;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use r1_domain::{
    id::GenerationId,
    store::{Store, StoreError, StoreResult},
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::sync::watch;

/// Others get fewer turns than this before and after each call.
const MOST_TURNS: u32 = 5;

/// Which side of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Nothing is written yet.
    Before,
    /// It is written; nobody knows yet.
    After,
}

/// How a storage fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `Unavailable`, and nothing is written.
    Unavailable,
    /// `Full`, and nothing is written.
    Full,
    /// It is written, and the answer, which gets lost, is `Unavailable`.
    AnswerLost,
}

type Hook = Box<dyn FnOnce() + Send>;
/// What happens before a call, by the method's name, goes on. An error is the call's.
type Before = Arc<dyn Fn(&'static str) -> BoxFuture<'static, StoreResult<()>> + Send + Sync>;

#[derive(Default)]
struct Script {
    fault: Option<Fault>,
    reads_fail: bool,
    before: Option<Before>,
    broken: HashSet<GenerationId>,
    /// The commit, counted from the next one (0), at which it dies; and what happens in that instant.
    death: Option<(u64, Moment, Hook)>,
}

/// The store.
pub struct ScriptedStore {
    inner: Mutex<Option<Arc<dyn Store>>>,
    script: Mutex<Script>,
    /// Where commits are held.
    held: watch::Sender<Option<Moment>>,
    dead: watch::Sender<bool>,
    commits: AtomicU64,
    calls: Mutex<HashMap<&'static str, usize>>,
    turns: Mutex<StdRng>,
}

impl ScriptedStore {
    /// Around this one; `seed` decides on the turns that others get.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(Some(inner)),
            script: Mutex::default(),
            held: watch::Sender::new(None),
            dead: watch::Sender::new(false),
            commits: AtomicU64::new(0),
            calls: Mutex::default(),
            turns: Mutex::new(StdRng::seed_from_u64(seed)),
        })
    }

    /// Every commit from now on fails so, or (none) no longer.
    pub fn fail(&self, fault: Option<Fault>) {
        self.script.lock().fault = fault;
    }

    /// Whether reads fail from now on, with `Unavailable`.
    pub fn fail_reads(&self, fail: bool) {
        self.script.lock().reads_fail = fail;
    }

    /// From now on this happens before each call, from its name on.
    pub fn before(&self, before: impl Fn(&'static str) -> BoxFuture<'static, StoreResult<()>> + Send + Sync + 'static) {
        self.script.lock().before = Some(Arc::new(before));
    }

    /// Appends to this generation's log fail with `Internal` from now on, and a batch with it.
    pub fn break_log(&self, id: GenerationId) {
        self.script.lock().broken.insert(id);
    }

    /// Commits wait from now on at this moment, or (none) go on.
    pub fn hold(&self, moment: Option<Moment>) {
        self.held.send_replace(moment);
    }

    /// Dies at a moment of the commit before which `others` more come. `hook` runs in that very
    /// instant: before it every acknowledged commit is in the inner store, and after it none is added
    /// but those that are under way.
    pub fn die_at(&self, others: u64, moment: Moment, hook: impl FnOnce() + Send + 'static) {
        self.script.lock().death = Some((others, moment, Box::new(hook)));
    }

    /// Takes [`ScriptedStore::die_at`] back.
    pub fn disarm(&self) {
        self.script.lock().death = None;
    }

    /// Dies now. Gives back the inner store where it was alive until now.
    pub fn die(&self) -> Option<Arc<dyn Store>> {
        self.dead.send_replace(true);
        self.inner.lock().take()
    }

    /// Whether it is dead.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        *self.dead.borrow()
    }

    /// Waits until it is dead.
    pub async fn died(&self) {
        let _ = self.dead.subscribe().wait_for(|dead| *dead).await;
    }

    /// How many commits have begun.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }

    /// How often this method was called, whatever became of it.
    #[must_use]
    pub fn calls(&self, method: &str) -> usize {
        self.calls.lock().get(method).copied().unwrap_or_default()
    }

    /// Counts it, and waits for what is to happen before it.
    async fn call(&self, method: &'static str) -> StoreResult<()> {
        *self.calls.lock().entry(method).or_default() += 1;
        let before = self.script.lock().before.clone();
        let Some(before) = before else { return Ok(()) };
        let result = before(method).await;
        if self.is_dead() {
            return std::future::pending().await;
        }
        result
    }

    /// A call as it is.
    async fn read<T, F>(&self, method: &'static str, call: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: FnOnce(Arc<dyn Store>) -> BoxFuture<'static, StoreResult<T>> + Send + 'static,
    {
        self.call(method).await?;
        let fails = self.script.lock().reads_fail;
        if fails { Err(unavailable()) } else { self.carry_out(call).await }
    }

    /// A commit; `logs` are the generations that it appends to.
    async fn commit<T, F>(&self, method: &'static str, logs: &[GenerationId], call: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: FnOnce(Arc<dyn Store>) -> BoxFuture<'static, StoreResult<T>> + Send + 'static,
    {
        self.call(method).await?;
        self.commits.fetch_add(1, Ordering::SeqCst);
        self.pass(Moment::Before).await;
        if self.is_dead() {
            return std::future::pending().await;
        }
        let (mut last, mut fault, mut broken) = (None, None, false);
        {
            let mut script = self.script.lock();
            match script.death.take() {
                Some((0, moment, hook)) => last = Some((moment, hook)),
                Some((others, moment, hook)) => script.death = Some((others - 1, moment, hook)),
                None => {
                    fault = script.fault;
                    broken = logs.iter().any(|log| script.broken.contains(log));
                }
            }
        }
        if let Some((Moment::Before, hook)) = last.take_if(|(moment, _)| *moment == Moment::Before) {
            self.die_in(hook).await;
        }
        match fault {
            Some(Fault::Unavailable) => return Err(unavailable()),
            Some(Fault::Full) => return Err(StoreError::Full("no room, says the script".into())),
            _ if broken => return Err(StoreError::Internal("broken, says the script".into())),
            Some(Fault::AnswerLost) | None => {}
        }
        let result = self.carry_out(call).await;
        self.pass(Moment::After).await;
        if self.is_dead() {
            return std::future::pending().await;
        }
        if let Some((_, hook)) = last {
            self.die_in(hook).await;
        }
        if fault == Some(Fault::AnswerLost) { Err(unavailable()) } else { result }
    }

    /// Waits while commits are held here.
    async fn pass(&self, moment: Moment) {
        let _ = self.held.subscribe().wait_for(|held| *held != Some(moment)).await;
    }

    async fn die_in(&self, hook: Hook) {
        self.dead.send_replace(true);
        hook();
        // Not before: the hook may look at the database as it is, open.
        self.inner.lock().take();
        std::future::pending::<()>().await;
    }

    async fn carry_out<T, F>(&self, call: F) -> StoreResult<T>
    where
        T: Send + 'static,
        F: FnOnce(Arc<dyn Store>) -> BoxFuture<'static, StoreResult<T>> + Send + 'static,
    {
        self.turns().await;
        let inner = self.inner.lock().clone().filter(|_| !self.is_dead());
        let Some(inner) = inner else { return std::future::pending().await };
        let (answer, answered) = std::sync::mpsc::channel();
        let runtime = tokio::runtime::Handle::current();
        // The inner store may have work of its own for the runtime's threads.
        tokio::task::spawn_blocking(move || answer.send(runtime.block_on(call(inner))));
        let result = answered.recv();
        self.turns().await;
        match result {
            Ok(result) if !self.is_dead() => result,
            // Dead, or the runtime goes down.
            _ => std::future::pending().await,
        }
    }

    async fn turns(&self) {
        let turns = self.turns.lock().random_range(0..MOST_TURNS);
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("not there, says the script".into())
}
