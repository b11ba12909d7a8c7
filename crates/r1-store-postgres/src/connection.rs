//! One connection: made, set up, and asked.
//!
//! **Invariant:** a connection is used by one operation at a time, and only one that the server has told
//! everything about is used again.

use std::{collections::HashMap, future::poll_fn, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_postgres::{AsyncMessage, Client, Connection, CopyInSink, NoTls, Row, RowStream, Statement, types::ToSql};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::{address::Address, error::Fault};

/// For a connection to be made and set up.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// The schema that holds everything: the database may be shared with other programs.
pub(crate) const SCHEMA: &str = "gpt_r1";
/// "GPR1": the first half of our advisory locks' keys.
pub(crate) const LOCK_SPACE: i32 = 0x4750_5231;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// What people ask for.
    Requests,
    /// The logs' appends.
    Log,
    /// Hints: nothing is lost with them.
    Bus,
    /// A node's lease: soon, or not at all.
    Lease,
    /// Migrations, recovery: as long as it takes.
    Patient,
}

/// For all of them. A process that is stopped in the middle of a transaction holds nobody up for long. What is committed survives a crash of the database server whatever its default is;
/// a stricter one (a standby's word) is kept. The server finds out in time that we are gone, too.
const SETTINGS: &str = "SET search_path = gpt_r1;
    SET client_min_messages = warning;
    SET default_transaction_isolation = 'read committed';
    SET idle_in_transaction_session_timeout = '5s';
    SET jit = off;
    SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 3; SET tcp_keepalives_count = 2;
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';";

impl Purpose {
    const fn settings(self) -> &'static str {
        match self {
            Self::Requests => "SET statement_timeout = '10s'; SET lock_timeout = '8s';",
            // Its one statement goes by primary keys, whatever the planner thinks of a table that was
            // empty when it looked.
            Self::Log => {
                "SET statement_timeout = '30s'; SET lock_timeout = '20s';
                 SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;"
            }
            Self::Bus => "SET statement_timeout = '3s'; SET synchronous_commit = off;",
            Self::Lease => "SET statement_timeout = '3s'; SET lock_timeout = '2s';",
            Self::Patient => "SET statement_timeout = 0; SET lock_timeout = '60s';",
        }
    }
}

/// Which process of the server's serves a connection. No other one ever is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backend {
    pub(crate) pid: i32,
    started: i64,
}

/// Makes connections.
#[derive(Clone)]
pub(crate) struct Connector {
    pub(crate) address: Address,
    tasks: TaskTracker,
}

impl Connector {
    pub(crate) fn new(address: Address) -> Self {
        Self { address, tasks: TaskTracker::new() }
    }

    /// Makes one, within [`CONNECT_TIME`].
    pub(crate) async fn connect(&self, purpose: Purpose) -> Result<Db, Fault> {
        self.connect_to_hear(purpose, |_| {}).await
    }

    /// Makes one on which notifications may come: `heard` is given what they say.
    pub(crate) async fn connect_to_hear(
        &self,
        purpose: Purpose,
        heard: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Db, Fault> {
        let late = |_| Fault::Late("the database did not answer in time");
        timeout(CONNECT_TIME, self.connect_now(purpose, heard)).await.map_err(late)?
    }

    async fn connect_now(&self, purpose: Purpose, heard: impl Fn(&str) + Send + Sync + 'static) -> Result<Db, Fault> {
        let config = &self.address.config;
        // Ends the task that drives it.
        let alive = CancellationToken::new();
        let ended = CancellationToken::new();
        let client = match &self.address.tls {
            Some(tls) => {
                let (client, connection) = config.connect(tls.clone()).await?;
                self.drive(connection, &alive, ended.clone(), heard);
                client
            }
            None => {
                let (client, connection) = config.connect(NoTls).await?;
                self.drive(connection, &alive, ended.clone(), heard);
                client
            }
        };
        let mut db = Db {
            client,
            statements: Mutex::default(),
            backend: Backend { pid: 0, started: 0 },
            ended,
            _alive: alive.drop_guard(),
        };
        db.batch(SETTINGS).await?;
        db.batch(purpose.settings()).await?;
        let row = db.one(WHO, &[]).await?;
        db.backend = Backend { pid: row.try_get(0)?, started: row.try_get(1)? };
        Ok(db)
    }

    fn drive<S, T>(
        &self,
        mut connection: Connection<S, T>,
        alive: &CancellationToken,
        ended: CancellationToken,
        heard: impl Fn(&str) + Send + Sync + 'static,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let alive = alive.clone();
        self.tasks.spawn(async move {
            let _ended = ended.drop_guard();
            let drive = async {
                // Whoever asks is told of the error; nobody else needs to know.
                while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                    if let AsyncMessage::Notification(notification) = message {
                        heard(notification.payload());
                    }
                }
            };
            alive.run_until_cancelled(drive).await;
        });
    }
}

const WHO: &str = "SELECT pid, (extract(epoch FROM backend_start) * 1000000)::bigint FROM pg_stat_activity
    WHERE pid = pg_backend_pid()";
const TERMINATE: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE pid = $1 AND (extract(epoch FROM backend_start) * 1000000)::bigint = $2";

/// A connection. Dropping it cuts it, whatever it is doing.
pub(crate) struct Db {
    client: Client,
    /// What was prepared, by its text.
    statements: Mutex<HashMap<&'static str, Statement>>,
    pub(crate) backend: Backend,
    ended: CancellationToken,
    _alive: DropGuard,
}

/// Parameters of a statement.
pub(crate) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Db {
    pub(crate) fn is_open(&self) -> bool {
        !self.client.is_closed() && !self.ended.is_cancelled()
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Prepares a statement, once.
    async fn statement(&self, sql: &'static str) -> Result<Statement, Fault> {
        if let Some(statement) = self.statements.lock().get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        self.statements.lock().insert(sql, statement.clone());
        Ok(statement)
    }

    pub(crate) async fn all(&self, sql: &'static str, params: Params<'_>) -> Result<Vec<Row>, Fault> {
        let statement = self.statement(sql).await?;
        Ok(self.client.query(&statement, params).await?)
    }

    pub(crate) async fn maybe(&self, sql: &'static str, params: Params<'_>) -> Result<Option<Row>, Fault> {
        let statement = self.statement(sql).await?;
        Ok(self.client.query_opt(&statement, params).await?)
    }

    pub(crate) async fn one(&self, sql: &'static str, params: Params<'_>) -> Result<Row, Fault> {
        let statement = self.statement(sql).await?;
        Ok(self.client.query_one(&statement, params).await?)
    }

    /// Gives back how many rows it changed.
    pub(crate) async fn run(&self, sql: &'static str, params: Params<'_>) -> Result<u64, Fault> {
        let statement = self.statement(sql).await?;
        Ok(self.client.execute(&statement, params).await?)
    }

    /// Statements without parameters, one after the other.
    pub(crate) async fn batch(&self, sql: &str) -> Result<(), Fault> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// Rows go in by what is sent here.
    pub(crate) async fn copy_in(&self, sql: &str) -> Result<CopyInSink<Bytes>, Fault> {
        Ok(self.client.copy_in(sql).await?)
    }

    /// Rows as they come, however many there are.
    pub(crate) async fn stream(&self, sql: &str) -> Result<RowStream, Fault> {
        Ok(self.client.query_raw(sql, std::iter::empty::<i32>()).await?)
    }

    /// Makes sure that a process of the server's, another connection's, does nothing any more.
    pub(crate) async fn outlive(&self, backend: Backend) -> Result<(), Fault> {
        while self.maybe(TERMINATE, &[&backend.pid, &backend.started]).await?.is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}
