//! The data directory: whose it is, who may look into it, and which database its server uses.
//!
//! Commands are run by root, in the wrong directory, or without the server's environment. So it is looked at
//! before anything is opened.
//!
//! **Invariant:** only a command that may be the first there is makes anything; what root makes belongs to
//! whoever has the directory; what others could look into or replace is not used.

use std::{
    fs::{self, DirBuilder, Metadata, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::Path,
};

use anyhow::{Context, bail, ensure};
use r1_store_sqlite::backup::DATABASE;

use crate::{
    SIGNING_KEY,
    config::{Config, Database},
    database::LOCK,
    last_backup,
};

mod owner;

use owner::{called, is_root, name_of, uid};

/// Says which database the directory's server uses, for commands that have not been told.
const MARKER: &str = "database";
/// Of the marker: nothing longer is looked at.
const MARKER_BYTES: usize = 4096;
/// Others may not even list it.
const OTHERS: u32 = 0o077;
const STICKY: u32 = 0o1000;

/// What a server or a command leaves in the directory, or its beginning.
fn is_ours(name: &str) -> bool {
    let is_file = [LOCK, SIGNING_KEY, MARKER, last_backup::FILE].contains(&name);
    is_file
        || [DATABASE, "signing-key.", "replaced-", "restoring-", "local-model"]
            .iter()
            .any(|ours| name.starts_with(ours))
}

/// Looks at the directory for a command that makes nothing: this is where its database is, and it may use it.
///
/// # Errors
/// In words that say what to do.
pub(crate) fn check(config: &Config) -> anyhow::Result<()> {
    if matches!(config.database.database, Database::Postgres(_)) {
        return Ok(());
    }
    let directory = &config.data_dir;
    check_marker(directory)?;
    check_access(config)?;
    let is_there = directory.join(DATABASE).try_exists();
    ensure!(
        is_there.with_context(|| refusal(directory))?,
        "there is no database in {}; name the server's data directory with --data-dir",
        directory.display()
    );
    Ok(())
}

/// Makes the directory ready for a command that may be the first there is, or for the server.
///
/// # Errors
/// In words that say what to do.
pub(crate) fn prepare(config: &Config) -> anyhow::Result<()> {
    let directory = &config.data_dir;
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.with_context(|| {
        format!(
            "the data directory {} can't be made by {}: choose another with --data-dir",
            directory.display(),
            called(uid())
        )
    })?;
    if matches!(config.database.database, Database::Sqlite(_)) {
        check_marker(directory)?;
    }
    check_access(config)?;
    close(directory)
}

/// Writes down which database the server uses.
///
/// # Errors
/// That it can't be written.
pub(crate) fn mark(config: &Config) -> anyhow::Result<()> {
    let path = config.data_dir.join(MARKER);
    let failed = || format!("{} can't be written", path.display());
    match &config.database.database {
        Database::Sqlite(_) => Ok(()),
        Database::Postgres(postgres) => {
            let text = format!("postgres://{}\n", postgres.place);
            if fs::read_to_string(&path).is_ok_and(|present| present == text) {
                return Ok(());
            }
            let mut file =
                tempfile::Builder::new().prefix(".database-").tempfile_in(&config.data_dir).with_context(failed)?;
            file.write_all(text.as_bytes()).with_context(failed)?;
            file.persist(&path).map_err(|error| error.error).with_context(failed)?;
            Ok(())
        }
    }
}

/// Refuses to use SQLite where the server uses another database.
fn check_marker(directory: &Path) -> anyhow::Result<()> {
    let path = directory.join(MARKER);
    let Ok(text) = fs::read(&path) else { return Ok(()) };
    let text = String::from_utf8_lossy(&text[..text.len().min(MARKER_BYTES)]);
    let place = text.trim();
    ensure!(
        !place.starts_with("postgres://"),
        "the server of {} uses the database {}: give DATABASE_URL and SECRET_KEY as it has them. To use SQLite there \
         from now on, remove {}",
        directory.display(),
        place.escape_debug(),
        path.display()
    );
    Ok(())
}

/// Whether what is there can be read and written, of what is needed.
fn check_access(config: &Config) -> anyhow::Result<()> {
    let directory = &config.data_dir;
    let mut files = vec![LOCK.to_owned()];
    if matches!(config.database.database, Database::Sqlite(_)) {
        files.extend(["", "-wal", "-shm"].map(|suffix| format!("{DATABASE}{suffix}")));
        if config.secret_key.is_none() {
            files.push(SIGNING_KEY.to_owned());
        }
    }
    let paths = files.into_iter().map(|name| directory.join(name));
    for path in std::iter::once(directory.to_owned()).chain(paths) {
        match owner::may_use(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => bail!("{}", refusal(&path)),
            Err(error) => return Err(error).with_context(|| format!("{} can't be used", path.display())),
        }
    }
    Ok(())
}

/// Whose it is, who we are, and what mends it.
fn refusal(path: &Path) -> String {
    let directory = if path.is_dir() { path } else { path.parent().unwrap_or(path) }.display();
    let (this, path, file) = (called(uid()), path.display(), fs::metadata(path));
    match file.map(|file| file.uid()) {
        Ok(owner) if owner == uid() => {
            format!("{path} belongs to {this}, who may not read and write it: chmod -R u+rwX {directory}")
        }
        Ok(owner) => {
            let (owner, id) = (called(owner), name_of(uid()));
            format!(
                "{path} belongs to {owner}, this process is {this}: chown -R {id} {directory}, if {id} is the server's \
                 user, or run this as {owner}"
            )
        }
        Err(_) => format!("{path} may not be looked at by {this}: run this as the server's user, or as root"),
    }
}

/// Makes a directory its owner's alone, if that is what it is for.
fn close(directory: &Path) -> anyhow::Result<()> {
    let failed = || format!("the data directory {} can't be used", directory.display());
    let now = fs::metadata(directory).with_context(failed)?;
    if now.mode() & OTHERS == 0 {
        return Ok(());
    }
    let may_close =
        (now.uid() == uid() || is_root()) && now.mode() & STICKY == 0 && is_for_us(directory).with_context(failed)?;
    ensure!(
        may_close,
        "the data directory {} is open to others than its owner ({}, mode {:03o}): give gpt-r1 a directory of its own, \
         of mode 700 (--data-dir)",
        directory.display(),
        called(now.uid()),
        now.mode() & 0o777
    );
    fs::set_permissions(directory, Permissions::from_mode(0o700)).with_context(failed)?;
    writeln!(io::stderr(), "{} was open to others: it is its owner's alone now (mode 700)", directory.display())?;
    Ok(())
}

/// Whether it has nothing yet, or has something of ours.
fn is_for_us(directory: &Path) -> io::Result<bool> {
    let mut is_empty = true;
    for entry in fs::read_dir(directory)? {
        is_empty = false;
        if entry?.file_name().to_str().is_some_and(is_ours) {
            return Ok(true);
        }
    }
    Ok(is_empty)
}

/// Gives what root has made in a directory of somebody else's to them.
pub(crate) fn hand_over(directory: &Path) {
    let Ok(home) = fs::metadata(directory) else { return };
    if !is_root() || home.uid() == uid() {
        return;
    }
    if let Err(error) = give_to(directory, &home) {
        let _ = writeln!(
            io::stderr(),
            "warning: what was made in {0} belongs to {1} ({error}): chown -R {2} {0}",
            directory.display(),
            called(uid()),
            name_of(home.uid())
        );
    }
}

fn give_to(directory: &Path, home: &Metadata) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(is_ours) {
            owner::give(&entry.path(), home.uid(), home.gid())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
