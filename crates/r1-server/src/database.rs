//! The database: the only place that knows which there are.

use std::{
    fs::{DirBuilder, File, TryLockError},
    io::{Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    sync::Arc,
};

use anyhow::{Context, bail};
use r1_domain::{nodes::Bus, store::Store};
use r1_store_postgres::{PostgresOptions, PostgresStore};
use r1_store_sqlite::{SqliteOptions, SqliteStore};
use uuid::Uuid;

use crate::config::{Config, Database, Postgres};

/// The file whose lock says that a process serves from this directory.
const LOCK: &str = "lock";

/// The serving process's database.
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn Store>,
    /// To the other nodes, where there may be some.
    pub(crate) bus: Option<Arc<dyn Bus>>,
    /// The data directory's lock, where it is not the store that holds it.
    pub(crate) lock: Option<File>,
}

/// Opens it for the process that serves.
///
/// # Errors
/// In words that say what to do.
pub(crate) async fn open(config: &Config) -> anyhow::Result<Opened> {
    match &config.database.database {
        Database::Sqlite(_) => {
            let store = Arc::new(SqliteStore::open(&sqlite_options(config))?);
            Ok(Opened { store, bus: None, lock: None })
        }
        Database::Postgres(postgres) => {
            // What is not the database's is still there: the local model's socket.
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&config.data_dir);
            made.with_context(|| format!("the data directory {} can't be made", config.data_dir.display()))?;
            let (lock, place) = lock(&config.data_dir)?;
            let options = PostgresOptions { place: Some(place), ..postgres_options(config, postgres)? };
            let store = Arc::new(PostgresStore::open(&options).await?);
            Ok(Opened { bus: Some(store.bus()), store, lock: Some(lock) })
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
            Arc::new(PostgresStore::open_guest(&postgres_options(config, postgres)?).await?)
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

fn postgres_options(config: &Config, postgres: &Postgres) -> anyhow::Result<PostgresOptions> {
    let key = config.secret_key.as_ref().context("SECRET_KEY is needed with Postgres")?;
    Ok(PostgresOptions::new(postgres.url.clone(), key.fingerprint()))
}

/// Locks a data directory. Its lock is a file that says which directory it is: a process that holds the
/// lock knows that the one before is gone, and so does the database by its word.
fn lock(data_dir: &Path) -> anyhow::Result<(File, Uuid)> {
    let path = data_dir.join(LOCK);
    let unusable = || format!("{} can't be used", path.display());
    let options = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).clone();
    let mut file = options.open(&path).with_context(unusable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => bail!(
            "another gpt-r1 serves from the data directory {}: stop that one, or give this one a directory of its \
             own (--data-dir)",
            data_dir.display()
        ),
        Err(TryLockError::Error(error)) => return Err(error).with_context(unusable),
    }
    let mut text = String::new();
    file.read_to_string(&mut text).with_context(unusable)?;
    let place = match text.trim().parse() {
        Ok(place) => place,
        Err(_) => {
            let place = Uuid::new_v4();
            file.set_len(0).and_then(|()| file.rewind()).with_context(unusable)?;
            file.write_all(place.to_string().as_bytes()).and_then(|()| file.sync_all()).with_context(unusable)?;
            place
        }
    };
    Ok((file, place))
}
