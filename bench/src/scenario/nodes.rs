//! Two nodes on one PostgreSQL: what a reader on the other node waits longer, and what the database carries.
//!
//! The database is a stranger to the guard, which would take its work for a loaded machine: it is not told of
//! these windows.

use r1_testkit::postgres::TestDatabase;

use super::followers::start;
use crate::{
    client::request,
    load::{self, Ask, Load},
    pace::Pace,
    peers::{SERVER, Target},
    process::say,
    report::{Figure, Goal},
    run::Bench,
    stats::percentile,
};

/// The same generations, read where they run.
const OWN: &str = "own node";

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    // Asked first: without a server there is nothing to measure.
    if let Err(error) = TestDatabase::empty().await {
        anyhow::ensure!(!bench.options.quick, "{error:#}");
        say(format_args!("  left out: {error:#}"));
        bench.guard.note("nodes: no PostgreSQL server answered".to_owned());
        return Ok(());
    }
    delivery(bench).await?;
    throughput(bench).await
}

async fn delivery(bench: &mut Bench) -> anyhow::Result<()> {
    let (streams, rate) = bench.scale((100_u32, 20), (4, 50));
    let what = format!("delay of a chunk read on another node, {streams} generations of {rate} chunks/s");
    let mut median = Figure::new(format!("{what}, p50"), "µs", Some(Goal::AddedAtMost(OWN.to_owned(), 5000.0)));
    let mut tail = Figure::new(format!("{what}, p99"), "µs", Some(Goal::AddedAtMost(OWN.to_owned(), 25_000.0)));
    for round in bench.few_rounds(2) {
        let database = TestDatabase::empty().await?;
        let settings = [("DATABASE_URL", database.url()), ("SECRET_KEY", "k".repeat(32))];
        let settings = settings.each_ref().map(|(key, value)| (*key, value.as_str()));
        let running = bench.server_with(&settings).await?;
        let directory = bench.directory();
        let other = bench.setup(&settings).start(&directory)?;
        let own = running.target();
        let there = Target { address: other.address, process: Some(other.process.id()), ..own.clone() };
        let mut systems = [(SERVER, there), (OWN, own.clone())];
        systems.rotate_left(round % 2);
        for (system, target) in systems {
            let ramp = std::time::Duration::from_millis(2) * streams;
            // The rest is for starting the generations.
            let length = load::lasts(ramp, bench.window()) + std::time::Duration::from_millis(15) * streams;
            let pace = Pace::per_second(rate, length);
            let mut asks = Vec::new();
            for _ in 0..streams {
                let path = format!("/api/v1/chat/stream?generation_id={}", start(&own, pace).await?);
                asks.push(Ask { request: request(&path, target.token.as_deref(), None)?, count: pace.count });
            }
            let load = Load { asks, ramp, window: bench.window(), opened: None };
            let outcome = load::window(&target, bench.upstream, load).await?;
            median.push(system, percentile(&outcome.latencies, 0.5));
            tail.push(system, percentile(&outcome.latencies, 0.99));
        }
    }
    bench.report.add(median);
    bench.report.add(tail);
    Ok(())
}

/// Every chunk is on the database's disk before it is shown.
async fn throughput(bench: &mut Bench) -> anyhow::Result<()> {
    let (streams, count) = bench.scale((100, 5000), (10, 500));
    let what = format!("PostgreSQL, backlog of {streams} streams of {count} chunks");
    let mut rate = Figure::new(format!("chunks a second, {what}"), "1/s", Some(Goal::AtLeast(10_000.0)));
    let (paced, pace) = bench.scale((200, 50), (4, 50));
    let load = format!("PostgreSQL, {paced} streams of {pace} chunks/s");
    let mut statements = Figure::new(format!("statements per chunk, {load}"), "", Some(Goal::AtMost(0.05)));
    let mut delay = Figure::new(format!("delay of a chunk, {load}, p50"), "µs", None);
    let mut tail = Figure::new(format!("delay of a chunk, {load}, p99"), "µs", None);
    for _ in bench.few_rounds(2) {
        let database = TestDatabase::empty().await?;
        let settings = [("DATABASE_URL", database.url()), ("SECRET_KEY", "k".repeat(32))];
        let settings = settings.each_ref().map(|(key, value)| (*key, value.as_str()));
        let running = bench.server_with(&settings).await?;
        let client = database.client().await?;
        let (before, _) = counted(&client).await?;
        let outcome = load::paced(&running.target(), bench.upstream, paced, pace, bench.window()).await?;
        let (after, events) = counted(&client).await?;
        statements.push(SERVER, (after - before) / events.max(1.0));
        delay.push(SERVER, percentile(&outcome.latencies, 0.5));
        tail.push(SERVER, percentile(&outcome.latencies, 0.99));
        let outcome = load::backlog(&running.target(), bench.upstream, streams, Pace::backlog(count)).await?;
        rate.push(SERVER, outcome.chunks as f64 / outcome.elapsed.as_secs_f64());
    }
    for figure in [rate, statements, delay, tail] {
        bench.report.add(figure);
    }
    Ok(())
}

/// Transactions so far, each of them a statement or more with one wait for the disk, and events in all logs.
async fn counted(client: &r1_testkit::postgres::Client) -> anyhow::Result<(f64, f64)> {
    // The server counts a session's last transactions a second later.
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    let counted = "SELECT (SELECT xact_commit::float8 FROM pg_stat_database WHERE datname = current_database()),
        (SELECT coalesce(sum(next_seq - first_seq), 0)::float8 FROM generation_log)";
    let row = client.query_one(counted, &[]).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}
