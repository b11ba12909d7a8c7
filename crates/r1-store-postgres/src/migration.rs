//! The schema's versions: forward only, each in a transaction, each recorded with its checksum; by one
//! process at a time.

use sha2::{Digest, Sha256};
use tokio_postgres::error::SqlState;

use crate::{
    column,
    connection::{Db, LOCK_SPACE, SCHEMA},
    error::Fault,
};

/// The advisory lock's second half: the process that migrates.
const MIGRATING: i32 = 2;

struct Migration {
    version: i64,
    /// The version that a program must know, at the least, to work with the database after this one. Lower
    /// than its own where it only adds what older programs don't miss.
    needs: i64,
    sql: &'static str,
}

/// In order, without gaps; each expands the schema, or contracts what no program of the version before uses.
/// Each is the pair of SQLite's of the same number. One that was released never
/// changes.
const MIGRATIONS: [Migration; 10] = [
    Migration { version: 1, needs: 1, sql: include_str!("../migrations/0001_initial.sql") },
    Migration { version: 2, needs: 2, sql: include_str!("../migrations/0002_nodes.sql") },
    Migration { version: 3, needs: 2, sql: include_str!("../migrations/0003_folded_names.sql") },
    Migration { version: 4, needs: 2, sql: include_str!("../migrations/0004_memory.sql") },
    Migration { version: 5, needs: 2, sql: include_str!("../migrations/0005_people.sql") },
    Migration { version: 6, needs: 6, sql: include_str!("../migrations/0006_grammar.sql") },
    Migration { version: 7, needs: 6, sql: include_str!("../migrations/0007_parts.sql") },
    Migration { version: 8, needs: 6, sql: include_str!("../migrations/0008_jobs.sql") },
    Migration { version: 9, needs: 6, sql: include_str!("../migrations/0009_branches.sql") },
    Migration { version: 10, needs: 6, sql: include_str!("../migrations/0010_first_token.sql") },
];

/// The newest version that this build knows.
pub(crate) const NEWEST: i64 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// How a database's schema compares with what this build knows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Schema {
    /// The same, or a later one that this build can live with.
    Current,
    /// An earlier one, or none yet.
    Older,
    /// A later one.
    Newer(i64),
    /// A version that both know by the same number, and that differs.
    Differs(i64),
}

const IS_THERE: &str = "SELECT to_regclass('gpt_r1.schema_migration') IS NOT NULL";
/// The first programs did not write down what is needed.
const VERSIONS: &str = "SELECT version, checksum, coalesce((to_jsonb(m) ->> 'needs')::bigint, version)
    FROM schema_migration m ORDER BY version";
const LOCK: &str = "SELECT pg_advisory_lock($1, $2)";
const UNLOCK: &str = "SELECT pg_advisory_unlock($1, $2)";
const HAS_SCHEMA: &str = "SELECT to_regnamespace('gpt_r1') IS NOT NULL";
const RECORD: &str = "INSERT INTO schema_migration (version, checksum, needs, applied_at)
    VALUES ($1, $2, $3, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)";
const TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migration (
        version    BIGINT NOT NULL PRIMARY KEY,
        checksum   BYTEA  NOT NULL,
        applied_at BIGINT NOT NULL
    );
    ALTER TABLE schema_migration ADD COLUMN IF NOT EXISTS needs BIGINT";

/// Looks without changing anything.
pub(crate) async fn inspect(db: &Db) -> Result<Schema, Fault> {
    if !column::get::<bool>(&db.one(IS_THERE, &[]).await?, 0)? {
        return Ok(Schema::Older);
    }
    let mut found = 0;
    for row in db.all(VERSIONS, &[]).await? {
        found = column::get(&row, 0)?;
        match MIGRATIONS.iter().find(|known| known.version == found) {
            None if column::get::<i64>(&row, 2)? > NEWEST => return Ok(Schema::Newer(found)),
            // It was expanded by a newer program, beside which this one runs.
            None => {}
            Some(known) if column::get::<&[u8]>(&row, 1)? != checksum(known) => return Ok(Schema::Differs(found)),
            Some(_) => {}
        }
    }
    Ok(if found >= NEWEST { Schema::Current } else { Schema::Older })
}

/// Brings an older schema up to this build's. Waits while another process does, as long as the
/// connection waits for locks: None if that has not been long enough.
pub(crate) async fn run(db: &Db) -> Result<Option<Schema>, Fault> {
    match db.run(LOCK, &[&LOCK_SPACE, &MIGRATING]).await {
        Ok(_) => {}
        Err(Fault::Server { code, .. }) if code == SqlState::LOCK_NOT_AVAILABLE => return Ok(None),
        Err(fault) => return Err(fault),
    }
    // It may have been done meanwhile.
    let mut schema = inspect(db).await?;
    if schema == Schema::Older {
        apply(db).await?;
        schema = Schema::Current;
    }
    db.run(UNLOCK, &[&LOCK_SPACE, &MIGRATING]).await?;
    Ok(Some(schema))
}

async fn apply(db: &Db) -> Result<(), Fault> {
    if !column::get::<bool>(&db.one(HAS_SCHEMA, &[]).await?, 0)? {
        db.batch(&format!("CREATE SCHEMA {SCHEMA}")).await?;
    }
    db.batch(TABLE).await?;
    let mut found = 0;
    for row in db.all(VERSIONS, &[]).await? {
        found = column::get(&row, 0)?;
    }
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > found) {
        db.batch("BEGIN").await?;
        db.batch(migration.sql).await?;
        db.run(RECORD, &[&migration.version, &&checksum(migration)[..], &migration.needs]).await?;
        db.batch("COMMIT").await?;
        tracing::info!(version = migration.version, "database schema migrated");
    }
    Ok(())
}

fn checksum(migration: &Migration) -> [u8; 32] {
    Sha256::digest(migration.sql.as_bytes()).into()
}
