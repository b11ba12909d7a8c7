//! From a stop's sending until the upstream sees its connection closed, alone and beside other streams;
//! and until the stop is answered, its end stored.

use std::{collections::HashMap, time::Duration};

use anyhow::Context;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    check::{Checker, Faults},
    client::{Client, request},
    clock,
    load::UpstreamAt,
    pace::Pace,
    peers::{SERVER, Target},
    report::{Figure, Goal},
    run::Bench,
    stats::percentile,
};

/// Stops per round.
const STOPS: u64 = 200;
/// Streams that run meanwhile.
const OTHERS: usize = 256;
/// Chunks a second of every stream.
const RATE: u32 = 20;
/// Longer than everything here takes.
const LENGTH: Duration = Duration::from_secs(600);
/// Between two streams' beginnings: each is a commit that waits for the disk.
const APART: Duration = Duration::from_millis(5);
/// Whatever is waited for comes within this long, or not at all.
const PATIENCE: Duration = Duration::from_secs(60);

/// Microseconds, sorted; one per stop.
#[derive(Default)]
struct Stops {
    closed: Vec<u32>,
    answered: Vec<u32>,
}

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let beside = format!("beside {OTHERS} streams of {RATE} chunks/s");
    for (others, what) in [(0, "alone".to_owned()), (bench.scale(OTHERS, 10), beside)] {
        let figure = |of: &str, goal| Figure::new(format!("{of}, {what}"), "µs", goal);
        let mut median = figure("stop until the upstream is closed, p50", None);
        let mut tail = figure("stop until the upstream is closed, p99", Some(Goal::AtMost(50_000.0)));
        let mut worst = figure("stop until the upstream is closed, longest", None);
        let mut answered = figure("stop until it is answered, p99", None);
        for _ in bench.few_rounds(2) {
            // A new server each time: the others' generations would go on without their readers.
            let running = bench.server().await?;
            let target = running.target();
            let mut streams = open(&target, others).await?;
            let stops = stop_many(&target, bench.upstream, bench.scale(STOPS, 5)).await?;
            anyhow::ensure!(streams.try_join_next().is_none(), "a stream ended beside the stops");
            drop(streams);
            median.push(SERVER, percentile(&stops.closed, 0.5));
            tail.push(SERVER, percentile(&stops.closed, 0.99));
            worst.push(SERVER, percentile(&stops.closed, 1.0));
            answered.push(SERVER, percentile(&stops.answered, 0.99));
        }
        for figure in [median, tail, worst, answered] {
            bench.report.add(figure);
        }
    }
    Ok(())
}

/// Opens streams, each with a reader, and waits until all run.
async fn open(target: &Target, count: usize) -> anyhow::Result<JoinSet<anyhow::Result<()>>> {
    let mut streams = JoinSet::new();
    for _ in 0..count {
        let mut client = Client::connect(target.address).await?;
        let mut body = client.send(target.ask(Pace::per_second(RATE, LENGTH))?).await?.into_body();
        body.frame().await.context("a stream without a start")??;
        streams.spawn(async move {
            let _open = client;
            while let Some(frame) = body.frame().await {
                frame?;
            }
            Ok(())
        });
        sleep(APART).await;
    }
    Ok(streams)
}

async fn stop_many(target: &Target, upstream: UpstreamAt, count: u64) -> anyhow::Result<Stops> {
    let mut button = Client::connect(target.address).await?;
    let (mut sent, mut stops) = (HashMap::new(), Stops::default());
    for number in 0..count {
        // No two have the same number of chunks: the upstream knows them by it.
        let pace = Pace { count: 1_000_000 + number, ..Pace::per_second(RATE, LENGTH) };
        let (at, answered) = stop_one(target, &mut button, pace, number).await?;
        sent.insert(pace.count, at);
        stops.answered.push(answered);
    }
    let mut upstream = Client::connect(upstream.address).await?;
    let all = async {
        while !sent.is_empty() {
            let closed = upstream.json(request("/closed", None, None)?).await?;
            for (count, at) in serde_json::from_value::<Vec<(u64, i64)>>(closed)? {
                stops.closed.extend(sent.remove(&count).map(|sent| micros(at - sent)));
            }
            sleep(Duration::from_millis(10)).await;
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, all).await.context("the upstream's connection was not closed")??;
    stops.closed.sort_unstable();
    stops.answered.sort_unstable();
    Ok(stops)
}

/// Opens a stream, stops it over another connection, and reads it to its end. Gives back when the stop
/// was sent and how long its answer took.
async fn stop_one(target: &Target, button: &mut Client, pace: Pace, number: u64) -> anyhow::Result<(i64, u32)> {
    let mut client = Client::connect(target.address).await?;
    let mut body = client.send(target.ask(pace)?).await?.into_body();
    let (mut checker, mut chunks, mut path) = (Checker::default(), 0, None);
    let mut stopped = (0, 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        checker.feed(&data, |_| chunks += 1);
        if path.is_none() {
            let id = data.strip_prefix(b"id: ").and_then(|rest| rest.split(|&byte| byte == b':').next());
            let id = id.context("a stream without a start")?;
            path = Some(format!("/api/v1/chat/generations/{}/stop", String::from_utf8_lossy(id)));
        }
        if let Some(path) = path.as_ref().filter(|_| chunks > 0 && stopped.0 == 0) {
            // At any distance from the chunks.
            sleep(pace.every.mul_f64(number as f64 * 0.618_033_988_75 % 1.0)).await;
            let asked = request(path, target.token.as_deref(), Some(&Value::Null))?;
            let sent = clock::now();
            let answer = button.json(asked).await?;
            stopped = (sent, micros(clock::now() - sent));
            anyhow::ensure!(answer["status"] == json!("stopped"), "a stop's answer: {answer}");
        }
    }
    let faults = checker.finish(chunks);
    anyhow::ensure!(faults == Faults::default() && chunks > 0, "a stopped stream is not exact: {faults:?}");
    Ok(stopped)
}

fn micros(difference: i64) -> u32 {
    u32::try_from(difference.max(0)).unwrap_or(u32::MAX)
}
