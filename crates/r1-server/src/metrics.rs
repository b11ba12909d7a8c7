//! Numbers for a monitoring system, at an address of their own.
//!
//! What somebody keeps anyway (connections, readers, tasks, memory) is looked up when it is asked for:
//! [`Sources`] costs nothing in between, and what it says is true then. What has to be counted as it
//! happens is registered beside it in [`acceptor`], and its handle given to who counts.

use std::{fmt, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, StatusCode, header};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text::encode},
    metrics::gauge::ConstGauge,
    registry::Registry,
};
use r1_generation::Engine;
use tokio::runtime::Handle;

use crate::listen::{Acceptor, Bounds};

/// Connections at the same time: whoever asks here asks every some seconds.
const MOST_CONNECTIONS: usize = 16;
/// From accepting a connection until the request is there.
const HEADER_TIME: Duration = Duration::from_secs(10);

/// What is written is both: the newer format is the older one but for its last line, a comment to the older,
/// and for the names of counters, which the older takes for values without a type.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// An acceptor that answers `GET /metrics`.
pub(crate) fn acceptor(sources: Sources, bounds: Bounds) -> Acceptor {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(sources));
    let router = Router::new().route("/metrics", get(scrape)).with_state(Arc::new(registry));
    Acceptor::new(router, Bounds { connections: MOST_CONNECTIONS, header_time: HEADER_TIME, ..bounds })
}

async fn scrape(State(registry): State<Arc<Registry>>, headers: HeaderMap) -> Response {
    // Counting thousands of open files takes a while.
    let page = tokio::task::spawn_blocking(move || {
        let mut page = String::new();
        encode(&mut page, &registry).map(|()| page)
    });
    let Ok(Ok(page)) = page.await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = if accepted.contains("application/openmetrics-text") { OPENMETRICS } else { PROMETHEUS };
    ([(header::CONTENT_TYPE, kind)], page).into_response()
}

/// Where numbers are looked up.
pub(crate) struct Sources {
    engine: Arc<Engine>,
    acceptor: Acceptor,
    runtime: Handle,
}

impl Sources {
    /// Call it on the runtime whose tasks shall be counted.
    pub(crate) fn new(engine: Arc<Engine>, acceptor: Acceptor) -> Self {
        Self { engine, acceptor, runtime: Handle::current() }
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sources")
    }
}

impl Collector for Sources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let gauges = [
            (
                "gpt_r1_connections",
                "Connections of clients that are open",
                Some(self.acceptor.open_connections() as u64),
            ),
            ("gpt_r1_readers", "Readers that are attached to an answer", Some(self.engine.readers() as u64)),
            ("gpt_r1_generations_running", "Answers that are being written", Some(self.engine.running() as u64)),
            (
                "gpt_r1_log_writer_queue",
                "Answers whose newest events wait for storage",
                Some(self.engine.unwritten() as u64),
            ),
            (
                "gpt_r1_tasks",
                "Tasks of the runtime that are alive",
                Some(self.runtime.metrics().num_alive_tasks() as u64),
            ),
            ("process_resident_memory_bytes", "Resident memory", resident_memory()),
            ("process_open_fds", "Open file descriptors", open_files()),
        ];
        for (name, help, value) in gauges {
            // What this operating system does not tell is left out.
            let Some(value) = value else { continue };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

/// Resident memory of this process, in bytes.
fn resident_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

/// Open files of this process.
fn open_files() -> Option<u64> {
    let listed = std::fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    // The directory itself was open while it was read.
    listed.checked_sub(1)
}
