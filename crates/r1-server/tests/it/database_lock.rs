//! Another process in the way of the server's writes.

use anyhow::Result;
use r1_testkit::postgres::Client;
use rusqlite::Connection;

use crate::support::{PATIENCE, Setup};

/// In the way until it is dropped. Reads go on.
pub(crate) enum DatabaseLock {
    /// Holds SQLite's only write lock.
    Sqlite(Connection),
    /// Holds locks of the tables that answers are written to.
    Postgres { _client: Client },
}

impl DatabaseLock {
    pub(crate) async fn take(setup: &Setup) -> Result<Self> {
        if let Some(database) = setup.database() {
            let client = database.client().await?;
            client.batch_execute("BEGIN; LOCK TABLE message, generation, generation_log IN EXCLUSIVE MODE").await?;
            return Ok(Self::Postgres { _client: client });
        }
        let db = Connection::open(setup.data_dir().join("gpt-r1.db"))?;
        db.busy_timeout(PATIENCE)?;
        db.execute_batch("BEGIN IMMEDIATE")?;
        Ok(Self::Sqlite(db))
    }
}

impl Drop for DatabaseLock {
    fn drop(&mut self) {
        // Closing the connection would do; said aloud.
        if let Self::Sqlite(db) = self {
            let _ = db.execute_batch("ROLLBACK");
        }
    }
}
