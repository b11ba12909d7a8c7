//! Sign-ins: as many as the password hash lets through, and none of them felt by running streams.

use std::time::{Duration, Instant};

use anyhow::Context;
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::task::JoinSet;

use crate::{
    load,
    peers::SERVER,
    proc::processors,
    report::{Figure, Goal},
    requests::closed_loop,
    run::Bench,
    server::sign_in_request,
    stats::percentile,
};

const ARGON2: &str = "argon2";
const QUIET: &str = "quiet";
/// Clients that sign in at a time.
const CLIENTS: usize = 8;
/// Streams that run meanwhile.
const STREAMS: usize = 100;

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let running = bench.server().await?;
    let (target, address, process) = (running.target(), running.server.address, running.server.process.id());
    let sign_in = |_: usize, _: usize| sign_in_request(0);
    let goal = Some(Goal::TimesAtLeast(ARGON2.to_owned(), 0.9));
    let mut rate = Figure::new("sign-ins a second", "1/s", goal);
    let goal = Some(Goal::TimesAtMost(QUIET.to_owned(), 1.25));
    let mut gap = Figure::new("gap beside a flood of sign-ins, 100 streams of 50 chunks/s, p99", "µs", goal);
    let mut delay =
        Figure::new("delay of a chunk beside a flood of sign-ins, 100 streams of 50 chunks/s, p99", "µs", None);
    let streams = bench.scale(STREAMS, 5);
    for round in bench.rounds() {
        let mut rates = [ARGON2, SERVER];
        rates.rotate_left(round % 2);
        for name in rates {
            rate.push(
                name,
                match name {
                    ARGON2 => bare(bench.window()).await?,
                    _ => closed_loop(address, process, CLIENTS, bench.window(), sign_in).await?.per_second(),
                },
            );
        }
        let mut systems = [QUIET, SERVER];
        systems.rotate_left(round % 2);
        for name in systems {
            let mut flood = JoinSet::new();
            if name == SERVER {
                // Longer than the streams: it is cut.
                flood.spawn(closed_loop(address, process, CLIENTS, Duration::from_secs(600), sign_in));
            }
            let outcome = load::paced(&target, bench.upstream, streams, 50, bench.window()).await?;
            anyhow::ensure!(flood.try_join_next().is_none(), "the flood ended before the streams");
            bench.guard.saw(&outcome);
            gap.push(name, percentile(&outcome.gaps, 0.99));
            delay.push(name, percentile(&outcome.latencies, 0.99));
        }
    }
    for figure in [rate, gap, delay] {
        bench.report.add(figure);
    }
    Ok(())
}

/// Hashes a second of the bare crate, with the server's parameters on as many threads as it uses.
async fn bare(length: Duration) -> anyhow::Result<f64> {
    let mut workers = JoinSet::new();
    for _ in 0..(processors() / 2).max(1) {
        workers.spawn_blocking(move || -> anyhow::Result<f64> {
            let parameters = Params::new(19 * 1024, 2, 1, None).ok().context("argon2's parameters")?;
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters);
            // As the server does: the memory is kept.
            let mut memory = vec![argon2::Block::default(); argon2.params().block_count()];
            let (began, mut hashes) = (Instant::now(), 0);
            let mut out = [0; 32];
            while hashes == 0 || began.elapsed() < length {
                let hashed =
                    argon2.hash_password_into_with_memory(b"bench-password-1", &[7; 16], &mut out, &mut memory);
                hashed.ok().context("argon2 failed")?;
                hashes += 1;
            }
            Ok(f64::from(hashes) / began.elapsed().as_secs_f64())
        });
    }
    let mut rate = 0.0;
    while let Some(worker) = workers.join_next().await {
        rate += worker??;
    }
    Ok(rate)
}
