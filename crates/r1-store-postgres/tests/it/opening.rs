//! Databases that can't be opened, or go away, and what is said of it.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use r1_domain::store::{Store, StoreError};
use r1_store_postgres::{OpenError, PostgresOptions, PostgresStore};
use r1_testkit::{
    postgres::{OwnServer, Stop, TestDatabase, server},
    proxy::Proxy,
    store_contract::{SharedStore, at, new_turn, user},
    tls::Authority,
};

use crate::support;

async fn refused(options: &PostgresOptions) -> Result<OpenError> {
    PostgresStore::open(options).await.err().context("it was opened")
}

/// A database's URL with something in it replaced.
fn changed(database: &TestDatabase, from: &str, to: &str) -> PostgresOptions {
    support::options(database.url().replacen(from, to, 1))
}

#[tokio::test]
async fn each_obstacle_has_its_words() -> Result<()> {
    let database = support::database().await?;
    let name = database.url().rsplit('/').next().unwrap_or_default().to_owned();
    let unknown = refused(&changed(&database, &name, "no_such_database")).await?;
    assert!(matches!(unknown, OpenError::NoDatabase { .. }), "{unknown:?}");
    let nobody =
        refused(&changed(&database, "postgres://postgres", "postgres://nobody-of-that-name:secret-pw")).await?;
    assert!(matches!(nobody, OpenError::Refused { .. }), "{nobody:?}");
    let down = refused(&support::options("postgres://postgres@127.0.0.1:9/x".to_owned())).await?;
    assert!(matches!(down, OpenError::Unreachable { .. }), "{down:?}");
    let wrong = refused(&support::options("postgres://".to_owned())).await?;
    for error in [unknown, nobody, down, wrong] {
        let said = format!("{error} {error:?}");
        assert!(!said.contains("secret-pw"), "{said}");
    }
    PostgresStore::open(&support::options(database.url())).await?;
    let options = PostgresOptions::new(database.url().into(), [8; 32]);
    assert!(matches!(refused(&options).await?, OpenError::OtherKey { .. }));
    Ok(())
}

#[tokio::test]
async fn a_newer_schema_is_refused_unless_this_version_can_live_with_it() -> Result<()> {
    let database = support::database().await?;
    let client = database.client().await?;
    let newer = "INSERT INTO schema_migration (version, checksum, applied_at, needs) VALUES (999, '\\x00', 0, $1)";
    client.execute(newer, &[&2_i64]).await?;
    PostgresStore::open(&support::options(database.url())).await?;
    client.execute("UPDATE schema_migration SET needs = 999 WHERE version = 999", &[]).await?;
    let error = refused(&support::options(database.url())).await?;
    assert!(matches!(error, OpenError::Newer { found: 999, .. }), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn many_that_start_at_once_migrate_once() -> Result<()> {
    let database = TestDatabase::empty().await?;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let options = support::options(database.url());
        tasks.spawn(async move { PostgresStore::open(&options).await.map(drop) });
    }
    while let Some(opened) = tasks.join_next().await {
        opened??;
    }
    Ok(())
}

#[tokio::test]
async fn who_waits_for_another_that_migrates_gives_up() -> Result<()> {
    let database = TestDatabase::empty().await?;
    let other = database.client().await?;
    other.execute("SELECT pg_advisory_lock($1, $2)", &[&0x4750_5231_i32, &2_i32]).await?;
    let hasty = PostgresOptions { migration_wait: Duration::from_millis(200), ..support::options(database.url()) };
    let error = refused(&hasty).await?;
    assert!(matches!(error, OpenError::Migrating { .. }), "{error:?}");
    drop(other);
    PostgresStore::open(&support::options(database.url())).await?;
    Ok(())
}

/// Requests fail soon and clearly, nothing hangs, and all is well once it is back.
#[tokio::test]
async fn a_database_that_goes_away_and_comes_back() -> Result<()> {
    let database = support::database().await?;
    let proxy = Proxy::start().await?;
    let port = server()
        .rsplit(':')
        .next()
        .and_then(|rest| rest.split('/').next())
        .map_or(5432, |port| port.parse().unwrap_or(5432));
    let there = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    proxy.lead_to([there]);
    let url = database.url();
    let host = url.split('@').nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default().to_owned();
    let url = url.replacen(&host, proxy.url().trim_start_matches("http://"), 1);
    let store: SharedStore = Arc::new(PostgresStore::open(&support::options(url)).await?);
    let owner = user(&store, "demo").await?;

    proxy.lead_to([]);
    database
        .client()
        .await?
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
            &[],
        )
        .await?;
    let gone = store.generation_count_running(owner).await;
    assert!(matches!(gone, Err(StoreError::Unavailable(_))), "{gone:?}");
    assert!(store.ping().await.is_err());
    let refused = store.turn_begin(new_turn(owner, "Now?", at(1))).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");

    proxy.lead_to([there]);
    assert_eq!(store.generation_count_running(owner).await?, 0);
    Ok(())
}

/// More requests than connections take turns; who waits for too long is told so.
#[tokio::test]
async fn a_pool_that_is_used_up_has_an_end() -> Result<()> {
    let database = support::database().await?;
    let options = PostgresOptions { connections: 2, ..support::options(database.url()) };
    let store: SharedStore = Arc::new(PostgresStore::open(&options).await?);
    let owner = user(&store, "demo").await?;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let store = store.clone();
        tasks.spawn(async move { store.generation_count_running(owner).await });
    }
    while let Some(counted) = tasks.join_next().await {
        assert_eq!(counted??, 0);
    }
    // Somebody keeps what both connections come to need.
    let mut other = database.client().await?;
    let lock = other.transaction().await?;
    lock.batch_execute("LOCK TABLE generation").await?;
    for _ in 0..8 {
        let store = store.clone();
        tasks.spawn(async move { store.generation_count_running(owner).await });
    }
    let begun = std::time::Instant::now();
    while let Some(counted) = tasks.join_next().await {
        let counted = counted?;
        assert!(matches!(counted, Err(StoreError::Unavailable(_))), "{counted:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(25), "bounded: {:?}", begun.elapsed());
    lock.rollback().await?;
    assert_eq!(store.generation_count_running(owner).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_password_is_asked_for_and_not_told() -> Result<()> {
    let server = OwnServer::start(None).await?;
    PostgresStore::open(&support::options(server.url())).await?;
    let wrong = server.url().replacen("correct-horse", "secret-pw", 1);
    let error = refused(&support::options(wrong)).await?;
    assert!(matches!(error, OpenError::Refused { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("secret-pw"), "{error:?}");
    // It speaks no TLS, and that is asked for.
    let encrypted = refused(&support::options(format!("{}?sslmode=require", server.url()))).await?;
    assert!(encrypted.to_string().contains("sslmode"), "{encrypted}");
    server.stop(Stop::Fast).await?;
    let error = refused(&support::options(server.url())).await?;
    assert!(matches!(error, OpenError::Unreachable { .. }), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn a_certificate_is_believed_as_sslmode_says() -> Result<()> {
    let (ours, theirs) = (Authority::new()?, Authority::new()?);
    let files = tempfile::tempdir()?;
    let root = |name: &str, authority: &Authority| {
        let file = files.path().join(name);
        std::fs::write(&file, authority.pem())?;
        anyhow::Ok(format!("sslrootcert={}", file.display()))
    };
    let (ours_file, theirs_file) = (root("ours", &ours)?, root("theirs", &theirs)?);
    for (host, is_ours) in [("127.0.0.1", true), ("db.example", false)] {
        let server = OwnServer::start(Some(&ours.identity(host)?)).await?;
        for (query, believed) in [
            ("sslmode=disable".to_owned(), true),
            ("sslmode=prefer".to_owned(), true),
            ("sslmode=require".to_owned(), true),
            (format!("sslmode=require&{theirs_file}"), false),
            (format!("sslmode=verify-ca&{ours_file}"), true),
            (format!("sslmode=verify-ca&{theirs_file}"), false),
            (format!("sslmode=verify-full&{ours_file}"), is_ours),
            (format!("sslmode=verify-full&{theirs_file}"), false),
            // The system's authorities don't know ours.
            ("sslrootcert=system".to_owned(), false),
        ] {
            let options = support::options(format!("{}?{query}", server.url()));
            match PostgresStore::open(&options).await {
                Ok(store) => {
                    anyhow::ensure!(believed, "{host}: {query} was believed");
                    store.ping().await?;
                }
                Err(error) => {
                    anyhow::ensure!(!believed, "{host}: {query}: {error:?}");
                    anyhow::ensure!(matches!(error, OpenError::Unreachable { .. }), "{query}: {error:?}");
                }
            }
        }
        // Encrypted it is, where that was asked for.
        let url = format!("{}?sslmode=require&application_name=encrypted", server.url());
        let store = PostgresStore::open(&support::options(url)).await?;
        store.ping().await?;
        let plain = r1_testkit::postgres::connect(&server.url()).await?;
        let count = "SELECT count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
            WHERE a.application_name = 'encrypted' AND NOT s.ssl";
        let unencrypted: i64 = plain.query_one(count, &[]).await?.get(0);
        assert_eq!(unencrypted, 0);
        let encrypted: i64 = plain.query_one(&count.replace("NOT ", ""), &[]).await?.get(0);
        assert!(encrypted > 0, "somebody is connected");
    }
    Ok(())
}
