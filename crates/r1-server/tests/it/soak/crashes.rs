//! The server is killed at random instants, over and over, while users talk to it. Whatever they
//! have seen must be there afterwards, and every answer must come to the end that it is promised.
//!
//! A round is a dozen conversations and a few blows, on a data directory that all rounds share.

use std::{
    collections::VecDeque,
    path::Path,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use rand::RngExt;
use tokio_util::sync::CancellationToken;

use super::{
    chaos::{StartTime, start, strike},
    oracle::{self, Kept},
    play::Play,
    seed::{blame, chance, say, seed, setting},
    strangers,
    world::World,
};
use crate::support::{Server, Signal};

/// Conversations at the same time.
const PLAYS: u64 = 10;
/// This many rounds back, logs are compared again.
const LOOK_BACK: usize = 2;

#[tokio::test]
async fn answers_survive_crashes() -> Result<()> {
    let seed = seed("crashes")?;
    let rounds = setting("R1_ROUNDS")?.unwrap_or(20);
    let directory = tempfile::tempdir()?;
    let ran = run(directory.path(), seed, rounds).await;
    if ran.is_err() {
        say(&format!("kept for a look: {}", directory.keep().display()));
    }
    blame(seed, ran)
}

async fn run(directory: &Path, seed: u64, rounds: u64) -> Result<()> {
    let (world, mut server) = World::new(directory).await?;
    let mut start_time = StartTime(Duration::from_millis(100));
    let mut kept: VecDeque<Vec<Kept>> = VecDeque::new();
    for number in 0..rounds {
        let (next, new) = Box::pin(round(&world, server, seed, number, &mut start_time, kept.make_contiguous()))
            .await
            .with_context(|| format!("round {number}"))?;
        server = next;
        kept.push_back(new);
        if number % 8 == 7 {
            server = retire(&world, server, seed, number, &mut start_time, &kept).await?;
            kept.clear();
        }
        while kept.len() > LOOK_BACK {
            kept.pop_front();
        }
        logs_are_quiet(directory).with_context(|| format!("round {number}"))?;
    }
    let (_, setup) = (server.signal(Signal::TERM)?, server.ended().await?.1);
    let check = setup.run(&["user", "list"]).await?;
    ensure!(check.ok, "{check:?}");
    Ok(())
}

async fn round(
    world: &World,
    server: Server,
    seed: u64,
    number: u64,
    start_time: &mut StartTime,
    kept: &[Vec<Kept>],
) -> Result<(Server, Vec<Kept>)> {
    let mut dice = chance(seed, number << 16);
    let begun = Instant::now();
    world.generations.lock().clear();
    world.terminated.store(false, Ordering::Relaxed);
    let plays: Vec<_> = (1..=PLAYS).map(|n| Play::new(number, n, &mut chance(seed, (number << 16) + n))).collect();
    let over = CancellationToken::new();
    let playing = async {
        let played = try_join_all(
            plays.iter().map(|play| async move { play.run(world).await.with_context(|| format!("{play:?}")) }),
        )
        .await;
        over.cancel();
        played
    };
    let mut blows = Vec::new();
    let striking = async {
        let mut server = server;
        for _ in 0..dice.random_range(1..=3) {
            let (next, blow) = strike(world, server, &mut dice, start_time, &over).await?;
            server = next;
            blows.push(blow);
        }
        Ok(server)
    };
    let mut prying = chance(seed, (number << 16) + PLAYS + 1);
    let (played, server, ()) =
        futures::try_join!(playing, striking, strangers::pry(world, &mut prying, &over)).with_context(|| "playing")?;
    let mut new = Vec::new();
    for (play, played) in plays.iter().zip(played) {
        new.extend(oracle::check(world, play, &played).await.with_context(|| format!("after {blows:?}: {play:?}"))?);
    }
    for earlier in kept.iter().flatten() {
        oracle::same_as_before(world, earlier).await.with_context(|| format!("a later round, after {blows:?}"))?;
    }
    let faults = world.answers.faults();
    ensure!(faults.is_empty(), "{faults:?}");
    let took = begun.elapsed().as_millis();
    say(&format!("round {number}: {} generations, {took} ms, {}", new.len(), blows.join("; ")));
    Ok((server, new))
}

/// Has the logs retired, by a server that is killed meanwhile. The messages stay.
async fn retire(
    world: &World,
    server: Server,
    seed: u64,
    number: u64,
    start_time: &mut StartTime,
    kept: &VecDeque<Vec<Kept>>,
) -> Result<Server> {
    let mut dice = chance(seed, u64::MAX - number);
    let mut setup = server.kill().await?.set("STREAM__RETENTION", "1s");
    for _ in 0..3 {
        let server = setup.start().await?;
        tokio::time::sleep(Duration::from_millis(dice.random_range(0..60))).await;
        setup = server.kill().await?;
    }
    let server = start(setup.set("STREAM__RETENTION", "1h"), 0, &mut dice, start_time).await?;
    world.lead_to(&server)?;
    let mut retired = 0;
    for earlier in kept.iter().flatten() {
        retired += u64::from(oracle::same_or_retired(world, earlier).await.context("after logs were retired")?);
    }
    say(&format!("after round {number}: {retired} logs retired"));
    Ok(server)
}

/// No server has had an error that somebody must look at, nor a panic.
fn logs_are_quiet(directory: &Path) -> Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("log-")) {
            let log = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
            // Requests that are broken off in the middle, by a second signal, may say so.
            let log = log.split("ending at once").next().unwrap_or_default();
            // A key that the scripted provider rejects is an error for an administrator, and no fault of the server's.
            let scripted =
                |line: &&str| line.contains("failed: provider_auth") || line.contains("failed: provider_no_credit");
            for line in log.lines().filter(|line| !scripted(line)) {
                ensure!(!line.contains("ERROR") && !line.contains("panicked"), "{}: {line}", path.display());
            }
        }
    }
    Ok(())
}
