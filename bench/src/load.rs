//! The loader: opens streams, checks each, and measures a window in which all of them run.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Context;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use serde::Deserialize;
use tokio::{
    sync::{Notify, oneshot},
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    check::{Checker, Faults},
    client::{Client, request},
    clock,
    pace::Pace,
    peers::Target,
    proc::{self, Cpu, Machine, processors},
};

/// Between the last stream's first chunk and the window.
const SETTLE: Duration = Duration::from_millis(500);
/// What a stream lasts beyond the window, so that none ends in it.
const MARGIN: Duration = Duration::from_millis(1500);
/// Opening the streams may take this many times as long as planned.
const SLACK: f64 = 1.5;
/// How long a stream is of which nothing is measured.
const UNMEASURED: Duration = Duration::from_millis(400);
/// Whatever is waited for comes within this long, or not at all.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a run of streams showed. All times are in microseconds.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Chunks delivered in the window.
    pub(crate) chunks: u64,
    /// How long the window was.
    pub(crate) elapsed: Duration,
    /// Processor time of the system under test in the window.
    pub(crate) cpu: Duration,
    /// Memory of the system under test at the window's end, in bytes.
    pub(crate) resident: u64,
    /// Share of the machine that others had in the window.
    pub(crate) foreign: f64,
    /// Share of a processor that the loader had: it is one thread.
    pub(crate) loader: f64,
    /// From the sending of a request to its first chunk, sorted.
    pub(crate) first: Vec<u32>,
    /// From the sending of a request to its arrival at the upstream, sorted.
    pub(crate) asked: Vec<u32>,
    /// Between two chunks of a stream at the reader, sorted.
    pub(crate) gaps: Vec<u32>,
    /// By how much that is off the gap with which the upstream sent the two, sorted.
    pub(crate) jitter: Vec<u32>,
    /// From a chunk's sending to its coming, sorted.
    pub(crate) latencies: Vec<u32>,
    /// How far behind its schedule the upstream was.
    pub(crate) late: Lateness,
}

impl Outcome {
    /// Microseconds of processor time per chunk.
    pub(crate) fn cpu_per_chunk(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.chunks.max(1) as f64
    }
}

/// What the upstream says of itself, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
pub(crate) struct Lateness {
    /// The 99th percentile.
    pub(crate) p99: f64,
}

/// What the tasks of a run share.
#[derive(Default)]
struct Window {
    open: AtomicBool,
    started: AtomicU64,
    delivered: AtomicU64,
    ended: AtomicU64,
    changed: Notify,
}

/// What one stream saw.
#[derive(Default)]
struct Seen {
    faults: Faults,
    first: u32,
    asked: u32,
    gaps: Vec<u32>,
    jitter: Vec<u32>,
    latencies: Vec<u32>,
}

/// The process that plays the upstream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UpstreamAt {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) process: u32,
}

/// Runs paced streams and measures a window in which all of them are open. The streams are read to
/// their ends, whatever the window is. With a window of no length nothing is measured: then all that
/// is said of the streams is that they were exact.
///
/// # Errors
/// A stream that is not exact, or that ended within the window.
pub(crate) async fn paced(
    target: &Target,
    upstream: UpstreamAt,
    streams: usize,
    rate: u32,
    length: Duration,
) -> anyhow::Result<Outcome> {
    paced_beside(target, upstream, streams, rate, length, None).await
}

/// Does the same, and says when the window begins.
///
/// # Errors
/// A stream that is not exact, or that ended within the window.
pub(crate) async fn paced_beside(
    target: &Target,
    upstream: UpstreamAt,
    streams: usize,
    rate: u32,
    length: Duration,
    opened: Option<oneshot::Sender<()>>,
) -> anyhow::Result<Outcome> {
    // Accepting a question is a commit with an fsync: some hundred a second.
    let apart = if target.token.is_some() { Duration::from_millis(5) } else { Duration::from_millis(1) };
    let ramp = apart * u32::try_from(streams)?;
    let unmeasured = length.is_zero();
    let asks = (0..streams).map(|number| {
        // All end together, however early they began.
        let begun = ramp.mul_f64(number as f64 / streams as f64);
        let lasts = if unmeasured { UNMEASURED } else { lasts(ramp, length) - begun };
        let pace = Pace::per_second(rate, lasts);
        Ok(Ask { request: target.ask(pace)?, count: pace.count })
    });
    let asks = asks.collect::<anyhow::Result<_>>()?;
    window(target, upstream, Load { asks, ramp, window: length, opened }).await
}

/// How long a stream that is there before the ramp has to be, so that it doesn't end in the window.
pub(crate) fn lasts(ramp: Duration, window: Duration) -> Duration {
    if window.is_zero() { UNMEASURED } else { ramp.mul_f64(SLACK) + SETTLE + window + MARGIN }
}

/// A stream to be opened.
pub(crate) struct Ask {
    pub(crate) request: Request<Full<Bytes>>,
    /// The chunks that it has to have.
    pub(crate) count: u64,
}

/// Streams to be opened.
pub(crate) struct Load {
    pub(crate) asks: Vec<Ask>,
    /// In how much time they are opened.
    pub(crate) ramp: Duration,
    /// How long is measured.
    pub(crate) window: Duration,
    /// Told when that begins; where nothing is measured, the other side is dropped.
    pub(crate) opened: Option<oneshot::Sender<()>>,
}

/// Opens streams and measures a window in which all of them run.
///
/// # Errors
/// A stream that is not exact, or that ended within the window.
pub(crate) async fn window(target: &Target, upstream: UpstreamAt, load: Load) -> anyhow::Result<Outcome> {
    let streams = load.asks.len() as u64;
    let window = Arc::new(Window::default());
    let mut tasks = open(target, load.asks, load.ramp, &window);
    if load.window.is_zero() {
        let mut outcome = Outcome::default();
        collect(tasks, &mut outcome, target).await?;
        return Ok(outcome);
    }
    let all_started = window.reached(&window.started, streams);
    tokio::select! {
        waited = timeout(PATIENCE, all_started) => waited.context("not every stream came to its first chunk")?,
        // Streams are longer than that takes: one that ends earlier has failed.
        Some(ended) = tasks.join_next() => { ended??; anyhow::bail!("a stream ended before all had started") }
    }
    sleep(SETTLE).await;
    lateness(upstream).await?;
    let before = Snapshot::take(target, upstream, &window)?;
    window.open.store(true, Relaxed);
    // Nobody may want to know.
    let _ = load.opened.map(|opened| opened.send(()));
    sleep(load.window).await;
    window.open.store(false, Relaxed);
    let mut outcome = Snapshot::take(target, upstream, &window)?.since(&before);
    outcome.resident = target.process.map_or(Ok(0), proc::resident)?;
    anyhow::ensure!(window.ended.load(Relaxed) == 0, "a stream ended within the window");
    outcome.late = lateness(upstream).await?;
    anyhow::ensure!(target.process.is_none() || !outcome.cpu.is_zero(), "{} has no accounts", target.name);
    collect(tasks, &mut outcome, target).await?;
    Ok(outcome)
}

/// Runs streams as fast as possible; the window is all of it.
///
/// # Errors
/// A stream that is not exact.
pub(crate) async fn backlog(
    target: &Target,
    upstream: UpstreamAt,
    streams: usize,
    pace: Pace,
) -> anyhow::Result<Outcome> {
    let window = Arc::new(Window::default());
    let before = Snapshot::take(target, upstream, &window)?;
    let asks = (0..streams).map(|_| Ok(Ask { request: target.ask(pace)?, count: pace.count }));
    let tasks = open(target, asks.collect::<anyhow::Result<_>>()?, Duration::ZERO, &window);
    let mut outcome = Outcome::default();
    collect(tasks, &mut outcome, target).await?;
    let spent = Snapshot::take(target, upstream, &window)?.since(&before);
    Ok(Outcome { first: outcome.first, asked: outcome.asked, ..spent })
}

/// Asks for one stream of one chunk after the other, over one connection.
///
/// # Errors
/// A stream that is not exact.
pub(crate) async fn one_by_one(
    target: &Target,
    upstream: UpstreamAt,
    count: usize,
    ask: impl Fn() -> anyhow::Result<Request<Full<Bytes>>>,
) -> anyhow::Result<Outcome> {
    let mut client = Client::connect(target.address).await?;
    let window = Window::default();
    let before = Snapshot::take(target, upstream, &window)?;
    let mut outcome = Outcome::default();
    for _ in 0..count {
        let seen = read(&mut client, ask()?, 1, &window).await?;
        exact(seen.faults, target)?;
        outcome.first.push(seen.first);
        outcome.asked.push(seen.asked);
    }
    outcome.first.sort_unstable();
    outcome.asked.sort_unstable();
    let spent = Snapshot::take(target, upstream, &window)?.since(&before);
    Ok(Outcome { first: outcome.first, asked: outcome.asked, ..spent })
}

fn open(target: &Target, asks: Vec<Ask>, ramp: Duration, window: &Arc<Window>) -> JoinSet<anyhow::Result<Seen>> {
    let (began, streams) = (Instant::now(), asks.len());
    let mut tasks = JoinSet::new();
    for (number, ask) in asks.into_iter().enumerate() {
        let (address, window) = (target.address, window.clone());
        tasks.spawn(async move {
            sleep_until(began + ramp.mul_f64(number as f64 / streams as f64)).await;
            let mut client = Client::connect(address).await?;
            let seen = read(&mut client, ask.request, ask.count, &window).await;
            window.ended.fetch_add(1, Relaxed);
            seen
        });
    }
    tasks
}

/// Reads one stream to its end.
async fn read(client: &mut Client, asked: Request<Full<Bytes>>, count: u64, window: &Window) -> anyhow::Result<Seen> {
    let (mut seen, mut checker) = (Seen::default(), Checker::default());
    let mut last: Option<(i64, i64)> = None;
    let sent = clock::now();
    let response = client.send(asked).await?;
    let status = response.status();
    let mut body = response.into_body();
    if !status.is_success() {
        let said = body.collect().await?.to_bytes();
        anyhow::bail!("a stream was refused: {status}: {}", String::from_utf8_lossy(&said));
    }
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let now = clock::now();
        let mut chunks = 0;
        checker.feed(&data, |mark| {
            chunks += 1;
            match last {
                Some((last, last_sent)) if window.open.load(Relaxed) => {
                    seen.gaps.push(micros(now - last));
                    seen.jitter.push(micros(((now - last) - (mark.sent_at - last_sent)).abs()));
                    seen.latencies.push(micros(now - mark.sent_at));
                }
                Some(_) => {}
                None => {
                    (seen.first, seen.asked) = (micros(now - sent), micros(mark.sent_at - sent));
                    window.started.fetch_add(1, Relaxed);
                    window.changed.notify_waiters();
                }
            }
            last = Some((now, mark.sent_at));
        });
        window.delivered.fetch_add(chunks, Relaxed);
    }
    if let Some(error) = checker.error.take() {
        anyhow::bail!("a stream failed: {error}");
    }
    seen.faults = checker.finish(count);
    Ok(seen)
}

fn micros(difference: i64) -> u32 {
    u32::try_from(difference.max(0)).unwrap_or(u32::MAX)
}

async fn collect(
    mut tasks: JoinSet<anyhow::Result<Seen>>,
    outcome: &mut Outcome,
    target: &Target,
) -> anyhow::Result<()> {
    let mut faults = Faults::default();
    let all = async {
        while let Some(ended) = tasks.join_next().await {
            let seen = ended??;
            faults.add(seen.faults);
            outcome.first.push(seen.first);
            outcome.asked.push(seen.asked);
            outcome.gaps.extend(seen.gaps);
            outcome.jitter.extend(seen.jitter);
            outcome.latencies.extend(seen.latencies);
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, all).await.context("streams that do not end")??;
    let Outcome { first, asked, gaps, jitter, latencies, .. } = outcome;
    for values in [first, asked, gaps, jitter, latencies] {
        values.sort_unstable();
    }
    exact(faults, target)
}

fn exact(faults: Faults, target: &Target) -> anyhow::Result<()> {
    anyhow::ensure!(faults == Faults::default(), "{} is not exact: {faults:?}", target.name);
    Ok(())
}

async fn lateness(upstream: UpstreamAt) -> anyhow::Result<Lateness> {
    let mut client = Client::connect(upstream.address).await?;
    Ok(serde_json::from_value(client.json(request("/lateness", None, None)?).await?)?)
}

impl Window {
    async fn reached(&self, counter: &AtomicU64, wanted: u64) {
        loop {
            let changed = self.changed.notified();
            if counter.load(Relaxed) >= wanted {
                return;
            }
            changed.await;
        }
    }
}

/// The accounts at one moment.
struct Snapshot {
    at: Instant,
    target: Cpu,
    upstream: Cpu,
    loader: Cpu,
    machine: Machine,
    delivered: u64,
}

impl Snapshot {
    fn take(target: &Target, upstream: UpstreamAt, window: &Window) -> anyhow::Result<Self> {
        Ok(Self {
            at: Instant::now(),
            target: target.process.map_or_else(|| Ok(Cpu::default()), Cpu::of)?,
            upstream: Cpu::of(upstream.process)?,
            // Not its children: they are the others.
            loader: Cpu::of_one(std::process::id())?,
            machine: Machine::now()?,
            delivered: window.delivered.load(Relaxed),
        })
    }

    fn since(&self, earlier: &Self) -> Outcome {
        let elapsed = self.at - earlier.at;
        let cpu = self.target.since(&earlier.target);
        let loader = self.loader.since(&earlier.loader);
        let ours = cpu + self.upstream.since(&earlier.upstream) + loader;
        let machine = elapsed.as_secs_f64() * processors() as f64;
        let foreign = (self.machine.since(&earlier.machine) - ours.as_secs_f64()).max(0.0) / machine;
        let loader = loader.as_secs_f64() / elapsed.as_secs_f64();
        Outcome { chunks: self.delivered - earlier.delivered, elapsed, cpu, foreign, loader, ..Outcome::default() }
    }
}
