//! Log lines: to standard error, as text for people or as JSON for programs.

use std::io::IsTerminal;

use tracing::{Level, Metadata};
use tracing_subscriber::{EnvFilter, filter::filter_fn, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::{LogConfig, LogFormat};

/// Starts logging for the whole process. `RUST_LOG`, where it is set, beats the configured level.
///
/// # Errors
/// An unreadable `RUST_LOG`, or logging that was started before.
pub(crate) fn start(config: &LogConfig, rust_log: Option<&str>) -> anyhow::Result<()> {
    let wanted = rust_log.filter(|filter| !filter.is_empty()).unwrap_or(&config.level);
    let filter = EnvFilter::try_new(wanted)
        .map_err(|e| anyhow::anyhow!("RUST_LOG is no level or filter ({e}); write one such as \"info\""))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match config.format {
        LogFormat::Text => {
            // https://no-color.org
            let colour =
                std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
            lines.with_ansi(colour).finish().with(filter_fn(may_be_read)).try_init()
        }
        LogFormat::Json => lines.json().flatten_event(true).finish().with(filter_fn(may_be_read)).try_init(),
    };
    started.map_err(|e| anyhow::anyhow!("logging was started before: {e}"))
}

/// False for what no level or `RUST_LOG` may ask for: PostgreSQL's driver logs the values of every
/// statement, and those are what people wrote.
fn may_be_read(line: &Metadata<'_>) -> bool {
    !line.target().starts_with("tokio_postgres") || *line.level() <= Level::WARN
}
