//! The database: the only place that knows which there are.

use std::{
    fs::{File, TryLockError},
    io::{Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

use anyhow::{Context, bail};
use r1_auth::key::{KeySet, SigningKey};
use r1_domain::{nodes::Bus, store::Store};
use r1_store_postgres::{KeyFingerprints, PostgresOptions, PostgresStore};
use r1_store_sqlite::{SqliteOptions, SqliteStore, backup};
use uuid::Uuid;

use crate::{
    SIGNING_KEY,
    config::{Config, Database, Postgres},
    data_dir,
};

/// The file whose lock says that a process serves from this directory.
pub(crate) const LOCK: &str = "lock";

/// The serving process's database.
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn Store>,
    /// To the other nodes, where there may be some.
    pub(crate) bus: Option<Arc<dyn Bus>>,
    /// The data directory's lock, where it is not the store that holds it.
    pub(crate) lock: Option<File>,
    /// What signs access tokens, and what else is accepted.
    pub(crate) keys: KeySet,
}

/// Opens it for the process that serves.
///
/// # Errors
/// In words that say what to do.
pub(crate) async fn open(config: &Config) -> anyhow::Result<Opened> {
    data_dir::prepare(config)?;
    let opened = match &config.database.database {
        Database::Sqlite(_) => {
            let store = Arc::new(SqliteStore::open(&sqlite_options(config))?);
            Opened { store, bus: None, lock: None, keys: keys(config)? }
        }
        Database::Postgres(postgres) => {
            // What is not the database's is still there: the local model's socket.
            let (lock, place) = lock(&config.data_dir)?;
            let (signing, other) = postgres_keys(config)?;
            let options = PostgresOptions { place: Some(place), ..postgres_options(config, postgres)? };
            let store = Arc::new(PostgresStore::open(&options).await?);
            // Until the new key is in force, what signs is the one before.
            let is_in_force = store.signing_key() == signing.fingerprint();
            let keys = match other {
                Some(previous) if !is_in_force => {
                    tracing::info!(
                        "tokens are signed with SECRET_KEY_PREVIOUS, until `gpt-r1 rotate-key` and a restart"
                    );
                    KeySet { signing: previous.clone(), accepted: Some(signing.clone()) }
                }
                other => KeySet { signing: signing.clone(), accepted: other.cloned() },
            };
            data_dir::mark(config)?;
            Opened { bus: Some(store.bus()), store, lock: Some(lock), keys }
        }
    };
    data_dir::hand_over(&config.data_dir);
    Ok(opened)
}

/// The keys of SQLite's server: given, or in the data directory.
fn keys(config: &Config) -> anyhow::Result<KeySet> {
    Ok(match &config.secret_key {
        Some(key) => KeySet { signing: key.clone(), accepted: config.previous_secret_key.clone() },
        None => KeySet::load_or_create(&config.data_dir.join(SIGNING_KEY))?,
    })
}

/// What a short command does with the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guest {
    /// It uses what is there.
    Uses,
    /// It may be the first there is.
    MayMake,
}

/// Opens it for a short command beside that process.
///
/// # Errors
/// In words that say what to do.
pub(crate) async fn open_guest(config: &Config, guest: Guest) -> anyhow::Result<Arc<dyn Store>> {
    let store: Arc<dyn Store> = match (&config.database.database, guest) {
        (Database::Sqlite(_), Guest::Uses) => {
            data_dir::check(config)?;
            Arc::new(SqliteStore::open_guest(&sqlite_options(config))?)
        }
        (Database::Sqlite(_), Guest::MayMake) => {
            data_dir::prepare(config)?;
            let store = SqliteStore::open_guest_or_make(&sqlite_options(config));
            // Of what could not be opened, too: it may have been made.
            data_dir::hand_over(&config.data_dir);
            Arc::new(store?)
        }
        (Database::Postgres(postgres), Guest::Uses) => open_postgres(config, postgres).await?,
        (Database::Postgres(postgres), Guest::MayMake) => {
            Arc::new(PostgresStore::open_guest_or_make(&postgres_options(config, postgres)?).await?)
        }
    };
    Ok(store)
}

/// Opens PostgreSQL for a short command that uses what is there.
///
/// # Errors
/// In words that say what to do.
pub(crate) async fn open_postgres(config: &Config, postgres: &Postgres) -> anyhow::Result<Arc<PostgresStore>> {
    Ok(Arc::new(PostgresStore::open_guest(&postgres_options(config, postgres)?).await?))
}

/// Which it is, for people: a file, or a URL without user and password.
pub(crate) fn name(config: &Config) -> String {
    match &config.database.database {
        Database::Sqlite(directory) => directory.join(backup::DATABASE).display().to_string(),
        Database::Postgres(postgres) => format!("postgres://{}", postgres.place),
    }
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
    let keys = fingerprints(config)?;
    Ok(PostgresOptions { keys, ..PostgresOptions::new(postgres.url.clone(), keys.key) })
}

fn postgres_keys(config: &Config) -> anyhow::Result<(&SigningKey, Option<&SigningKey>)> {
    let key = config.secret_key.as_ref().context("SECRET_KEY is needed with Postgres")?;
    Ok((key, config.previous_secret_key.as_ref()))
}

/// By which PostgreSQL knows this process's keys.
///
/// # Errors
/// That there is none.
pub(crate) fn fingerprints(config: &Config) -> anyhow::Result<KeyFingerprints> {
    let (key, previous) = postgres_keys(config)?;
    Ok(KeyFingerprints { key: key.fingerprint(), previous: previous.map(SigningKey::fingerprint) })
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
