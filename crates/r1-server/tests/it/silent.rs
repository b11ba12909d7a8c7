//! Clients that attach and read nothing, or next to nothing: they hold up nobody, cost little, are closed, and miss
//! nothing when they come back.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::{join_all, try_join_all};
use r1_domain::cursor::EventId;
use r1_testkit::{
    sse::{Frame, Reader},
    upstream::{Script, Upstream},
};
use serde_json::json;
use tokio_util::task::TaskTracker;

use crate::{
    metrics::Metrics,
    raw::{Raw, dechunk, get},
    support::{Client, Setup, stream},
};

/// Clients that read nothing, and such that read all.
const SILENT: usize = 100;
const READING: usize = 8;
/// What a silent one may cost, in bytes: what the connection gathers before it writes, the largest piece that is
/// put into it at once, and its task. An answer is some 20 times as much.
const COST: u64 = 256 * 1024;
/// What the answer itself may cost, with its readers.
const ANSWER: u64 = 24 * 1024 * 1024;

/// In two halves.
fn answer(pieces: usize) -> Script {
    let words = "words ".repeat(12);
    let half = |script: Script, from: usize| {
        (from..from + pieces / 2).fold(script, |script, n| script.chunk(format!("{n:>6} {words}")))
    };
    let first = half(Script::new().role().wait_for("attached"), 0);
    half(first.wait_for("half"), pieces / 2).ending()
}

fn bytes(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(|frame| frame.raw.to_vec()).collect()
}

/// Attaches this many that do not read what they asked for.
async fn attach_silent(server: &crate::support::Server, client: &Client, id: &str, many: usize) -> Result<Vec<Raw>> {
    let attach = |_| async {
        let mut raw = Raw::connect_small(server).await?;
        raw.send(get(&format!("/chat/stream?generation_id={id}&after=0"), client)).await?;
        anyhow::Ok(raw)
    };
    try_join_all((0..many).map(attach)).await
}

#[tokio::test]
async fn silent_readers_hold_up_nobody_and_cost_little() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(answer(16_000));
    // They are not closed: whoever waited for them would wait for ever.
    let setup = Setup::with_upstream(&upstream)?.set("STREAM__WRITE_TIMEOUT", "1h").set("LIMITS__ANSWER_SIZE", "4MiB");
    let server = setup.with_metrics().start().await?;
    let client = server.user("ada").await?;
    // The memory that a sign-in takes is not to be counted.
    let server = server.kill().await?.start().await?;
    let client = client.at(&server);
    let metrics = Metrics::of(&server)?;
    let mut asked = client.ask(&json!({"message": "go"})).await?;
    let start = asked.next_frame().await?.context("start")?;
    let id = start.data["generation_id"].as_str().context("an id")?;

    let before = metrics.read().await?;
    let mut silent = attach_silent(&server, &client, id, SILENT / 2).await?;
    let mut reading = Vec::new();
    for _ in 0..READING {
        reading.push(stream(client.attach(&format!("generation_id={id}&after=0")).await?).await?);
    }
    metrics.wait("all readers", |now| now.readers == (SILENT / 2 + READING + 1) as u64).await?;
    upstream.open("attached");
    let mut halves = Vec::new();
    for reader in &mut reading {
        let half = reader.collect_until(|frame| frame.content().is_some_and(|text| text.starts_with("  7999"))).await?;
        halves.push(half);
    }
    // These are behind from the start: each encodes what it is sent for itself.
    silent.extend(attach_silent(&server, &client, id, SILENT / 2).await?);
    metrics.wait("all readers", |now| now.readers == (SILENT + READING + 1) as u64).await?;
    upstream.open("half");
    let rest = join_all(reading.into_iter().map(Reader::collect_to_end)).await;
    let mut whole = vec![start];
    whole.extend(asked.collect_to_end().await?);
    ensure!(whole.len() == 16_002, "{} events", whole.len());
    for (mut half, rest) in halves.into_iter().zip(rest) {
        half.extend(rest?);
        ensure!(bytes(&half) == bytes(&whole), "a reader's frames are not the others'");
    }

    let after = metrics.wait("the end", |now| now.running == 0 && now.readers <= SILENT as u64).await?;
    assert_eq!(after.readers, SILENT as u64, "they still hang");
    let (cost, size) = (after.memory.saturating_sub(before.memory), bytes(&whole).len());
    ensure!(COST * 5 < size as u64, "an answer of {size} bytes shows nothing");
    ensure!(cost <= SILENT as u64 * COST + ANSWER, "{SILENT} silent readers cost {cost} bytes; the answer has {size}");
    drop(silent);
    metrics.wait("nobody", |now| now.readers == 0).await?;
    Ok(())
}

#[tokio::test]
async fn a_silent_reader_is_closed_and_goes_on_where_it_stopped() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(answer(4000));
    upstream.open("attached");
    let setup = Setup::with_upstream(&upstream)?.set("STREAM__WRITE_TIMEOUT", "1s").set("LIMITS__ANSWER_SIZE", "4MiB");
    let server = setup.with_metrics().start().await?;
    let metrics = Metrics::of(&server)?;
    let client = server.user("ada").await?;
    let mut asked = client.ask(&json!({"message": "go"})).await?;
    let start = asked.next_frame().await?.context("start")?;
    let id = start.data["generation_id"].as_str().context("an id")?.to_owned();
    drop(asked);

    let mut silent = attach_silent(&server, &client, &id, SILENT).await?;
    // Some take a byte now and then, for ever: no room is made by that.
    let trickling = TaskTracker::new();
    for mut raw in silent.split_off(SILENT * 9 / 10) {
        trickling.spawn(async move {
            while raw.read_byte().await.is_some() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
    }
    upstream.wait_reached("half", 1).await?;
    metrics.wait("the answer alone", |now| (now.running, now.readers) == (1, 0)).await?;
    upstream.open("half");
    let whole = stream(client.attach(&format!("generation_id={id}&after=0")).await?).await?;
    let whole = bytes(&whole.collect_to_end().await?);

    for (number, mut raw) in silent.into_iter().enumerate() {
        let got = raw.read_to_close().await?;
        let body = got.windows(4).position(|window| window == b"\r\n\r\n").context("a head")? + 4;
        let mut got = dechunk(&got[body..])?;
        got.truncate(got.windows(2).rposition(|window| window == b"\n\n").map_or(0, |at| at + 2));
        ensure!(whole.starts_with(&got), "what it had is not what the others had");
        ensure!(got.len() < whole.len() / 4, "it was not silent");
        if number % 10 > 0 {
            continue;
        }
        let last = last_event(&got).context("an event")?;
        let again = client.request(reqwest::Method::GET, "/chat/stream").header("last-event-id", last.to_string());
        let rest = Reader::from_response(again.send().await?)?.after(last).collect_to_end().await?;
        got.extend(bytes(&rest));
        ensure!(got == whole, "it does not go on where it stopped, after {last}");
    }
    metrics.wait("nobody", |now| now.readers == 0).await?;
    Ok(())
}

/// The newest event in these frames.
fn last_event(frames: &[u8]) -> Option<EventId> {
    let frames = std::str::from_utf8(frames).ok()?;
    frames.lines().rev().find_map(|line| line.strip_prefix("id: "))?.parse().ok()
}
