//! What is done to the server: it is killed, asked to end, both, and killed again while it starts.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rand::{Rng, RngExt, seq::IndexedRandom};
use tokio_util::sync::CancellationToken;

use super::{
    answer::{FOLD, LAST_WORD},
    world::World,
};
use crate::support::{Server, Setup, Signal};

/// When it happens.
#[derive(Debug, Clone, Copy)]
enum Moment {
    Any,
    /// Just after a question has been sent.
    Acceptance,
    /// Just after the upstream's last word.
    Terminal,
    /// Just after the upstream has said 256 KiB.
    Fold,
}

/// What happens.
#[derive(Debug, Clone, Copy)]
enum Blow {
    Kill,
    Terminate,
    TerminateThenKill,
    TerminateTwice,
}

const MOMENTS: [Moment; 8] = [
    Moment::Any,
    Moment::Any,
    Moment::Any,
    Moment::Acceptance,
    Moment::Acceptance,
    Moment::Terminal,
    Moment::Terminal,
    Moment::Fold,
];
const BLOWS: [Blow; 9] = [
    Blow::Kill,
    Blow::Kill,
    Blow::Kill,
    Blow::Kill,
    Blow::Kill,
    Blow::Kill,
    Blow::Terminate,
    Blow::TerminateThenKill,
    Blow::TerminateTwice,
];

/// Longest wait for a moment that may never come.
const MOMENT_LIMIT: Duration = Duration::from_millis(1500);

/// How long a start takes, from the process to its addresses.
pub(super) struct StartTime(pub(super) Duration);

/// One blow at a random moment, and a server that is up again afterwards.
pub(super) async fn strike(
    world: &World,
    server: Server,
    chance: &mut impl Rng,
    start_time: &mut StartTime,
    over: &CancellationToken,
) -> Result<(Server, String)> {
    let moment = MOMENTS.choose(chance).copied().unwrap_or(Moment::Any);
    let blow = BLOWS.choose(chance).copied().unwrap_or(Blow::Kill);
    await_moment(world, moment, chance, over).await;
    let setup = match blow {
        Blow::Kill => server.kill().await?,
        Blow::Terminate | Blow::TerminateThenKill | Blow::TerminateTwice => {
            world.terminated.store(true, Ordering::Relaxed);
            terminate(server, blow, chance).await?
        }
    };
    world.proxy.lead_to(None);
    let killed_starts = [0, 0, 0, 1, 1, 2].choose(chance).copied().unwrap_or_default();
    let server = start(setup, killed_starts, chance, start_time).await?;
    world.lead_to(&server)?;
    Ok((server, format!("{blow:?} at {moment:?}, {killed_starts} starts killed")))
}

async fn await_moment(world: &World, moment: Moment, chance: &mut impl Rng, over: &CancellationToken) {
    let now = || match moment {
        Moment::Any => 0,
        Moment::Acceptance => world.sent.load(Ordering::Relaxed),
        Moment::Terminal => world.upstream.reached(LAST_WORD),
        Moment::Fold => world.upstream.reached(FOLD),
    };
    let random = |chance: &mut dyn Rng, micros| Duration::from_micros(chance.random_range(0..micros));
    let (wanted, then) = match moment {
        Moment::Any => (0, random(chance, 900_000)),
        Moment::Acceptance => (now() + chance.random_range(1..4), random(chance, 12_000)),
        Moment::Terminal => (now() + chance.random_range(1..4), random(chance, 8_000)),
        Moment::Fold => (now() + 1, random(chance, 30_000)),
    };
    let begun = Instant::now();
    while now() < wanted && begun.elapsed() < MOMENT_LIMIT && !over.is_cancelled() {
        // Often enough to be there when it happens; nothing is asserted about it.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(then).await;
}

async fn terminate(server: Server, blow: Blow, chance: &mut impl Rng) -> Result<Setup> {
    server.signal(Signal::TERM)?;
    let later = Duration::from_millis(chance.random_range(0..400));
    match blow {
        Blow::TerminateThenKill => {
            tokio::time::sleep(later).await;
            return server.kill().await;
        }
        Blow::TerminateTwice => {
            tokio::time::sleep(later).await;
            // It may have ended by now.
            let _ = server.signal(Signal::TERM);
        }
        Blow::Kill | Blow::Terminate => {}
    }
    let (well, setup) = server.ended().await?;
    ensure!(well, "it did not end well after SIGTERM ({blow:?})");
    Ok(setup)
}

/// Starts it, after some starts that are killed before they are through.
pub(super) async fn start(
    setup: Setup,
    killed_starts: u32,
    chance: &mut impl Rng,
    start_time: &mut StartTime,
) -> Result<Server> {
    for _ in 0..killed_starts {
        let log = std::fs::File::create(setup.data_dir().with_file_name("log-of-a-killed-start"))?;
        let mut child = setup
            .command(&["serve", "--api-addr", "127.0.0.1:0", "--web-addr", "127.0.0.1:0"])
            .stdout(std::process::Stdio::null())
            .stderr(log)
            .spawn()?;
        tokio::time::sleep(start_time.0.mul_f64(chance.random_range(0.0..1.3))).await;
        child.kill().await.context("killing a start")?;
    }
    let begun = Instant::now();
    let server = setup.start().await?;
    start_time.0 = begun.elapsed();
    Ok(server)
}
