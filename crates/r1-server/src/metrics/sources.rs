//! What somebody keeps anyway, looked up when it is asked for: that costs nothing in between, and what is
//! said is true then.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};
use r1_domain::{
    provider::{Models, ProviderHealth},
    store::Store,
};
use r1_generation::Engine;
use r1_http::App;
use r1_jobs::Runner;
use rustix::process;
use tokio::runtime::Handle;

use super::{Storage, storage::Found};
use crate::{listen::Acceptor, models::Wired};

/// Where numbers are looked up.
pub(crate) struct Sources {
    engine: Arc<Engine>,
    runner: Arc<Runner>,
    store: Arc<dyn Store>,
    storage: Arc<Storage>,
    models: Arc<Wired>,
    app: App,
    acceptor: Acceptor,
    runtime: Handle,
}

impl Sources {
    /// Call it on the runtime whose tasks shall be counted.
    pub(crate) fn new(
        engine: Arc<Engine>,
        runner: Arc<Runner>,
        store: Arc<dyn Store>,
        storage: Storage,
        models: Arc<Wired>,
        app: App,
        acceptor: Acceptor,
    ) -> Self {
        Self { engine, runner, store, storage: Arc::new(storage), models, app, acceptor, runtime: Handle::current() }
    }

    /// What has to look before a page is made.
    pub(super) fn storage(&self) -> Arc<Storage> {
        self.storage.clone()
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sources")
    }
}

impl Collector for Sources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self { engine, app, acceptor, runtime, .. } = self;
        let connections = self.store.connections();
        let Found { works, size, last_backup } = self.storage.found();
        let gauges = [
            ("gpt_r1_connections", "Connections of clients that are open", Some(acceptor.open_connections())),
            ("gpt_r1_connections_most", "Connections of clients that may be open", Some(acceptor.room().most())),
            ("gpt_r1_request_bodies_bytes", "Request bodies in flight", Some(app.body_bytes_in_flight())),
            ("gpt_r1_readers", "Readers that are attached to an answer", Some(engine.readers())),
            ("gpt_r1_generations_running", "Answers that are being written", Some(engine.running())),
            ("gpt_r1_log_writer_queue", "Answers whose newest events wait for storage", Some(engine.unwritten())),
            ("gpt_r1_jobs_running", "Background jobs that are being done", Some(self.runner.running())),
            ("gpt_r1_other_nodes", "Other nodes that have a lease", Some(engine.other_nodes())),
            ("gpt_r1_draining", "1 once the server takes no new work", Some(usize::from(engine.is_draining()))),
            (
                "gpt_r1_database_connections_in_use",
                "Connections to the database that requests have",
                connections.map(|connections| connections.lent),
            ),
            (
                "gpt_r1_database_connections_most",
                "Connections to the database that requests may have",
                connections.map(|connections| connections.most),
            ),
            ("gpt_r1_database_up", "1 if the database can read and write, 0 if not", Some(usize::from(works))),
            ("gpt_r1_database_size_bytes", "Bytes that the database has", size.map(|size| size.bytes as usize)),
            (
                "gpt_r1_database_free_bytes",
                "Bytes that are free on the file system of the database",
                size.and_then(|size| size.free).map(|free| free as usize),
            ),
            (
                "gpt_r1_last_backup_timestamp_seconds",
                "When the database was backed up last, since 1970",
                last_backup.map(|at| at as usize),
            ),
            (
                "gpt_r1_local_model_resident_memory_bytes",
                "Resident memory of the local model's process, 0 while it has none",
                self.models.local().and_then(|pid| pid.map_or(Some(0), |pid| resident_memory(&pid.to_string()))),
            ),
            ("gpt_r1_tasks", "Tasks of the runtime that are alive", Some(runtime.metrics().num_alive_tasks())),
            ("process_resident_memory_bytes", "Resident memory", resident_memory("self")),
            ("process_open_fds", "Open file descriptors", open_files()),
            ("process_max_fds", "File descriptors that may be open", most_files()),
        ];
        for (name, help, value) in gauges {
            // What this operating system does not tell is left out.
            let Some(value) = value else { continue };
            let gauge = ConstGauge::new(value as u64);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        let help = "1 if a provider's last answer, or else its list of models, came well, 0 if not";
        let mut up = encoder.encode_descriptor("gpt_r1_provider_up", help, None, MetricType::Gauge)?;
        for ProviderHealth { name, status, .. } in self.models.health() {
            if let Some(is_up) = is_up(status) {
                ConstGauge::new(u64::from(is_up)).encode(up.encode_family(&[("provider", name)])?)?;
            }
        }
        let closed = ConstCounter::new(acceptor.room().asked_to_leave());
        let (name, help) =
            ("gpt_r1_connections_made_to_leave", "Connections without a request closed for want of room");
        closed.encode(encoder.encode_descriptor(name, help, None, closed.metric_type())?)?;
        let time = ConstCounter::new(processor_time());
        time.encode(encoder.encode_descriptor("process_cpu_seconds", "Processor time", None, time.metric_type())?)
    }
}

/// Whether a provider of this health can be asked, as far as somebody knows. A local model that rests wakes when it is
/// asked.
fn is_up(status: &str) -> Option<bool> {
    match status {
        "ok" | "ready" | "idle" => Some(true),
        "degraded" | "failed" => Some(false),
        _ => None,
    }
}

/// Resident memory of a process, in bytes.
fn resident_memory(pid: &str) -> Option<usize> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: usize = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

/// Open files of this process.
fn open_files() -> Option<usize> {
    let listed = std::fs::read_dir("/proc/self/fd").ok()?.count();
    // The directory itself was open while it was read.
    listed.checked_sub(1)
}

fn most_files() -> Option<usize> {
    usize::try_from(process::getrlimit(process::Resource::Nofile).current?).ok()
}

/// Of this process and its threads, in seconds.
fn processor_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
