//! How lives of the engine begin and end.

use super::*;

impl World {
    pub(super) fn die_at(&self, store: &ScriptedStore, others: u64, moment: Moment) {
        let (stores, image) = (self.stores.clone(), self.disk.crash());
        store.die_at(others, moment, move || die(&stores, image));
    }

    /// Begins a new life where the last one ended in a crash.
    pub(super) async fn after_crash(&mut self) -> Result<()> {
        while self.lives.iter().any(|life| life.client.store.is_dead()) {
            self.lives.clear();
            self.disk.crashed();
            self.inner = None;
            let next = self.next;
            self.next.dies = None;
            self.begin(next).await?;
        }
        Ok(())
    }

    /// A new process: beside the lives that there are, or after them.
    pub(super) async fn begin(&mut self, next: Next) -> Result<()> {
        self.weather = Weather::Fair;
        let inner = match &self.inner {
            Some(inner) => inner.clone(),
            None => self.inner.insert(self.disk.open()?).clone(),
        };
        let store = ScriptedStore::new(inner, self.setup.turns.wrapping_add(self.lives_so_far as u64));
        self.stores.lock().push(store.clone());
        if let Some((others, moment)) = next.dies {
            self.die_at(&store, others, moment);
            self.next = Next { dies: None, ..next };
        }
        let provider = ScriptedProvider::new(next.can_continue);
        let models = Configured::new(provider.clone(), next.configured);
        let node = NodeId::new(SystemClock.now());
        let clock = Arc::new(SystemClock);
        let engine = Engine::new(store.clone(), models, clock, node, None, Arc::new(()), options(&self.setup));
        self.lives_so_far += 1;
        let client = Client {
            life: self.lives_so_far,
            engine: Arc::new(engine),
            store: store.clone(),
            configured: next.configured,
            setup: self.setup,
            facts: self.facts.clone(),
            upstream: self.upstream.clone(),
            followers: self.followers.clone(),
        };
        let mut tasks = JoinSet::new();
        let (calls, upstream, facts) = (provider.clone(), self.upstream.clone(), self.facts.clone());
        let number = self.lives_so_far;
        tasks.spawn(async move {
            loop {
                let run = calls.serve_run().await;
                let arrived = upstream.lock().arrived(number, run);
                if let Err(fault) = arrived {
                    facts.lock().fault(fault);
                }
            }
        });
        let engine = client.engine.clone();
        self.lives.push(Life { client, provider, tasks, operations: Vec::new() });
        tokio::select! {
            recovered = engine.recover() => { recovered?; }
            () = store.died() => {}
        }
        Ok(())
    }

    /// As on SIGTERM, and the next start.
    pub(super) async fn shut_down(&mut self, deadline_ms: u32, next: Next) -> Result<()> {
        let deadline = Duration::from_millis(deadline_ms.into());
        let client = self.client();
        let drained = tokio::select! {
            drained = tokio::time::timeout(deadline + Duration::from_secs(5), client.engine.drain(deadline)) => drained,
            () = client.store.died() => return Ok(()),
        };
        if drained.is_err() {
            ensure!(
                !matches!(self.weather, Weather::Fair) || self.lives.len() > 1,
                "the engine does not leave in time"
            );
            self.next = next;
            die(&self.stores, self.disk.crash());
            return Ok(());
        }
        // What storage did not take in time is left to the next life.
        let disturbed = self.facts.lock().disturbed;
        ensure!(disturbed || client.engine.running() == 0, "{} runs outlive the shutdown", client.engine.running());
        tokio::time::sleep(Duration::from_millis(1)).await;
        for follower in self.followers.lock().iter().filter(|f| f.life == client.life && f.pace == Pace::Greedy) {
            let left = follower.gone.is_cancelled() || Arc::strong_count(follower) == 1;
            let heard = *follower.heard.lock();
            ensure!(left || heard.how != Following::Still, "a reader outlives the shutdown, at {:?}", heard.last);
        }
        client.store.die();
        self.lives.pop();
        self.stores.lock().retain(|store| !store.is_dead());
        self.begin(next).await
    }

    /// Fair weather until all has ended, in this life and, for what is left, in another; then one in
    /// which nothing runs, to look at what is stored.
    pub(crate) async fn settle(&mut self) -> Result<Client> {
        for life in &self.lives {
            life.client.store.disarm();
        }
        self.set(Weather::Fair);
        let healthy = Next { can_continue: true, configured: true, dies: None };
        for next in [Next { can_continue: false, ..healthy }, healthy] {
            self.finish_all().await?;
            self.shut_down(0, next).await?;
            self.lives.drain(..self.lives.len() - 1);
        }
        self.finish_all().await?;
        let acknowledged = self.facts.lock().acknowledged.clone();
        for (owner, id) in acknowledged {
            let generation = self.life().client.store.generation_get(owner, id).await;
            let state = generation.with_context(|| format!("{id} was accepted"))?.state;
            ensure!(state.is_terminal(), "{id} is {state:?} for ever");
        }
        Ok(self.client())
    }

    /// Lets every call end well, and every request be answered.
    async fn finish_all(&mut self) -> Result<()> {
        for round in 0..40 {
            self.quiet().await?;
            // A commit that was held, and is its process's last.
            self.after_crash().await?;
            let engine = self.client().engine;
            let lives = self.numbers();
            while self.upstream.lock().is_live(&lives) {
                let mut upstream = self.upstream.lock();
                upstream.say(0, &lives, 1, false);
                upstream.finish(0, &lives, Finish::Done);
            }
            for follower in self.followers.lock().iter() {
                if follower.demand.available_permits() < 1000 {
                    follower.demand.add_permits(1000);
                }
            }
            self.quiet().await?;
            if engine.running() == 0 && !self.upstream.lock().is_live(&lives) {
                break;
            }
            tokio::time::sleep(Duration::from_secs(if round < 10 { 3 } else { 60 })).await;
        }
        let running = self.life().client.engine.running();
        ensure!(running == 0, "{running} runs don't end");
        self.quiet().await?;
        let life = self.lives.last_mut().expect("there is always one");
        while life.tasks.try_join_next().is_some() {}
        // The collector, and nobody who waits.
        ensure!(life.tasks.len() == 1, "{} requests are never answered", life.tasks.len() - 1);
        self.facts.lock().check()
    }
}
