//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::scenario::Scenario;

/// Measures gpt-r1 beside a bare relay and nginx.
#[derive(Debug, Parser)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// The processes that the benchmark starts of itself.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The paced upstream.
    #[command(hide = true)]
    Upstream,
    /// The floor: a relay that reads nothing and stores nothing.
    #[command(hide = true)]
    Relay {
        /// Where the upstream listens.
        upstream: SocketAddr,
    },
    /// A bare axum handler.
    #[command(hide = true)]
    Handler,
}

/// What is measured, and how.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The binary under test.
    #[arg(long, default_value = "target/release/gpt-r1")]
    pub(crate) server: PathBuf,
    /// Where results.json and results.md go, and where those of the last time are.
    #[arg(long, default_value = "docs/bench")]
    pub(crate) out: PathBuf,
    /// Only these scenarios. The results are printed, not written.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<Scenario>,
    /// How often each figure is taken.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// Length of a measured window, in seconds.
    #[arg(long, default_value_t = 3.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Small loads, exactness only: no time is measured, no result written. Half a minute.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Report on a loaded machine too, with a mark.
    #[arg(long)]
    pub(crate) anyway: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.1..=600.0).contains(&seconds) { Ok(seconds) } else { Err("0.1 to 600".to_owned()) }
}
