//! A closed loop of small requests: a number of clients, each of which asks again as soon as it has its answer.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::{task::JoinSet, time::Instant};

use crate::{client::Client, clock, proc::Cpu};

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    pub(crate) elapsed: Duration,
    /// Processor time of the process that answered.
    pub(crate) cpu: Duration,
    /// Share of a processor that the loader had.
    pub(crate) loader: f64,
    /// Microseconds, sorted; one per request.
    pub(crate) latencies: Vec<u32>,
}

impl Requests {
    pub(crate) fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// Microseconds of processor time per request.
    pub(crate) fn cpu_each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.latencies.len().max(1) as f64
    }
}

/// Runs it for this long. `ask` gets the number of the client and of its request.
///
/// # Errors
/// An answer that is no success.
pub(crate) async fn closed_loop(
    address: SocketAddr,
    process: u32,
    clients: usize,
    length: Duration,
    ask: impl Fn(usize, usize) -> anyhow::Result<Request<Full<Bytes>>> + Send + Sync + 'static,
) -> anyhow::Result<Requests> {
    let ask = Arc::new(ask);
    let mut tasks = JoinSet::new();
    let own = || Cpu::of_one(std::process::id());
    let (began, before, loader) = (Instant::now(), Cpu::of(process)?, own()?);
    for number in 0..clients {
        let ask = ask.clone();
        tasks.spawn(async move {
            let mut client = Client::connect(address).await?;
            let mut latencies = Vec::new();
            // At least one: where nothing is measured, it is seen to work.
            while latencies.is_empty() || began.elapsed() < length {
                let request = ask(number, latencies.len())?;
                let sent = clock::now();
                client.call(request).await?;
                latencies.push(u32::try_from(clock::now() - sent).unwrap_or(0));
            }
            anyhow::Ok(latencies)
        });
    }
    let mut requests = Requests::default();
    while let Some(ended) = tasks.join_next().await {
        requests.latencies.extend(ended??);
    }
    (requests.elapsed, requests.cpu) = (began.elapsed(), Cpu::of(process)?.since(&before));
    requests.loader = own()?.since(&loader).as_secs_f64() / requests.elapsed.as_secs_f64();
    requests.latencies.sort_unstable();
    Ok(requests)
}
