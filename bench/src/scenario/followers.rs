//! Ten thousand readers of slow generations: all get every chunk, and each costs little memory.

use std::time::Duration;

use anyhow::Context;
use http_body_util::BodyExt;

use crate::{
    client::{Client, request},
    load::{self, Ask, Load},
    pace::Pace,
    peers::{SERVER, Target},
    proc,
    report::{Figure, Goal},
    run::Bench,
    stats::percentile,
};

/// Between the openings of two followers.
const APART: Duration = Duration::from_micros(1500);

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let (generations, followers) = bench.scale((20, 10_000), (2, 50));
    let mut open = Figure::new("followers of generations of 1 chunk/s", "followers", Some(Goal::AtLeast(10_000.0)));
    let mut memory = Figure::new("memory per follower", "KiB", Some(Goal::AtMost(8.0)));
    let mut cost = Figure::new("CPU per chunk, followers of 1 chunk/s", "µs", None);
    let mut tail = Figure::new("delay of a chunk, followers of 1 chunk/s, p99", "µs", None);
    for _ in bench.few_rounds(2) {
        let running = bench.server().await?;
        let target = running.target();
        let ramp = APART * followers;
        // The rest is for starting the generations.
        let length = load::lasts(ramp, bench.window()) + bench.scale(Duration::from_secs(2), Duration::ZERO);
        let pace = Pace::per_second(bench.scale(1, 50), length);
        let mut asks = Vec::new();
        let mut ids = Vec::new();
        for _ in 0..generations {
            ids.push(start(&target, pace).await?);
        }
        let before = proc::resident(running.server.process.id())?;
        for number in 0..followers as usize {
            let path = format!("/api/v1/chat/stream?generation_id={}", ids[number % ids.len()]);
            asks.push(Ask { request: request(&path, Some(&running.token), None)?, count: pace.count });
        }
        let load = Load { asks, ramp, window: bench.window(), opened: None };
        let outcome = load::window(&target, bench.upstream, load).await?;
        bench.guard.saw(&outcome);
        open.push(SERVER, f64::from(followers));
        memory.push(SERVER, outcome.resident.saturating_sub(before) as f64 / f64::from(followers) / 1024.0);
        cost.push(SERVER, outcome.cpu_per_chunk());
        tail.push(SERVER, percentile(&outcome.latencies, 0.99));
    }
    for figure in [open, memory, cost, tail] {
        bench.report.add(figure);
    }
    Ok(())
}

/// Starts a generation and leaves it: its reader goes, it stays. Gives its id.
pub(super) async fn start(target: &Target, pace: Pace) -> anyhow::Result<String> {
    let mut client = Client::connect(target.address).await?;
    let mut body = client.send(target.ask(pace)?).await?.into_body();
    let frame = body.frame().await.context("a stream without a start")??;
    let first = frame.into_data().ok().context("a stream without a start")?;
    let first = String::from_utf8_lossy(&first).into_owned();
    let id = first.strip_prefix("id: ").and_then(|rest| rest.split_once(':'));
    Ok(id.with_context(|| format!("no start: {first}"))?.0.to_owned())
}
