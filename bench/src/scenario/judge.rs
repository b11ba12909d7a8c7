//! The judge judged: an upstream that loses, doubles, swaps or breaks off has to be caught, through every
//! system. Else the exactness that all other scenarios report would mean nothing.

use crate::{
    load,
    pace::{Mistake, Pace},
    run::Bench,
};

/// Chunks of a stream.
const CHUNKS: u64 = 20;

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let running = bench.server().await?;
    for target in bench.targets(&running, 0) {
        for mistake in Mistake::ALL {
            let pace = Pace { mistake: Some(mistake), ..Pace::backlog(CHUNKS) };
            let found = match load::backlog(&target, bench.upstream, 1, pace).await {
                Ok(_) => "nothing".to_owned(),
                Err(error) => format!("{error:#}"),
            };
            let expected = match mistake {
                Mistake::Lose => "lost: 1, doubled: 0, disordered: 0,",
                Mistake::Double => "lost: 0, doubled: 1, disordered: 0,",
                Mistake::Swap => "lost: 0, doubled: 0, disordered: 1,",
                // The server says so in an event; a relay breaks off too.
                Mistake::Cut if target.token.is_some() => "upstream_truncated",
                Mistake::Cut => "error reading a body",
            };
            anyhow::ensure!(found.contains(expected), "{} with {mistake:?}: the judge found {found}", target.name);
        }
    }
    Ok(())
}
