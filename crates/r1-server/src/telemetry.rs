//! What the process says of itself while it runs: log lines to standard error, as text for people or as
//! JSON for programs; and, in a build that has them, traces.

use std::{io::IsTerminal, sync::Arc};

use ipnet::IpNet;
use r1_http::Observer;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer, filter::filter_fn, layer::SubscriberExt, registry::LookupSpan, util::SubscriberInitExt,
};

use crate::config::{LogConfig, LogFormat};

/// From the first line to the last.
pub(crate) struct Telemetry {
    #[cfg(feature = "otel")]
    traces: Option<crate::traces::Traces>,
}

impl Telemetry {
    /// Starts it for the whole process. `RUST_LOG`, where it is set, beats the configured level of the log.
    ///
    /// # Errors
    /// An unreadable `RUST_LOG`, traces that can't be sent as the environment says, or a second start.
    pub(crate) fn start(config: &LogConfig, rust_log: Option<&str>) -> anyhow::Result<Self> {
        let wanted = rust_log.filter(|filter| !filter.is_empty()).unwrap_or(&config.level);
        let filter = EnvFilter::try_new(wanted)
            .map_err(|e| anyhow::anyhow!("RUST_LOG is no level or filter ({e}); write one such as \"info\""))?;
        let subscriber = tracing_subscriber::registry().with(lines(config.format).with_filter(filter));
        let subscriber = subscriber.with(filter_fn(may_be_read));
        #[cfg(feature = "otel")]
        let (telemetry, subscriber) = {
            let traces = crate::traces::Traces::of_environment()?;
            let layer = traces.as_ref().map(|traces| traces.layer());
            (Self { traces }, subscriber.with(layer))
        };
        #[cfg(not(feature = "otel"))]
        let telemetry = Self {};
        subscriber.try_init().map_err(|e| anyhow::anyhow!("logging was started before: {e}"))?;
        #[cfg(not(feature = "otel"))]
        for name in ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] {
            if std::env::var_os(name).is_some() {
                tracing::info!("{name} is set, but this build sends no traces: see docs/operations.md");
            }
        }
        Ok(telemetry)
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

fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Text => {
            // https://no-color.org
            let colour =
                std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
            lines.with_ansi(colour).boxed()
        }
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    }
}

/// False for what no level or `RUST_LOG` may ask for: PostgreSQL's driver logs the values of every
/// statement, and those are what people wrote.
fn may_be_read(line: &Metadata<'_>) -> bool {
    !line.target().starts_with("tokio_postgres") || *line.level() <= Level::WARN
}
