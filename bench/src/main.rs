//! `make bench`: what a chunk, a reader, a start and a request cost, beside a bare relay and nginx.
//!
//! One process measures ([`run`]); what it measures against runs in processes of its own, so that
//! the operating system keeps their accounts apart: the paced [`upstream`], the server under test,
//! the floor ([`relay`]), nginx, a bare axum [`handler`].
//!
//! **Invariant:** no figure comes from a stream that lost, doubled or disordered a chunk: such a
//! stream ends the run with an error.

mod check;
mod cli;
mod client;
mod clock;
mod fixture;
mod guard;
mod handler;
mod load;
mod nginx;
mod pace;
mod peers;
mod proc;
mod process;
mod relay;
mod report;
mod requests;
mod run;
mod scenario;
mod server;
mod stats;
mod upstream;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match start(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            process::say(format_args!("bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn start(cli: Cli) -> anyhow::Result<()> {
    process::raise_open_files();
    // Upstream and loader are one thread each: more would take the processors from what is measured.
    // What the server is compared with has as many threads as the server.
    let one = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    let all = || tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match cli.command {
        None => one()?.block_on(run::run(cli.options)),
        Some(Command::Upstream) => one()?.block_on(upstream::serve()),
        Some(Command::Relay { upstream }) => all()?.block_on(relay::serve(upstream)),
        Some(Command::Handler) => all()?.block_on(handler::serve()),
    }
}
