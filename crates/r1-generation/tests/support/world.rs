//! An engine over a real database that is watched, with a clock turned by hand.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use r1_domain::{
    id::{NodeId, UserId},
    provider::Provider,
    store::Store,
    time::{Clock, SystemClock},
    user::NewUser,
};
use r1_generation::{Engine, Options, Question, Reader};
use r1_store_sqlite::{SqliteOptions, SqliteStore};
use r1_testkit::{clock::ManualClock, provider::ScriptedModels, watched_store::WatchedStore};

pub(crate) const OPTIONS: Options = Options {
    runs_per_user: Some(2),
    answer_bytes: 100_000,
    answer_time: Duration::from_secs(600),
    max_tokens: 100,
    history_bytes: 10_000,
    stall_limit: Duration::from_secs(600),
};

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) store: Arc<WatchedStore>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) user: UserId,
    _dir: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new(provider: Arc<dyn Provider>, options: Options) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let store = WatchedStore::new(Arc::new(SqliteStore::open(&SqliteOptions::new(dir.path()))?));
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let user = UserId::new(clock.now());
        let account = NewUser {
            id: user,
            username: "ada".to_owned(),
            email: "ada@example.com".to_owned(),
            password_hash: "x".into(),
            is_admin: false,
            created_at: clock.now(),
        };
        store.user_create(account, None).await?;
        let engine = engine(&store, &clock, provider, options);
        Ok(Self { engine, store, clock, user, _dir: dir })
    }

    /// Ends this engine as a shutdown without patience does, and starts the next one.
    pub(crate) async fn restart(self, provider: Arc<dyn Provider>, options: Options) -> Result<Self> {
        self.engine.drain(Duration::ZERO).await;
        let engine = engine(&self.store, &self.clock, provider, options);
        engine.recover().await?;
        Ok(Self { engine, ..self })
    }
}

fn engine(
    store: &Arc<WatchedStore>,
    clock: &Arc<ManualClock>,
    provider: Arc<dyn Provider>,
    options: Options,
) -> Engine {
    let node = NodeId::new(SystemClock.now());
    Engine::new(store.clone(), ScriptedModels::new(provider), clock.clone(), node, options)
}

pub(crate) fn question(text: &str) -> Question {
    Question {
        text: text.to_owned(),
        conversation_id: None,
        parent_id: None,
        model: None,
        temperature: None,
        max_tokens: None,
        use_invalid_key: false,
        idempotency: None,
    }
}

/// All bytes to the end of the body.
pub(crate) async fn read(mut reader: Reader) -> String {
    let mut bytes = Vec::new();
    while let Some(frames) = std::future::poll_fn(|context| reader.poll_frames(context)).await {
        bytes.extend_from_slice(&frames);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
