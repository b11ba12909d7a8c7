//! The room that the database takes, and what is left for it.
//!
//! By path: whoever opens the database's file a second time, and closes it, takes SQLite's locks away.
//!
//! **Invariant:** of a disk that hangs, one thread at most waits here.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use r1_domain::store::{Size, StoreError, StoreResult};
use tokio::sync::Semaphore;

/// Looks it up.
#[derive(Debug)]
pub(crate) struct Sizes {
    database: Arc<Path>,
    one_at_a_time: Arc<Semaphore>,
}

impl Sizes {
    pub(crate) fn new(database: &Path) -> Self {
        Self { database: database.into(), one_at_a_time: Arc::new(Semaphore::new(1)) }
    }

    /// Of the database with its write-ahead log.
    pub(crate) async fn look(&self) -> StoreResult<Size> {
        let unavailable = |error: Box<dyn std::error::Error + Send + Sync>| StoreError::Unavailable(error);
        let permit =
            Arc::clone(&self.one_at_a_time).acquire_owned().await.map_err(|error| unavailable(error.into()))?;
        let database = Arc::clone(&self.database);
        let looked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            look(&database)
        });
        looked.await.map_err(|error| unavailable(error.into()))?.map_err(|error| unavailable(error.into()))
    }
}

fn look(database: &Path) -> io::Result<Size> {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    let log = match fs::metadata(PathBuf::from(log)) {
        Ok(log) => log.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    let disk = rustix::fs::statvfs(database)?;
    // What is kept for root is not for us.
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    Ok(Size { bytes: fs::metadata(database)?.len() + log, free: Some(free) })
}
