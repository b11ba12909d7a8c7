//! A case being played: the present life of the engine, those that it succeeded, and everybody around.

mod lives;

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;
use r1_domain::{
    cursor::Cursor,
    id::{NodeId, UserId},
    store::{IdempotencyKey, Store},
    time::{Clock, SystemClock, Timestamp},
};
use r1_generation::{Engine, Options, Target};
use r1_testkit::{
    provider::{Plan, ScriptedProvider},
    store::{Fault, Moment, ScriptedStore},
};
use tokio::task::JoinSet;

use crate::{
    client::{Client, Follower, Following},
    disk::{Disk, Template},
    facts::{Facts, Keyed, Known, Request},
    script::{Action, After, Finish, Next, Pace, Rest, Script, Setup, Target as Aim, Weather},
    upstream::{self, Configured, Upstream},
};

/// What the engine may do.
fn options(setup: &Setup) -> Options {
    Options {
        runs_per_user: setup.runs_per_user,
        answer_bytes: setup.answer_bytes,
        answer_time: Duration::from_secs(600),
        max_tokens: Some(1000),
        history_bytes: 10_000,
        lease: Duration::from_secs(10),
        stall_limit: Duration::from_secs(60),
    }
}

/// One process.
pub(crate) struct Life {
    pub(crate) client: Client,
    provider: Arc<ScriptedProvider>,
    /// Its clients' requests, and the collector of its calls. They end with it.
    tasks: JoinSet<()>,
    operations: Vec<tokio::task::AbortHandle>,
}

pub(crate) struct World {
    pub(crate) users: [UserId; 2],
    setup: Setup,
    disk: Disk,
    inner: Option<Arc<dyn Store>>,
    /// The present one is the last; the others don't know yet that they were succeeded.
    lives: Vec<Life>,
    lives_so_far: usize,
    /// All stores that live: a crash is one of the machine.
    stores: Arc<Mutex<Vec<Arc<ScriptedStore>>>>,
    /// What follows on a crash that is still to come.
    next: Next,
    weather: Weather,
    answers_lost: bool,
    pub(crate) facts: Arc<Mutex<Facts>>,
    pub(crate) upstream: Arc<Mutex<Upstream>>,
    followers: Arc<Mutex<Vec<Arc<Follower>>>>,
    questions: u32,
}

impl World {
    pub(crate) async fn new(template: &Template, setup: Setup) -> Result<Self> {
        let mut world = Self {
            users: template.users,
            setup,
            disk: Disk::new(template)?,
            inner: None,
            lives: Vec::new(),
            lives_so_far: 0,
            stores: Arc::default(),
            next: setup.first,
            weather: Weather::Fair,
            answers_lost: false,
            facts: Arc::default(),
            upstream: Arc::default(),
            followers: Arc::default(),
            questions: 0,
        };
        world.begin(setup.first).await?;
        Ok(world)
    }

    /// # Errors
    /// What can't be, and can't have been.
    pub(crate) async fn play(&mut self, script: &Script) -> Result<()> {
        for (number, step) in script.steps.iter().enumerate() {
            let context = || format!("step {number}: {:?}", step.action);
            self.act(&step.action).await.with_context(context)?;
            match step.rest {
                Rest::Turns(turns) => {
                    for _ in 0..turns {
                        tokio::task::yield_now().await;
                    }
                }
                Rest::Quiet => self.quiet().await.with_context(context)?,
            }
            self.after_crash().await?;
            self.facts.lock().check().with_context(context)?;
        }
        Ok(())
    }

    pub(crate) fn life(&self) -> &Life {
        self.lives.last().expect("there is always one")
    }

    fn client(&self) -> Client {
        self.life().client.clone()
    }

    /// Those whose models the case plays.
    fn numbers(&self) -> Vec<usize> {
        self.lives.iter().map(|life| life.client.life).collect()
    }

    fn spawn(&mut self, request: impl Future<Output = ()> + Send + 'static) {
        let life = self.lives.last_mut().expect("there is always one");
        let handle = life.tasks.spawn(request);
        life.operations.push(handle);
    }

    async fn act(&mut self, action: &Action) -> Result<()> {
        match action.clone() {
            Action::Send { user, conversation, key, pace } => {
                let owner = self.users[usize::from(user)];
                let conversation = conversation.and_then(|n| {
                    let facts = self.facts.lock();
                    let own: Vec<_> = facts.known.iter().filter(|known| known.owner == owner).collect();
                    (!own.is_empty()).then(|| own[usize::from(n) % own.len()].conversation)
                });
                self.questions += 1;
                let text = format!("question {}", self.questions);
                self.ask(owner, Request::Send { text, conversation }, key, pace);
            }
            Action::Resend { key, at_once, changed } => self.resend(key, at_once, changed),
            Action::Continue { generation, key, pace } => {
                let Some(known) = self.facts.lock().get(generation).cloned() else { return Ok(()) };
                self.facts.lock().continued.insert(known.id);
                self.ask(known.owner, Request::Continue(known.id), key, pace);
            }
            Action::Retry { generation, key, pace } => {
                let Some(known) = self.facts.lock().get(generation).cloned() else { return Ok(()) };
                self.ask(known.owner, Request::Retry(known.id), key, pace);
            }
            Action::HangUp { operation } => {
                let pending: Vec<_> = self.life().operations.iter().filter(|request| !request.is_finished()).collect();
                if !pending.is_empty() {
                    pending[usize::from(operation) % pending.len()].abort();
                }
            }
            Action::Think { call } => self.upstream.lock().think(call, &self.numbers()),
            Action::Say { call, tokens, large } => {
                self.upstream.lock().say(call, &self.numbers(), if large { 3 } else { tokens }, large);
            }
            Action::Echo { call, tokens } => {
                self.upstream.lock().echo(call, &self.numbers(), tokens);
            }
            Action::Finish { call, how } => self.upstream.lock().finish(call, &self.numbers(), how),
            Action::Plan { refuse } => {
                self.life().provider.plan(refuse.map_or(Plan::Stall, |how| Plan::Refuse(upstream::error(how))));
            }
            Action::Attach { target, after, pace } => self.attach(target, after, pace),
            Action::Read { follower, times } => {
                if let Some(follower) = self.follower(follower, |follower| follower.pace == Pace::OnDemand) {
                    follower.demand.add_permits(times.into());
                }
            }
            Action::Detach { follower } => {
                if let Some(follower) = self.follower(follower, |_| true) {
                    follower.gone.cancel();
                }
            }
            Action::Stop { generation } => {
                let Some(known) = self.facts.lock().get(generation).cloned() else { return Ok(()) };
                self.facts.lock().stops.insert(known.id);
                self.spawn(self.client().stop(known));
            }
            Action::Snapshot { generation } => {
                let Some(known) = self.facts.lock().get(generation).cloned() else { return Ok(()) };
                self.spawn(self.client().page(known));
            }
            Action::Intrude { generation } => {
                let Some(known) = self.facts.lock().get(generation).cloned() else { return Ok(()) };
                let other = self.users[usize::from(known.owner == self.users[0])];
                self.spawn(self.client().intrude(other, known));
            }
            Action::Weather(weather) => self.set(weather),
            Action::BreakLog { generation } => {
                let Some(known) = self.facts.lock().get(generation).cloned() else { return Ok(()) };
                self.facts.lock().disturbed = true;
                self.life().client.store.break_log(known.id);
            }
            Action::Elapse { ms } => tokio::time::sleep(Duration::from_millis(ms.into())).await,
            Action::Purge => self.purge().await?,
            Action::Crash { next } => {
                self.next = next;
                die(&self.stores, self.disk.crash());
            }
            Action::CrashAt { commits, moment, next } => {
                self.next = next;
                self.die_at(&self.life().client.store, commits.into(), moment);
            }
            Action::TakeOver { next } => {
                {
                    let mut facts = self.facts.lock();
                    facts.disturbed = true;
                    facts.beside.insert(self.lives_so_far + 1);
                }
                self.begin(next).await?;
            }
            Action::Shutdown { deadline_ms, next } => self.shut_down(deadline_ms, next).await?,
        }
        Ok(())
    }

    fn ask(&mut self, owner: UserId, request: Request, key: Option<u8>, pace: Pace) {
        let keyed = key.and_then(|n| {
            let mut facts = self.facts.lock();
            // What came with the key before is another action's.
            if facts.keys.contains_key(&n) {
                return None;
            }
            let key = IdempotencyKey { key: format!("key {n}"), fingerprint: [n; 32] };
            facts.keys.insert(n, Keyed { owner, key: key.clone(), request: request.clone(), made: None });
            Some((n, key))
        });
        self.spawn(self.client().ask(owner, request, keyed, pace));
    }

    fn resend(&mut self, n: u8, at_once: u8, changed: bool) {
        let Some(keyed) = self.facts.lock().keys.get(&n).cloned() else { return };
        if changed {
            // The first one decides what the key stands for.
            if keyed.made.is_some() {
                self.spawn(self.client().mistake(keyed.owner, keyed.key));
            }
            return;
        }
        for _ in 0..at_once {
            let again = Some((n, keyed.key.clone()));
            self.spawn(self.client().ask(keyed.owner, keyed.request.clone(), again, Pace::Greedy));
        }
    }

    fn attach(&mut self, target: Aim, after: After, pace: Pace) {
        let facts = self.facts.lock();
        let n = match target {
            Aim::Generation(n) | Aim::Conversation(n) => n,
            Aim::Newest => 0,
        };
        let Some(known) = facts.get(n).cloned() else { return };
        let seen = facts.frames.get(&known.id);
        let newest = facts.newest(known.id);
        let (cursor, bogus) = match after {
            After::Beginning => (None, false),
            After::Seen(n) => (seen.and_then(|seen| seen.keys().nth(usize::from(n) % seen.len()).copied()), false),
            After::Newest => (newest, false),
            After::Snapshot => {
                let mut snapshots = facts.snapshots.iter().filter(|snapshot| snapshot.generation == known.id);
                (snapshots.next_back().map(|snapshot| snapshot.cursor), false)
            }
            After::Nowhere(n) => {
                let beyond = |newest: Cursor| match n {
                    0 => Cursor { epoch: newest.epoch + 90, ..newest },
                    n => Cursor { seq: newest.seq + 10_000 * u64::from(n), ..newest },
                };
                (newest.map(beyond), true)
            }
        };
        let target = match target {
            Aim::Generation(_) => Target::Generation(known.id),
            Aim::Conversation(_) => Target::Conversation(known.conversation),
            Aim::Newest => Target::Newest,
        };
        drop(facts);
        // Without a generation the engine is given no cursor: it would be one of whatever it finds.
        let cursor = cursor.filter(|_| matches!(target, Target::Generation(_)));
        self.spawn(self.client().attach(known.owner, target, cursor, bogus && cursor.is_some(), pace));
    }

    fn follower(&self, n: u8, which: impl Fn(&Follower) -> bool) -> Option<Arc<Follower>> {
        let followers = self.followers.lock();
        let there: Vec<_> = followers.iter().filter(|f| which(f) && !f.gone.is_cancelled()).collect();
        (!there.is_empty()).then(|| there[usize::from(n) % there.len()].clone())
    }

    fn set(&mut self, weather: Weather) {
        self.weather = weather;
        let store = &self.life().client.store;
        store.fail(match weather {
            Weather::Unavailable => Some(Fault::Unavailable),
            Weather::Full => Some(Fault::Full),
            Weather::AnswerLost => Some(Fault::AnswerLost),
            Weather::ReadsFail | Weather::Hold(_) | Weather::Fair => None,
        });
        store.fail_reads(matches!(weather, Weather::ReadsFail));
        store.hold(if let Weather::Hold(moment) = weather { Some(moment) } else { None });
        self.answers_lost |= matches!(weather, Weather::AnswerLost);
        self.facts.lock().disturbed |= !matches!(weather, Weather::Fair);
    }

    async fn purge(&mut self) -> Result<()> {
        self.facts.lock().purged = true;
        if let Some(inner) = self.inner.clone() {
            let never = Timestamp::from_micros(0);
            let purge = async move { inner.purge(SystemClock.now(), never, never, 1000).await };
            let runtime = tokio::runtime::Handle::current();
            tokio::task::spawn_blocking(move || runtime.block_on(purge)).await??;
        }
        Ok(())
    }

    /// All that can be done is done, without time going on (but for longer than two commits are apart).
    pub(crate) async fn quiet(&self) -> Result<()> {
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.stopped_calls_are_closed()?;
        if matches!(self.weather, Weather::Fair) && !self.answers_lost && !self.life().client.store.is_dead() {
            tokio::select! {
                checked = self.greedy_readers_are_up_to_date() => checked?,
                () = self.life().client.store.died() => {}
            }
        }
        Ok(())
    }

    /// A stop waits for nothing, and least of all for the model.
    fn stopped_calls_are_closed(&self) -> Result<()> {
        let facts = self.facts.lock();
        let present = self.life().client.life;
        // A run that storage has let go of ends by its next word.
        for (life, known, calls) in facts.stopping.iter().filter(|(life, ..)| *life == present && !facts.disturbed) {
            let continued = facts.continued.contains(&known.id);
            let live = self.upstream.lock().live_among(*calls, *life, known.seed);
            ensure!(continued || !live, "{} is being stopped, and its provider is connected", known.id);
        }
        Ok(())
    }

    /// Nobody who would read is left sleeping.
    async fn greedy_readers_are_up_to_date(&self) -> Result<()> {
        let client = self.client();
        let greedy: Vec<_> = {
            let of_life =
                |f: &&Arc<Follower>| f.life == client.life && f.pace == Pace::Greedy && !f.gone.is_cancelled();
            let followers = self.followers.lock();
            followers.iter().filter(of_life).filter(|f| f.heard.lock().how == Following::Still).cloned().collect()
        };
        for follower in greedy {
            let known = self.facts.lock().known.iter().find(|known| known.id == follower.generation).cloned();
            let Some(known) = known else { continue };
            // A commit may be under way between the look at the reader and the one at storage, but not for long.
            let mut looks = 0..3;
            while let Some(behind) = self.behind(&follower, &known).await? {
                ensure!(looks.next().is_some(), behind);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Ok(())
    }

    /// Says how a reader is behind what a page shows, if it is.
    async fn behind(&self, follower: &Arc<Follower>, known: &Known) -> Result<Option<String>> {
        let client = self.client();
        let before = *follower.heard.lock();
        if before.how != Following::Still {
            return Ok(None);
        }
        let mut page = [client.store.message_get(known.owner, known.message).await?];
        client.engine.fill_running(known.owner, &mut page).await?;
        let [message] = page;
        // Another one came meanwhile, or a hung-up request took the reader along.
        if message.generation_id != Some(known.id) || Arc::strong_count(follower) <= 2 {
            return Ok(None);
        }
        Ok(match message.last_event {
            _ if message.state.is_terminal() => {
                Some(format!("{} has ended, a reader is at {:?}", known.id, before.last))
            }
            Some(cursor) if before.last != Some(cursor) => {
                Some(format!("{} is at {cursor}, a reader at {:?}", known.id, before.last))
            }
            _ => None,
        })
    }
}

/// All processes are gone at once, and this is what they leave.
fn die(stores: &Mutex<Vec<Arc<ScriptedStore>>>, image: impl FnOnce()) {
    let dead: Vec<_> = stores.lock().drain(..).map(|store| store.die()).collect();
    image();
    drop(dead);
}
