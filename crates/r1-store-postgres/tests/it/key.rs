//! Which key the nodes sign with, while a new one takes the old one's place.

use anyhow::{Context, Result};
use r1_store_postgres::{Fingerprint, KeyFingerprints, OpenError, PostgresOptions, PostgresStore, RotatedKey};
use r1_testkit::postgres::TestDatabase;

use crate::support;

const OLD: Fingerprint = [7; 32];
const NEW: Fingerprint = [8; 32];

fn keys(key: Fingerprint, previous: Option<Fingerprint>) -> KeyFingerprints {
    KeyFingerprints { key, previous }
}

/// A node with these keys.
async fn node(database: &TestDatabase, keys: KeyFingerprints) -> Result<PostgresStore, OpenError> {
    PostgresStore::open(&PostgresOptions { keys, ..support::options(database.url()) }).await
}

async fn refused(database: &TestDatabase, keys: KeyFingerprints) -> Result<()> {
    let error = node(database, keys).await.err().context("it was opened")?;
    assert!(matches!(error, OpenError::OtherKey { .. }), "{error:?}");
    assert!(error.to_string().contains("rotate-key"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_new_key_is_in_force_once_it_was_put_there() -> Result<()> {
    let database = support::database().await?;
    assert_eq!(node(&database, keys(OLD, None)).await?.signing_key(), OLD);
    let both = node(&database, keys(NEW, Some(OLD))).await?;
    assert_eq!(both.signing_key(), OLD, "what is in force signs");
    refused(&database, keys(NEW, None)).await?;
    refused(&database, keys(NEW, Some([9; 32]))).await?;

    let rotate = async |keys, forget| both.rotate_key(keys, forget).await;
    assert_eq!(rotate(keys(NEW, None), false).await?, RotatedKey::OtherKey);
    assert_eq!(rotate(keys(NEW, Some([9; 32])), false).await?, RotatedKey::OtherKey);
    assert_eq!(node(&database, keys(OLD, None)).await?.signing_key(), OLD, "nothing was changed");
    assert_eq!(rotate(keys(NEW, Some(OLD)), false).await?, RotatedKey::Done);
    assert_eq!(rotate(keys(NEW, Some(OLD)), false).await?, RotatedKey::Already);
    assert_eq!(node(&database, keys(NEW, Some(OLD))).await?.signing_key(), NEW);
    assert_eq!(node(&database, keys(NEW, None)).await?.signing_key(), NEW);

    // One that was forgotten in the roll: for a day.
    assert_eq!(node(&database, keys(OLD, None)).await?.signing_key(), OLD);
    let client = database.client().await?;
    let a_day_ago = "UPDATE setting SET value = substring(value FOR 32) || int8send(
            (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - 86400000000)
        WHERE key = 'secret_key_before'";
    assert_eq!(client.execute(a_day_ago, &[]).await?, 1);
    refused(&database, keys(OLD, None)).await?;

    // Without the one before, and so that nobody may use it any more.
    assert_eq!(rotate(keys([9; 32], None), true).await?, RotatedKey::Done);
    refused(&database, keys(NEW, None)).await?;
    assert_eq!(node(&database, keys([9; 32], None)).await?.signing_key(), [9; 32]);
    Ok(())
}
