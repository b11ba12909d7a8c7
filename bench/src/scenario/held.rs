//! How many streams of 50 chunks a second are held: every frame delivered, and no gap over twice
//! the pace. And the gaps of 256 of them.

use crate::{
    load,
    report::{Figure, Goal},
    run::Bench,
    stats::percentile,
};

const RATE: u32 = 50;
const STEPS: &[usize] = &[256, 512, 768, 1024];
const QUICK: &[usize] = &[16];

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let running = bench.server().await?;
    let pace = 1e6 / f64::from(RATE);
    let gap_goal = Some(Goal::AtMost(1.2 * pace));
    let mut gap = Figure::new("gap, 256 streams of 50 chunks/s, p99", "µs", gap_goal);
    let mut held = Figure::new("streams of 50 chunks/s held", "streams", Some(Goal::AtLeast(512.0)));
    for round in bench.rounds() {
        let mut targets = bench.targets(&running, round);
        if !bench.options.quick {
            targets.push(bench.direct());
        }
        for target in targets {
            let mut most = 0;
            for &streams in bench.scale(STEPS, QUICK) {
                let outcome = load::paced(&target, bench.upstream, streams, RATE, bench.window()).await?;
                bench.guard.saw(&outcome);
                if streams == STEPS[0] {
                    gap.push(target.name, percentile(&outcome.gaps, 0.99));
                }
                if percentile(&outcome.gaps, 1.0) > 2.0 * pace {
                    break;
                }
                most = streams;
            }
            held.push(target.name, most as f64);
        }
    }
    bench.report.add(gap);
    bench.report.add(held);
    Ok(())
}
