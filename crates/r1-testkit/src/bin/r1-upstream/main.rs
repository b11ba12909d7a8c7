//! The scripted upstream as a process: the model behind the browser suite and the screenshots.
//!
//! It prints the base URL for a provider's settings, then serves until its standard input ends, so
//! a killed test leaves none behind. Each line `open NAME` that comes in opens the gate at which an
//! answer waits. What it says is asked for by the question itself: see [`question`].

mod question;

use std::{
    collections::HashMap,
    io::{BufRead as _, Write as _},
    net::SocketAddr,
};

use anyhow::Result;
use clap::Parser;
use parking_lot::Mutex;
use r1_testkit::upstream::Upstream;
use tokio::runtime::Runtime;

/// An OpenAI-compatible server whose answers are scripted by the questions.
#[derive(Parser)]
struct Arguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    addr: SocketAddr,
}

/// What `GET /models` lists.
const MODELS: [&str; 2] = ["scripted", "scripted-large"];

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // Its threads serve while this one reads.
    let runtime = Runtime::new()?;
    let upstream = runtime.block_on(Upstream::start_on(arguments.addr))?;
    upstream.set_models(&MODELS);
    let asked = Mutex::new(HashMap::<String, u32>::new());
    upstream.respond_with(move |request| {
        let turns = question::turns(&request.body);
        let mut asked = asked.lock();
        let attempt = asked.entry(turns.question.to_owned()).or_default();
        *attempt += 1;
        question::script(&turns, *attempt)
    });
    writeln!(std::io::stdout(), "{}", upstream.base_url())?;
    for line in std::io::stdin().lock().lines() {
        if let Some(gate) = line?.strip_prefix("open ") {
            upstream.open(gate.trim());
        }
    }
    Ok(())
}
