//! The size of the binary, the page in it.

use anyhow::Context;

use crate::{
    peers::SERVER,
    report::{Figure, Goal},
    run::Bench,
};

pub(super) fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let binary = &bench.options.server;
    let bytes = std::fs::metadata(binary).with_context(|| binary.display().to_string())?.len();
    let mut size = Figure::new("size of the binary", "MB", Some(Goal::AtMost(25.0)));
    size.push(SERVER, bytes as f64 / 1e6);
    bench.report.add(size);
    Ok(())
}
