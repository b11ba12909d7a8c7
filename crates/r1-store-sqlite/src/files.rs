//! The database's two files, held open beside SQLite's own handles.
//!
//! Held, because a process that opens the database's file a second time and closes it again gives
//! up, without knowing, the locks that SQLite has on it (POSIX drops all of a process's locks on a
//! file when any of its handles is closed; <https://sqlite.org/howtocorrupt.html>, 2.2). So these
//! handles must go last, after every connection.
//!
//! **Invariant:** nothing is acknowledged that went into a file which is no longer where the next
//! start will look for it.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use r1_domain::store::StoreError;

use crate::error::Fault;

/// A file that SQLite has open as well.
#[derive(Debug)]
pub(crate) struct Held {
    path: PathBuf,
    pub(crate) file: File,
    /// Which file it is: device and inode.
    identity: (u64, u64),
}

impl Held {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let identity = identity(&file.metadata()?);
        Ok(Self { path, file, identity })
    }

    fn is_in_place(&self) -> io::Result<bool> {
        Ok(identity(&fs::metadata(&self.path)?) == self.identity)
    }
}

/// The database and its write-ahead log.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) database: Held,
    pub(crate) wal: Held,
}

impl Files {
    /// Holds the files of a database that a connection has read from, so that both exist.
    pub(crate) fn hold(database: &Path) -> io::Result<Self> {
        let mut wal = database.as_os_str().to_owned();
        wal.push("-wal");
        Ok(Self { database: Held::open(database.to_owned())?, wal: Held::open(wal.into())? })
    }

    pub(crate) fn database_path(&self) -> &Path {
        &self.database.path
    }

    /// Refuses where somebody has moved, removed or replaced one of the files. What was written would be
    /// gone with the process. It works again once the file is back.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        for held in [&self.database, &self.wal] {
            if !held.is_in_place().unwrap_or(false) {
                let path = held.path.display();
                let what = format!("{path} is not the file any more that was opened; put it back, or restart");
                return Err(StoreError::Unavailable(what.into()).into());
            }
        }
        Ok(())
    }
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}
