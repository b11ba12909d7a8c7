//! The suite that every store must pass, on PostgreSQL.

use std::sync::Arc;

use r1_testkit::{
    postgres::TestDatabase,
    store_contract::{SharedStore, joined, node},
};

use crate::support;

async fn open() -> anyhow::Result<(SharedStore, TestDatabase)> {
    let database = support::database().await?;
    let store = support::open(&database).await?;
    let store: SharedStore = Arc::new(store);
    joined(&store, node()).await?;
    Ok((store, database))
}

r1_testkit::store_contract!(open);
