//! The local model runs in a child process; this is the door to it.
//!
//! The door is always there: [`Supervisor::acquire`] waits while the model is fetched and loaded,
//! and says in words when it can't be. A crash of the engine, or the kernel ending it for want of
//! memory, ends the answers that ran in it and nothing else: the child is started again. A child
//! that nobody has used for a while is stopped and its memory given back.
//!
//! ```text
//! idle ──ask──▶ fetching ──▶ starting ──▶ ready ──unused──▶ idle
//!   ▲              │            │ ▲  crash │
//!   │              ▼            ▼ └────────┘
//!   └──ask again── failed ◀── crash loop
//! ```
//!
//! **Invariant:** one task ([`run`]) owns the child, and no child outlives it: the task stops the
//! child before it ends; if the whole process dies, the kernel ends the child, and its standard
//! input closes. A terminal's Ctrl-C does not reach it: the task decides. A [`Lease`] is only given
//! out for a child that is ready, and while one is held the child is not unloaded.

mod child;
mod engine;
mod health;
mod place;
mod run;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::fetch::ModelSource;
pub use engine::{Endpoint, Engine};

/// What to run, and where.
#[derive(Debug, Clone)]
pub struct SupervisorOptions {
    /// Which engine runs the model.
    pub engine: Engine,
    /// Where the model file comes from.
    pub model: ModelSource,
    /// A directory of this instance's own. A private directory for the socket is made in it, or in
    /// the directory for temporary files where the path would be too long for a Unix socket.
    pub socket_dir: PathBuf,
    /// The model's name on the wire.
    pub name: String,
    /// Engine threads.
    pub threads: usize,
    /// Tokens that a request may have in all, prompt and answer. If none: the model's own limit in the
    /// built-in engine; for the other see [`Engine::LlamaServer`].
    pub context: Option<usize>,
    /// Bytes of attention cache kept for conversations that may go on, besides those being answered;
    /// 64 MiB if none. `llama-server` takes whole MiB: it is rounded down.
    pub kv_budget: Option<u64>,
    /// A child unused for this long is stopped.
    pub idle_unload: Duration,
    /// How long things may take.
    pub timing: Timing,
}

/// How long things may take; the default suits people, tests are in more of a hurry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// Longest wait of [`Supervisor::acquire`].
    pub acquire: Duration,
    /// A child that is not ready by then counts as crashed.
    pub start: Duration,
    /// A child gets this long to end by itself before it is killed.
    pub stop: Duration,
    /// Pause after the first crash; it doubles with each further one, up to `backoff_max`.
    pub backoff: Duration,
    /// Longest pause after a crash.
    pub backoff_max: Duration,
    /// This many crashes in a row, none with a stable time in between, are a crash loop.
    pub crash_limit: u32,
    /// A child that was ready for this long is stable.
    pub stable: Duration,
    /// After a failure, nothing is tried for this long.
    pub retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            acquire: Duration::from_secs(120),
            start: Duration::from_secs(120),
            stop: Duration::from_secs(2),
            backoff: Duration::from_millis(200),
            backoff_max: Duration::from_secs(5),
            crash_limit: 4,
            stable: Duration::from_secs(60),
            retry: Duration::from_secs(20),
        }
    }
}

/// Where the model stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Not loaded; asking loads it.
    Idle,
    /// The model file is being fetched.
    Fetching,
    /// The child is loading the model.
    Starting,
    /// Answers can be had.
    Ready,
    /// It did not work; asking tries again after a pause.
    Failed,
    /// The supervisor has ended.
    Stopped,
}

impl State {
    /// The word in health reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Fetching => "fetching",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// A snapshot for health reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Where the model stands.
    pub state: State,
    /// What anybody may know about it: how far a fetch has come, why it failed. Names no path and
    /// quotes nothing that the engine wrote.
    pub detail: Option<String>,
    /// The whole cause of a failure, for the operator only.
    pub cause: Option<String>,
}

/// The supervisor can't be made.
#[derive(Debug, thiserror::Error)]
#[error("no private directory for the local model's socket could be made in {}", path.display())]
pub struct SocketDirError {
    /// Where it was tried last.
    pub path: PathBuf,
    /// What the operating system said.
    #[source]
    pub source: std::io::Error,
}

/// The model can't be used now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SupervisorError {
    /// It is still on its way; asking again later helps.
    #[error("the local model is not ready yet ({detail})")]
    NotReady {
        /// How far it has come.
        detail: String,
    },
    /// It does not work; asking again later may help.
    #[error("the local model can't be used: {reason}")]
    Failed {
        /// Why, as in [`Status::detail`].
        reason: String,
        /// Until when nothing is tried.
        retry_after: Duration,
    },
    /// The server ends.
    #[error("the local model is shutting down")]
    ShuttingDown,
}

#[derive(Debug, Clone)]
enum Phase {
    Idle,
    Fetching,
    Starting,
    Ready(Endpoint),
    Failed { reason: String, cause: String, until: Instant },
    Stopped,
}

impl Phase {
    fn state(&self) -> State {
        match self {
            Self::Idle => State::Idle,
            Self::Fetching => State::Fetching,
            Self::Starting => State::Starting,
            Self::Ready(_) => State::Ready,
            Self::Failed { .. } => State::Failed,
            Self::Stopped => State::Stopped,
        }
    }
}

struct Activity {
    leases: usize,
    last: Instant,
}

/// What the task, the leases and the supervisor share.
struct Shared {
    phase: watch::Sender<Phase>,
    /// Somebody asked. One permit is kept for a task that is busy elsewhere.
    asked: Notify,
    activity: Mutex<Activity>,
    fetched: AtomicU64,
    fetch_total: AtomicU64,
    /// The child's; 0 where there is none.
    pid: AtomicU32,
}

impl Shared {
    fn status(&self) -> Status {
        let phase = self.phase.borrow();
        let (detail, cause) = match &*phase {
            Phase::Fetching => (self.fetch_progress(), None),
            Phase::Failed { reason, cause, .. } => (Some(reason.clone()), Some(cause.clone())),
            _ => (None, None),
        };
        Status { state: phase.state(), detail, cause }
    }

    fn fetch_progress(&self) -> Option<String> {
        let total = self.fetch_total.load(Ordering::Relaxed);
        let percent = (self.fetched.load(Ordering::Relaxed).min(total) * 100).checked_div(total)?;
        Some(format!("{percent} % of {} MB", total.div_ceil(1_000_000)))
    }

    fn touch(&self) {
        self.activity.lock().last = Instant::now();
    }

    /// Leaves `Ready` if nobody has used the child for `idle`; else gives back when to look again.
    /// One lock with [`InUse::new`], so that no lease is given out for a child that is being stopped.
    fn leave_if_idle(&self, idle: Duration) -> Option<Instant> {
        let activity = self.activity.lock();
        let (now, unused_at) = (Instant::now(), activity.last + idle);
        if activity.leases > 0 {
            return Some(now + idle);
        }
        if unused_at > now {
            return Some(unused_at);
        }
        self.phase.send_replace(Phase::Idle);
        None
    }
}

/// Counts as activity while it lives.
struct InUse(Arc<Shared>);

impl InUse {
    fn new(shared: Arc<Shared>) -> Self {
        shared.activity.lock().leases += 1;
        Self(shared)
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let mut activity = self.0.activity.lock();
        activity.leases -= 1;
        activity.last = Instant::now();
    }
}

/// The right to use the running model. Hold it while an answer is on its way.
pub struct Lease {
    endpoint: Endpoint,
    _in_use: InUse,
}

impl Lease {
    /// Where the child speaks the OpenAI wire format. A child of the built-in engine keeps its
    /// address across restarts; `llama-server` does not.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// Runs the local model. Dropping it stops the child soon; [`Supervisor::shutdown`] waits for that.
pub struct Supervisor {
    shared: Arc<Shared>,
    /// Until it is spawned, by the first who asks.
    task: Mutex<Option<run::Run>>,
    tracker: TaskTracker,
    cancel: CancellationToken,
    wait: Duration,
    _cancel_on_drop: DropGuard,
}

impl Supervisor {
    /// Prepares the door; nothing runs yet. It closes for good when `cancel` is cancelled.
    ///
    /// # Errors
    /// [`SocketDirError`] if there is no place for a private socket.
    pub fn new(options: SupervisorOptions, cancel: &CancellationToken) -> Result<Self, SocketDirError> {
        let place = place::Place::make(&options.socket_dir)?;
        let cancel = cancel.child_token();
        let shared = Arc::new(Shared {
            phase: watch::Sender::new(Phase::Idle),
            asked: Notify::new(),
            activity: Mutex::new(Activity { leases: 0, last: Instant::now() }),
            fetched: AtomicU64::new(0),
            fetch_total: AtomicU64::new(0),
            pid: AtomicU32::new(0),
        });
        let wait = options.timing.acquire;
        let run = run::Run::new(options, place, shared.clone(), cancel.clone());
        Ok(Self {
            shared,
            task: Mutex::new(Some(run)),
            tracker: TaskTracker::new(),
            _cancel_on_drop: cancel.clone().drop_guard(),
            cancel,
            wait,
        })
    }

    /// Loads the model in the background.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(&self) {
        self.warm();
    }

    /// Somebody may ask soon: counts as activity, and loads the model if it is not. Cheap, never
    /// waits.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn warm(&self) {
        if let Some(run) = self.task.lock().take() {
            self.tracker.spawn(run.run());
        }
        self.shared.asked.notify_one();
    }

    /// Waits until the model can be asked.
    ///
    /// # Errors
    /// [`SupervisorError`]: not ready in time, failed, or shutting down.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn acquire(&self) -> Result<Lease, SupervisorError> {
        // Counted before the state is looked at: see `Shared::leave_if_idle`.
        let in_use = InUse::new(self.shared.clone());
        let mut phases = self.shared.phase.subscribe();
        self.warm();
        let endpoint = tokio::time::timeout(self.wait, async {
            loop {
                match &*phases.borrow_and_update() {
                    Phase::Ready(endpoint) => return Ok(endpoint.clone()),
                    Phase::Failed { reason, until, .. } if *until > Instant::now() => {
                        let retry_after = until.saturating_duration_since(Instant::now());
                        return Err(SupervisorError::Failed { reason: reason.clone(), retry_after });
                    }
                    Phase::Stopped => return Err(SupervisorError::ShuttingDown),
                    _ => {}
                }
                if phases.changed().await.is_err() {
                    return Err(SupervisorError::ShuttingDown);
                }
            }
        });
        let endpoint = endpoint.await.unwrap_or_else(|_| {
            let Status { state, detail, .. } = self.status();
            let detail =
                detail.map_or_else(|| state.as_str().to_owned(), |detail| format!("{}: {detail}", state.as_str()));
            Err(SupervisorError::NotReady { detail })
        })?;
        Ok(Lease { endpoint, _in_use: in_use })
    }

    /// Where the model stands now; never waits.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// The child's process id, while there is one; never waits.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        Some(self.shared.pid.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }

    /// Waits until the model stands there, or the supervisor has ended.
    pub async fn reached(&self, state: State) {
        let mut phases = self.shared.phase.subscribe();
        // The sender is in `self`: it can't be gone.
        let _ = phases.wait_for(|phase| phase.state() == state || phase.state() == State::Stopped).await;
    }

    /// Stops the child and waits until it is gone: at most [`Timing::stop`] and a little.
    pub async fn shutdown(&self) {
        self.cancel.cancel();
        // A task that never started has nothing to stop.
        if self.task.lock().take().is_some() {
            self.shared.phase.send_replace(Phase::Stopped);
        }
        self.tracker.close();
        self.tracker.wait().await;
    }
}
