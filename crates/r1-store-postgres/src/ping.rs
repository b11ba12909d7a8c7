//! Whether the database works: looked at once for all who ask at the same time, and not again for a
//! while.
//!
//! **Invariant:** at most one look is under way, and at most one begins per [`KEPT`].

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use r1_domain::store::{Size, StoreError, StoreResult};
use tokio::sync::Mutex;

use crate::{account, column, connection::Db, error::Fault, pool::Pool};

/// For this long a look's result is good enough.
const KEPT: Duration = Duration::from_secs(1);

/// What a look found: for many.
type Finding = Result<(), Arc<StoreError>>;

/// What is known of the database's health: what was found, and when.
#[derive(Default)]
pub(crate) struct Ping(Mutex<Option<(Instant, Finding)>>);

impl Ping {
    /// Answers when the database can read and write.
    pub(crate) async fn ask(&self, pool: &Pool) -> StoreResult<()> {
        // Whoever else asks waits here; a look takes a bounded time.
        let mut newest = self.0.lock().await;
        let known = newest.as_ref().filter(|(at, _)| at.elapsed() < KEPT);
        let finding = match known {
            Some((_, finding)) => finding.clone(),
            None => {
                let finding = look(pool).await.map_err(Arc::new);
                *newest = Some((Instant::now(), finding.clone()));
                finding
            }
        };
        finding.map_err(|error| {
            let source = Box::new(Arc::clone(&error));
            match &*error {
                StoreError::Full(_) => StoreError::Full(source),
                StoreError::Unavailable(_) => StoreError::Unavailable(source),
                _ => StoreError::Internal(source),
            }
        })
    }
}

/// Writes, and takes it back: nothing waits for the server's disk.
async fn look(pool: &Pool) -> StoreResult<()> {
    pool.read(|db| async move {
        db.batch("BEGIN").await?;
        let written = account::write_check(&db).await;
        if written.as_ref().err().is_none_or(Fault::keeps_connection) {
            db.batch("ROLLBACK").await?;
        }
        written
    })
    .await
}

/// The room that all of the database takes, what is not ours in it too. The disk is its server's.
pub(crate) async fn size(db: &Db) -> Result<Size, Fault> {
    let row = db.one("SELECT pg_database_size(current_database())", &[]).await?;
    let bytes: i64 = column::get(&row, 0)?;
    Ok(Size { bytes: bytes.unsigned_abs(), free: None })
}
