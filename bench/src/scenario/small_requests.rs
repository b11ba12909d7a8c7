//! Small authenticated requests, beside a bare axum handler that answers the same.
//!
//! The loader takes more of the machine than the bare handler, so the rates say as much of it as of them:
//! the processor time per request is the better measure, and the goal is the same.

use crate::{
    client::request,
    peers::SERVER,
    process::Process,
    report::{Figure, Goal},
    requests::closed_loop,
    run::Bench,
};

const AXUM: &str = "axum";
/// Clients that ask at a time.
const CLIENTS: usize = 32;

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let running = bench.server().await?;
    let (handler, handler_address) = Process::start_own(&["handler"])?;
    let goal = Some(Goal::TimesAtLeast(AXUM.to_owned(), 0.5));
    let mut rate = Figure::new("small requests a second, 32 clients", "1/s", goal);
    let goal = Some(Goal::TimesAtMost(AXUM.to_owned(), 2.0));
    let mut cost = Figure::new("CPU per small request", "µs", goal);
    for round in bench.rounds() {
        let mut systems =
            [(SERVER, running.server.address, running.server.process.id()), (AXUM, handler_address, handler.id())];
        systems.rotate_left(round % 2);
        for (name, address, process) in systems {
            let token = running.token.clone();
            let ask = move |_, _| request("/api/v1/auth/me", Some(&token), None);
            let asked = closed_loop(address, process, CLIENTS, bench.window(), ask).await?;
            bench.guard.loader(&format!("small requests, {name}"), asked.loader);
            rate.push(name, asked.per_second());
            cost.push(name, asked.cpu_each());
        }
    }
    bench.report.add(rate);
    bench.report.add(cost);
    Ok(())
}
