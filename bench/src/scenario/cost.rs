//! Processor time per delivered chunk, with everything on: sign-in, durable log, event ids.
//!
//! A system that gathers chunks before it works on them pays less per chunk, and its chunks come later:
//! the delay stands beside the cost, always.

use crate::{
    guard::makes,
    load,
    pace::Pace,
    peers::NGINX,
    report::{Figure, Goal},
    run::Bench,
    stats::percentile,
};

/// Streams, and chunks a second of each.
const LOADS: &[(usize, u32)] = &[(100, 50), (200, 50), (500, 50), (1000, 20)];
const QUICK: &[(usize, u32)] = &[(20, 50)];
/// Streams, and chunks of each, as fast as possible.
const BACKLOG: (usize, u64) = (100, 5000);

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let running = bench.server().await?;
    for &(streams, rate) in bench.scale(LOADS, QUICK) {
        let what = format!("{streams} streams of {rate} chunks/s");
        if !bench.options.quick {
            ceiling(bench, &what, streams, rate).await?;
        }
        let goal = Goal::TimesAtMost(NGINX.to_owned(), 1.5);
        let mut cost = Figure::new(format!("CPU per chunk, {what}"), "µs", Some(goal));
        let mut delay = Figure::new(format!("delay of a chunk, {what}, p50"), "µs", None);
        let mut tail = Figure::new(format!("delay of a chunk, {what}, p99"), "µs", None);
        let mut late = Figure::new(format!("upstream behind its pace, {what}, p99"), "µs", None);
        for round in bench.rounds() {
            for target in bench.targets(&running, round) {
                let outcome = load::paced(&target, bench.upstream, streams, rate, bench.window()).await?;
                bench.guard.saw(&outcome);
                bench.guard.full(&what, target.name, &outcome, streams, rate);
                cost.push(target.name, outcome.cpu_per_chunk());
                delay.push(target.name, percentile(&outcome.latencies, 0.5));
                tail.push(target.name, percentile(&outcome.latencies, 0.99));
                late.push(target.name, outcome.late.p99);
            }
        }
        for figure in [cost, delay, tail, late] {
            bench.report.add(figure);
        }
    }
    let (streams, count) = bench.scale(BACKLOG, (10, 500));
    let what = format!("backlog, {streams} streams of {count} chunks");
    let mut cost = Figure::new(format!("CPU per chunk, {what}"), "µs", Some(Goal::AtMost(5.0)));
    let mut rate = Figure::new(format!("chunks a second, {what}"), "1/s", None);
    for round in bench.rounds() {
        for target in bench.targets(&running, round) {
            let outcome = load::backlog(&target, bench.upstream, streams, Pace::backlog(count)).await?;
            bench.guard.saw(&outcome);
            cost.push(target.name, outcome.cpu_per_chunk());
            rate.push(target.name, outcome.chunks as f64 / outcome.elapsed.as_secs_f64());
        }
    }
    bench.report.add(cost);
    bench.report.add(rate);
    Ok(())
}

/// What upstream and loader can do by themselves is the best of a few windows: one may have been
/// disturbed.
async fn ceiling(bench: &mut Bench, what: &str, streams: usize, rate: u32) -> anyhow::Result<()> {
    let mut direct = Vec::new();
    while direct.len() < 3 && !direct.last().is_some_and(|outcome| makes(outcome, streams, rate)) {
        direct.push(load::paced(&bench.direct(), bench.upstream, streams, rate, bench.window()).await?);
    }
    direct.last().map_or(Ok(()), |last| bench.guard.ceiling(what, last, streams, rate))
}
