//! The suite that every store must pass, on PostgreSQL.

use std::sync::Arc;

use r1_domain::store::Store;
use r1_testkit::postgres::TestDatabase;

use crate::support;

async fn open() -> anyhow::Result<(Arc<dyn Store>, TestDatabase)> {
    let database = support::database().await?;
    let store = support::open(&database).await?;
    Ok((Arc::new(store), database))
}

r1_testkit::store_contract!(open);
