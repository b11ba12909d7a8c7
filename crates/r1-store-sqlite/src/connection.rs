//! Connections, and the settings that each kind of them needs.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags};

/// How long a statement waits for another process (a guest) that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The one that writes.
    Write,
    /// One of those that read.
    Read,
    /// The one that moves the write-ahead log into the database.
    Checkpoint,
}

/// Opens a connection to a database whose file exists.
pub(crate) fn open(path: &Path, purpose: Purpose) -> rusqlite::Result<Connection> {
    // One thread uses a connection at a time, so SQLite's own mutex would be a second one. No
    // SQLITE_OPEN_CREATE: the file was made before, with its mode. No URI names.
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // A checkpoint that can't have its way comes again; everything else is worth the wait.
    db.busy_timeout(if purpose == Purpose::Checkpoint { Duration::ZERO } else { BUSY_TIMEOUT })?;
    // KiB. Small: the system's page cache holds what is hot, and the server shall stay small.
    let (cache, statements) = match purpose {
        Purpose::Write => (-1024, 64),
        Purpose::Read => (-512, 32),
        Purpose::Checkpoint => (-64, 2),
    };
    db.set_prepared_statement_cache_capacity(statements);
    db.pragma_update(None, "cache_size", cache)?;
    db.pragma_update(None, "mmap_size", 0)?;
    db.pragma_update(None, "temp_store", "memory")?;
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "trusted_schema", false)?;
    db.pragma_update(None, "wal_autocheckpoint", 0)?;
    if purpose == Purpose::Read {
        db.pragma_update(None, "query_only", true)?;
    }
    Ok(db)
}
