//! Databases with our schema, and the store on them.

use anyhow::Result;
use r1_store_postgres::{PostgresOptions, PostgresStore};
use r1_testkit::postgres::TestDatabase;

/// A database that is migrated.
pub(crate) async fn database() -> Result<TestDatabase> {
    let migrations = concat!(
        include_str!("../../migrations/0001_initial.sql"),
        include_str!("../../migrations/0002_nodes.sql"),
        include_str!("../../migrations/0003_folded_names.sql"),
        include_str!("../../migrations/0004_memory.sql"),
        include_str!("../../migrations/0005_people.sql"),
        include_str!("../../migrations/0006_grammar.sql"),
        include_str!("../../src/migration.rs"),
        include_str!("../../src/folding.rs")
    );
    let version: u64 =
        migrations.bytes().fold(5381, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    TestDatabase::filled(&format!("{version:016x}"), async |url| {
        PostgresStore::open_guest_or_make(&options(url)).await?;
        Ok(())
    })
    .await
}

/// A new process at a database.
pub(crate) fn options(url: String) -> PostgresOptions {
    PostgresOptions::new(url.into(), [7; 32])
}

/// A store that serves.
pub(crate) async fn open(database: &TestDatabase) -> Result<PostgresStore> {
    Ok(PostgresStore::open(&options(database.url())).await?)
}
