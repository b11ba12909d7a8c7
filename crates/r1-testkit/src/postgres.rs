//! Databases on a PostgreSQL server, one per test.
//!
//! The server is at `R1_POSTGRES_URL`, or on this machine at the usual port; its user may make
//! databases. `scripts/postgres` starts one.

mod own;

use anyhow::{Context, Result, anyhow};
pub use own::{OwnServer, Stop};
pub use tokio_postgres::Client;
use tokio_postgres::NoTls;
use tokio_util::task::TaskTracker;

/// Where the server is, if nothing else is said.
const LOCAL: &str = "postgres://postgres@127.0.0.1:5432/postgres";
/// The advisory lock of who makes a template.
const MAKING: i64 = 0x7231_7465_7374;

/// A database that lives as long as this.
pub struct TestDatabase {
    name: String,
}

impl TestDatabase {
    /// One with nothing in it.
    ///
    /// # Errors
    /// What the server says.
    pub async fn empty() -> Result<Self> {
        Self::from("template0").await
    }

    /// The same, for who can't await: it blocks.
    ///
    /// # Errors
    /// What the server says.
    pub fn make() -> Result<Self> {
        blocking(Self::empty())
    }

    /// A copy of what `fill` makes of an empty one, given its URL. That is done once per `version`, which
    /// must differ where what is made does; the model stays on the server.
    ///
    /// # Errors
    /// What the server and `fill` say.
    pub async fn filled(version: &str, fill: impl AsyncFnOnce(String) -> Result<()>) -> Result<Self> {
        let model = format!("r1_model_{version}");
        let server = connect(&server()).await?;
        server.execute("SELECT pg_advisory_lock($1)", &[&MAKING]).await?;
        if server.query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&model]).await?.is_none() {
            let unfinished = format!("{model}_unfinished");
            server.batch_execute(&format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)")).await?;
            server.batch_execute(&format!("CREATE DATABASE {unfinished} TEMPLATE template0 ENCODING 'UTF8'")).await?;
            fill(url_of(&unfinished)).await?;
            // Nobody may be there while it is renamed; whoever filled it is leaving.
            let there = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
            while !server.query(there, &[&unfinished]).await?.is_empty() {
                tokio::task::yield_now().await;
            }
            server.batch_execute(&format!("ALTER DATABASE {unfinished} RENAME TO {model}")).await?;
        }
        drop(server);
        Self::from(&model).await
    }

    async fn from(template: &str) -> Result<Self> {
        let name = format!("r1_test_{:016x}", rand::random::<u64>());
        let server = connect(&server()).await?;
        server.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template} ENCODING 'UTF8'")).await?;
        Ok(Self { name })
    }

    /// How to open it.
    #[must_use]
    pub fn url(&self) -> String {
        url_of(&self.name)
    }

    /// Somebody else's connection to it, which ends with the client.
    ///
    /// # Errors
    /// What the server says.
    pub async fn client(&self) -> Result<Client> {
        let client = connect(&self.url()).await?;
        client.batch_execute("SET search_path = gpt_r1").await?;
        Ok(client)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let name = std::mem::take(&mut self.name);
        let dropped = blocking(async {
            let server = connect(&server()).await?;
            Ok(server.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await?)
        });
        if !std::thread::panicking() {
            assert!(dropped.is_ok(), "a test's database can't be dropped: {dropped:?}");
        }
    }
}

/// On a thread and a runtime of its own: a runtime can't be waited for inside another one.
fn blocking<T: Send>(work: impl Future<Output = Result<T>> + Send) -> Result<T> {
    let wait = || tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work);
    std::thread::scope(|scope| scope.spawn(wait).join()).map_err(|_| anyhow!("it panicked"))?
}

/// The server's URL, with a database that is always there.
#[must_use]
pub fn server() -> String {
    std::env::var("R1_POSTGRES_URL").ok().filter(|url| !url.is_empty()).unwrap_or_else(|| LOCAL.to_owned())
}

/// The server's URL with another database's name.
fn url_of(name: &str) -> String {
    let url = server();
    let (base, query) = url.split_once('?').unwrap_or((&url, ""));
    let host = base.find("://").map_or(0, |at| at + 3);
    let end = base[host..].find('/').map_or(base.len(), |at| host + at);
    format!("{}/{name}{}{query}", &base[..end], if query.is_empty() { "" } else { "?" })
}

/// Somebody's connection, not encrypted, which ends with the client.
///
/// # Errors
/// What the server says.
pub async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.with_context(|| {
        "no PostgreSQL server answers: `make test` starts one; for a single test, \
         `scripts/postgres cargo nextest run …`, or name one in R1_POSTGRES_URL"
    })?;
    TaskTracker::new().spawn(connection);
    Ok(client)
}
