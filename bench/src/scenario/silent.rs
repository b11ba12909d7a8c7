//! Four hundred readers with and without a hundred beside them that read nothing.

use std::time::Duration;

use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
};

use super::followers::start;
use crate::{
    client::request,
    load::{self, Ask, Load, Outcome},
    pace::Pace,
    peers::{SERVER, Target},
    report::{Figure, Goal},
    run::Bench,
    stats::percentile,
};

/// The same readers by themselves.
const ALONE: &str = "alone";
/// Between the openings of two readers.
const APART: Duration = Duration::from_millis(5);
/// Chunks of an answer that are there when the silent ones come: enough to block them at once.
const HEAD: u64 = 1000;
/// The least receive buffer that the kernel gives.
const SMALL_BUFFER: u32 = 2048;

struct Scale {
    generations: usize,
    readers: u32,
    silent: usize,
    rate: u32,
    head: u64,
}

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let full = Scale { generations: 10, readers: 400, silent: 100, rate: 50, head: HEAD };
    let quick = Scale { generations: 2, readers: 20, silent: 5, rate: 50, head: 100 };
    let scale = bench.scale(full, quick);
    let what = format!("{} readers beside {} that read nothing", scale.readers, scale.silent);
    let goal = Goal::TimesAtMost(ALONE.to_owned(), 1.2);
    let mut tail = Figure::new(format!("delay of a chunk, {what}, p99"), "µs", Some(goal));
    let mut median = Figure::new(format!("delay of a chunk, {what}, p50"), "µs", None);
    for round in bench.few_rounds(2) {
        // Longer than a round: the silent ones hang all the time.
        let running = bench.server_with(&[("GPT_R1__STREAM__WRITE_TIMEOUT", "1h")]).await?;
        let target = running.target();
        let mut systems = [(SERVER, scale.silent), (ALONE, 0)];
        systems.rotate_left(round % 2);
        for (system, silent) in systems {
            let outcome = measure(bench, &target, &scale, silent).await?;
            bench.guard.saw(&outcome);
            tail.push(system, percentile(&outcome.latencies, 0.99));
            median.push(system, percentile(&outcome.latencies, 0.5));
        }
    }
    bench.report.add(tail);
    bench.report.add(median);
    Ok(())
}

async fn measure(bench: &Bench, target: &Target, scale: &Scale, silent: usize) -> anyhow::Result<Outcome> {
    let ramp = APART * scale.readers;
    // The rest is for starting the generations and the silent readers.
    let length = load::lasts(ramp, bench.window()) + bench.scale(Duration::from_secs(3), Duration::ZERO);
    let pace = Pace::per_second(scale.rate, length);
    let pace = Pace { count: pace.count + scale.head, head: scale.head, ..pace };
    let mut paths = Vec::new();
    for _ in 0..scale.generations {
        paths.push(format!("/api/v1/chat/stream?generation_id={}", start(target, pace).await?));
    }
    let mut hanging = Vec::new();
    for number in 0..silent {
        hanging.push(attach_silent(target, &paths[number % paths.len()]).await?);
    }
    let asks = (0..scale.readers as usize).map(|number| {
        Ok(Ask { request: request(&paths[number % paths.len()], target.token.as_deref(), None)?, count: pace.count })
    });
    let load = Load { asks: asks.collect::<anyhow::Result<_>>()?, ramp, window: bench.window(), opened: None };
    let outcome = load::window(target, bench.upstream, load).await?;
    for stream in &hanging {
        anyhow::ensure!(is_open(stream), "a silent reader was closed within the window");
    }
    Ok(outcome)
}

/// Asks for a stream over a connection from which nothing is read.
async fn attach_silent(target: &Target, path: &str) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(SMALL_BUFFER)?;
    let mut stream = socket.connect(target.address).await?;
    let token = target.token.as_deref().unwrap_or_default();
    let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}

fn is_open(stream: &TcpStream) -> bool {
    let mut buffer = [0; 4096];
    loop {
        match stream.try_read(&mut buffer) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}
