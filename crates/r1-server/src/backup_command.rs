//! `gpt-r1 backup` and `gpt-r1 restore`: the database as one file.

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use r1_domain::{
    id::NodeId,
    time::{Clock, SystemClock, Timestamp},
};
use r1_generation::Engine;
use r1_store_sqlite::{
    SqliteOptions, SqliteStore,
    backup::{self, Contents},
};

use tokio_util::sync::CancellationToken;

use crate::{
    cli::RestoreArgs,
    config::{Config, Database},
    data_dir, last_backup,
    models::Wired,
    serve,
};

/// Why a restored answer goes no further.
const INTERRUPTED: &str = "This answer was being written when the backup was made.";

/// Backs a database up, in use or not, and notes when.
///
/// # Errors
/// In words for the person at the terminal.
pub(crate) fn backup(file: &Path, config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
    let directory = sqlite_only(config)?;
    data_dir::check(config)?;
    // What comes after this moment need not be in it.
    let began = SystemClock.now();
    let contents = backup::backup(directory, file)?;
    note(directory, began);
    writeln!(out, "{}: {}", file.display(), describe(&contents))?;
    Ok(())
}

/// Notes a backup that was made, for the server's metrics. The backup is as good without.
fn note(directory: &Path, began: Timestamp) {
    if let Err(error) = last_backup::write(directory, began) {
        let path = directory.join(last_backup::FILE);
        let _ = writeln!(
            std::io::stderr(),
            "warning: {} can't be written ({error}): the metrics don't know of this backup",
            path.display()
        );
    }
    data_dir::hand_over(directory);
}

/// Puts a backup in place. What was being written then is interrupted, with the text that it had.
///
/// # Errors
/// In words for the person at the terminal.
pub(crate) async fn restore(args: &RestoreArgs, config: &Config, out: &mut (impl Write + Send)) -> anyhow::Result<()> {
    let directory = sqlite_only(config)?;
    data_dir::prepare(config)?;
    let restored = put_back(args, directory, config).await;
    data_dir::hand_over(directory);
    let (contents, kept) = restored?;
    writeln!(out, "{}: {}", directory.display(), describe(&contents))?;
    if let Some(kept) = kept {
        writeln!(out, "the database before it is in {}", kept.display())?;
    }
    Ok(())
}

/// Gives back what is there now, and where that is which was there before.
async fn put_back(
    args: &RestoreArgs,
    directory: &Path,
    config: &Config,
) -> anyhow::Result<(Contents, Option<PathBuf>)> {
    let unpacked = backup::unpack(&args.file, directory)?;
    interrupt(unpacked.path(), config).await?;
    let contents = backup::verify(&unpacked.path().join(backup::DATABASE))?;
    let kept = backup::put_in_place(unpacked.path(), directory, args.replace)?;
    Ok((contents, kept))
}

/// Ends what was running, where nobody can see it yet: by the engine, as its take-overs do.
async fn interrupt(directory: &Path, config: &Config) -> anyhow::Result<()> {
    let store = Arc::new(SqliteStore::open(&SqliteOptions::new(directory))?);
    let clock = Arc::new(SystemClock);
    // Nobody is asked.
    let models = Wired::new(config, Vec::new(), &CancellationToken::new())?;
    let node_id = NodeId::new(clock.now());
    let engine =
        Engine::new(store.clone(), models.catalog(), clock, node_id, None, Arc::new(()), serve::engine_options(config));
    engine.interrupt_orphans(INTERRUPTED).await.context("the answers that were being written can't be ended")?;
    engine.drain(Duration::ZERO).await;
    ensure!(engine.running() == 0, "the answers that were being written can't be ended");
    drop(engine);
    // The last one to close it moves the write-ahead log into the database.
    ensure!(Arc::into_inner(store).is_some(), "the restored database is still in use");
    Ok(())
}

/// The data directory, if it has the database.
fn sqlite_only(config: &Config) -> anyhow::Result<&Path> {
    match &config.database.database {
        Database::Sqlite(directory) => Ok(directory),
        Database::Postgres(_) => bail!(
            "this is for SQLite, and the database is PostgreSQL: use pg_dump and pg_restore, as docs/operations.md says"
        ),
    }
}

fn describe(contents: &Contents) -> String {
    let Contents { users, conversations, messages, running, bytes } = contents;
    let mut text = format!("{users} users, {conversations} conversations, {messages} messages, {bytes} bytes");
    if *running > 0 {
        text.push_str(&format!(", {running} answers that were being written"));
    }
    text
}
