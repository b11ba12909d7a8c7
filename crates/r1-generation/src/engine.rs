//! The engine: what the outside may ask of generations.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use parking_lot::{Mutex, RwLock};
use r1_domain::{
    cursor::Cursor,
    generation::{Generation, State},
    id::{ConversationId, GenerationId, NodeId, UserId},
    jobs::FollowUp,
    log::{Position, REASONING_GRAMMAR},
    message::Message,
    nodes::{Bus, Nodes, Signal},
    part::Content,
    provider::{Models, ResolvedModel},
    store::Store,
    time::Clock,
};
use tokio::{sync::Notify, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    error::EngineError,
    following::Following,
    log::{Log, SharedLog},
    node::{Life, Node},
    observer::Observer,
    options::Options,
    reader::Reader,
    registry::{Registry, Running},
    run::{Lost, Run},
    start::whole_records,
    turnstile::Turnstile,
    writer::{Queue, Writer},
};

/// A stop waits at most this long for its end to be stored; what was asked for has happened before that.
const STOP_TIME: Duration = Duration::from_secs(10);

/// Starts, follows, stops and recovers generations. One per process.
pub struct Engine {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) models: Arc<dyn Models>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) node: Arc<Node>,
    pub(crate) observer: Arc<dyn Observer>,
    follow_up: Arc<dyn FollowUp>,
    /// Work was handed in.
    handed_in: Arc<Notify>,
    options: RwLock<Options>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) turnstile: Turnstile,
    pub(crate) following: Following,
    pub(crate) queue: Arc<Queue>,
    /// Runs, from before their acceptance to their terminal event.
    pub(crate) runs: TaskTracker,
    /// Readers that are attached.
    readers: TaskTracker,
    draining: AtomicBool,
    abort: CancellationToken,
    writer: TaskTracker,
    closing: CancellationToken,
}

/// What to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// This generation.
    Generation(GenerationId),
    /// The running generation of this conversation, else its newest.
    Conversation(ConversationId),
    /// The user's newest running generation.
    Newest,
}

impl Engine {
    /// Makes the engine and starts its writer on the current runtime. Call [`Engine::join`] and
    /// [`Engine::recover`] before the first request. `bus` reaches the other nodes, where there may be some;
    /// `observer` is told what happens, `()` counts nothing.
    pub fn new(
        store: Arc<dyn Store>,
        models: Arc<dyn Models>,
        clock: Arc<dyn Clock>,
        node_id: NodeId,
        bus: Option<Arc<dyn Bus>>,
        observer: Arc<dyn Observer>,
        options: Options,
    ) -> Self {
        let engine = Self {
            models,
            clock,
            node: Arc::new(Node::new(node_id, store.nodes().is_none(), bus)),
            observer: observer.clone(),
            follow_up: Arc::new(()),
            handed_in: Arc::default(),
            store: store.clone(),
            options: RwLock::new(options),
            registry: Arc::default(),
            turnstile: Turnstile::default(),
            following: Following::default(),
            queue: Arc::default(),
            runs: TaskTracker::new(),
            readers: TaskTracker::new(),
            draining: AtomicBool::new(false),
            abort: CancellationToken::new(),
            writer: TaskTracker::new(),
            closing: CancellationToken::new(),
        };
        let writer = Writer {
            queue: engine.queue.clone(),
            store,
            clock: engine.clock.clone(),
            registry: engine.registry.clone(),
            node: engine.node.clone(),
            observer,
            handed_in: engine.handed_in.clone(),
            stall_limit: options.stall_limit,
        };
        let closing = engine.closing.clone();
        engine.writer.spawn(async move {
            if AssertUnwindSafe(writer.run(closing)).catch_unwind().await.is_err() {
                // Nothing can be stored any more, so nothing may be shown. The next start recovers.
                tracing::error!("the writer panicked: ending the process");
                std::process::abort();
            }
        });
        engine.writer.close();
        engine
    }

    /// Asks this one which work follows an answer.
    #[must_use]
    pub fn with_follow_up(self, follow_up: Arc<dyn FollowUp>) -> Self {
        Self { follow_up, ..self }
    }

    /// Notified after a commit that handed work in.
    pub fn handed_in(&self) -> Arc<Notify> {
        self.handed_in.clone()
    }

    /// What it may use now.
    pub(crate) fn options(&self) -> Options {
        *self.options.read()
    }

    /// Changes the limits of answers that are accepted from now on. Those that run keep what they began with, and
    /// whatever else `options` say stays as it was at the start.
    pub fn set_limits(&self, options: Options) {
        let Options { runs_per_user, answer_bytes, answer_time, max_tokens, .. } = options;
        let mut current = self.options.write();
        *current = Options { runs_per_user, answer_bytes, answer_time, max_tokens, ..*current };
    }

    /// Waits for a sign of life from the writer. It comes while storage stands still too, as the writer waits for
    /// that itself; it never comes once the writer hangs.
    pub async fn pulse(&self) {
        self.queue.pulse().await;
    }

    /// Whether the server takes no new work.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// How many generations this process runs.
    pub fn running(&self) -> usize {
        self.registry.running()
    }

    /// How many readers are attached.
    pub fn readers(&self) -> usize {
        self.readers.len()
    }

    /// Other nodes that had a lease when it was looked at last.
    pub fn other_nodes(&self) -> usize {
        self.node.others()
    }

    /// How many logs wait for storage.
    pub fn unwritten(&self) -> usize {
        self.queue.unwritten()
    }

    /// Follows a generation from just after `after`. None: there is nothing to follow, or the
    /// cursor stands at the terminal event. A cursor that this log does not have (retired, or
    /// rewound by a power loss) gets the whole answer again, from a `start`.
    ///
    /// # Errors
    /// `NotFound` for an unknown or foreign generation or conversation, `Draining` for one that is left
    /// to the next start, `Damaged`, `Store`.
    pub async fn attach(
        &self,
        owner: UserId,
        target: Target,
        after: Option<Cursor>,
    ) -> Result<Option<Reader>, EngineError> {
        let id = match target {
            Target::Generation(id) => id,
            Target::Conversation(id) => {
                self.store.conversation_get(owner, id).await?;
                match self.store.generation_to_follow(owner, Some(id)).await? {
                    Some(id) => id,
                    None => return Ok(None),
                }
            }
            Target::Newest => match self.store.generation_to_follow(owner, None).await? {
                Some(id) => id,
                None => return Ok(None),
            },
        };
        let log = self.log(owner, id).await?;
        let after = after.unwrap_or(Cursor::BEGINNING);
        let mut position = log.position_after(after)?;
        if position.is_none() && !log.is_closed() {
            // Of another node's log somebody may have seen more, there, than has been read here.
            self.read_on_now(&log).await?;
            position = log.position_after(after)?;
        }
        let position = position.unwrap_or(Position::START);
        let reader = self.reader(log, position);
        Ok((!reader.at_end()).then_some(reader))
    }

    pub(crate) fn reader(&self, log: SharedLog, position: Position) -> Reader {
        Reader::new(log, position, self.options().stall_limit).counted(self.readers.token())
    }

    /// The log of a generation: a run's own, or the one in storage, which is read on for as long as another
    /// node writes to it.
    async fn log(&self, owner: UserId, id: GenerationId) -> Result<SharedLog, EngineError> {
        // A run may end, and leave the registry, between the look there and the read of storage;
        // then storage has the end at the second look.
        for _ in 0..3 {
            if let Some(running) = self.registry.get(owner, id) {
                return Ok(running.log);
            }
            let stored = self.registry.stored(owner, id, || async {
                let stored = self.store.log_read(owner, id).await?;
                let log = Arc::new(Log::stored(id, owner, whole_records(&stored))?);
                if !log.is_closed() {
                    if self.store.nodes().is_some() {
                        self.following.begin(&log);
                    } else if stored.generation.is_known() {
                        return Ok(None);
                    }
                    // What is left alone here is shown as it stands: nobody adds to it.
                }
                Ok(Some(log))
            });
            if let Some(log) = stored.await? {
                // This node may have taken it over meanwhile.
                return Ok(self.registry.get(owner, id).map_or(log, |running| running.log));
            }
        }
        if self.is_draining() {
            // Let go on the way out: the next start has it.
            return Err(EngineError::Draining);
        }
        tracing::error!(generation_id = %id, "generation {id} runs nowhere");
        Err(EngineError::RunsNowhere)
    }

    /// Stops a generation and waits until its end is stored, for a while. A finished one is given
    /// back as it is.
    ///
    /// # Errors
    /// `NotFound` for an unknown or foreign generation, `StopNotStored`, `Draining` if it was left to
    /// the next start, `Store`.
    pub async fn stop(&self, owner: UserId, id: GenerationId) -> Result<Generation, EngineError> {
        let running = self.registry.get(owner, id);
        if let Some(running) = &running {
            self.stop_run(running).await;
        }
        let mut generation = self.store.generation_get(owner, id).await?;
        if let Some(nodes) = self.store.nodes()
            && running.is_none()
            && !generation.state.is_terminal()
        {
            self.stop_elsewhere(nodes, owner, id).await?;
            generation = self.store.generation_get(owner, id).await?;
        }
        if generation.state.is_terminal() {
            return Ok(generation);
        }
        Err(match running {
            Some(running) if !running.log.is_closed() => EngineError::StopNotStored,
            None if self.store.nodes().is_some() => EngineError::StopNotStored,
            _ if self.is_draining() => EngineError::Draining,
            _ => EngineError::RunsNowhere,
        })
    }

    /// Whose answers are being written here, each once.
    pub fn owners(&self) -> Vec<UserId> {
        self.registry.owners().into_iter().collect()
    }

    /// Stops all answers that are being written here for a user: what was written stays.
    pub fn stop_all_of(&self, user: UserId) {
        self.registry.stop_all_of(user);
    }

    /// Stops whatever runs in a conversation that is about to be deleted.
    pub async fn stop_conversation(&self, owner: UserId, id: ConversationId) {
        for running in self.registry.in_conversation(owner, id) {
            self.stop_run(&running).await;
        }
        if self.store.nodes().is_some()
            && let Ok(Some(generation)) = self.store.generation_to_follow(owner, Some(id)).await
            && let Err(error) = self.stop(owner, generation).await
        {
            tracing::warn!(generation_id = %generation, "generation {generation} of a deleted conversation was not stopped yet: {error}");
        }
    }

    /// Has another node stop a generation, and waits until that is stored, for a while. Where that node is
    /// gone, whoever takes over stops it.
    async fn stop_elsewhere(&self, nodes: &dyn Nodes, owner: UserId, id: GenerationId) -> Result<(), EngineError> {
        nodes.request_stop(owner, id).await?;
        self.node.tell(Signal::Stop);
        let log = self.log(owner, id).await?;
        let _ = tokio::time::timeout(STOP_TIME, log.wait_closed(self.options().stall_limit)).await;
        Ok(())
    }

    async fn stop_run(&self, running: &Running) {
        running.stop.cancel();
        let stored = running.log.wait_closed(self.options().stall_limit);
        // Whoever asked is told by the state that storage has then.
        let _ = tokio::time::timeout(STOP_TIME, stored).await;
    }

    /// Gives running answers of a page of messages what they say so far and its cursor, each from one
    /// snapshot of its log.
    ///
    /// # Errors
    /// `Damaged`, `Store`.
    pub async fn fill_running(&self, owner: UserId, messages: &mut [Message]) -> Result<(), EngineError> {
        for message in messages.iter_mut().filter(|message| message.state == State::Running) {
            let log = match message.generation_id {
                Some(id) if self.store.nodes().is_some() || self.node.leaves_alone(id) => {
                    Some(self.log(owner, id).await?)
                }
                Some(id) => self.registry.get(owner, id).map(|running| running.log),
                None => None,
            };
            let folded = match log {
                Some(log) => Some(log.fold().await?),
                None => None,
            };
            match folded {
                // Nothing is visible between the commit that accepts it and the next instant: what the row
                // says stands then.
                Some(folded) if folded.last == Cursor::BEGINNING => {}
                Some(folded) if folded.terminal.is_none() => {
                    message.content = folded.content.text;
                    message.parts = folded.content.parts;
                    message.last_event = Some(folded.last);
                }
                // It ended after the page was read.
                _ => *message = self.store.message_get(owner, message.id).await?,
            }
        }
        Ok(())
    }

    pub(crate) fn run(
        &self,
        running: &Running,
        life: &Life,
        model: ResolvedModel,
        generation: &Generation,
        so_far: Option<Content>,
    ) -> Run {
        Run {
            store: self.store.clone(),
            clock: self.clock.clone(),
            queue: self.queue.clone(),
            node: self.node.clone(),
            observer: self.observer.clone(),
            follow_up: self.follow_up.clone(),
            life: life.clone(),
            registry: self.registry.clone(),
            options: self.options(),
            log: running.log.clone(),
            model,
            request: generation.request.clone(),
            owner: generation.owner,
            generation_id: generation.id,
            conversation_id: generation.conversation_id,
            message_id: generation.message_id,
            written: so_far.as_ref().map_or(0, Content::bytes),
            partial_answer: so_far.map(|content| content.text).filter(|text| !text.is_empty()),
            partial_ids: None,
            keeps_reasoning: generation.grammar >= REASONING_GRAMMAR,
            lost: Lost::default(),
            calls: Mutex::default(),
            remembers_from: Default::default(),
            is_first: AtomicBool::new(false),
            stop: running.stop.clone(),
            abort: self.abort.clone(),
            begun: Instant::now(),
            created_at: generation.created_at,
        }
    }

    /// Takes no new work from now on. Attaching goes on.
    pub fn begin_drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Leaves to other nodes, if there are any, what they can go on with. Waits at most `deadline` for the other runs, interrupts those that are left, and stores their
    /// ends, which takes as long as storage takes: see [`Engine::abandon`]. Afterwards nothing of the
    /// engine runs.
    pub async fn drain(&self, deadline: Duration) {
        self.begin_drain();
        self.runs.close();
        if self.node.has_others() {
            self.node.handing_over.cancel();
        }
        if tokio::time::timeout(deadline, self.runs.wait()).await.is_err() {
            tracing::info!(running = self.running(), "interrupting the generations that still run");
            // Each of them says its own id.
            self.abort.cancel();
            self.runs.wait().await;
        }
        // The writer leaves once nothing is queued.
        self.closing.cancel();
        self.writer.wait().await;
        self.abandon();
        self.leave().await;
    }

    /// Leaves to the next start what is not stored by now: readers are told to come back. For a
    /// drain that can't be waited for any longer.
    pub fn abandon(&self) {
        self.node.left.cancel();
        for running in self.registry.all() {
            running.log.abandon();
        }
    }
}
