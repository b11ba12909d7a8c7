//! From the start of the process to its first answer: on an empty directory, and on a full one.

use tokio::time::Instant;

use crate::{
    client::{Client, request},
    peers::SERVER,
    report::{Figure, Goal},
    run::Bench,
};

/// Starts per round.
const STARTS: usize = 5;

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let fixture = bench.fixture().await?;
    let mut empty = Figure::new("start to the first 200, empty directory", "ms", None);
    let goal = Some(Goal::AtMost(100.0));
    let mut full = Figure::new(format!("start to the first 200, {} messages", fixture.size.messages()), "ms", goal);
    for _ in 0..bench.rounds().len() * bench.scale(STARTS, 1) {
        let directory = bench.directory();
        for (figure, data_dir) in [(&mut empty, &directory), (&mut full, &fixture.data_dir)] {
            let began = Instant::now();
            let server = bench.setup(&[]).start(data_dir)?;
            Client::connect(server.address).await?.call(request("/api/v1/health", None, None)?).await?;
            figure.push(SERVER, began.elapsed().as_secs_f64() * 1e3);
            server.process.terminate()?;
        }
    }
    bench.report.add(empty);
    bench.report.add(full);
    Ok(())
}
