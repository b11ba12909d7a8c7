//! One stream: how late its chunks come, and how far the gaps between them are off the upstream's own.
//!
//! The gap by itself says little here: whoever delays all chunks alike has the upstream's gaps. So the
//! delay is measured too, from the upstream's sending to the loader's reading.

use crate::{
    load,
    peers::FLOOR,
    report::{Figure, Goal},
    run::Bench,
    stats::percentile,
};

/// A window is this many times as long as the others: one stream has few chunks.
const LONGER: u32 = 2;

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let running = bench.server().await?;
    let figure =
        |what: &str, part: &str, goal| Figure::new(format!("{what}, 1 stream of 50 chunks/s{part}"), "µs", goal);
    let goal = || Some(Goal::AddedAtMost(FLOOR.to_owned(), 150.0));
    let mut gap = figure("gap", ", p50", goal());
    let mut off = figure("gap, off the upstream's own", ", p50", goal());
    let mut off_tail = figure("gap, off the upstream's own", ", p99", None);
    let mut median = figure("delay of a chunk", ", p50", goal());
    let mut tail = figure("delay of a chunk", ", p99", None);
    let mut cost = figure("CPU per chunk", "", None);
    for round in bench.rounds() {
        for target in bench.targets(&running, round) {
            let outcome = load::paced(&target, bench.upstream, 1, 50, bench.window() * LONGER).await?;
            bench.guard.saw(&outcome);
            gap.push(target.name, percentile(&outcome.gaps, 0.5));
            off.push(target.name, percentile(&outcome.jitter, 0.5));
            off_tail.push(target.name, percentile(&outcome.jitter, 0.99));
            median.push(target.name, percentile(&outcome.latencies, 0.5));
            tail.push(target.name, percentile(&outcome.latencies, 0.99));
            cost.push(target.name, outcome.cpu_per_chunk());
        }
    }
    for figure in [gap, off, off_tail, median, tail, cost] {
        bench.report.add(figure);
    }
    Ok(())
}
