//! Databases with our schema, and the store on them.

use anyhow::Result;
use r1_store_postgres::{PostgresOptions, PostgresStore};
use r1_testkit::postgres::TestDatabase;
use sha2::{Digest, Sha256};

const MIGRATIONS: [&str; 10] = [
    include_str!("../../migrations/0001_initial.sql"),
    include_str!("../../migrations/0002_nodes.sql"),
    include_str!("../../migrations/0003_folded_names.sql"),
    include_str!("../../migrations/0004_memory.sql"),
    include_str!("../../migrations/0005_people.sql"),
    include_str!("../../migrations/0006_grammar.sql"),
    include_str!("../../migrations/0007_parts.sql"),
    include_str!("../../migrations/0008_jobs.sql"),
    include_str!("../../migrations/0009_branches.sql"),
    include_str!("../../migrations/0010_first_token.sql"),
];

/// A database that is migrated.
pub(crate) async fn database() -> Result<TestDatabase> {
    let program = concat!(include_str!("../../src/migration.rs"), include_str!("../../src/folding.rs"));
    let version: u64 = MIGRATIONS
        .iter()
        .flat_map(|sql| sql.bytes())
        .chain(program.bytes())
        .fold(5381, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    TestDatabase::filled(&format!("{version:016x}"), async |url| {
        PostgresStore::open_guest_or_make(&options(url)).await?;
        Ok(())
    })
    .await
}

/// A database as an earlier version left it.
pub(crate) async fn of_schema(version: usize) -> Result<TestDatabase> {
    let database = TestDatabase::empty().await?;
    let client = database.client().await?;
    client
        .batch_execute(
            "CREATE SCHEMA gpt_r1;
             CREATE TABLE schema_migration (
                 version BIGINT NOT NULL PRIMARY KEY, checksum BYTEA NOT NULL, applied_at BIGINT NOT NULL, needs BIGINT
             )",
        )
        .await?;
    for (number, sql) in (1_i64..).zip(&MIGRATIONS[..version]) {
        client.batch_execute(sql).await?;
        let checksum: [u8; 32] = Sha256::digest(sql.as_bytes()).into();
        let record = "INSERT INTO schema_migration VALUES ($1, $2, 0, $1)";
        client.execute(record, &[&number, &&checksum[..]]).await?;
    }
    Ok(database)
}

/// A new process at a database.
pub(crate) fn options(url: String) -> PostgresOptions {
    PostgresOptions::new(url.into(), [7; 32])
}

/// A store that serves.
pub(crate) async fn open(database: &TestDatabase) -> Result<PostgresStore> {
    Ok(PostgresStore::open(&options(database.url())).await?)
}
