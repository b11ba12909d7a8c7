//! How many chunks a second go into the logs: `append [STREAMS] [SECONDS]`. Each commit has one chunk of
//! each stream, and the next begins when it has ended, as under full load.

#![expect(clippy::print_stdout, reason = "a program for people, that measures")]

use std::{sync::Arc, time::Instant};

use r1_store_postgres::{PostgresOptions, PostgresStore};
use r1_testkit::{
    postgres::TestDatabase,
    store_contract::{SharedStore, append, at, begin, joined, new_turn, node, stored, user},
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let streams = args.next().transpose()?.unwrap_or(50);
    let seconds = args.next().transpose()?.unwrap_or(5);
    let database = TestDatabase::empty().await?;
    let store = PostgresStore::open(&PostgresOptions::new(database.url().into(), [0; 32])).await?;
    let store: SharedStore = Arc::new(store);
    joined(&store, node()).await?;
    let owner = user(&store, "demo").await?;
    let mut turns = Vec::new();
    for i in 0..streams {
        let turn = new_turn(owner, "How fast?", at(i64::try_from(i)?));
        begin(&store, &turn).await?;
        turns.push(turn);
    }
    let client = database.client().await?;
    let wal = async || -> anyhow::Result<i64> {
        Ok(client.query_one("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint", &[]).await?.get(0))
    };
    let (before, begun) = (wal().await?, Instant::now());
    let mut times = Vec::new();
    let mut seq = 2;
    while begun.elapsed().as_secs() < seconds {
        let batch = turns.iter().map(|turn| append(turn.generation_id, 1, seq, &["a few more words"])).collect();
        let commit = Instant::now();
        stored(&store, batch).await?;
        times.push(commit.elapsed());
        seq += 1;
    }
    let chunks = u64::try_from(times.len())? * streams;
    let rate = chunks as f64 / begun.elapsed().as_secs_f64();
    times.sort();
    let percentile = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!(
        "{streams} streams: {rate:.0} chunks/s, {} commits, {:.4} statements per chunk, commit p50 {:?} p99 {:?}, \
         {} bytes of WAL per chunk",
        times.len(),
        times.len() as f64 / chunks as f64,
        percentile(50),
        percentile(99),
        (wal().await? - before) / i64::try_from(chunks)?,
    );
    drop(client);
    let read = Instant::now();
    let log = store.log_read(owner, turns[0].generation_id).await?;
    println!(
        "a log of {} rows, {} bytes, is read in {:?}",
        times.len(),
        log.records.map_or(0, |r| r.len()),
        read.elapsed()
    );
    Ok(())
}
