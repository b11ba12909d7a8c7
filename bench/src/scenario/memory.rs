//! Memory: idle, per running generation (with its reader and without), after the load has gone.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::followers::start;
use crate::{
    client::{Client, request},
    load,
    pace::Pace,
    peers::SERVER,
    proc,
    report::{Figure, Goal},
    run::{Bench, Running},
};

const IDLE: &str = "idle";
/// After the last stream, memory has this long to go down: longer than kept connections live.
const AFTERWARDS: Duration = Duration::from_secs(60);
const MIB: f64 = 1024.0 * 1024.0;

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let streams: u32 = bench.scale(1000, 20);
    let mut idle = Figure::new("memory, idle", "MiB", Some(Goal::AtMost(15e6 / MIB)));
    let mut with_reader = Figure::new("memory per running generation, with its reader", "KiB", None);
    let mut alone = Figure::new("memory per running generation", "KiB", Some(Goal::AtMost(24.0)));
    let mut after = Figure::new("memory, after 1,000 streams", "MiB", Some(Goal::TimesAtMost(IDLE.to_owned(), 1.5)));
    for _ in bench.few_rounds(2) {
        let directory = bench.directory();
        let server = bench.setup(&[]).start(&directory)?;
        let process = server.process.id();
        Client::connect(server.address).await?.call(request("/api/v1/health", None, None)?).await?;
        sleep(bench.scale(Duration::from_secs(1), Duration::ZERO)).await;
        let at_rest = proc::resident(process)? as f64;
        idle.push(SERVER, at_rest / MIB);

        let token = server.register(0).await?;
        let running = Running { server, token };
        let target = running.target();
        // What is allocated once, by the first requests, is no generation's.
        load::one_by_one(&target, bench.upstream, 20, || target.ask(Pace::backlog(1))).await?;
        let each = |now: u64, before: u64| now.saturating_sub(before) as f64 / f64::from(streams) / 1024.0;

        let before = proc::resident(process)?;
        let length = bench.scale(Duration::from_secs(15), Duration::from_millis(400));
        let slow = Pace::per_second(bench.scale(1, 50), length);
        let began = Instant::now();
        for _ in 0..streams {
            start(&target, slow).await?;
        }
        alone.push(SERVER, each(proc::resident(process)?, before));
        anyhow::ensure!(bench.options.quick || began.elapsed() < length, "generations ended before all had started");
        sleep(length + bench.scale(Duration::from_secs(1), Duration::ZERO)).await;

        let before = proc::resident(process)?;
        let outcome = load::paced(&target, bench.upstream, streams as usize, 1, bench.window()).await?;
        bench.guard.saw(&outcome);
        with_reader.push(SERVER, each(outcome.resident, before));

        let gone = Instant::now();
        let mut least = proc::resident(process)? as f64;
        while gone.elapsed() < bench.scale(AFTERWARDS, Duration::ZERO) && least > 1.2 * at_rest {
            sleep(Duration::from_secs(1)).await;
            least = least.min(proc::resident(process)? as f64);
        }
        after.push(SERVER, least / MIB);
        after.push(IDLE, at_rest / MIB);
    }
    for figure in [idle, alone, with_reader, after] {
        bench.report.add(figure);
    }
    Ok(())
}
