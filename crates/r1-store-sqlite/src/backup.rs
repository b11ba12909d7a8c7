//! A database as one file that can be put away, and put back.
//!
//! The copy is made by `VACUUM INTO`: one read transaction, so one snapshot, beside a server that goes on
//! writing. SQLite's page by page backup would begin anew with each commit of another process, and never end
//! beside answers that stream. While it lasts, the write-ahead log can't be cut short; it is afterwards.
//!
//! A copy may have the signing key, as a setting, which leaves it before it becomes a database that is served.
//!
//! **Invariant:** a file under its final name was read back whole; a database is in place, or the one before
//! it still is.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    connection::{self, Purpose},
    migration::{self, NEWEST, Schema},
    open::{self, OpenError},
};

pub use crate::open::DATABASE;

/// The setting of a copy that has the signing key, as its file has it.
const SIGNING_KEY: &str = "signing_key";

/// How the name of a copy begins that has not been read back yet.
const PART: &str = ".gpt-r1-backup-";
/// A copy of this age has its lock, if somebody is still at it.
const SETTLED: Duration = Duration::from_secs(60);

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    /// Accounts.
    pub users: u64,
    /// Conversations.
    pub conversations: u64,
    /// Messages of all conversations.
    pub messages: u64,
    /// Answers that were being written.
    pub running: u64,
    /// Whether the signing key is in it.
    pub has_key: bool,
    /// Size of the file.
    pub bytes: u64,
}

/// Why there is no backup, or it can't be put back, in words that say what to do.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The data directory.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is nothing to back up.
    #[error("there is no database {0}; name the server's data directory with --data-dir")]
    Missing(PathBuf),
    /// Something would be overwritten.
    #[error("{0} exists already; choose another name, or move it away")]
    Exists(PathBuf),
    /// Something would be replaced.
    #[error("there is a database in {0}; --replace keeps it in a directory beside the restored one")]
    InPlace(PathBuf),
    /// A newer version of this program made it.
    #[error("{path} is of a newer gpt-r1 (schema {found}, this one knows up to {NEWEST}); use that version")]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its schema.
        found: i64,
    },
    /// It is none.
    #[error("{path} is no sound backup of a gpt-r1 database: {what}; take another one")]
    Unsound {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Nowhere to write.
    #[error("there is no directory {0}")]
    NoDirectory(PathBuf),
    /// A file.
    #[error("{path} can't be read or written; check permissions, and the room on the disk")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// SQLite.
    #[error("the database could not be copied")]
    Copy(#[source] rusqlite::Error),
    /// Who was to take it did not.
    #[error("the backup was not taken to its end by what reads it")]
    Output(#[source] io::Error),
}

fn on(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| match (source.kind(), path.parent()) {
        (io::ErrorKind::NotFound, Some(parent)) if !parent.as_os_str().is_empty() && !parent.exists() => {
            BackupError::NoDirectory(parent.to_owned())
        }
        _ => BackupError::File { path, source },
    }
}

/// Copies the database of a data directory, in use or not, into a new file, with the signing key if there is one given.
///
/// # Errors
/// [`BackupError`]; then there is no such file.
pub fn backup(data_dir: &Path, file: &Path, key: Option<&SecretString>) -> Result<Contents, BackupError> {
    let source = source(data_dir)?;
    if file.exists() {
        return Err(BackupError::Exists(file.to_owned()));
    }
    let directory = directory_of(file);
    // Beside it, so that it can be renamed.
    let (part, contents) = copy(source, &directory, key)?;
    part.persist_noclobber(file).map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists(file.to_owned()),
        _ => on(file)(error.error),
    })?;
    sync(&directory)?;
    Ok(contents)
}

/// The same, written to whoever takes it. The copy that is read back first lies in the data directory for as long.
///
/// # Errors
/// [`BackupError`]; then what was written is nothing.
pub fn write_to(data_dir: &Path, out: &mut impl Write, key: Option<&SecretString>) -> Result<Contents, BackupError> {
    let (part, contents) = copy(source(data_dir)?, data_dir, key)?;
    io::copy(&mut part.as_file(), out).and_then(|_| out.flush()).map_err(BackupError::Output)?;
    Ok(contents)
}

/// A connection to the database of a data directory.
fn source(data_dir: &Path) -> Result<Connection, BackupError> {
    let database = data_dir.join(DATABASE);
    if !database.is_file() {
        return Err(BackupError::Missing(database));
    }
    let (_, source, schema) = open::look(data_dir)?;
    // An older schema is no fault: before an upgrade is when a backup is wanted.
    if schema != Schema::Older {
        open::fits(schema, database)?;
    }
    Ok(source)
}

/// Copies a database into a temporary file of a directory, and reads that back.
fn copy(
    source: Connection,
    directory: &Path,
    key: Option<&SecretString>,
) -> Result<(tempfile::NamedTempFile, Contents), BackupError> {
    if !directory.is_dir() {
        return Err(BackupError::NoDirectory(directory.to_owned()));
    }
    sweep(directory).map_err(on(directory))?;
    // Private, as new temporary files are.
    let part = tempfile::Builder::new().prefix(PART).tempfile_in(directory).map_err(on(directory))?;
    // For as long as it is open: whoever sweeps leaves it alone.
    part.as_file().lock().map_err(on(part.path()))?;
    let name = part.path().to_str().ok_or_else(|| BackupError::Exists(part.path().to_owned()))?;
    source.execute("VACUUM INTO ?1", [name]).map_err(BackupError::Copy)?;
    drop(source);
    if let Some(key) = key {
        enclose(part.path(), key)
            .map_err(|error| BackupError::Unsound { path: part.path().to_owned(), what: error.to_string() })?;
    }
    part.as_file().sync_all().map_err(on(part.path()))?;
    let contents = verify(part.path())?;
    Ok((part, contents))
}

/// Removes what backups that were killed have left in a directory.
fn sweep(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let is_part = entry.file_name().to_str().is_some_and(|name| name.starts_with(PART));
        if !is_part || !entry.file_type()?.is_file() {
            continue;
        }
        // One of this moment may not have its lock yet, and any may go by itself.
        let Ok(file) = File::open(entry.path()) else { continue };
        let is_old = file.metadata()?.modified()?.elapsed().is_ok_and(|age| age > SETTLED);
        if is_old && file.try_lock().is_ok() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn enclose(copy: &Path, key: &SecretString) -> rusqlite::Result<()> {
    alone(copy)?
        .execute("INSERT INTO setting (key, value) VALUES (?1, ?2)", (SIGNING_KEY, key.expose_secret().as_bytes()))?;
    Ok(())
}

/// A connection to a copy that nobody else uses: what is cut short is thrown away, so it needs no journal.
fn alone(copy: &Path) -> rusqlite::Result<Connection> {
    let db = connection::open(copy, Purpose::Write)?;
    db.pragma_update(None, "journal_mode", "memory")?;
    Ok(db)
}

/// Takes the signing key out of an unpacked backup, so that no trace of it stays there.
///
/// # Errors
/// [`BackupError`].
pub fn take_key(unpacked: &Path) -> Result<Option<SecretString>, BackupError> {
    let path = unpacked.join(DATABASE);
    let taken = (|| {
        let db = alone(&path)?;
        db.pragma_update(None, "secure_delete", true)?;
        let key = db
            .query_row("SELECT CAST(value AS TEXT) FROM setting WHERE key = ?1", [SIGNING_KEY], |row| {
                row.get::<_, String>(0)
            })
            .optional()?;
        db.execute("DELETE FROM setting WHERE key = ?1", [SIGNING_KEY])?;
        Ok::<_, rusqlite::Error>(key.map(SecretString::from))
    })();
    taken.map_err(|error| BackupError::Unsound { path, what: error.to_string() })
}

/// Reads a backup whole.
///
/// # Errors
/// [`BackupError`] says what is wrong with it.
pub fn verify(file: &Path) -> Result<Contents, BackupError> {
    let bytes = fs::metadata(file).map_err(on(file))?.len();
    let unsound = |what: String| BackupError::Unsound { path: file.to_owned(), what };
    let looked = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(file, flags)?;
        let schema = migration::inspect(&db)?;
        let is_ours = matches!(schema, Schema::Current | Schema::Older) && bytes > 0;
        let (mut sound, mut contents) = (String::new(), None);
        if is_ours {
            sound = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
            let dangling: i64 = db.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))?;
            if dangling > 0 {
                sound = format!("{dangling} rows refer to nothing");
            }
            let count = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs);
            contents = Some(Contents {
                users: count("SELECT count(*) FROM user")?,
                conversations: count("SELECT count(*) FROM conversation WHERE deleted_at IS NULL")?,
                messages: count("SELECT count(*) FROM message")?,
                running: count("SELECT count(*) FROM generation WHERE state IN ('queued', 'running')")?,
                has_key: db.prepare("SELECT 1 FROM setting WHERE key = ?1")?.exists([SIGNING_KEY])?,
                bytes,
            });
        }
        Ok::<_, rusqlite::Error>((schema, sound, contents))
    };
    match looked().map_err(|error| unsound(error.to_string()))? {
        (Schema::Newer(found), ..) => Err(BackupError::Newer { path: file.to_owned(), found }),
        (_, sound, Some(contents)) if sound == "ok" => Ok(contents),
        (_, sound, Some(_)) => Err(unsound(sound)),
        _ => Err(unsound("it is another program's, or another build's".to_owned())),
    }
}

/// Copies a sound backup to where a store can be opened on it: a data directory of its own, within the one
/// that it is meant for.
///
/// # Errors
/// [`BackupError`].
pub fn unpack(file: &Path, data_dir: &Path) -> Result<tempfile::TempDir, BackupError> {
    verify(file)?;
    open::make_directory(data_dir)?;
    let place = private_directory("restoring-", data_dir)?;
    let database = place.path().join(DATABASE);
    drop(open::open_private(&database)?);
    fs::copy(file, &database).map_err(on(file))?;
    Ok(place)
}

/// Puts the database of an unpacked directory in place, if no process serves from there. With `replace` one
/// that is there is kept in a directory beside it, whose name is given back. Of the file `beside` one that is in
/// place stays; else that of the unpacked directory is taken, if it has one.
///
/// # Errors
/// [`BackupError`]; then the database that was there still is.
pub fn put_in_place(
    unpacked: &Path,
    data_dir: &Path,
    replace: bool,
    beside: &str,
) -> Result<Option<PathBuf>, BackupError> {
    let locked = || OpenError::Locked { path: data_dir.to_owned() };
    let _lock = open::try_lock(data_dir)?.ok_or_else(locked)?;
    let (from, to) = (unpacked.join(DATABASE), data_dir.join(DATABASE));
    // All of it into the one file that is moved.
    let whole = connection::open(&from, Purpose::Write).and_then(|db| db.pragma_update(None, "journal_mode", "delete"));
    whole.map_err(BackupError::Copy)?;
    File::open(&from).and_then(|file| file.sync_all()).map_err(on(&from))?;
    let mut kept = None;
    if to.exists() && !replace {
        return Err(BackupError::InPlace(data_dir.to_owned()));
    }
    let (brought, there) = (unpacked.join(beside), data_dir.join(beside));
    if brought.exists() && !there.exists() {
        fs::rename(&brought, &there).map_err(on(&there))?;
    }
    if to.exists() {
        let aside = private_directory("replaced-", data_dir)?.keep();
        // The log first: a database without it is an older one, a log without its database is nothing.
        for suffix in ["-shm", "-wal", ""] {
            let name = format!("{DATABASE}{suffix}");
            let old = data_dir.join(&name);
            if old.exists() {
                fs::rename(&old, aside.join(&name)).map_err(on(&old))?;
            }
        }
        kept = Some(aside);
    }
    fs::rename(&from, &to).map_err(on(&to))?;
    sync(data_dir)?;
    Ok(kept)
}

/// A new directory within another one, its owner's alone.
fn private_directory(prefix: &str, within: &Path) -> Result<tempfile::TempDir, BackupError> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    builder.prefix(prefix).tempdir_in(within).map_err(on(within))
}

fn directory_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn sync(directory: &Path) -> Result<(), BackupError> {
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(on(directory))
}
