//! A write-ahead log that was there before the database is opened.
//!
//! To SQLite a log is worth nothing without its database: it deletes the one that it finds beside a missing or empty
//! file, and reads a damaged one up to the damage and writes on from there. Neither is said to anybody. Both are what
//! is left of somebody's answers, so it is looked at before SQLite has seen it.
//!
//! **Invariant:** no log with content is deleted or written over by opening the database, unless SQLite has read all
//! that was committed to it. A log without its database is refused; a damaged one is kept aside, whole.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::{
    open::{OpenError, open_private},
    resync::commits_behind_damage,
};

/// Compared and copied at a time.
const BLOCK: usize = 64 * 1024;

/// Looks at the log of a database that nobody has open.
pub(crate) fn check(database: &Path) -> Result<(), OpenError> {
    let wal = with_suffix(database, "-wal");
    let failed = |source: io::Error| OpenError::File { path: wal.clone(), source: Box::new(source) };
    let length = |path: &Path| match fs::metadata(path) {
        Ok(file) => Ok(file.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    };
    if length(&wal).map_err(failed)? == 0 {
        return Ok(());
    }
    // What can't be looked at is said of the database, by whoever opens it.
    if length(database).is_ok_and(|length| length == 0) {
        return Err(OpenError::LogAlone { path: database.to_owned(), wal });
    }
    let damage = File::open(&wal).and_then(|file| commits_behind_damage(&file)).map_err(failed)?;
    if let Some(commits) = damage {
        let aside = keep_aside(&wal).map_err(|source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => OpenError::NoRoom { path: wal.clone() },
            _ => failed(source),
        })?;
        tracing::error!(
            commits,
            "the write-ahead log {} is damaged: at least {commits} commits behind the damage can't be read. The newest \
             of what was written may be missing. The log as it was is kept in {}: restore a backup, or go on without",
            wal.display(),
            aside.display()
        );
    }
    Ok(())
}

/// Copies a log to a name of its own beside it, unless it has been copied before.
fn keep_aside(wal: &Path) -> io::Result<PathBuf> {
    let mut number = 1;
    loop {
        let aside = with_suffix(wal, &format!(".damaged-{number}"));
        if !aside.try_exists()? {
            let copy = open_private(&aside).map_err(io::Error::other)?;
            let copied = io::copy(&mut File::open(wal)?, &mut &copy).and_then(|_| copy.sync_all());
            // Half a copy would pass for a whole one.
            return copied.map(|()| aside.clone()).inspect_err(|_| drop(fs::remove_file(&aside)));
        }
        if is_same(wal, &aside)? {
            return Ok(aside);
        }
        number += 1;
    }
}

fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; BLOCK], vec![0; BLOCK]);
    loop {
        let read = one.read(&mut left)?;
        if read == 0 {
            return Ok(true);
        }
        match other.read_exact(&mut right[..read]) {
            Ok(()) if left[..read] == right[..read] => {}
            _ => return Ok(false),
        }
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
