//! The same on three nodes behind a proxy that takes them in turns: nodes are killed, stopped for longer
//! than their lease, and sent away; their database ends their connections; hints are lost. Whatever users
//! have seen of an answer, on whatever node, must be one log.

use std::{
    collections::VecDeque,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use rand::{Rng, RngExt, seq::IndexedRandom};
use tokio_util::sync::CancellationToken;

use super::{
    oracle::{self, Kept},
    play::Play,
    seed::{blame, chance, say, seed, setting},
    world::World,
};
use crate::support::{Server, Setup, Signal};

/// Conversations at the same time.
const PLAYS: u64 = 8;
const NODES: usize = 3;
/// How long a silent node is believed to live.
const LEASE: Duration = Duration::from_secs(1);
/// This many rounds back, logs are compared again.
const LOOK_BACK: usize = 2;

/// What happens to one of them.
#[derive(Debug, Clone, Copy)]
enum Blow {
    /// Killed, and up again after a while.
    Kill,
    /// SIGSTOP, longer than its lease or not.
    Pause,
    /// SIGTERM, and up again.
    Terminate,
    /// The database ends the connections of all.
    Disconnect,
    /// The database ends the connections on which they listen, for a while.
    Deafen,
}

const BLOWS: [Blow; 7] =
    [Blow::Kill, Blow::Kill, Blow::Pause, Blow::Pause, Blow::Terminate, Blow::Disconnect, Blow::Deafen];

#[tokio::test]
async fn answers_survive_nodes() -> Result<()> {
    let seed = seed("nodes")?;
    blame(seed, run(seed, setting("R1_ROUNDS")?.unwrap_or(20)).await)
}

async fn run(seed: u64, rounds: u64) -> Result<()> {
    let first = Setup::new()?.on_postgres()?.set("DATABASE__LEASE", &format!("{}s", LEASE.as_secs()));
    let (world, first) = World::with(first).await?;
    let mut nodes = vec![first];
    while nodes.len() < NODES {
        let next = nodes[0].setup().another()?;
        nodes.push(next.start().await?);
    }
    let mut kept: VecDeque<Vec<Kept>> = VecDeque::new();
    for number in 0..rounds {
        lead_to(&world, &nodes)?;
        let round = Box::pin(round(&world, nodes, seed, number, kept.make_contiguous()));
        let (next, new) = round.await.with_context(|| format!("round {number}"))?;
        nodes = next;
        kept.push_back(new);
        while kept.len() > LOOK_BACK {
            kept.pop_front();
        }
    }
    for node in nodes {
        node.signal(Signal::TERM)?;
        let (well, setup) = node.ended().await?;
        ensure!(well, "a node does not end well");
        for entry in std::fs::read_dir(setup.data_dir().parent().context("a parent")?)? {
            let path = entry?.path();
            if path.is_file() {
                let log = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
                ensure!(!log.contains("panicked"), "{log}");
            }
        }
    }
    Ok(())
}

/// Clients find all that are up.
fn lead_to(world: &World, nodes: &[Server]) -> Result<()> {
    let addresses: Result<Vec<_>, _> =
        nodes.iter().map(|node| node.api.trim_start_matches("http://").parse()).collect();
    world.proxy.lead_to(addresses?);
    Ok(())
}

async fn round(
    world: &World,
    nodes: Vec<Server>,
    seed: u64,
    number: u64,
    kept: &[Vec<Kept>],
) -> Result<(Vec<Server>, Vec<Kept>)> {
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
        let mut nodes = nodes;
        for _ in 0..dice.random_range(1..=3) {
            tokio::time::sleep(Duration::from_millis(dice.random_range(0..900))).await;
            let blow = BLOWS.choose(&mut dice).copied().unwrap_or(Blow::Kill);
            blows.push(format!("{blow:?}"));
            nodes = strike(world, nodes, blow, &mut dice).await.with_context(|| format!("{blow:?}"))?;
        }
        Ok(nodes)
    };
    let (played, nodes) = futures::try_join!(playing, striking).with_context(|| "playing")?;
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
    Ok((nodes, new))
}

/// One blow to one of them; all are up again afterwards.
async fn strike(world: &World, mut nodes: Vec<Server>, blow: Blow, dice: &mut impl Rng) -> Result<Vec<Server>> {
    let node = nodes.swap_remove(dice.random_range(0..nodes.len()));
    let while_down = Duration::from_millis(dice.random_range(0..2500));
    let node = match blow {
        Blow::Kill => {
            let setup = node.kill().await?;
            lead_to(world, &nodes)?;
            tokio::time::sleep(while_down).await;
            setup.start().await?
        }
        Blow::Pause => {
            node.signal(Signal::STOP)?;
            // As a load balancer finds out.
            lead_to(world, &nodes)?;
            tokio::time::sleep(while_down).await;
            node.signal(Signal::CONT)?;
            node
        }
        Blow::Terminate => {
            world.terminated.store(true, Ordering::Relaxed);
            lead_to(world, &nodes)?;
            node.signal(Signal::TERM)?;
            let (well, setup) = node.ended().await?;
            ensure!(well, "it did not end well");
            setup.start().await?
        }
        Blow::Disconnect => {
            disconnect(&node, "").await?;
            node
        }
        Blow::Deafen => {
            let until = Instant::now() + while_down;
            while Instant::now() < until {
                disconnect(&node, "AND query IN ('LISTEN gpt_r1', 'SELECT 1')").await?;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            node
        }
    };
    nodes.push(node);
    lead_to(world, &nodes)?;
    Ok(nodes)
}

/// The database ends the connections of all nodes that are so.
async fn disconnect(node: &Server, which: &str) -> Result<()> {
    let database = node.setup().database().context("a database")?;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    database.client().await?.batch_execute(&format!("{end} {which}")).await?;
    Ok(())
}
