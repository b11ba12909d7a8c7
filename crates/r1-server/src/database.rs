//! The database: the only place that knows which there are.

use std::{fs::DirBuilder, os::unix::fs::DirBuilderExt, sync::Arc};

use anyhow::Context;
use futures::{FutureExt, future::BoxFuture};
use r1_domain::{
    id::NodeId,
    store::Store,
    time::{Clock, SystemClock},
};
use r1_store_postgres::{PostgresOptions, PostgresStore};
use r1_store_sqlite::{SqliteOptions, SqliteStore};

use crate::config::{Config, Database, Postgres};

/// The serving process's database.
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn Store>,
    /// Ready when another process serves from it: nothing that runs here is stored from then on.
    pub(crate) taken: BoxFuture<'static, ()>,
}

/// Opens it for the process that serves.
///
/// # Errors
/// In words that say what to do.
pub(crate) async fn open(config: &Config, node_id: NodeId) -> anyhow::Result<Opened> {
    match &config.database.database {
        Database::Sqlite(_) => {
            let store = Arc::new(SqliteStore::open(&sqlite_options(config))?);
            // The directory's lock is lost with the process only.
            Ok(Opened { store, taken: std::future::pending().boxed() })
        }
        Database::Postgres(postgres) => {
            // What is not the database's is still there: the local model's socket.
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&config.data_dir);
            made.with_context(|| format!("the data directory {} can't be made", config.data_dir.display()))?;
            let store = Arc::new(PostgresStore::open(&postgres_options(config, postgres, node_id)?).await?);
            let watched = store.clone();
            Ok(Opened { store, taken: async move { watched.fenced().await }.boxed() })
        }
    }
}

/// Opens it for a short command beside that process.
///
/// # Errors
/// In words that say what to do.
pub(crate) async fn open_guest(config: &Config) -> anyhow::Result<Arc<dyn Store>> {
    Ok(match &config.database.database {
        Database::Sqlite(_) => Arc::new(SqliteStore::open_guest(&sqlite_options(config))?),
        Database::Postgres(postgres) => {
            let options = postgres_options(config, postgres, NodeId::new(SystemClock.now()))?;
            Arc::new(PostgresStore::open_guest(&options).await?)
        }
    })
}

/// Where it is, for people.
pub(crate) fn place(config: &Config) -> String {
    match &config.database.database {
        Database::Sqlite(directory) => format!("in {}", directory.display()),
        Database::Postgres(postgres) => format!("at {}", postgres.place),
    }
}

fn sqlite_options(config: &Config) -> SqliteOptions {
    SqliteOptions { sync_all: config.database.sync_all, ..SqliteOptions::new(&config.data_dir) }
}

fn postgres_options(config: &Config, postgres: &Postgres, node_id: NodeId) -> anyhow::Result<PostgresOptions> {
    let key = config.secret_key.as_ref().context("SECRET_KEY is needed with Postgres")?;
    Ok(PostgresOptions::new(postgres.url.clone(), node_id, key.fingerprint()))
}
