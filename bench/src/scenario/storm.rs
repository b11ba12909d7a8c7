//! A thousand questions within a second, beside running streams: how late the streams' chunks come, what becomes of
//! the questions, and what a question costs.
//!
//! A question is answered, or refused with 503 and `Retry-After`. Anything else ends the run with an error.

use std::time::Duration;

use anyhow::Context;
use http::{StatusCode, header};
use http_body_util::BodyExt;
use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    check::{Checker, Faults},
    client::Client,
    clock,
    load::{self, paced_beside},
    pace::Pace,
    peers::{SERVER, Target},
    report::{Figure, Goal},
    run::Bench,
    stats::percentile,
};

const QUIET: &str = "quiet";
/// Streams that run meanwhile, and their chunks a second.
const STREAMS: usize = 100;
const RATE: u32 = 20;
/// Questions, and the time in which they come.
const QUESTIONS: u32 = 1000;
const LENGTH: Duration = Duration::from_secs(1);
/// Questions at once whose processor time is measured.
const AT_ONCE: usize = 300;
/// Whatever is waited for comes within this time, or not at all.
const PATIENCE: Duration = Duration::from_secs(120);

/// What became of a storm's questions.
#[derive(Default)]
struct Questions {
    /// From the sending of an accepted question to its first chunk, in microseconds, sorted.
    first: Vec<u32>,
    /// Told to come later.
    refused: u32,
}

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let running = bench.server().await?;
    let target = running.target();
    let (streams, questions) = (bench.scale(STREAMS, 5), bench.scale(QUESTIONS, 20));
    // The window is the storm's, and what it leaves to be done.
    let window = bench.scale(LENGTH * 2, Duration::ZERO);
    let beside = format!("beside {QUESTIONS} questions in a second, {STREAMS} streams of {RATE} chunks/s");
    let late = |part: &str, goal| Figure::new(format!("delay of a chunk {beside}, {part}"), "µs", goal);
    let (mut median, mut tail) = (late("p50", None), late("p99", None));
    let mut worst = late("p99.9", Some(Goal::AtMost(100_000.0)));
    let first =
        |part: &str| Figure::new(format!("first chunk of a question, of {QUESTIONS} in a second, {part}"), "µs", None);
    let (mut first_median, mut first_tail) = (first("p50"), first("p99"));
    let mut refused = Figure::new(format!("questions told to come later, of {QUESTIONS} in a second"), "", None);
    let mut cost = Figure::new(format!("CPU per question, {AT_ONCE} at once"), "µs", Some(Goal::AtMost(800.0)));
    for round in bench.rounds() {
        let mut systems = [QUIET, SERVER];
        systems.rotate_left(round % 2);
        for name in systems {
            let (opened, begins) = oneshot::channel();
            let mut storm = JoinSet::new();
            if name == SERVER {
                storm.spawn(ask_all(target.clone(), questions, begins));
            }
            let outcome = paced_beside(&target, bench.upstream, streams, RATE, window, Some(opened)).await?;
            bench.guard.saw(&outcome);
            median.push(name, percentile(&outcome.latencies, 0.5));
            tail.push(name, percentile(&outcome.latencies, 0.99));
            worst.push(name, percentile(&outcome.latencies, 0.999));
            if let Some(questions) = timeout(PATIENCE, storm.join_next()).await.context("questions without an end")? {
                let questions = questions??;
                first_median.push(name, percentile(&questions.first, 0.5));
                first_tail.push(name, percentile(&questions.first, 0.99));
                refused.push(name, f64::from(questions.refused));
            }
        }
        let at_once = bench.scale(AT_ONCE, 5);
        let outcome = load::backlog(&target, bench.upstream, at_once, Pace::backlog(1)).await?;
        cost.push(SERVER, outcome.cpu.as_secs_f64() * 1e6 / at_once as f64);
    }
    for figure in [median, tail, worst, first_median, first_tail, refused, cost] {
        bench.report.add(figure);
    }
    Ok(())
}

/// Asks this many questions, evenly within a second, each over a connection of its own.
async fn ask_all(target: Target, count: u32, begins: oneshot::Receiver<()>) -> anyhow::Result<Questions> {
    // Where nothing is measured there is no beginning to wait for.
    let _ = begins.await;
    let (mut asked, began) = (JoinSet::new(), Instant::now());
    for number in 0..count {
        let target = target.clone();
        asked.spawn(async move {
            sleep_until(began + LENGTH * number / count).await;
            ask(&target).await
        });
    }
    let mut questions = Questions::default();
    while let Some(first) = asked.join_next().await {
        match first?? {
            Some(first) => questions.first.push(first),
            None => questions.refused += 1,
        }
    }
    questions.first.sort_unstable();
    Ok(questions)
}

/// Asks one and reads its answer. Gives the time to its first chunk; none if it was told to come later.
async fn ask(target: &Target) -> anyhow::Result<Option<u32>> {
    let pace = Pace::backlog(3);
    let mut client = Client::connect(target.address).await?;
    let sent = clock::now();
    let response = client.send(target.ask(pace)?).await?;
    let (head, mut body) = response.into_parts();
    if head.status == StatusCode::SERVICE_UNAVAILABLE && head.headers.contains_key(header::RETRY_AFTER) {
        return Ok(None);
    }
    anyhow::ensure!(head.status.is_success(), "a question was refused: {}", head.status);
    let (mut checker, mut first) = (Checker::default(), None);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let now = clock::now();
        checker.feed(&data, |_| {
            first.get_or_insert(u32::try_from(now - sent).unwrap_or(u32::MAX));
        });
    }
    let faults = checker.finish(pace.count);
    anyhow::ensure!(faults == Faults::default(), "a storm's stream is not exact: {faults:?}");
    first.map(Some).context("an answer without a chunk")
}
