//! Moving the write-ahead log into the database, on a thread and a connection of its own.
//!
//! While commits come, a passive checkpoint follows them, at the latest every [`INTERVAL`] or
//! [`STEP`] pages; it blocks nobody. It never quite catches up with a busy writer, and only a log
//! that is wholly copied can start again at its beginning; so when the log has grown to [`RESTART`]
//! pages, the few that are left are copied while the writer waits at the [`Gate`]. After a quiet
//! interval the log's file is cut to nothing. Nothing runs while nothing is written.

use std::{cell::Cell, path::Path, sync::Arc, thread, time::Duration};

use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, ErrorCode, wal::CheckpointMode};

use crate::{
    connection::{self, Purpose},
    error::{Failed, Fault},
    resync::Resync,
};

/// How long after a commit it is copied, and how long it must be quiet before the log is cut.
const INTERVAL: Duration = Duration::from_secs(1);
/// Pages in the log after which a passive checkpoint does not wait for the interval (4 MiB).
const STEP: i32 = 1024;
/// Pages in the log after which it must start again (32 MiB).
const RESTART: i32 = 8192;

/// The writer holds it for each of its transactions.
pub(crate) type Gate = Arc<Mutex<()>>;

#[derive(Debug, Default)]
struct Progress {
    /// Pages in the log after the newest commit.
    pages: i32,
    /// This many are enough to wake for.
    enough: i32,
    /// There was a commit since it was last looked at.
    dirty: bool,
    stop: bool,
}

/// Tells the checkpointer of commits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signal(Arc<(Mutex<Progress>, Condvar)>);

impl Signal {
    /// After a commit that left this many pages in the log.
    pub(crate) fn committed(&self, pages: i32) {
        let (progress, wake) = &*self.0;
        let mut progress = progress.lock();
        let wakes = !progress.dirty || pages >= progress.enough;
        progress.pages = pages;
        progress.dirty = true;
        drop(progress);
        if wakes {
            wake.notify_one();
        }
    }

    fn stop(&self) {
        self.0.0.lock().stop = true;
        self.0.1.notify_one();
    }

    /// There is something left to do.
    fn again(&self) {
        self.0.0.lock().dirty = true;
    }

    fn restarted(&self) {
        self.0.0.lock().pages = 0;
    }

    /// Waits for a commit, then for the interval or `enough` pages. None at the end, else whether
    /// it was quiet.
    fn wait(&self, enough: i32) -> Option<bool> {
        let (progress, wake) = &*self.0;
        let mut progress = progress.lock();
        wake.wait_while(&mut progress, |p| !p.stop && !p.dirty);
        progress.dirty = false;
        progress.enough = enough;
        let waited = wake.wait_while_for(&mut progress, |p| !p.stop && p.pages < enough, INTERVAL);
        if progress.stop { None } else { Some(waited.timed_out() && !progress.dirty) }
    }
}

/// The thread. Dropping it cuts the log one last time.
#[derive(Debug)]
pub(crate) struct Checkpointer {
    signal: Signal,
    thread: Option<thread::JoinHandle<()>>,
}

impl Checkpointer {
    pub(crate) fn start(
        database: &Path,
        signal: Signal,
        gate: Gate,
        resync: Arc<Resync>,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let db = connection::open(database, Purpose::Checkpoint)?;
        let copier = Copier { db, resync, failing: Cell::new(false) };
        let heard = signal.clone();
        let thread =
            thread::Builder::new().name("r1-checkpoint".to_owned()).spawn(move || run(copier, &heard, &gate))?;
        Ok(Self { signal, thread: Some(thread) })
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.signal.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(copier: Copier, signal: &Signal, gate: &Gate) {
    // Pages that the last look found.
    let mut known = 0_i32;
    while let Some(quiet) = signal.wait(known.saturating_add(STEP)) {
        if !copier.mend(gate) {
            // Tried again after the interval, not at once.
            known = known.saturating_add(STEP);
            signal.again();
            continue;
        }
        let Some(copied) = copier.checkpoint(CheckpointMode::PASSIVE) else {
            known = known.saturating_add(STEP);
            signal.again();
            continue;
        };
        known = copied;
        let mode = match (quiet, known >= RESTART) {
            (true, _) => CheckpointMode::TRUNCATE,
            (false, true) => CheckpointMode::RESTART,
            (false, false) => continue,
        };
        // The first may have taken long. After this one hardly a page is left to copy and to sync.
        copier.checkpoint(CheckpointMode::PASSIVE);
        let _writer_waits = gate.lock();
        if copier.checkpoint(mode).is_some() {
            known = 0;
            signal.restarted();
        } else {
            // A reader, another process or the disk is in the way.
            signal.again();
        }
    }
    if copier.mend(gate) {
        copier.checkpoint(CheckpointMode::TRUNCATE);
    } else {
        // The last connection that closes copies the log, whose checksums nobody would look at, and
        // deletes it, which may be the only good copy. Ours is never closed: the files stay as a killed
        // process leaves them, for the next start to look at.
        std::mem::forget(copier);
    }
}

/// The thread's own.
struct Copier {
    db: Connection,
    resync: Arc<Resync>,
    /// The newest attempt failed, and was told of.
    failing: Cell<bool>,
}

impl Copier {
    /// Sees to what an fsync that failed, here or in the writer, has left. False if it can't, for now:
    /// then nothing may be copied, since a sync that succeeds would mean nothing.
    fn mend(&self, gate: &Gate) -> bool {
        if !self.resync.is_suspect() {
            return true;
        }
        let _writer_waits = gate.lock();
        let mended = self.resync.mend();
        if let Err(error) = &mended {
            tracing::error!(%error, "what the disk did not confirm can't be written again yet");
        }
        mended.is_ok()
    }

    /// Gives back the pages in the log, or none where something was in the way.
    fn checkpoint(&self, mode: CheckpointMode) -> Option<i32> {
        let _copying = self.resync.copying();
        if self.resync.is_suspect() {
            return None;
        }
        let fault = match self.db.wal_checkpoint_v2(None::<&str>, mode) {
            Ok((pages, _)) => {
                self.failing.set(false);
                return Some(pages);
            }
            Err(error) if is_busy(&error) => return None,
            Err(error) => Fault::from(error),
        };
        if !self.failing.replace(true) {
            tracing::warn!(error = %fault, "the write-ahead log can't be copied into the database for now");
        }
        if fault.failed() == Failed::Sync {
            self.resync.suspect();
        }
        None
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Files;

    #[test]
    fn a_busy_writer_is_never_quiet() {
        let signal = Signal::default();
        signal.committed(STEP * 2);
        assert_eq!(signal.wait(STEP), Some(false), "enough at once");
        signal.committed(1);
        assert_eq!(signal.wait(STEP), Some(true), "one commit, then nothing for an interval");
        signal.stop();
        assert_eq!(signal.wait(STEP), None);
    }

    #[test]
    fn the_end_cuts_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("test.db");
        let wal = dir.path().join("test.db-wal");
        Connection::open(&path).unwrap().pragma_update(None, "journal_mode", "wal").unwrap();
        let mut db = connection::open(&path, Purpose::Write).unwrap();
        let signal = Signal::default();
        let heard = signal.clone();
        db.wal_hook(Some(move |_: &mut _, pages| {
            heard.committed(pages);
            Ok(())
        }))
        .unwrap();
        db.execute_batch("CREATE TABLE t (x)").unwrap();
        let resync = Arc::new(Resync::new(Arc::new(Files::hold(&path).unwrap())));
        let checkpointer = Checkpointer::start(&path, signal, Gate::default(), resync).unwrap();
        db.execute_batch("INSERT INTO t VALUES (1)").unwrap();
        assert!(std::fs::metadata(&wal).unwrap().len() > 0);
        drop(checkpointer);
        assert_eq!(std::fs::metadata(&wal).unwrap().len(), 0);
    }
}
