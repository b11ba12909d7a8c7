//! The engine alone, under everything at once: random interleavings of asking, saying, attaching,
//! detaching, stopping, continuing and asking again, of storage that fails or hangs, of crashes at any
//! side of any commit, of restarts, take-overs and shutdowns. It is the real engine on a real SQLite
//! database; only models, storage's faults and time are the case's.
//!
//! What must be so, in every case:
//!
//! - what was acknowledged is stored: each frame that anybody got, in whatever life of the engine, is
//!   in the replay at the end, byte for byte and at its place; each accepted request is there, once;
//! - a log is `start chunk* (resumed chunk*)* (end | error)`, dense from seq 1, with one terminal event;
//! - whoever comes back with a cursor gets exactly what comes after it; nobody who reads is left asleep;
//! - the message is the fold of its log, and the text is what the model said: nothing is lost in the
//!   middle, nothing comes twice, and each further call to a model goes on from just what is stored;
//! - a stop is a stop, and closes the provider's connection; a text on a page stands at its cursor;
//! - another user finds nothing; and everything ends.
//!
//! `R1_SEED` gives the first case (else a random one, printed), `R1_CASES` their number; case n has the
//! seed `R1_SEED + n`, so that a failed one is played again alone. It is drawn and shrunk by proptest: of
//! seventy steps mostly five are left, which a loop over a random source would not tell.
//!
//! One thread runs all tasks and the clock stands still while anything is busy: the same seed gives the
//! same actions, but not always the same order of what the database's threads answer.

#![expect(clippy::expect_used, reason = "a case that can't be played fails as it does")]

mod client;
mod disk;
mod facts;
mod script;
mod upstream;
mod verdict;
mod world;

use std::{cell::RefCell, env};

use anyhow::{Context, Result};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use rand::RngExt;

use crate::{disk::Template, script::Script, verdict::Tally, world::World};

/// This many are played where nobody says otherwise.
const CASES: u64 = 150;

#[test]
fn streams_never_break() -> Result<()> {
    let seed = number("R1_SEED")?.unwrap_or_else(|| rand::rng().random_range(0..1 << 32));
    let cases = number("R1_CASES")?.unwrap_or(CASES);
    println!("R1_SEED={seed} R1_CASES={cases}");
    let template = Template::new()?;
    let tally = RefCell::new(Tally::new());
    for seed in (0..cases).map(|n| seed.wrapping_add(n)) {
        let config = Config {
            cases: 1,
            failure_persistence: None,
            max_shrink_iters: 3000,
            max_shrink_time: 120_000,
            ..Config::default()
        };
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
        let played = runner.run(&script::script(), |script| {
            play(&template, &script, &mut tally.borrow_mut()).map_err(|error| TestCaseError::fail(format!("{error:#}")))
        });
        if let Err(error) = played {
            panic!("R1_SEED={seed} R1_CASES=1 plays it again\n{error}");
        }
    }
    println!("{:?}", tally.borrow());
    Ok(())
}

fn number(name: &str) -> Result<Option<u64>> {
    env::var(name).ok().map(|text| text.parse().with_context(|| format!("{name}={text} is no number"))).transpose()
}

fn play(template: &Template, script: &Script, tally: &mut Tally) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(async {
        let mut world = World::new(template, script.setup).await?;
        world.play(script).await?;
        let client = world.settle().await?;
        verdict::verdict(&world, &client, tally).await
    })
}
