//! Time to the first chunk of one client: a question stored durably, an upstream asked, a chunk
//! stored, a chunk delivered.

use crate::{
    load,
    peers::FLOOR,
    report::{Figure, Goal},
    run::Bench,
    stats::percentile,
};

/// Questions per round.
const QUESTIONS: usize = 300;

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let running = bench.server().await?;
    let added = |most| Some(Goal::AddedAtMost(FLOOR.to_owned(), most));
    let mut median = Figure::new("first chunk, 1 client, p50", "µs", added(1000.0));
    let mut tail = Figure::new("first chunk, 1 client, p99", "µs", added(3000.0));
    let mut asked = Figure::new("until the upstream is asked, 1 client, p50", "µs", None);
    for round in bench.rounds() {
        for target in bench.targets(&running, round) {
            let pace = crate::pace::Pace::backlog(1);
            let questions = bench.scale(QUESTIONS, 5);
            let outcome = load::one_by_one(&target, bench.upstream, questions, || target.ask(pace)).await?;
            bench.guard.saw(&outcome);
            median.push(target.name, percentile(&outcome.first, 0.5));
            tail.push(target.name, percentile(&outcome.first, 0.99));
            asked.push(target.name, percentile(&outcome.asked, 0.5));
        }
    }
    for figure in [median, tail, asked] {
        bench.report.add(figure);
    }
    Ok(())
}
