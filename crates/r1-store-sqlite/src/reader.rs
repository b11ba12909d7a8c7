//! Reads: a few connections, opened at first need, each used for one short snapshot at a time.

use std::{path::PathBuf, sync::Arc};

use parking_lot::Mutex;
use r1_domain::store::{StoreError, StoreResult};
use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::{
    connection::{self, Purpose},
    error::Fault,
};

/// The connections that are not in use.
#[derive(Debug, Clone)]
pub(crate) struct Readers {
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
    database: Arc<PathBuf>,
}

impl Readers {
    pub(crate) fn new(database: PathBuf, most: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(most.max(1))), idle: Arc::default(), database: Arc::new(database) }
    }

    /// Reads in one snapshot, which begins at the first statement.
    pub(crate) async fn read<T: Send + 'static>(
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
            None => connection::open(&self.database, Purpose::Read)?,
        };
        let snapshot = db.transaction()?;
        let result = work(&snapshot);
        snapshot.finish()?;
        self.idle.lock().push(db);
        result
    }
}
