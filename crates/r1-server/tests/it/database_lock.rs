//! Another process in the way of the server's writes.

use anyhow::Result;
use rusqlite::Connection;

use crate::support::Setup;

/// Holds SQLite's write lock until it is dropped. Reads go on.
pub(crate) struct DatabaseLock(Connection);

impl DatabaseLock {
    pub(crate) fn take(setup: &Setup) -> Result<Self> {
        let db = Connection::open(setup.data_dir().join("gpt-r1.db"))?;
        db.busy_timeout(crate::support::PATIENCE)?;
        db.execute_batch("BEGIN IMMEDIATE")?;
        Ok(Self(db))
    }
}

impl Drop for DatabaseLock {
    fn drop(&mut self) {
        // Closing the connection would do; said aloud.
        let _ = self.0.execute_batch("ROLLBACK");
    }
}
