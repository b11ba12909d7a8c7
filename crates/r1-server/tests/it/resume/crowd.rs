//! Thousands who come back in the same moment.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::{join_all, try_join_all};
use r1_testkit::{
    sse::text_of,
    upstream::{Script, Upstream},
};
use reqwest::StatusCode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::sync::Semaphore;

use super::{Log, half, same_bytes, two_providers, whole};
use crate::support::{Server, id_of};

/// How many come back at once.
const CROWD: usize = 2_000;
/// What their common log takes, about.
const LOG_BYTES: usize = 128 * 1024;
/// This much more memory may the server have needed for all of them. A log each would be 250 MiB.
const MEMORY_KIB: u64 = 120 * 1024;

/// The most memory that a process has had, in KiB.
fn peak_memory(server: &Server) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// As many sockets as the system lets this process have.
fn raise_open_files() -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_at_once_right_after_a_restart() -> Result<()> {
    raise_open_files()?;
    let upstream = Upstream::start().await?;
    // A reader that waits for its turn is not to be closed, and a quiet stream is to be quiet.
    let setup = two_providers(&upstream)?.set("STREAM__WRITE_TIMEOUT", "10m").set("STREAM__HEARTBEAT", "10m");
    let server = setup.start().await?;
    let client = server.user("ada").await?;
    let long = |words: &str| {
        let piece = format!("{words} ").repeat(4096 / (words.len() + 1));
        (0..LOG_BYTES / 4096).fold(Script::new().role(), |script, _| script.chunk(&piece))
    };
    let mut logs = Vec::new();
    for words in ["sun", "moon \u{2028}"] {
        upstream.push(long(words).ending());
        logs.push(Log::new("ended", client.ask_to_end(&json!({"message": "go"})).await?)?);
    }
    upstream.push(long("stars").wait_for("never"));
    let before = half(&client, "steady/m", LOG_BYTES / 4096).await?;
    let taken_over = id_of(&before[0].data, "generation_id")?;
    upstream.push(long("comet").wait_for("never"));
    let cut = half(&client, "brittle/m", LOG_BYTES / 4096).await?;
    let interrupted = id_of(&cut[0].data, "generation_id")?;
    upstream.push(Script::new().wait_for("crowd").role().chunk("and ").chunk("planets").ending());

    let setup = server.kill().await?;
    let server = setup.start().await?;
    let client = client.at(&server);
    let memory = peak_memory(&server)?;
    let ids: Vec<&str> = logs.iter().map(|log| &*log.generation).chain([&*taken_over, &*interrupted]).collect();
    // All of them are connected before one of them reads on.
    let come = |n: usize| {
        let client = client.clone();
        let path = format!("generation_id={}", ids[n % ids.len()]);
        async move { client.attach(&path).await }
    };
    let responses = try_join_all((0..CROWD).map(come)).await?;
    upstream.open("crowd");
    let whole_of = [whole(&client, &taken_over).await?, whole(&client, &interrupted).await?];
    for (frames, seen) in whole_of.into_iter().zip([&before, &cut]) {
        ensure!(frames.starts_with(seen), "what was seen before");
        logs.push(Log::new("cut", frames)?);
    }
    assert_eq!(text_of(&logs[2].frames).len() - text_of(&before).len(), "and planets".len());
    let bodies: Vec<Vec<u8>> = logs.iter().map(|log| log.bytes(0)).collect();
    let at_a_time = Semaphore::new(100);
    let compared = join_all(responses.into_iter().enumerate().map(async |(n, response)| {
        let _turn = at_a_time.acquire().await?;
        ensure!(response.status() == StatusCode::OK, "{}", response.status());
        let waits = Duration::from_secs(120);
        tokio::time::timeout(waits, same_bytes(response, &bodies[n % bodies.len()], false)).await?
    }))
    .await;
    for (n, compared) in compared.into_iter().enumerate() {
        compared.with_context(|| format!("reader {n}"))?;
    }
    let grown = peak_memory(&server)? - memory;
    ensure!(grown < MEMORY_KIB, "{grown} KiB for {CROWD} readers of {} logs", logs.len());
    Ok(())
}
