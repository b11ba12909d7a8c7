//! The data directory: making it, locking it, and saying clearly why it can't be used.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, ErrorCode, ffi::SQLITE_IOERR_SHMSIZE};

use crate::{
    connection::{self, Purpose},
    folding, leftover,
    migration::{self, NEWEST, Schema},
};

/// The database's file in the data directory.
pub const DATABASE: &str = "gpt-r1.db";
/// The file whose lock says that a process serves from this directory. It stays when the process
/// ends; the lock goes with the process.
const LOCK: &str = "lock";

/// How to open a database.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// The directory that holds the database and its lock; made if missing.
    pub data_dir: PathBuf,
    /// Every commit survives a power loss (`synchronous=FULL`), chunks of running answers included.
    /// Costs an fsync per commit.
    pub sync_all: bool,
    /// At most this many reads run at a time, each on a connection of its own, opened at first need.
    pub readers: usize,
}

impl SqliteOptions {
    /// The defaults: fsync where it counts, four readers.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self { data_dir: data_dir.into(), sync_all: false, readers: 4 }
    }
}

/// Why a database can't be opened, in words that say what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory can't be made or entered.
    #[error(
        "the data directory {path} can't be made or used; check its owner and permissions, or choose another \
         with --data-dir"
    )]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file in it can't be read and written.
    #[error("{path} can't be opened for reading and writing; check its owner and permissions, and the disk")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another process serves from it.
    #[error(
        "the data directory {path} is in use by another gpt-r1 process; stop that one, or choose another \
         directory with --data-dir"
    )]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The file is something else, or damaged.
    #[error("{path} is no SQLite database, or is damaged; move it away to start afresh, or restore a backup")]
    NotADatabase {
        /// Which.
        path: PathBuf,
    },
    /// The database is missing or empty, its write-ahead log is not.
    #[error(
        "{path} is missing or empty, but its write-ahead log {wal} is not: what was written last is only there. Put the          database back beside it, or restore a backup; to start afresh, move {wal} away"
    )]
    LogAlone {
        /// The database.
        path: PathBuf,
        /// The log.
        wal: PathBuf,
    },
    /// The database is another program's.
    #[error("{path} is the database of another program; choose another directory with --data-dir")]
    Foreign {
        /// Which.
        path: PathBuf,
    },
    /// A newer version of this program made it.
    #[error(
        "{path} was written by a newer gpt-r1 (schema {found}, this one knows up to {known}); run the newer \
         version, or restore a backup from before the upgrade"
    )]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its schema's version.
        found: i64,
        /// The newest that this build knows.
        known: i64,
    },
    /// A build with other migrations made it.
    #[error(
        "{path} was made by a build with a different schema {version}; run the build that made it, or export and \
         start afresh"
    )]
    Differs {
        /// Which.
        path: PathBuf,
        /// The version that differs.
        version: i64,
    },
    /// A guest, which makes nothing, met no database.
    #[error("there is no database in {path}; name the server's data directory with --data-dir")]
    Missing {
        /// The directory.
        path: PathBuf,
    },
    /// A guest met a database that the serving process must migrate first.
    #[error("{path} has an older schema; start the server with this version of gpt-r1 first")]
    Older {
        /// Which.
        path: PathBuf,
    },
    /// SQLite can't read the tables of running answers. One answer's damaged log is no such thing: it is
    /// cut where the damage begins.
    #[error("{path} is damaged; restore a backup")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It can't be written.
    #[error(
        "{path} can't be written: there is no room on its disk; make some, or choose another directory with --data-dir"
    )]
    NoRoom {
        /// Which.
        path: PathBuf,
    },
    /// The disk says that it failed.
    #[error(
        "{path} can't be written: its disk fails; look at the system's log, or choose another directory with --data-dir"
    )]
    Disk {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Something else.
    #[error("{path} can't be opened")]
    Failed {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A directory that is ready: its database has this build's schema.
pub(crate) struct DataDir {
    pub(crate) database: PathBuf,
    /// The connection that looked; it becomes the writer's.
    pub(crate) db: Connection,
    /// Held for as long as the file is open. None for a guest.
    pub(crate) lock: Option<File>,
}

/// Opens the directory for the process that serves from it.
pub(crate) fn owner(data_dir: &Path) -> Result<DataDir, OpenError> {
    make_directory(data_dir)?;
    let Some(lock) = try_lock(data_dir)? else { return Err(OpenError::Locked { path: data_dir.to_owned() }) };
    let (database, db) = open_database(data_dir)?;
    Ok(DataDir { database, db, lock: Some(lock) })
}

/// Opens the directory for a short command beside that process, and makes what is missing. The schema is the
/// owner's business; where there is no owner the guest is one for as long as it takes to look.
pub(crate) fn guest_or_make(data_dir: &Path) -> Result<DataDir, OpenError> {
    make_directory(data_dir)?;
    let Some(_lock) = try_lock(data_dir)? else { return guest(data_dir) };
    let (database, db) = open_database(data_dir)?;
    Ok(DataDir { database, db, lock: None })
}

/// The same, and nothing is made or migrated.
pub(crate) fn guest(data_dir: &Path) -> Result<DataDir, OpenError> {
    let (database, db, schema) = look(data_dir)?;
    let database = fits(schema, database)?;
    Ok(DataDir { database, db, lock: None })
}

/// Opens a database that is there, whatever its schema; a log that it has is looked at first.
pub(crate) fn look(data_dir: &Path) -> Result<(PathBuf, Connection, Schema), OpenError> {
    let path = data_dir.join(DATABASE);
    // Held until it is open. Who serves has made one, and has looked at the log already.
    let has_lock = data_dir.join(LOCK).exists();
    let lock = if has_lock { try_lock(data_dir)? } else { None };
    if lock.is_some() || !has_lock {
        leftover::check(&path)?;
    }
    if !path.try_exists().is_ok_and(|is_there| is_there) {
        return Err(OpenError::Missing { path: data_dir.to_owned() });
    }
    let opened = connection::open(&path, Purpose::Write).and_then(|db| Ok((migration::inspect(&db)?, db)));
    let (schema, db) = opened.map_err(|error| of_sqlite(path.clone(), error))?;
    Ok((path, db, schema))
}

pub(crate) fn fits(schema: Schema, path: PathBuf) -> Result<PathBuf, OpenError> {
    match schema {
        Schema::Current => Ok(path),
        Schema::Older => Err(OpenError::Older { path }),
        Schema::Newer(found) => Err(OpenError::Newer { path, found, known: NEWEST }),
        Schema::Differs(version) => Err(OpenError::Differs { path, version }),
        Schema::Foreign => Err(OpenError::Foreign { path }),
    }
}

pub(crate) fn make_directory(path: &Path) -> Result<(), OpenError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|source| match is_no_room(&source) {
        true => OpenError::NoRoom { path: path.to_owned() },
        false => OpenError::Directory { path: path.to_owned(), source },
    })
}

/// Opens a file for reading and writing; a new one is its owner's alone.
pub(crate) fn open_private(path: &Path) -> Result<File, OpenError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|source| match is_no_room(&source) {
        true => OpenError::NoRoom { path: path.to_owned() },
        false => OpenError::File { path: path.to_owned(), source: Box::new(source) },
    })
}

fn is_no_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// None when another process has it.
pub(crate) fn try_lock(data_dir: &Path) -> Result<Option<File>, OpenError> {
    let path = data_dir.join(LOCK);
    let file = open_private(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(OpenError::File { path, source: Box::new(source) }),
    }
}

/// Opens, makes or migrates the database of a directory whose lock is held: nobody else has it open.
fn open_database(data_dir: &Path) -> Result<(PathBuf, Connection), OpenError> {
    let path = data_dir.join(DATABASE);
    leftover::check(&path)?;
    // SQLite gives the files beside the database the database's own mode.
    drop(open_private(&path)?);
    let opened = (|| {
        let mut db = connection::open(&path, Purpose::Write)?;
        let schema = migration::inspect(&db)?;
        if matches!(schema, Schema::Current | Schema::Older) {
            db.pragma_update(None, "journal_mode", "wal")?;
            migration::run(&mut db)?;
            folding::fill(&mut db)?;
            return Ok((db, Schema::Current));
        }
        Ok((db, schema))
    })();
    let (db, schema) = opened.map_err(|error| of_sqlite(path.clone(), error))?;
    Ok((fits(schema, path)?, db))
}

pub(crate) fn of_sqlite(path: PathBuf, error: rusqlite::Error) -> OpenError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => OpenError::NotADatabase { path },
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            OpenError::File { path, source: Box::new(error) }
        }
        // What SQLite says where its shared memory, a file, can't grow.
        Some(ErrorCode::SystemIoFailure)
            if error.sqlite_error().is_some_and(|error| error.extended_code == SQLITE_IOERR_SHMSIZE) =>
        {
            tracing::debug!("{} can't be written: {error}", path.display());
            OpenError::NoRoom { path }
        }
        Some(ErrorCode::DiskFull) => {
            tracing::debug!("{} can't be written: {error}", path.display());
            OpenError::NoRoom { path }
        }
        Some(ErrorCode::SystemIoFailure) => OpenError::Disk { path, source: Box::new(error) },
        _ => OpenError::Failed { path, source: Box::new(error) },
    }
}
