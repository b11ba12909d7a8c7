//! What one stream's chunks are held up, from the upstream's sending to the loader's reading.

use crate::{
    load,
    peers::FLOOR,
    report::{Figure, Goal},
    run::Bench,
    stats::percentile,
};

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let running = bench.server().await?;
    let goal = Goal::AddedAtMost(FLOOR.to_owned(), 150.0);
    let mut median = Figure::new("delay of a chunk, 1 stream of 50 chunks/s, p50", "µs", Some(goal));
    let mut tail = Figure::new("delay of a chunk, 1 stream of 50 chunks/s, p99", "µs", None);
    let mut cost = Figure::new("CPU per chunk, 1 stream of 50 chunks/s", "µs", None);
    for round in bench.rounds() {
        for target in bench.targets(&running, round) {
            let outcome = load::paced(&target, bench.upstream, 1, 50, bench.window()).await?;
            bench.guard.saw(&outcome);
            median.push(target.name, percentile(&outcome.latencies, 0.5));
            tail.push(target.name, percentile(&outcome.latencies, 0.99));
            cost.push(target.name, outcome.cpu_per_chunk());
        }
    }
    for figure in [median, tail, cost] {
        bench.report.add(figure);
    }
    Ok(())
}
