//! Reads: a few connections, opened at first need, each used for one short snapshot at a time.

use std::{path::PathBuf, sync::Arc, time::Duration};

use parking_lot::Mutex;
use r1_domain::store::{Connections, StoreError, StoreResult};
use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::{
    connection::{self, Purpose},
    error::Fault,
    files::Files,
};

/// A read, the wait for a connection included, takes at most this long, or its caller is told to try again.
const READ_TIME: Duration = Duration::from_secs(30);

/// The connections that are not in use.
#[derive(Debug, Clone)]
pub(crate) struct Readers {
    permits: Arc<Semaphore>,
    most: usize,
    idle: Arc<Mutex<Vec<Connection>>>,
    database: Arc<PathBuf>,
    /// Kept for longer than any connection. None beside another process.
    files: Option<Arc<Files>>,
}

impl Readers {
    pub(crate) fn new(database: PathBuf, most: usize, files: Option<Arc<Files>>) -> Self {
        let most = most.max(1);
        let permits = Arc::new(Semaphore::new(most));
        Self { permits, most, idle: Arc::default(), database: Arc::new(database), files }
    }

    pub(crate) fn connections(&self) -> Connections {
        Connections { lent: self.most.saturating_sub(self.permits.available_permits()), most: self.most }
    }

    /// Reads in one snapshot, which begins at the first statement.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> StoreResult<T> {
        let late = |_| StoreError::Unavailable("a read did not end in time".into());
        tokio::time::timeout(READ_TIME, self.read_to_end(work)).await.map_err(late)?
    }

    /// The same, however long it takes.
    pub(crate) async fn read_to_end<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> StoreResult<T> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|error| StoreError::Unavailable(Box::new(error)))?;
        let readers = self.clone();
        let read = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            readers.read_now(work)
        });
        match read.await {
            Ok(result) => result.map_err(StoreError::from),
            Err(error) if error.is_cancelled() => Err(StoreError::Unavailable(Box::new(error))),
            Err(error) => Err(StoreError::Internal(Box::new(error))),
        }
    }

    /// The same at once, on this thread, whoever else reads: on a connection more than the others if
    /// need be.
    pub(crate) fn read_now<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, Fault> {
        let idle = self.idle.lock().pop();
        let mut db = match idle {
            Some(db) => db,
            None => {
                let db = connection::open(&self.database, Purpose::Read)?;
                // Not of a file that somebody has put in its place.
                self.files.as_ref().map_or(Ok(()), |files| files.check())?;
                db
            }
        };
        let snapshot = db.transaction()?;
        let result = work(&snapshot);
        snapshot.finish()?;
        self.idle.lock().push(db);
        result
    }
}
