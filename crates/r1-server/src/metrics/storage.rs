//! Whether the database works, what it takes and has, and when it was backed up: what a disk, or another machine, has to
//! be asked for.
//!
//! **Invariant:** nobody is asked twice within [`KEPT`], nor again before the last look has ended; a page waits for it
//! for at most [`LONGEST_LOOK`], and then says nothing of it rather than what was true once.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use r1_domain::store::{Size, Store};
use tokio::time::timeout;

use crate::last_backup;

/// For this long what was found is good enough.
const KEPT: Duration = Duration::from_secs(5);
/// A database that takes longer does not work, as for its health.
const PATIENCE: Duration = Duration::from_secs(2);
/// Whoever scrapes waits some ten seconds.
const LONGEST_LOOK: Duration = Duration::from_secs(3);

/// What was found.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Found {
    /// The database can read and write.
    pub(super) works: bool,
    pub(super) size: Option<Size>,
    /// In seconds since 1970.
    pub(super) last_backup: Option<u64>,
}

/// Where it is looked up, and what was found last.
pub(crate) struct Storage {
    store: Arc<dyn Store>,
    data_dir: PathBuf,
    found: Mutex<Found>,
    /// When that was. Held while somebody looks.
    newest: Arc<tokio::sync::Mutex<Option<Instant>>>,
}

impl Storage {
    pub(crate) fn new(store: Arc<dyn Store>, data_dir: PathBuf) -> Self {
        Self { store, data_dir, found: Mutex::default(), newest: Arc::default() }
    }

    /// What was found last.
    pub(super) fn found(&self) -> Found {
        *self.found.lock()
    }

    /// Looks again, unless that was done just now.
    pub(super) async fn look(self: &Arc<Self>) {
        if timeout(LONGEST_LOOK, self.look_to_the_end()).await.is_err() {
            *self.found.lock() = Found::default();
        }
    }

    async fn look_to_the_end(self: &Arc<Self>) {
        let mut newest = Arc::clone(&self.newest).lock_owned().await;
        if newest.is_some_and(|newest| newest.elapsed() < KEPT) {
            return;
        }
        // One may be known without the other: what is free on a disk, say, while a lock keeps all writers out.
        let (ping, size) = tokio::join!(timeout(PATIENCE, self.store.ping()), timeout(PATIENCE, self.store.size()));
        let works = matches!(ping, Ok(Ok(())));
        let size = size.ok().and_then(|size| {
            size.inspect_err(|error| tracing::debug!("the database's size is not known: {error}")).ok().flatten()
        });
        let this = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || {
            let last_backup = last_backup::read(&this.data_dir);
            *this.found.lock() = Found { works, size, last_backup };
            *newest = Some(Instant::now());
        });
        if let Err(error) = read.await {
            tracing::debug!("when the last backup was made is not known: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use r1_domain::time::Timestamp;
    use r1_store_sqlite::{SqliteOptions, SqliteStore};

    use super::*;

    fn storage() -> (tempfile::TempDir, Arc<Storage>) {
        let home = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&SqliteOptions::new(home.path())).unwrap();
        let storage = Arc::new(Storage::new(Arc::new(store), home.path().to_owned()));
        (home, storage)
    }

    #[tokio::test]
    async fn what_was_found_is_kept_for_a_while() {
        let (home, storage) = storage();
        storage.look().await;
        let Found { works, size, last_backup } = storage.found();
        assert!(
            works && size.is_some_and(|size| size.bytes > 0 && size.free.is_some_and(|free| free > 0)),
            "{works} {size:?}"
        );
        assert_eq!(last_backup, None);
        last_backup::write(home.path(), Timestamp::from_micros(7_000_000)).unwrap();
        storage.look().await;
        assert_eq!(storage.found().last_backup, None, "nobody has looked again");
        *storage.newest.lock().await = Instant::now().checked_sub(KEPT);
        storage.look().await;
        assert_eq!(storage.found().last_backup, Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_does_not_end_is_waited_for_only_so_long() {
        let (home, storage) = storage();
        last_backup::write(home.path(), Timestamp::from_micros(7_000_000)).unwrap();
        *storage.found.lock() = Found { works: true, size: None, last_backup: Some(7) };
        let _hangs = storage.newest.lock().await;
        let began = tokio::time::Instant::now();
        storage.look().await;
        let Found { works, last_backup, .. } = storage.found();
        assert_eq!((began.elapsed(), works, last_backup), (LONGEST_LOOK, false, None), "what is not known is not said");
    }
}
