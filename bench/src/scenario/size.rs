//! The size of the binary, the page in it.

use anyhow::Context;

use crate::{
    client::{Client, request},
    peers::SERVER,
    report::{Figure, Goal},
    run::Bench,
};

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let path = &bench.options.server;
    let binary = std::fs::read(path).with_context(|| path.display().to_string())?;
    // The name of a section that `strip` removes; names stand at the end.
    if memchr::memmem::rfind(&binary, b"\0.symtab\0").is_some() {
        bench.guard.note("the binary is not stripped: it is not what `make build` makes, and larger".to_owned());
    }
    let running = bench.server().await?;
    let page = Client::connect(running.server.address).await?.call(request("/", None, None)?).await?;
    if memchr::memmem::find(&page, b"<script").is_none() {
        bench.guard.note("the binary is without the page, and smaller".to_owned());
    }
    let mut size = Figure::new("size of the binary", "MB", Some(Goal::AtMost(25.0)));
    size.push(SERVER, binary.len() as f64 / 1e6);
    bench.report.add(size);
    Ok(())
}
