//! Who may write what generations do.
//!
//! One process serves from a database at a time. It holds the server's advisory lock, on a connection of
//! its own, for its life: that tells others to stay away. What fences it is its row in `lease`: each
//! transaction that writes for a generation holds that row, and who serves next deletes it, which waits
//! for those under way.
//!
//! The lock's connection may be lost while the process lives: the server was restarted, or somebody
//! ended it. Then the lock is taken again, and what runs goes on, if nobody has served meanwhile, which
//! the row tells. While it is without the lock, the row alone keeps the process right: the next one
//! deletes it before it looks at a log.
//!
//! **Invariant:** whoever serves has seen everything that those before it were told is stored, and
//! nothing of theirs is stored after.

use std::time::Duration;

use r1_domain::{id::NodeId, store::StoreError};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    connection::{Backend, Connector, Db, Purpose},
    error::Fault,
};

/// "GPR1": the first half of our advisory locks' keys.
pub(crate) const LOCK_SPACE: i32 = 0x4750_5231;
/// The second half: the process that serves.
const SERVING: i32 = 1;

const TRY_LOCK: &str = "SELECT pg_try_advisory_lock($1, $2)";
const UNLOCK: &str = "SELECT pg_advisory_unlock($1, $2)";
const IS_HELD: &str = "SELECT 1 FROM lease WHERE node_id = $1";
const HOLD: &str = "SELECT 1 FROM lease WHERE node_id = $1 FOR KEY SHARE";
const FENCE_OTHERS: &str = "DELETE FROM lease";
const TAKE: &str = "INSERT INTO lease (node_id) VALUES ($1)";

/// Between two looks at the row, and two attempts to have the lock back.
const LOOK: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(500);
/// For a look.
const LOOK_TIME: Duration = Duration::from_secs(10);

/// This process's right to write for generations.
#[derive(Clone)]
pub(crate) struct Lease {
    node_id: Uuid,
    /// Another process serves by now. For ever.
    pub(crate) fenced: CancellationToken,
}

/// Takes the lock if nobody has it.
pub(crate) async fn try_lock(db: &Db) -> Result<bool, Fault> {
    Ok(db.one(TRY_LOCK, &[&LOCK_SPACE, &SERVING]).await?.try_get(0)?)
}

/// Gives it back.
pub(crate) async fn unlock(db: &Db) -> Result<(), Fault> {
    db.run(UNLOCK, &[&LOCK_SPACE, &SERVING]).await.map(drop)
}

impl Lease {
    /// Fences whoever served before. `db` holds the lock.
    pub(crate) async fn take(db: &Db, node_id: NodeId) -> Result<Self, Fault> {
        let node_id = node_id.as_uuid();
        db.batch("BEGIN").await?;
        db.run(FENCE_OTHERS, &[]).await?;
        db.run(TAKE, &[&node_id]).await?;
        db.batch("COMMIT").await?;
        Ok(Self { node_id, fenced: CancellationToken::new() })
    }

    pub(crate) fn node_id(&self) -> &Uuid {
        &self.node_id
    }

    /// Holds the right until the transaction's end.
    pub(crate) async fn hold(&self, db: &Db) -> Result<(), Fault> {
        if db.maybe(HOLD, &[&self.node_id]).await?.is_some() {
            return Ok(());
        }
        self.fenced.cancel();
        Err(StoreError::Unavailable("another process serves from this database".into()).into())
    }

    /// After an append that was fenced: whether that was meant for the whole process.
    pub(crate) async fn look(&self, db: &Db) -> Result<(), Fault> {
        if !self.is_held(db).await? {
            self.fenced.cancel();
        }
        Ok(())
    }

    async fn is_held(&self, db: &Db) -> Result<bool, Fault> {
        Ok(db.maybe(IS_HELD, &[&self.node_id]).await?.is_some())
    }

    /// Keeps the lock, which `db` holds, and takes it again when that ends, until this process is fenced.
    pub(crate) async fn keep(self, connector: Connector, db: Db) {
        let mut last = db.backend;
        let mut held = Some(db);
        while !self.fenced.is_cancelled() {
            match held.take() {
                Some(db) => {
                    last = db.backend;
                    self.watch(&db).await;
                }
                None => match self.regain(&connector, last).await {
                    Ok(regained) => held = regained,
                    Err(error) => tracing::debug!(%error, "the database's lock can't be taken again yet"),
                },
            }
            if held.is_none() {
                sleep(AGAIN).await;
            }
        }
        tracing::error!("another process serves from this database: nothing of this one's is stored any more");
    }

    /// Looks, while the connection lasts.
    async fn watch(&self, db: &Db) {
        while timeout(LOOK, db.ended()).await.is_err() {
            match timeout(LOOK_TIME, self.is_held(db)).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return self.fenced.cancel(),
                _ => break,
            }
        }
        tracing::warn!("the connection that holds the database's lock was lost: it is made again");
    }

    /// Takes the lock again. None while another has it.
    async fn regain(&self, connector: &Connector, last: Backend) -> Result<Option<Db>, Fault> {
        let db = connector.connect(Purpose::Patient).await?;
        // The server may not know yet that our connection is gone.
        let locked = async {
            db.outlive(last).await?;
            Ok::<_, Fault>(try_lock(&db).await? && self.is_held(&db).await?)
        };
        let late = |_| Fault::Late("the database did not answer in time");
        if timeout(LOOK_TIME, locked).await.map_err(late)?? {
            tracing::info!("the database's lock is held again");
            return Ok(Some(db));
        }
        if !self.is_held(&db).await? {
            self.fenced.cancel();
        }
        Ok(None)
    }
}
