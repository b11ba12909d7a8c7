//! `gpt-r1 backup` and `gpt-r1 restore`: the database as one file.

use std::{
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use r1_auth::key::SigningKey;
use r1_domain::{
    id::NodeId,
    time::{Clock, SystemClock},
};
use r1_generation::Engine;
use r1_store_sqlite::{
    SqliteOptions, SqliteStore,
    backup::{self, Contents},
};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::{
    SIGNING_KEY,
    cli::{BackupArgs, RestoreArgs},
    config::{Config, Database},
    data_dir, last_backup,
    models::Wired,
    serve,
};

mod directory;

/// Why a restored answer goes no further.
const INTERRUPTED: &str = "This answer was being written when the backup was made.";

/// Backs a database up, in use or not, and notes when.
///
/// # Errors
/// In words for the person at the terminal.
pub(crate) fn backup(args: &BackupArgs, config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
    let data_dir = sqlite_only(config)?;
    let (target, is_output) = (&*args.target, args.target == Path::new("-"));
    let is_directory = !is_output && target.is_dir();
    ensure!(
        args.keep.is_none() || is_directory,
        "--keep is for a directory, and {} is none: only backups that are named after their time can be told apart",
        target.display()
    );
    ensure!(
        !is_output || !std::io::stdout().is_terminal(),
        "a backup is no text for a terminal: redirect it (gpt-r1 backup - >FILE), or name a file"
    );
    data_dir::check(config)?;
    // What comes after this moment need not be in it.
    let began = SystemClock.now();
    let key = key_for(args, config)?;
    let name = directory::name(began)?;
    let file = if is_directory { target.join(&name) } else { target.to_owned() };
    let contents = match is_output {
        true => backup::write_to(data_dir, out, key.as_ref())?,
        false => backup::backup(data_dir, &file, key.as_ref())?,
    };
    if !args.quiet {
        let about = describe(&contents);
        match is_output {
            true => writeln!(std::io::stderr(), "backup: {about}")?,
            false => writeln!(out, "{}: {about}", file.display())?,
        }
    }
    // The backup is as good without.
    if let Err(error) = last_backup::write(data_dir, began) {
        let path = data_dir.join(last_backup::FILE);
        let path = path.display();
        writeln!(
            std::io::stderr(),
            "warning: {path} can't be written ({error}): the metrics don't know of this backup"
        )?;
    }
    data_dir::hand_over(data_dir);
    if let Some(keep) = args.keep {
        let removed = directory::prune(target, keep, &name)?;
        if removed > 0 && !args.quiet {
            writeln!(out, "{removed} older backups were removed")?;
        }
    }
    Ok(())
}

/// The signing key, if it is to go along and is in the data directory: else it is the environment's, of which this
/// command need not have heard.
fn key_for(args: &BackupArgs, config: &Config) -> anyhow::Result<Option<SecretString>> {
    let path = config.data_dir.join(SIGNING_KEY);
    if args.with_key && config.secret_key.is_none() && path.try_exists()? {
        return Ok(Some(SigningKey::load(&path)?.secret().clone()));
    }
    if args.with_key && !args.quiet {
        writeln!(std::io::stderr(), "the signing key is SECRET_KEY, and not in the backup: keep that too")?;
    }
    Ok(None)
}

/// Puts a backup in place. What was being written then is interrupted, with the text that it had.
///
/// # Errors
/// In words for the person at the terminal.
pub(crate) async fn restore(args: &RestoreArgs, config: &Config, out: &mut (impl Write + Send)) -> anyhow::Result<()> {
    let directory = sqlite_only(config)?;
    data_dir::prepare(config)?;
    let file = if args.file.is_dir() { directory::newest(&args.file)? } else { args.file.clone() };
    let restored = put_back(&file, args.replace, directory, config).await;
    data_dir::hand_over(directory);
    let (contents, kept) = restored?;
    writeln!(out, "{} is back in {}: {}", file.display(), directory.display(), describe(&contents))?;
    if let Some(kept) = kept {
        writeln!(out, "the database before it is in {}", kept.display())?;
    }
    Ok(())
}

/// Gives back what is there now, and where that is which was there before.
async fn put_back(
    file: &Path,
    replace: bool,
    directory: &Path,
    config: &Config,
) -> anyhow::Result<(Contents, Option<PathBuf>)> {
    let unpacked = backup::unpack(file, directory)?;
    if let Some(key) = backup::take_key(unpacked.path())?
        && config.secret_key.is_none()
    {
        SigningKey::from_secret(&key)?.save(&unpacked.path().join(SIGNING_KEY))?;
    }
    interrupt(unpacked.path(), config).await?;
    let contents = backup::verify(&unpacked.path().join(backup::DATABASE))?;
    let kept = backup::put_in_place(unpacked.path(), directory, replace, SIGNING_KEY)?;
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
    let Contents { users, conversations, messages, running, has_key, bytes } = contents;
    let mut text = format!("{users} users, {conversations} conversations, {messages} messages, {bytes} bytes");
    if *running > 0 {
        text.push_str(&format!(", {running} answers that were being written"));
    }
    if *has_key {
        text.push_str(", the signing key");
    }
    text
}
