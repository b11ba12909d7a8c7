//! What happens after an fsync that failed.
//!
//! On Linux a failed fsync leaves the pages that could not be written clean: the next fsync has
//! nothing to do and succeeds, though the disk has nothing. The error is told once per open file, so
//! a new handle, or a new process, may never hear of it; and what a read gives back afterwards is the
//! new content on ext4 and XFS, the old one on Btrfs (Rebello et al., "Can Applications Recover from
//! fsync Failures?", USENIX ATC 2020; Linux, `Documentation/filesystems/vfs.rst`, "Handling errors
//! during writeback"). SQLite reports the error (`SQLITE_IOERR_FSYNC`) and forgets it:
//!
//! - a commit under FULL writes its frames, the commit mark among them, and syncs; if that fails it
//!   is rolled back in memory (`walFrames`, `sqlite3WalUndo`), but its frames stay in the file, valid,
//!   behind the last one that counts, and the next process to open it would find them committed;
//! - a later commit syncs the same file and takes the success for its own and all earlier frames;
//! - a checkpoint (`walCheckpoint`) syncs the log, copies, and syncs the database if it has copied
//!   everything. If the first sync fails it is only repeated. If the last one fails `nBackfill` stays,
//!   and the pages of this checkpoint are copied again; but those that an earlier checkpoint copied
//!   while a reader was in the way are counted in `nBackfill` without a sync, and are not.
//!
//! So after any failed fsync, whoever reported it, both files are *suspect*, and until they are mended
//! no commit is accepted that promises to survive a power loss, and nothing is copied. To mend, with
//! SQLite's write lock held: cut the log behind the last frame that counts; write all its frames
//! again, the same bytes at the same places, after their checksums have shown that they are what was
//! committed; sync it; and write the pages that were copied from it into the database again, for the
//! next checkpoint to sync. Until that succeeds the log does not start again, so it has all that the
//! database may lack. Anything that fails leaves the files suspect. A start that finds frames in the log
//! does the same, since the process before may have died of just this.
//!
//! **Invariant:** between a failed fsync and the next success that is believed, every byte that the
//! first one covered, and that counts, has been written again.
//!
//! Not covered: a power loss between the failed fsync and the cut may bring back a commit that was
//! refused; a file system that gives back old content may have lost the newest commits under NORMAL,
//! which is found (the checksums don't fit) and not mended by waiting.
//!
//! The log's format: <https://sqlite.org/fileformat2.html#walformat>.

use std::{
    collections::HashMap,
    io,
    os::unix::fs::FileExt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};
use r1_domain::store::StoreError;
use rusqlite::Connection;

use crate::{
    connection::{self, Purpose},
    error::Fault,
    files::Files,
    writer::Synchronous,
};

mod frames;
#[cfg(test)]
mod tests;

use frames::Frames;
pub(crate) use frames::commits_behind_damage;

/// Between two attempts to mend.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Whether the disk has what was written, and the way to make it so.
#[derive(Debug)]
pub(crate) struct Resync {
    files: Arc<Files>,
    suspect: AtomicBool,
    newest_attempt: Mutex<Option<Instant>>,
    /// Held while the log is copied into the database, and while either is written again.
    copying: Mutex<()>,
}

/// What counts of the log.
#[derive(Debug, Clone, Copy)]
struct Extent {
    /// Frames that are committed.
    frames: u32,
    /// Frames of them that are in the database.
    copied: u32,
}

/// Why a write did not go through, where SQLite's code leaves that open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// There is none left.
    Full,
    /// That is not the reason.
    Enough,
}

impl Resync {
    pub(crate) fn new(files: Arc<Files>) -> Self {
        Self { files, suspect: AtomicBool::new(false), newest_attempt: Mutex::default(), copying: Mutex::default() }
    }

    /// At the start. What the process before left in the log may never have come to the disk.
    pub(crate) fn begin(&self) {
        if self.files.wal.file.metadata().is_ok_and(|wal| wal.len() == 0) {
            return;
        }
        if let Err(error) = self.mend() {
            tracing::error!(%error, "the write-ahead log that was found can't be written again");
            self.suspect();
        }
    }

    /// After a failed fsync.
    pub(crate) fn suspect(&self) {
        if !self.suspect.swap(true, Ordering::SeqCst) {
            tracing::error!(
                "the disk did not confirm what was written; all of it is written again before anything counts"
            );
        }
    }

    pub(crate) fn is_suspect(&self) -> bool {
        self.suspect.load(Ordering::SeqCst)
    }

    /// To be held while the log is copied.
    pub(crate) fn copying(&self) -> MutexGuard<'_, ()> {
        self.copying.lock()
    }

    /// Before a write: refuses where the files are not where they were, and, if it shall survive a power
    /// loss, where they are suspect and can't be mended now. The caller has no transaction open, and
    /// holds the gate.
    pub(crate) fn ready(&self, synchronous: Synchronous) -> Result<(), Fault> {
        self.files.check()?;
        if synchronous == Synchronous::Normal || !self.is_suspect() {
            return Ok(());
        }
        if self.newest_attempt.lock().is_some_and(|at| at.elapsed() < AGAIN_AFTER) {
            return Err(unconfirmed(&"the newest attempt to write it again failed"));
        }
        self.mend()
    }

    /// Writes again what the disk may not have, and syncs it. The caller has no transaction open, and
    /// holds the gate.
    pub(crate) fn mend(&self) -> Result<(), Fault> {
        let _copying = self.copying();
        *self.newest_attempt.lock() = Some(Instant::now());
        self.files.check()?;
        let (_locked, extent) = self.lock()?;
        self.cut(extent)?;
        self.write_again(extent).map_err(|error| unconfirmed(&error))?;
        if self.suspect.swap(false, Ordering::SeqCst) {
            tracing::warn!(frames = extent.frames, "the disk has confirmed what was written again");
        }
        Ok(())
    }

    /// After a commit that failed: takes away what it left in the log, where the next process would
    /// find it committed, and says whether there is room for more. The caller has no transaction open.
    pub(crate) fn take_back(&self) -> Result<Room, Fault> {
        let (_locked, extent) = self.lock()?;
        // The extent is of the files that have these names now.
        self.files.check()?;
        self.cut(extent)?;
        let wal = &self.files.wal.file;
        let end = wal.metadata().map_err(io_fault)?.len();
        let probe = wal.write_all_at(&[0; 4096], end);
        wal.set_len(end).map_err(io_fault)?;
        Ok(match probe {
            Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                Room::Full
            }
            _ => Room::Enough,
        })
    }

    /// Nobody writes, here or in another process, while the connection lives.
    fn lock(&self) -> Result<(Connection, Extent), Fault> {
        let path = self.files.database_path();
        let locked = connection::open(path, Purpose::Checkpoint)?;
        locked.execute_batch("BEGIN IMMEDIATE")?;
        // A checkpoint does not run within a transaction, not even one that does nothing but tell.
        let look = connection::open(path, Purpose::Checkpoint)?;
        look.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        let (frames, copied): (i64, i64) =
            look.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| Ok((row.get(1)?, row.get(2)?)))?;
        match (u32::try_from(frames), u32::try_from(copied)) {
            (Ok(frames), Ok(copied)) if copied <= frames => Ok((locked, Extent { frames, copied })),
            _ => Err(Fault::Broken("the write-ahead log's length can't be told")),
        }
    }

    /// Cuts the log behind what counts of it.
    fn cut(&self, extent: Extent) -> Result<(), Fault> {
        let wal = &self.files.wal.file;
        let end = match extent.frames {
            // What a checkpoint leaves that cuts the log: the next commit writes its head again.
            0 => 0,
            frames => Frames::open(wal).map_err(io_fault)?.end_of(frames),
        };
        if wal.metadata().map_err(io_fault)?.len() > end {
            wal.set_len(end).map_err(io_fault)?;
        }
        Ok(())
    }

    fn write_again(&self, extent: Extent) -> io::Result<()> {
        let (wal, database) = (&self.files.wal.file, &self.files.database.file);
        if extent.frames > 0 {
            let mut frames = Frames::open(wal)?;
            let mut newest = HashMap::new();
            frames.write_head_again()?;
            for number in 1..=extent.frames {
                newest.insert(frames.write_again(number)?, number);
            }
            // As a checkpoint does it: a page that has a newer frame is copied when that one's turn comes.
            let pages = frames.database_pages()?;
            for (page, number) in newest.into_iter().filter(|(page, number)| *page <= pages && *number <= extent.copied)
            {
                frames.copy(number, page, database)?;
            }
        }
        wal.sync_data()
    }
}

fn unconfirmed(why: &dyn std::fmt::Display) -> Fault {
    StoreError::Unavailable(format!("the disk has not confirmed what was written: {why}").into()).into()
}

fn io_fault(error: io::Error) -> Fault {
    StoreError::Unavailable(error.into()).into()
}
