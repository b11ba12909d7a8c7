//! What the process says of itself while it runs: log lines to standard error, as text for people or as
//! JSON for programs; and, in a build that has them, traces.

mod lines;

use std::{
    io::IsTerminal,
    os::{fd::AsFd, unix::fs::MetadataExt},
    sync::Arc,
};

use anyhow::anyhow;
use ipnet::IpNet;
use r1_http::Observer;
use tracing::{Level, Metadata};
use tracing_subscriber::{EnvFilter, Layer, filter::filter_fn, layer::SubscriberExt, reload, util::SubscriberInitExt};

use self::lines::Look;
use crate::config::LogConfig;

/// From the first line to the last.
pub(crate) struct Telemetry {
    level: LogLevel,
    #[cfg(feature = "otel")]
    traces: Option<crate::traces::Traces>,
}

/// The log's level, which can be changed while the process runs.
#[derive(Clone)]
pub(crate) struct LogLevel(reload::Handle<EnvFilter, tracing_subscriber::Registry>);

impl LogLevel {
    /// From now on, what this level or filter lets through.
    ///
    /// # Errors
    /// It is neither.
    pub(crate) fn set(&self, level: &str) -> anyhow::Result<()> {
        Ok(self.0.reload(filter(level)?)?)
    }
}

fn filter(level: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(level).map_err(|error| anyhow!("\"{level}\" is no level or filter: {error}"))
}

impl Telemetry {
    /// Starts it for the whole process.
    ///
    /// # Errors
    /// Traces that can't be sent as the environment says, or a second start.
    pub(crate) fn start(config: &LogConfig) -> anyhow::Result<Self> {
        // https://no-color.org
        let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
        let look = Look { format: config.format, journal: is_journal(), colour };
        let (filter, handle) = reload::Layer::new(filter(&config.level)?);
        let level = LogLevel(handle);
        let subscriber = tracing_subscriber::registry().with(look.layer(std::io::stderr).with_filter(filter));
        let subscriber = subscriber.with(filter_fn(may_be_read));
        #[cfg(feature = "otel")]
        let (telemetry, subscriber) = {
            let traces = crate::traces::Traces::of_environment()?;
            let layer = traces.as_ref().map(|traces| traces.layer());
            (Self { level, traces }, subscriber.with(layer))
        };
        #[cfg(not(feature = "otel"))]
        let telemetry = Self { level };
        subscriber.try_init().map_err(|e| anyhow!("logging was started before: {e}"))?;
        #[cfg(not(feature = "otel"))]
        for name in ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] {
            if std::env::var_os(name).is_some() {
                tracing::info!("{name} is set, but this build sends no traces: see docs/operations.md");
            }
        }
        Ok(telemetry)
    }

    /// What changes the level.
    pub(crate) fn level(&self) -> LogLevel {
        self.level.clone()
    }

    /// Hands over what has not left the process.
    pub(crate) fn end(self) {
        #[cfg(feature = "otel")]
        if let Some(traces) = self.traces {
            traces.end();
        }
    }
}

/// Who is told of requests: `counted`, and the traces where there are some.
pub(crate) fn observer(counted: Arc<dyn Observer>, trusted_proxies: &[IpNet]) -> Arc<dyn Observer> {
    #[cfg(feature = "otel")]
    if crate::traces::is_wanted() {
        return Arc::new(crate::traces::Traced { inner: counted, trusted_proxies: trusted_proxies.to_vec() });
    }
    let _ = trusted_proxies;
    counted
}

/// Whether standard error is the journal's: systemd says in `JOURNAL_STREAM` which file that is (systemd.exec(5)), and a
/// shell in between may have led it elsewhere.
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(duplicate) = std::io::stderr().as_fd().try_clone_to_owned() else { return false };
    let Ok(about) = std::fs::File::from(duplicate).metadata() else { return false };
    stream == format!("{}:{}", about.dev(), about.ino())
}

/// False for what no level or `RUST_LOG` may ask for: PostgreSQL's driver logs the values of every
/// statement, and those are what people wrote.
fn may_be_read(line: &Metadata<'_>) -> bool {
    !line.target().starts_with("tokio_postgres") || *line.level() <= Level::WARN
}
