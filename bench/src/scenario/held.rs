//! How many streams of 50 chunks a second are held: every frame delivered, and no gap over twice
//! the pace. And the gaps of 256 of them.
//!
//! "No gap" is meant: one in some 75,000 (512 streams, 3 s) is one too many, whoever's it is. So the
//! upstream and the loader by themselves stand beside it, and how many gaps there were.

use crate::{
    load,
    peers::SERVER,
    report::{Figure, Goal},
    run::Bench,
    stats::percentile,
};

const RATE: u32 = 50;
const STEPS: &[usize] = &[256, 512, 1024];
const QUICK: &[usize] = &[16];
/// The step that the goal names.
const GOAL: usize = 512;

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let running = bench.server().await?;
    let pace = 1e6 / f64::from(RATE);
    let gap_goal = Some(Goal::AtMost(1.2 * pace));
    let mut gap = Figure::new("gap, 256 streams of 50 chunks/s, p99", "µs", gap_goal);
    let mut off = Figure::new("gap, off the upstream's own, 256 streams of 50 chunks/s, p99", "µs", None);
    let mut held = Figure::new("streams of 50 chunks/s held", "streams", Some(Goal::AtLeast(GOAL as f64)));
    let mut over = Figure::new("gaps over twice the pace, 512 streams of 50 chunks/s", "per million", None);
    let mut longest = Figure::new("longest gap, 512 streams of 50 chunks/s", "ms", None);
    for round in bench.few_rounds(2) {
        let mut targets = bench.targets(&running, round);
        if !bench.options.quick {
            targets.push(bench.direct());
        }
        for target in targets {
            let (mut most, mut holds) = (0, true);
            for &streams in bench.scale(STEPS, QUICK) {
                let outcome = load::paced(&target, bench.upstream, streams, RATE, bench.window()).await?;
                bench.guard.saw(&outcome);
                let too_long = outcome.gaps.len() - outcome.gaps.partition_point(|&gap| f64::from(gap) <= 2.0 * pace);
                if streams == STEPS[0] {
                    gap.push(target.name, percentile(&outcome.gaps, 0.99));
                    off.push(target.name, percentile(&outcome.jitter, 0.99));
                }
                if streams == GOAL {
                    over.push(target.name, too_long as f64 * 1e6 / outcome.gaps.len().max(1) as f64);
                    longest.push(target.name, percentile(&outcome.gaps, 1.0) / 1e3);
                }
                holds &= too_long == 0;
                if holds {
                    most = streams;
                }
                // How far it goes beyond the goal is asked of the server alone.
                if streams >= GOAL && !(holds && target.name == SERVER) {
                    break;
                }
            }
            held.push(target.name, most as f64);
        }
    }
    for figure in [gap, off, held, over, longest] {
        bench.report.add(figure);
    }
    Ok(())
}
