//! The configuration, read again while the server runs.
//!
//! What can change: the log's level and `log.access`, providers with their keys and models, `default_model`,
//! `[local_servers]`, `[limits]` and `server.trusted_proxies`. Answers and requests that are under way go on with
//! what they began with. All else needs a restart, and is named.
//!
//! **Invariant (all or nothing):** a configuration with a fault changes nothing; what can refuse comes before the
//! first change.

use std::sync::Arc;

use r1_auth::Auth;
use r1_generation::Engine;
use r1_http::{App, Settings};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{self, Config, Loaded, Source, Values},
    listen::Acceptor,
    metrics::Counted,
    models::Wired,
    serve::{engine_options, settings},
    service_manager::ServiceManager,
    telemetry::{self, LogLevel},
};

/// All that takes on another configuration.
pub(crate) struct Reload {
    pub(crate) source: Arc<Source>,
    /// In force now.
    pub(crate) values: Values,
    /// Said already.
    pub(crate) warnings: Vec<String>,
    pub(crate) level: LogLevel,
    pub(crate) models: Arc<Wired>,
    pub(crate) engine: Arc<Engine>,
    pub(crate) auth: Arc<Auth>,
    pub(crate) app: App,
    pub(crate) clients: Acceptor,
    pub(crate) counted: Arc<Counted>,
}

/// Whether a setting can change without a restart.
fn is_live(key: &str) -> bool {
    let sections = ["providers.", "limits.", "local_servers."];
    let single = ["default_model", "local_model.enabled", "log.access", "log.level", "server.trusted_proxies"];
    single.contains(&key) || sections.iter().any(|section| key.starts_with(section))
}

impl Reload {
    /// Reads it again whenever `wanted` says so, until `closing`.
    pub(crate) async fn run(mut self, wanted: Arc<Notify>, manager: Arc<ServiceManager>, closing: CancellationToken) {
        while closing.run_until_cancelled(wanted.notified()).await.is_some() {
            manager.reloading();
            self.reload().await;
            manager.ready();
        }
    }

    async fn reload(&mut self) {
        let source = self.source.clone();
        // A file's disk may hang.
        let loaded = match tokio::task::spawn_blocking(move || config::load(&source)).await {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(faults)) => {
                tracing::error!("SIGHUP: nothing was changed: {faults}");
                return;
            }
            Err(error) => {
                tracing::error!("SIGHUP: nothing was changed: reading the configuration failed: {error}");
                return;
            }
        };
        let Loaded { config, warnings, values, .. } = loaded;
        let (live, later): (Vec<String>, Vec<String>) =
            self.values.changes(&values).into_iter().partition(|key| is_live(key));
        if let Err(error) = self.change(&config, &live) {
            tracing::error!("SIGHUP: nothing was changed: {error:#}");
            return;
        }
        self.values.take_over(values, is_live);
        for warning in warnings.iter().filter(|warning| !self.warnings.contains(warning)) {
            tracing::warn!("{warning}");
        }
        self.warnings = warnings;
        if live.is_empty() && later.is_empty() {
            tracing::info!("SIGHUP: no setting has changed; files of certificates are read again");
        }
        if !live.is_empty() {
            let changed = live.join(", ");
            tracing::info!(changed, "SIGHUP: the configuration was read again; these have changed: {changed}");
        }
        if !later.is_empty() {
            let later = later.join(", ");
            tracing::warn!(later, "SIGHUP: these have changed and need a restart, until which they stay: {later}");
        }
        if live.iter().any(|key| key == "log.level") && config.log.level_is_of_environment {
            tracing::warn!("RUST_LOG beats log.level: the level stays as it is");
        }
    }

    /// Puts it in force. `live` are the settings that have changed.
    fn change(&mut self, config: &Config, live: &[String]) -> anyhow::Result<()> {
        // A new client knows neither how its provider is nor what it lists.
        let of_models = |key: &String| {
            let others = ["log.", "server.", "limits."].iter().any(|section| key.starts_with(section));
            !others || key == "limits.max_tokens"
        };
        // Certificates may have been renewed in the same files.
        let has_files = config.providers.iter().any(|provider| provider.way.reads_files());
        if has_files || live.iter().any(of_models) {
            self.models.rewire(config)?;
            self.counted.name_models(self.models.named(config));
        }
        self.level.set(&config.log.level)?;
        self.engine.set_limits(engine_options(config));
        self.auth.set_attempts(config.auth.attempts.as_ref());
        let before = self.app.settings().clone();
        let new = settings(config, before.instance.clone());
        let settings = Settings {
            public_url: before.public_url,
            cors_origins: before.cors_origins,
            request_timeout: before.request_timeout,
            heartbeat: before.heartbeat,
            show_details: before.show_details,
            ..new
        };
        let observer = telemetry::observer(self.counted.clone(), &settings.trusted_proxies);
        self.app = self.app.with_settings(settings);
        self.clients.serve(r1_http::router(self.app.clone(), observer));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_change_while_it_runs() {
        for key in ["log.level", "limits.runs_per_user", "providers.a.api_key", "default_model", "local_servers.look"] {
            assert!(is_live(key), "{key}");
        }
        for key in ["data_dir", "server.host", "log.format", "auth.registration", "database.url", "stream.heartbeat"] {
            assert!(!is_live(key), "{key}");
        }
    }
}
