//! An engine over a real database that is watched, with a clock turned by hand.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use r1_domain::{
    id::{NodeId, UserId},
    provider::{Abilities, Provider},
    store::Store,
    time::{Clock, SystemClock},
};
use r1_generation::{Engine, Options};
use r1_store_sqlite::{SqliteOptions, SqliteStore};
use r1_testkit::{clock::ManualClock, provider::ScriptedModels, store::ScriptedStore, store_contract::user};

pub(crate) const OPTIONS: Options = Options {
    runs_per_user: Some(2),
    answer_bytes: 100_000,
    answer_time: Duration::from_secs(600),
    max_tokens: Some(100),
    history_bytes: 10_000,
    lease: Duration::from_secs(10),
    stall_limit: Duration::from_secs(600),
};

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) store: Arc<ScriptedStore>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) user: UserId,
    _dir: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new(provider: Arc<dyn Provider>, options: Options) -> Result<Self> {
        Self::with_abilities(provider, options, Abilities::default()).await
    }

    /// The same, and this is known of the model.
    pub(crate) async fn with_abilities(
        provider: Arc<dyn Provider>,
        options: Options,
        abilities: Abilities,
    ) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let store = ScriptedStore::new(Arc::new(SqliteStore::open(&SqliteOptions::new(dir.path()))?), 0);
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let user = user(&(store.clone() as Arc<dyn Store>), "ada").await?;
        let engine = engine(&store, &clock, ScriptedModels::with_abilities(provider, abilities), options);
        Ok(Self { engine, store, clock, user, _dir: dir })
    }

    /// Ends this engine as a shutdown without patience does, and starts the next one.
    pub(crate) async fn restart(self, provider: Arc<dyn Provider>, options: Options) -> Result<Self> {
        self.engine.drain(Duration::ZERO).await;
        let engine = engine(&self.store, &self.clock, ScriptedModels::new(provider), options);
        engine.recover().await?;
        Ok(Self { engine, ..self })
    }
}

fn engine(
    store: &Arc<ScriptedStore>,
    clock: &Arc<ManualClock>,
    models: Arc<ScriptedModels>,
    options: Options,
) -> Engine {
    let node = NodeId::new(SystemClock.now());
    Engine::new(store.clone(), models, clock.clone(), node, None, Arc::new(()), options)
}
