//! The connections that requests share: a few, opened at first need, each lent to one operation.
//!
//! Whoever asks waits for a bounded time, for a connection and for the whole of it. What others were in
//! the way of (a deadlock, a connection that was stale) is tried again, a few times.
//!
//! **Invariant:** an operation that fails before it has told the server to commit has changed nothing.

use std::{ops::Deref, sync::Arc, time::Duration};

use parking_lot::Mutex;
use r1_domain::store::{Connections, StoreError, StoreResult};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};

use crate::{
    connection::{Backend, Connector, Db, Purpose},
    error::Fault,
};

/// A request waits this long for an operation, up to its commit, and then for that.
const OPERATION_TIME: Duration = Duration::from_secs(10);
const COMMIT_TIME: Duration = Duration::from_secs(5);
/// An operation is tried this often, with a pause between.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(20);

/// How long somebody waits for a commit that was told to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// As long as a request may.
    Request,
    /// To its end.
    End,
}

/// Why a transaction did not come to be, for all that is known.
pub(crate) enum Failed {
    /// It did not.
    Before(Fault),
    /// The server was told to commit and did not say that it has.
    Unknown(Backend),
}

/// What is done with a connection. It is given as a handle of the work's own, which is the shortest way
/// to say that the work may go from thread to thread.
pub(crate) trait Work<T>: Future<Output = Result<T, Fault>> {}

impl<T, F: Future<Output = Result<T, Fault>>> Work<T> for F {}

#[derive(Clone)]
pub(crate) struct Pool(Arc<Shared>);

struct Shared {
    connector: Connector,
    permits: Arc<Semaphore>,
    most: usize,
    idle: Mutex<Vec<Arc<Db>>>,
}

impl Pool {
    pub(crate) fn new(connector: Connector, most: usize) -> Self {
        let most = most.max(1);
        let permits = Arc::new(Semaphore::new(most));
        Self(Arc::new(Shared { connector, permits, most, idle: Mutex::default() }))
    }

    pub(crate) fn connections(&self) -> Connections {
        let Shared { permits, most, .. } = &*self.0;
        Connections { lent: most.saturating_sub(permits.available_permits()), most: *most }
    }

    pub(crate) fn connector(&self) -> &Connector {
        &self.0.connector
    }

    async fn lend(&self) -> Result<Lent, Fault> {
        let closed = |_| Fault::Broken("the pool is closed");
        let permit = Arc::clone(&self.0.permits).acquire_owned().await.map_err(closed)?;
        let idle = {
            let mut idle = self.0.idle.lock();
            // The server may have gone down and come back meanwhile.
            idle.retain(|db| db.is_open());
            idle.pop()
        };
        let db = match idle {
            Some(db) => db,
            None => Arc::new(self.0.connector.connect(Purpose::Requests).await?),
        };
        Ok(Lent { db, shared: Arc::clone(&self.0), _permit: permit })
    }

    /// Reads; the statements of one read see what each of them finds.
    pub(crate) async fn read<T, F: Work<T>>(&self, work: impl Fn(Arc<Db>) -> F) -> StoreResult<T> {
        let tries = async {
            let mut left = TRIES;
            loop {
                let db = self.lend().await?;
                match work(db.db.clone()).await {
                    Ok(value) => {
                        db.give_back();
                        return Ok(value);
                    }
                    Err(fault) => left = db.failed(fault, left).await?,
                }
            }
        };
        Ok(in_time(tries).await?)
    }

    /// Works in a transaction, for a request.
    ///
    /// `Unavailable`, and nothing done, if it does not come to the commit in time; `Unconfirmed` if that
    /// does not end, or the connection ended first.
    pub(crate) async fn write<T, F: Work<T>>(&self, work: impl Fn(Arc<Db>) -> F) -> StoreResult<T> {
        self.transaction(Wait::Request, work).await.map_err(|failed| match failed {
            Failed::Before(fault) => fault.into(),
            Failed::Unknown(_) => StoreError::Unconfirmed("the database did not say that it has committed".into()),
        })
    }

    /// The same, with another patience and the whole truth.
    pub(crate) async fn transaction<T, F: Work<T>>(
        &self,
        wait: Wait,
        work: impl Fn(Arc<Db>) -> F,
    ) -> Result<T, Failed> {
        let mut left = TRIES;
        loop {
            let tries = async {
                loop {
                    let db = self.lend().await?;
                    // The first statement goes along with it.
                    let (begun, done) = tokio::join!(biased; db.batch("BEGIN"), work(db.db.clone()));
                    let fault = match begun.and(done) {
                        Ok(value) => return Ok((db, value)),
                        Err(fault) => fault,
                    };
                    if fault.keeps_connection() {
                        db.batch("ROLLBACK").await?;
                    }
                    left = db.failed(fault, left).await?;
                }
            };
            let (db, value) = in_time(tries).await.map_err(Failed::Before)?;
            let backend = db.backend;
            let committed = match wait {
                Wait::Request => timeout(COMMIT_TIME, db.batch("COMMIT")).await,
                Wait::End => Ok(db.batch("COMMIT").await),
            };
            match committed {
                Ok(Ok(())) => {
                    db.give_back();
                    return Ok(value);
                }
                // Told to roll back, and why.
                Ok(Err(fault @ Fault::Server { .. })) => {
                    left = db.failed(fault, left).await.map_err(Failed::Before)?;
                }
                Ok(Err(_)) | Err(_) => return Err(Failed::Unknown(backend)),
            }
        }
    }

    /// Waits until `backend` does nothing any more, and then looks. However long it takes.
    pub(crate) async fn find_out<T, F: Work<T>>(&self, backend: Backend, look: impl Fn(Arc<Db>) -> F) -> T {
        loop {
            let looked = async {
                let db = self.lend().await?;
                db.outlive(backend).await?;
                let found = look(db.db.clone()).await?;
                db.give_back();
                Ok(found)
            };
            match in_time(looked).await {
                Ok(found) => return found,
                Err(error) => {
                    tracing::warn!(%error, "whether a commit was carried out can't be found out yet");
                    sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let late = |_| Fault::Late("the database did not come to it in time");
    timeout(OPERATION_TIME, work).await.map_err(late)?
}

/// A connection that is lent. One that is not given back is cut.
struct Lent {
    db: Arc<Db>,
    shared: Arc<Shared>,
    _permit: OwnedSemaphorePermit,
}

impl Lent {
    /// Everything that was asked is answered.
    fn give_back(self) {
        self.shared.idle.lock().push(self.db);
    }

    /// After a failure: how many tries are left, or the failure if there are none.
    async fn failed(self, fault: Fault, left: u32) -> Result<u32, Fault> {
        if fault.keeps_connection() {
            self.give_back();
        } else {
            drop(self);
        }
        if left <= 1 || !fault.may_pass() {
            return Err(fault);
        }
        sleep(PAUSE).await;
        Ok(left - 1)
    }
}

impl Deref for Lent {
    type Target = Db;

    fn deref(&self) -> &Db {
        &self.db
    }
}
