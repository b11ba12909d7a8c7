//! The suite that every store must pass, on SQLite.

use std::sync::Arc;

use r1_domain::store::Store;
use r1_store_sqlite::{SqliteOptions, SqliteStore};

async fn open() -> anyhow::Result<(Arc<dyn Store>, tempfile::TempDir)> {
    let dir = tempfile::tempdir()?;
    let store = SqliteStore::open(&SqliteOptions::new(dir.path().join("data")))?;
    Ok((Arc::new(store), dir))
}

r1_testkit::store_contract!(open);
