//! The schema's versions: forward only, each in a transaction, each recorded with its checksum.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use sha2::{Digest, Sha256};

/// "GPR1": the number at byte 68 of the file by which a database says whose it is.
const APPLICATION_ID: i32 = 0x4750_5231;

struct Migration {
    version: i64,
    sql: &'static str,
}

/// In order, without gaps. One that was released never changes.
const MIGRATIONS: [Migration; 10] = [
    Migration { version: 1, sql: include_str!("../migrations/0001_initial.sql") },
    Migration { version: 2, sql: include_str!("../migrations/0002_nodes.sql") },
    Migration { version: 3, sql: include_str!("../migrations/0003_folded_names.sql") },
    Migration { version: 4, sql: include_str!("../migrations/0004_memory.sql") },
    Migration { version: 5, sql: include_str!("../migrations/0005_people.sql") },
    Migration { version: 6, sql: include_str!("../migrations/0006_grammar.sql") },
    Migration { version: 7, sql: include_str!("../migrations/0007_parts.sql") },
    Migration { version: 8, sql: include_str!("../migrations/0008_jobs.sql") },
    Migration { version: 9, sql: include_str!("../migrations/0009_branches.sql") },
    Migration { version: 10, sql: include_str!("../migrations/0010_first_token.sql") },
];

/// The newest version that this build knows.
pub(crate) const NEWEST: i64 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// How a database's schema compares with what this build knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schema {
    /// The same.
    Current,
    /// An earlier one, or none yet.
    Older,
    /// A later one.
    Newer(i64),
    /// A version that both know by the same number, and that differs.
    Differs(i64),
    /// Another program's.
    Foreign,
}

/// Looks without changing anything.
pub(crate) fn inspect(db: &Connection) -> rusqlite::Result<Schema> {
    let tables: i64 = db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        return Ok(Schema::Older);
    }
    let application: i32 = db.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if application != APPLICATION_ID {
        return Ok(Schema::Foreign);
    }
    let mut statement = db.prepare("SELECT version, checksum FROM schema_migration ORDER BY version")?;
    let mut rows = statement.query([])?;
    let mut found = 0;
    while let Some(row) = rows.next()? {
        found = row.get(0)?;
        match MIGRATIONS.iter().find(|known| known.version == found) {
            None => return Ok(Schema::Newer(found)),
            Some(known) if row.get::<_, [u8; 32]>(1)? != checksum(known) => return Ok(Schema::Differs(found)),
            Some(_) => {}
        }
    }
    Ok(if found == NEWEST { Schema::Current } else { Schema::Older })
}

/// Brings an older schema up to this build's.
pub(crate) fn run(db: &mut Connection) -> rusqlite::Result<()> {
    for migration in &MIGRATIONS {
        let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        change.execute_batch(
            "CREATE TABLE IF NOT EXISTS schema_migration (
                 version    INTEGER NOT NULL PRIMARY KEY,
                 checksum   BLOB    NOT NULL,
                 applied_at INTEGER NOT NULL
             ) STRICT",
        )?;
        let done = change
            .query_row("SELECT 1 FROM schema_migration WHERE version = ?1", [migration.version], |_| Ok(()))
            .optional()?;
        if done.is_none() {
            change.pragma_update(None, "application_id", APPLICATION_ID)?;
            change.execute_batch(migration.sql)?;
            change.execute(
                "INSERT INTO schema_migration (version, checksum, applied_at)
                 VALUES (?1, ?2, CAST(unixepoch('subsec') * 1000000 AS INTEGER))",
                params![migration.version, checksum(migration)],
            )?;
            tracing::info!(version = migration.version, "database schema migrated");
        }
        change.commit()?;
    }
    Ok(())
}

fn checksum(migration: &Migration) -> [u8; 32] {
    Sha256::digest(migration.sql.as_bytes()).into()
}
