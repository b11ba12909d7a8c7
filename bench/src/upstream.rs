//! The paced upstream: OpenAI-compatible, written for one purpose, to cost little.
//!
//! `r1_testkit`'s upstream can be paced too, but it makes every chunk with hyper, a JSON encoder
//! and several allocations; here a chunk is one formatted line and one `write`. Its marks are the
//! same (`index@micros `), so one reader reads both.
//!
//! What to send is the request's model ([`Pace`]). The first chunk (or as many as the pace's head has)
//! goes out at once, so that it tells when the request arrived. The others keep to an absolute schedule
//! whose phase is spread evenly over the streams: real streams don't tick together. `GET /lateness` tells how far behind
//! its schedule the upstream was since the last time somebody asked; `GET /closed` which streams were
//! closed in the middle by whoever read them, by their number of chunks, and when.

use std::{
    io::Write,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::Context;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::Instant,
};

use crate::{
    clock,
    pace::{Mistake, Pace},
    process,
    stats::percentile,
};

/// Chunks of a backlog that go into one write, as a provider's own buffering would.
const BACKLOG_WRITE: u64 = 64;
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";
/// What stands before and after a chunk's text: as long as OpenAI's own.
const BEFORE: &str = r#"data: {"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion.chunk","created":1767225600,"model":"paced","system_fingerprint":"fp_44709d6fcb","choices":[{"index":0,"delta":{"content":""#;
const AFTER: &str = "\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n";

#[derive(Default)]
struct Shared {
    streams: AtomicU32,
    /// Microseconds behind the schedule, per chunk.
    lateness: Mutex<Vec<u32>>,
    /// Number of chunks and time.
    closed: Mutex<Vec<(u64, i64)>>,
}

/// Serves until it is killed.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    process::announce(listener.local_addr()?)?;
    let shared = Arc::new(Shared::default());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                let shared = shared.clone();
                // Its error is the client's leaving.
                connections.spawn(async move { connection(stream, &shared).await.is_ok() });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(mut stream: TcpStream, shared: &Shared) -> anyhow::Result<()> {
    let mut input = Vec::with_capacity(1024);
    while let Some(request) = read_request(&mut stream, &mut input).await? {
        match request {
            Asked::Stream(pace) => {
                let played = play(&mut stream, pace, shared).await;
                if played.is_err() {
                    shared.closed.lock().push((pace.count, clock::now()));
                }
                played?;
            }
            Asked::Lateness => answer(&mut stream, &lateness(shared)).await?,
            Asked::Closed => {
                let closed = std::mem::take(&mut *shared.closed.lock());
                answer(&mut stream, &serde_json::to_string(&closed)?).await?;
            }
            Asked::Else => answer(&mut stream, r#"{"object":"list","data":[{"id":"paced","object":"model"}]}"#).await?,
        }
    }
    Ok(())
}

enum Asked {
    Stream(Pace),
    Lateness,
    Closed,
    /// The list of models, or whatever else somebody wants to know.
    Else,
}

/// The next request of a connection; none at its end.
async fn read_request(stream: &mut TcpStream, input: &mut Vec<u8>) -> anyhow::Result<Option<Asked>> {
    let head = loop {
        if let Some(end) = memchr::memmem::find(input, b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(input).await? == 0 {
            return Ok(None);
        }
    };
    let header = String::from_utf8_lossy(&input[..head]).to_ascii_lowercase();
    let length = header.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.map_or(Ok(0), |length| length.trim().parse())?;
    while input.len() < head + length {
        anyhow::ensure!(stream.read_buf(input).await? > 0, "a request broke off");
    }
    let asked = if header.starts_with("get /lateness") {
        Asked::Lateness
    } else if header.starts_with("get /closed") {
        Asked::Closed
    } else if length > 0 {
        let body: Value = serde_json::from_slice(&input[head..head + length])?;
        let model = body["model"].as_str().context("a request without a model")?;
        Asked::Stream(model.parse().map_err(|()| anyhow::anyhow!("a request for the model {model}"))?)
    } else {
        Asked::Else
    };
    input.drain(..head + length);
    Ok(Some(asked))
}

async fn answer(stream: &mut TcpStream, body: &str) -> std::io::Result<()> {
    let length = body.len();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await
}

fn lateness(shared: &Shared) -> String {
    let mut late = std::mem::take(&mut *shared.lateness.lock());
    late.sort_unstable();
    let (p50, p99, most) = (percentile(&late, 0.5), percentile(&late, 0.99), percentile(&late, 1.0));
    format!(r#"{{"chunks":{},"p50":{p50},"p99":{p99},"max":{most}}}"#, late.len())
}

async fn play(stream: &mut TcpStream, pace: Pace, shared: &Shared) -> anyhow::Result<()> {
    let started = Instant::now();
    let number = shared.streams.fetch_add(1, Ordering::Relaxed);
    // The golden ratio's multiples are spread evenly however many there are.
    let phase = pace.every.mul_f64((f64::from(number) * 0.618_033_988_75).fract());
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(HEAD);
    // What goes out at once goes out in a provider's own pieces.
    let at_once = if pace.every.is_zero() { u64::MAX } else { pace.head };
    for (index, sent) in pace.order().zip(0..) {
        if sent >= at_once {
            let due = started + phase + pace.every.mul_f64((sent - at_once) as f64);
            tokio::select! {
                biased;
                () = closed(stream) => anyhow::bail!("the reader closed it"),
                () = tokio::time::sleep_until(due) => {}
            }
            let late = Instant::now().saturating_duration_since(due);
            shared.lateness.lock().push(u32::try_from(late.as_micros()).unwrap_or(u32::MAX));
        }
        push(&mut out, index);
        if sent + 1 >= at_once || (sent + 1) % BACKLOG_WRITE == 0 {
            stream.write_all(&out).await?;
            out.clear();
        }
    }
    // Its end is a piece of its own: one chunk by itself is not held up by what follows.
    stream.write_all(&out).await?;
    out.clear();
    anyhow::ensure!(pace.mistake != Some(Mistake::Cut), "cut, as asked");
    let last = format!(
        "data: {{\"id\":\"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT\",\"object\":\"chat.completion.chunk\",\"created\":1767225600,\"model\":\"paced\",\"choices\":[{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"stop\"}}],\"usage\":{{\"prompt_tokens\":11,\"completion_tokens\":{0},\"total_tokens\":{1}}}}}\n\ndata: [DONE]\n\n",
        pace.count,
        pace.count + 11,
    );
    write!(out, "{:x}\r\n{last}\r\n0\r\n\r\n", last.len())?;
    Ok(stream.write_all(&out).await?)
}

/// Waits until the other side has closed. One that says something is there.
async fn closed(stream: &TcpStream) {
    if stream.peek(&mut [0]).await.is_ok_and(|said| said > 0) {
        std::future::pending::<()>().await;
    }
}

/// One chunk of the answer, as one chunk of the body.
fn push(out: &mut Vec<u8>, index: u64) {
    let mark = format!("{index}@{} ", clock::now());
    let length = BEFORE.len() + mark.len() + AFTER.len();
    // Writing to memory doesn't fail.
    let _ = write!(out, "{length:x}\r\n{BEFORE}{mark}{AFTER}\r\n");
}
