//! Hints from process to process.

use std::time::Duration;

use anyhow::{Context, Result};
use r1_domain::{
    id::SessionId,
    nodes::{Bus, Signal},
};
use r1_testkit::store_contract::at;
use tokio::time::timeout;

use crate::support;

/// The next hint, or none within a while.
async fn heard(bus: &dyn Bus) -> Result<Signal> {
    timeout(Duration::from_secs(10), bus.hear()).await.context("nothing was heard")
}

#[tokio::test]
async fn all_others_hear_what_one_tells() -> Result<()> {
    let database = support::database().await?;
    let stores = [support::open(&database).await?, support::open(&database).await?, support::open(&database).await?];
    let [one, two, three] = stores.each_ref().map(|store| store.bus());
    for bus in [&one, &two, &three] {
        assert_eq!(heard(bus.as_ref()).await?, Signal::Missed, "from now on it hears");
    }
    let session = Signal::Session(SessionId::new(at(1)));
    for signal in [Signal::Log, Signal::Stop, Signal::Nodes, session] {
        one.tell(signal);
        for other in [&two, &three] {
            assert_eq!(heard(other.as_ref()).await?, signal);
        }
    }
    // Its own it does not hear.
    two.tell(Signal::Log);
    assert_eq!(heard(one.as_ref()).await?, Signal::Log);
    assert!(timeout(Duration::from_millis(100), one.hear()).await.is_err());
    Ok(())
}

#[tokio::test]
async fn who_was_deaf_is_told_so() -> Result<()> {
    let database = support::database().await?;
    let (here, there) = (support::open(&database).await?, support::open(&database).await?);
    let (here, there) = (here.bus(), there.bus());
    for bus in [&here, &there] {
        assert_eq!(heard(bus.as_ref()).await?, Signal::Missed);
    }
    let all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    database.client().await?.execute(all, &[]).await?;
    assert_eq!(heard(there.as_ref()).await?, Signal::Missed);
    // Told over a connection that is gone by now, it may be lost; the next one is not.
    here.tell(Signal::Log);
    while timeout(Duration::from_millis(200), there.hear()).await != Ok(Signal::Stop) {
        here.tell(Signal::Stop);
    }
    Ok(())
}

#[tokio::test]
async fn ten_thousand_hints_are_a_few() -> Result<()> {
    let database = support::database().await?;
    let (here, there) = (support::open(&database).await?, support::open(&database).await?);
    let (here, there) = (here.bus(), there.bus());
    assert_eq!(heard(there.as_ref()).await?, Signal::Missed);
    for _ in 0..10_000 {
        here.tell(Signal::Log);
    }
    let mut count = 0;
    while timeout(Duration::from_millis(300), there.hear()).await.is_ok() {
        count += 1;
    }
    assert!((1..10).contains(&count), "{count}");
    Ok(())
}
