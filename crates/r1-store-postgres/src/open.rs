//! Opening a database, and saying clearly why it can't be used.

use std::time::Duration;

use r1_domain::id::NodeId;
use secrecy::SecretString;
use tokio::time::{Instant, sleep};
use tokio_postgres::error::SqlState;

use crate::{
    address::{Address, AddressError},
    column,
    connection::{Connector, Db, Purpose},
    error::Fault,
    lease::{self, Lease},
    migration::{self, NEWEST, Schema},
};

/// The oldest server that will do.
const OLDEST_SERVER: i32 = 140_000;
/// Between two looks at a lock that another process has.
const AGAIN: Duration = Duration::from_millis(100);

/// How to open a database.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/name`, with libpq's options behind a question mark.
    pub url: SecretString,
    /// The process that opens it.
    pub node_id: NodeId,
    /// Of the key that signs tokens: all processes of one database must have the same.
    pub key_fingerprint: [u8; 32],
    /// At most so many connections for requests, opened at first need. There are two more: for the
    /// logs, and for the lock.
    pub connections: usize,
    /// Another process that serves is given so long to end. A killed one is gone at once where the
    /// database learns of it; where its machine is gone, after some 12 s.
    pub lock_wait: Duration,
    /// Another process that migrates the schema is given so long.
    pub migration_wait: Duration,
}

impl PostgresOptions {
    /// The defaults: eight connections, five seconds for a process that ends, a minute for one that
    /// migrates.
    #[must_use]
    pub const fn new(url: SecretString, node_id: NodeId, key_fingerprint: [u8; 32]) -> Self {
        Self {
            url,
            node_id,
            key_fingerprint,
            connections: 8,
            lock_wait: Duration::from_secs(5),
            migration_wait: Duration::from_secs(60),
        }
    }
}

/// Why a database can't be opened, in words that say what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is none.
    #[error("the database's URL {0}")]
    Address(#[from] AddressError),
    /// Nobody answers there, or not as a database does.
    #[error("the database at {shown} can't be reached; check that it runs, its address, and TLS (sslmode)")]
    Unreachable {
        /// Where.
        shown: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server does not let us in.
    #[error("the database at {shown} refuses this user or password, or there is no database of that name")]
    Refused {
        /// Where.
        shown: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server is too old, or the database is of another encoding.
    #[error("the database at {shown} can't be used: it must be PostgreSQL 14 or newer, with the encoding UTF8")]
    Unfit {
        /// Where.
        shown: String,
    },
    /// Another process serves from it.
    #[error(
        "another gpt-r1 process serves from the database at {shown}; stop that one, or name another database. \
         If its machine has just gone down, the database learns of it within 15 s"
    )]
    Locked {
        /// Where.
        shown: String,
    },
    /// Another process migrates the schema.
    #[error("another gpt-r1 process has been migrating the database at {shown} for too long; look after that one")]
    Migrating {
        /// Where.
        shown: String,
    },
    /// The key is not the one that the others have.
    #[error(
        "the SECRET_KEY is not the one that the database at {shown} was first used with; all processes need \
         the same"
    )]
    OtherKey {
        /// Where.
        shown: String,
    },
    /// A newer version of this program made it.
    #[error(
        "the database at {shown} was written by a newer gpt-r1 (schema {found}, this one knows up to {known}); run \
         the newer version, or restore a backup from before the upgrade"
    )]
    Newer {
        /// Where.
        shown: String,
        /// Its schema's version.
        found: i64,
        /// The newest that this build knows.
        known: i64,
    },
    /// A build with other migrations made it.
    #[error(
        "the database at {shown} was made by a build with a different schema {version}; run the build that made it, \
         or name another database"
    )]
    Differs {
        /// Where.
        shown: String,
        /// The version that differs.
        version: i64,
    },
    /// A guest met a database that the serving process must migrate first.
    #[error(
        "the database at {shown} has an older schema and is in use; start the serving process with this version of \
         gpt-r1 first"
    )]
    Older {
        /// Where.
        shown: String,
    },
    /// Something else.
    #[error("the database at {shown} can't be opened")]
    Failed {
        /// Where.
        shown: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A database that is ready: it has this build's schema.
pub(crate) struct Opened {
    pub(crate) connector: Connector,
    /// The right to write, and the connection that holds the lock. None for a guest.
    pub(crate) lease: Option<(Lease, Db)>,
}

/// Opens the database for the process that serves from it.
pub(crate) async fn owner(options: &PostgresOptions) -> Result<Opened, OpenError> {
    let (connector, db) = connect(options).await?;
    let failed = |fault| failed(&connector, fault);
    let until = Instant::now() + options.lock_wait;
    while !lease::try_lock(&db).await.map_err(failed)? {
        if Instant::now() >= until {
            return Err(OpenError::Locked { shown: connector.address.shown.clone() });
        }
        sleep(AGAIN).await;
    }
    migrate(&connector, &db).await?;
    if !has_key(&db, &options.key_fingerprint).await.map_err(failed)? {
        return Err(OpenError::OtherKey { shown: connector.address.shown.clone() });
    }
    let lease = Lease::take(&db, options.node_id).await.map_err(failed)?;
    Ok(Opened { connector, lease: Some((lease, db)) })
}

/// Opens the database for a short command beside that process. The schema is the owner's business; where
/// there is no owner the guest is one for as long as it takes to look.
pub(crate) async fn guest(options: &PostgresOptions) -> Result<Opened, OpenError> {
    let (connector, db) = connect(options).await?;
    let failed = |fault| failed(&connector, fault);
    if lease::try_lock(&db).await.map_err(failed)? {
        migrate(&connector, &db).await?;
        lease::unlock(&db).await.map_err(failed)?;
    } else {
        let schema = migration::inspect(&db).await.map_err(failed)?;
        fits(&schema, &connector.address.shown)?;
    }
    Ok(Opened { connector, lease: None })
}

async fn connect(options: &PostgresOptions) -> Result<(Connector, Db), OpenError> {
    let connector = Connector::new(Address::parse(&options.url)?);
    let shown = || connector.address.shown.clone();
    let db = connector.connect(Purpose::Patient).await.map_err(|fault| match &fault {
        Fault::Server { code, .. }
            if [SqlState::INVALID_PASSWORD, SqlState::INVALID_CATALOG_NAME].contains(code)
                || code.code().starts_with("28") =>
        {
            OpenError::Refused { shown: shown(), source: Box::new(fault) }
        }
        // As the client has it: why a handshake failed, or what the server wants to know.
        Fault::Lost(_) | Fault::Late(_) | Fault::Value(_) => {
            OpenError::Unreachable { shown: shown(), source: Box::new(fault) }
        }
        _ => OpenError::Failed { shown: shown(), source: Box::new(fault) },
    })?;
    let settings = async {
        db.batch(&format!("SET lock_timeout = {}", options.migration_wait.as_millis())).await?;
        let row = db.one(SERVER, &[]).await?;
        Ok::<_, Fault>((column::get::<i32>(&row, 0)?, column::get::<String>(&row, 1)?))
    };
    let (version, encoding) = settings.await.map_err(|fault| failed(&connector, fault))?;
    if version < OLDEST_SERVER || encoding != "UTF8" {
        return Err(OpenError::Unfit { shown: shown() });
    }
    Ok((connector, db))
}

const SERVER: &str = "SELECT current_setting('server_version_num')::integer, current_setting('server_encoding')";

fn failed(connector: &Connector, fault: Fault) -> OpenError {
    OpenError::Failed { shown: connector.address.shown.clone(), source: Box::new(fault) }
}

async fn migrate(connector: &Connector, db: &Db) -> Result<(), OpenError> {
    let shown = &connector.address.shown;
    let found = migration::inspect(db).await.map_err(|fault| failed(connector, fault))?;
    if found != Schema::Older {
        return fits(&found, shown);
    }
    match migration::run(db).await.map_err(|fault| failed(connector, fault))? {
        Some(schema) => fits(&schema, shown),
        None => Err(OpenError::Migrating { shown: shown.clone() }),
    }
}

fn fits(schema: &Schema, shown: &str) -> Result<(), OpenError> {
    let shown = shown.to_owned();
    match schema {
        Schema::Current => Ok(()),
        Schema::Older => Err(OpenError::Older { shown }),
        Schema::Newer(found) => Err(OpenError::Newer { shown, found: *found, known: NEWEST }),
        Schema::Differs(version) => Err(OpenError::Differs { shown, version: *version }),
    }
}

const KEY: &str = "secret_key_fingerprint";
const KEEP_KEY: &str = "INSERT INTO setting (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING";
const IS_KEY: &str = "SELECT value = $2 FROM setting WHERE key = $1";

/// The first to come says which key it is.
async fn has_key(db: &Db, fingerprint: &[u8; 32]) -> Result<bool, Fault> {
    db.run(KEEP_KEY, &[&KEY, &&fingerprint[..]]).await?;
    column::get(&db.one(IS_KEY, &[&KEY, &&fingerprint[..]]).await?, 0)
}
