//! The scenarios, most important first; one file each.

mod cost;
mod first_chunk;
mod followers;
mod gap;
mod held;
mod judge;
mod logins;
mod memory;
mod nodes;
mod pages;
mod sends;
mod silent;
mod size;
mod small_requests;
mod start;
mod stop;
mod storm;

use clap::ValueEnum;

use crate::run::Bench;

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Whether a stream that is not exact is found out.
    Judge,
    /// Processor time per delivered chunk.
    Cost,
    /// Time to the first chunk.
    FirstChunk,
    /// Delay of a chunk in one stream.
    Gap,
    /// From a stop to the closing of the upstream's connection.
    Stop,
    /// Running streams beside a thousand questions in a second.
    Storm,
    /// Streams held at 50 chunks a second.
    Held,
    /// Many readers of slow generations.
    Followers,
    /// Readers beside others that read nothing.
    Silent,
    /// Memory: idle, per generation, after the load.
    Memory,
    /// Start until the first answer.
    Start,
    /// Questions into conversations of any length.
    Sends,
    /// Lists and pages of a filled database.
    Pages,
    /// Small requests a second.
    SmallRequests,
    /// Sign-ins, and what they do to running streams.
    Logins,
    /// Two nodes on one PostgreSQL.
    Nodes,
    /// Size of the binary.
    Size,
}

/// Measures one.
pub(crate) async fn run(scenario: Scenario, bench: &mut Bench) -> anyhow::Result<()> {
    match scenario {
        Scenario::Judge => Box::pin(judge::run(bench)).await,
        Scenario::Cost => Box::pin(cost::run(bench)).await,
        Scenario::FirstChunk => Box::pin(first_chunk::run(bench)).await,
        Scenario::Gap => Box::pin(gap::run(bench)).await,
        Scenario::Stop => Box::pin(stop::run(bench)).await,
        Scenario::Storm => Box::pin(storm::run(bench)).await,
        Scenario::Held => Box::pin(held::run(bench)).await,
        Scenario::Followers => Box::pin(followers::run(bench)).await,
        Scenario::Silent => Box::pin(silent::run(bench)).await,
        Scenario::Memory => Box::pin(memory::run(bench)).await,
        Scenario::Start => Box::pin(start::run(bench)).await,
        Scenario::Sends => Box::pin(sends::run(bench)).await,
        Scenario::Pages => Box::pin(pages::run(bench)).await,
        Scenario::SmallRequests => Box::pin(small_requests::run(bench)).await,
        Scenario::Logins => Box::pin(logins::run(bench)).await,
        Scenario::Nodes => Box::pin(nodes::run(bench)).await,
        Scenario::Size => Box::pin(size::run(bench)).await,
    }
}
