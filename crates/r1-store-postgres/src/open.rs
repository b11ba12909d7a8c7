//! Opening a database, and saying clearly why it can't be used.

use std::time::Duration;

use secrecy::SecretString;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::{
    address::{Address, AddressError},
    column,
    connection::{Connector, Db, Purpose},
    error::Fault,
    folding,
    key::{self, Fingerprint, KeyFingerprints},
    migration::{self, NEWEST, Schema},
};

/// The oldest server that will do.
const OLDEST_SERVER: i32 = 140_000;

/// How to open a database.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/name`, with libpq's options behind a question mark.
    pub url: SecretString,
    /// Where the process lives, if only one lives there at a time: when the next one joins, the one before
    /// is known to be gone.
    pub place: Option<Uuid>,
    /// Of the key that signs tokens: all processes of one database must have the same.
    pub keys: KeyFingerprints,
    /// At most this many connections for requests, opened at first need. There are four more: for the
    /// logs, for the lease, and two for hints.
    pub connections: usize,
    /// Another process that migrates the schema is given this long.
    pub migration_wait: Duration,
}

impl PostgresOptions {
    /// The defaults: eight connections, a minute for another process that migrates.
    #[must_use]
    pub const fn new(url: SecretString, key_fingerprint: Fingerprint) -> Self {
        let keys = KeyFingerprints { key: key_fingerprint, previous: None };
        Self { url, place: None, keys, connections: 8, migration_wait: Duration::from_secs(60) }
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
    /// The server has no such database.
    #[error("the server has no database of the name in {shown}; make it (CREATE DATABASE), or name another")]
    NoDatabase {
        /// Where.
        shown: String,
    },
    /// The server does not let us in.
    #[error("the database at {shown} refuses this user or password")]
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
    /// Another process migrates the schema.
    #[error("another gpt-r1 process has been migrating the database at {shown} for too long; look after that one")]
    Migrating {
        /// Where.
        shown: String,
    },
    /// The key is not the one that the others have.
    #[error(
        "the SECRET_KEY is not the one that the database at {shown} is used with; all processes need the same. If it \
         shall be a new one, give that of before as SECRET_KEY_PREVIOUS, and see `gpt-r1 rotate-key --help`"
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
    /// A guest, which makes nothing, met no tables of ours.
    #[error("there is nothing of gpt-r1 in the database at {shown}; name the server's database in DATABASE_URL")]
    Missing {
        /// Where.
        shown: String,
    },
    /// A guest met a database that the serving process must migrate first.
    #[error("the database at {shown} has an older schema; start the server with this version of gpt-r1 first")]
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

/// Opens the database for a process that serves: it has this build's schema then.
/// With the fingerprint of the key with which it signs.
pub(crate) async fn node(options: &PostgresOptions) -> Result<(Connector, Fingerprint), OpenError> {
    let (connector, db) = connect(options).await?;
    migrate(&connector, &db).await?;
    match key::in_force(&db, &options.keys).await.map_err(|fault| failed(&connector, fault))? {
        Some(fingerprint) => Ok((connector, fingerprint)),
        None => Err(OpenError::OtherKey { shown: connector.address.shown }),
    }
}

/// Opens the database for a short command, which makes and migrates nothing.
pub(crate) async fn guest(options: &PostgresOptions) -> Result<Connector, OpenError> {
    let (connector, db) = connect(options).await?;
    let looked = async {
        let is_made = column::get(&db.one(IS_MADE, &[]).await?, 0)?;
        Ok::<(bool, Schema), Fault>((is_made, migration::inspect(&db).await?))
    };
    let (is_made, schema) = looked.await.map_err(|fault| failed(&connector, fault))?;
    if !is_made {
        return Err(OpenError::Missing { shown: connector.address.shown });
    }
    fits(&schema, &connector.address.shown)?;
    Ok(connector)
}

/// Opens it for a command that may be the first there is: it makes what is missing. Where nodes serve from it
/// the schema is their business. With the connection that looked.
pub(crate) async fn guest_or_make(options: &PostgresOptions) -> Result<(Connector, Db), OpenError> {
    let (connector, db) = connect(options).await?;
    let serving = async {
        let made = column::get(&db.one(IS_MADE, &[]).await?, 0)?;
        Ok::<bool, Fault>(made && is_served(&db).await?)
    };
    if serving.await.map_err(|fault| failed(&connector, fault))? {
        let schema = migration::inspect(&db).await.map_err(|fault| failed(&connector, fault))?;
        fits(&schema, &connector.address.shown)?;
    } else {
        migrate(&connector, &db).await?;
    }
    Ok((connector, db))
}

/// Whether a node has a lease.
pub(crate) async fn is_served(db: &Db) -> Result<bool, Fault> {
    column::get(&db.one(IS_SERVED, &[]).await?, 0)
}

const IS_MADE: &str = "SELECT to_regclass('gpt_r1.lease') IS NOT NULL";
const IS_SERVED: &str =
    "SELECT EXISTS (SELECT 1 FROM lease WHERE expires_at > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)";

async fn connect(options: &PostgresOptions) -> Result<(Connector, Db), OpenError> {
    let connector = Connector::new(Address::parse(&options.url)?);
    let shown = || connector.address.shown.clone();
    let db = connector.connect(Purpose::Patient).await.map_err(|fault| match &fault {
        Fault::Server { code, .. } if *code == SqlState::INVALID_PASSWORD || code.code().starts_with("28") => {
            OpenError::Refused { shown: shown(), source: Box::new(fault) }
        }
        Fault::Server { code, .. } if *code == SqlState::INVALID_CATALOG_NAME => {
            OpenError::NoDatabase { shown: shown() }
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
    if found == Schema::Older {
        match migration::run(db).await.map_err(|fault| failed(connector, fault))? {
            Some(schema) => fits(&schema, shown)?,
            None => return Err(OpenError::Migrating { shown: shown.clone() }),
        }
    } else {
        fits(&found, shown)?;
    }
    folding::fill(db).await.map_err(|fault| failed(connector, fault))
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
