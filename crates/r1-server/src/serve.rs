//! The server's life: put together, recover, listen, drain, end.
//!
//! The only place that knows which crates there are. Whatever can refuse to start does so before
//! the first connection is accepted, with one error that says what to do.
//!
//! **Invariant (the way out has an end):** [`serve`] hears the signals and keeps the deadline, on a
//! thread and timers of its own; all else happens on the workers. Nothing that hangs there, storage
//! included, holds the process.

use std::{io::Write, net::SocketAddr, sync::Arc};

use anyhow::{Context, bail, ensure};
use prometheus_client::registry::Registry;
use r1_auth::{Auth, setup};
use r1_domain::{
    id::NodeId,
    nodes::{Bus, Signal},
    provider::Models,
    time::{Clock, SystemClock},
};
use r1_generation::{Engine, Options};
use r1_http::{App, HostLayer, Settings};
use r1_jobs::Runner;
use secrecy::ExposeSecret;
use tokio::{
    net::TcpListener,
    runtime::Handle,
    sync::Notify,
    time::{Instant, sleep, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::{Config, Listen, Loaded, LogFormat, Source},
    database, housekeeping, jobs,
    listen::{Acceptor, Bounds, bind, capacity, raise_open_files},
    metrics::{self, Counted, Sources, Storage},
    models::Wired,
    reload::Reload,
    revocation,
    service_manager::ServiceManager,
    shutdown::Schedule,
    signals::Signals,
    telemetry::{self, LogLevel},
};

/// What a server begins with.
pub(crate) struct Start {
    /// What the configuration was read from, to be read again.
    pub(crate) source: Source,
    pub(crate) loaded: Loaded,
    /// The running log's.
    pub(crate) level: LogLevel,
}

/// Runs the server on `workers` until SIGTERM or SIGINT, and ends it within `server.shutdown_deadline`
/// of that. To be awaited on a runtime that nothing else blocks.
///
/// # Errors
/// Why it can't start, or that not all was stored and closed when it left.
pub(crate) async fn serve(start: Start, workers: &Handle) -> anyhow::Result<()> {
    // Before anybody can know that we are here.
    let mut signals = Signals::new()?;
    let deadline = start.loaded.config.server.shutdown_deadline;
    let (shutdown, reload) = (CancellationToken::new(), Arc::new(Notify::new()));
    let manager = Arc::new(ServiceManager::of_environment(|name| std::env::var_os(name)));
    let living = live(start, shutdown.clone(), reload.clone(), manager.clone());
    let mut life = TaskTracker::new().spawn_on(living, workers);
    let name = tokio::select! {
        ended = &mut life => return ended.context("the server panicked")?,
        name = signals.end(&reload) => name,
    };
    tracing::info!("{name}: shutting down");
    manager.stopping();
    shutdown.cancel();
    tokio::select! {
        biased;
        ended = &mut life => ended.context("the server panicked")?,
        // What readers saw is stored; what is not stored nobody saw.
        name = signals.end(&reload) => {
            tracing::warn!("{name} again: ending at once");
            Ok(())
        }
        () = sleep(deadline) => bail!(
            "{deadline:?} (server.shutdown_deadline) after the signal something still hung, storage most likely: \
             it was left. What readers saw is stored; the next start ends or goes on with the answers"
        ),
    }
}

/// From the first look at the data directory to the last byte, which `shutdown` brings about.
async fn live(
    start: Start,
    shutdown: CancellationToken,
    reload: Arc<Notify>,
    manager: Arc<ServiceManager>,
) -> anyhow::Result<()> {
    let Start { source, loaded: Loaded { config, warnings, values, .. }, level } = start;
    raise_open_files();
    let room_for_clients = capacity(config.server.connections)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let node_id = NodeId::new(clock.now());
    let database::Opened { store, bus, lock: _lock, keys } = database::open(&config).await?;
    let api = bind(&config.server.api, "--api-addr")?;
    let web = bind(&config.server.web, "--web-addr")?;
    let scraped = bind(&config.server.metrics, "--metrics-addr")?;

    let closing = CancellationToken::new();
    let background = TaskTracker::new();
    let own = api.iter().chain(&web).chain(&scraped).filter_map(|listener| listener.local_addr().ok()).collect();
    let models = Arc::new(Wired::new(&config, own, &closing)?);
    let mut registry = Registry::default();
    let counted = Arc::new(Counted::new(&mut registry, clock.clone()));
    counted.name_models(models.named(&config));
    let titles = jobs::titles(&config, store.clone(), models.clone(), counted.clone());
    let engine = Engine::new(
        store.clone(),
        models.clone(),
        clock.clone(),
        node_id,
        bus.clone(),
        counted.clone(),
        engine_options(&config),
    );
    let engine = Arc::new(engine.with_follow_up(jobs::follow_up(&config, &titles)));
    let runner = jobs::runner(engine.clone(), store.clone(), clock.clone(), counted.clone(), titles);
    let unwritable =
        || format!("the database {} can't be written or read; is its disk full?", database::place(&config));
    let mut acceptors = None;
    let starting = async {
        engine.join().await.with_context(unwritable)?;
        let taken_over = engine.recover().await.with_context(unwritable)?;
        if taken_over > 0 {
            tracing::info!(taken_over, "generations taken over from the process before: {taken_over}");
        }
        let setup_code = setup::offer(store.as_ref()).await.with_context(unwritable)?;
        let instance = store.instance_word(&keys.signing.instance()).await.with_context(unwritable)?;
        let auth = Auth::new(store.clone(), clock.clone(), &keys, config.auth.clone())?;
        let auth = Arc::new(auth.with_bus(bus.clone()).with_observer(counted.clone()));

        let keeper = engine.clone();
        background.spawn(async move { keeper.keep().await });
        if config.secret_key.is_none() {
            let (directory, longest) = (config.data_dir.clone(), config.auth.access_token_ttl);
            background.spawn(housekeeping::forget_key(auth.clone(), directory, longest, closing.clone()));
        }
        background.spawn(revocation::watch(auth.clone(), engine.clone(), closing.clone()));
        if let Some(bus) = bus {
            background.spawn(hear(bus, engine.clone(), auth.clone(), runner.clone(), closing.clone()));
        }
        let app = App::new(
            engine.clone(),
            auth.clone(),
            store.clone(),
            models.clone() as Arc<dyn Models>,
            clock.clone(),
            settings(&config, instance),
        );
        let addresses = Addresses::of(&api, &web, &scraped, &config);
        let bounds = Bounds {
            capacity: room_for_clients,
            header_time: config.server.request_timeout,
            write_timeout: config.stream.write_timeout,
        };
        let observer = telemetry::observer(counted.clone(), &config.server.trusted_proxies);
        let clients = Acceptor::new(r1_http::router(app.clone(), observer), bounds);
        let storage = Storage::new(store.clone(), config.data_dir.clone());
        let sources = Sources::new(
            engine.clone(),
            runner.clone(),
            store.clone(),
            storage,
            models.clone(),
            app.clone(),
            clients.clone(),
        );
        let host = HostLayer::new(config.server.public_url.clone());
        let scrapers = metrics::acceptor(registry, sources, app.clone(), bounds, host);
        for listener in api.into_iter().chain(web) {
            clients.listen(listener);
        }
        for listener in scraped {
            scrapers.listen(listener);
        }
        acceptors = Some((clients.clone(), scrapers));
        let kept = housekeeping::Kept { logs: config.stream.retention, keys: config.generation.idempotency_ttl };
        background.spawn(housekeeping::purge(store.clone(), clock, kept, closing.clone()));
        models.start();
        background.spawn(runner.clone().run(shutdown.clone()));
        let source = Arc::new(source);
        let (engine, models) = (engine.clone(), models.clone());
        let (dog, fed, until) = (manager.clone(), engine.clone(), closing.clone());
        background.spawn(async move { dog.feed_watchdog(&fed, &until).await });
        let again = Reload { source, values, warnings, level, models, engine, auth, app, clients, counted };
        background.spawn(again.run(reload, manager.clone(), shutdown.clone()));

        let setup_code = setup_code.as_ref().map(ExposeSecret::expose_secret);
        if let Err(error) = addresses.announce(setup_code, config.log.format) {
            tracing::warn!("nobody reads standard output: {error}");
        }
        let Addresses { api, web, metrics } = &addresses;
        tracing::info!(version = env!("CARGO_PKG_VERSION"), api, web, metrics, "ready");
        manager.ready();
        anyhow::Ok(())
    };
    // A signal before it is ready ends it where it has come to.
    if let Some(started) = shutdown.run_until_cancelled(starting).await {
        started?;
        shutdown.cancelled().await;
    }

    let schedule = Schedule::new(Instant::now(), config.server.shutdown_deadline);
    tracing::info!(running = engine.running(), "waiting for the answers that are being written");
    let drained = timeout_at(schedule.stored_until, engine.drain(schedule.runs_for)).await;
    let left = engine.running();
    let stored = drained.is_ok() && left == 0;
    if !stored {
        tracing::error!(left, "storage does not take the ends of the answers: they are left to the next start");
        engine.abandon();
    }
    closing.cancel();
    background.close();
    let connections = async {
        if let Some((clients, scrapers)) = acceptors {
            let deadline = schedule.close_by(Instant::now());
            tokio::join!(clients.close(deadline), scrapers.close(deadline));
        }
    };
    let rest = async {
        let rest = async { tokio::join!(background.wait(), models.shutdown()) };
        if timeout_at(schedule.closed_until, rest).await.is_err() {
            tracing::warn!("leaving the local model or the housekeeping, which did not end in time");
        }
    };
    tokio::join!(connections, rest);
    tracing::info!("ended");
    ensure!(stored, "storage did not take the ends of {left} answers: they are left to the next start");
    ensure!(background.is_empty(), "the housekeeping did not end in time: the database is not closed");
    Ok(())
}

/// Hands on what other nodes say.
async fn hear(
    bus: Arc<dyn Bus>,
    engine: Arc<Engine>,
    auth: Arc<Auth>,
    runner: Arc<Runner>,
    closing: CancellationToken,
) {
    let hear = async {
        loop {
            let signal = bus.hear().await;
            if let Signal::Session(id) = signal {
                auth.forget(id);
            }
            if matches!(signal, Signal::Jobs | Signal::Missed) {
                runner.wake();
            }
            engine.hear(signal);
        }
    };
    closing.run_until_cancelled(hear).await;
}

pub(crate) fn engine_options(config: &Config) -> Options {
    Options {
        runs_per_user: config.limits.runs_per_user,
        answer_bytes: config.limits.answer_size,
        answer_time: config.limits.answer_time,
        max_tokens: Some(config.limits.max_tokens).filter(|_| config.limits.max_tokens_given),
        history_bytes: config.generation.history,
        lease: config.database.lease,
        stall_limit: config.stream.stall_limit,
    }
}

pub(crate) fn settings(config: &Config, instance: String) -> Settings {
    Settings {
        public_url: config.server.public_url.clone(),
        cors_origins: config.server.cors_origins.clone(),
        trusted_proxies: config.server.trusted_proxies.clone(),
        instance,
        body_bytes: config.limits.body,
        bodies_in_flight: config.limits.bodies_in_flight,
        bodies_in_flight_per_user: config.limits.bodies_in_flight_per_user,
        message_chars: config.limits.message_chars,
        attaches_per_user: config.limits.attaches_per_user,
        requests_per_minute: config.limits.requests_per_minute,
        request_timeout: config.server.request_timeout,
        heartbeat: config.stream.heartbeat,
        log_access: config.log.access,
        show_details: config.generation.show_details,
    }
}

/// Where people find the server.
struct Addresses {
    api: String,
    /// Empty if it is off.
    web: String,
    /// Empty if they are off.
    metrics: String,
}

impl Addresses {
    fn of(api: &[TcpListener], web: &[TcpListener], metrics: &[TcpListener], config: &Config) -> Self {
        Self {
            api: url(api, &config.server.api),
            web: url(web, &config.server.web),
            metrics: url(metrics, &config.server.metrics),
        }
    }

    /// A few lines on standard output, for people and for scripts. The API's is the last. Where the log is JSON, all
    /// that stands in the log; only the setup code, which no log may keep, is a line of JSON here.
    fn announce(&self, setup_code: Option<&str>, format: LogFormat) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        if format == LogFormat::Json {
            if let Some(code) = setup_code {
                let message = "the setup code makes the first administrator at registration";
                writeln!(out, "{}", serde_json::json!({ "message": message, "setup_code": code }))?;
            }
            return out.flush();
        }
        writeln!(out, "GPT.R1 {}", env!("CARGO_PKG_VERSION"))?;
        if let Some(code) = setup_code {
            writeln!(out, "  setup code, makes the first administrator at registration: {code}")?;
        }
        if !self.metrics.is_empty() {
            writeln!(out, "  metrics  {}/metrics", self.metrics)?;
        }
        if !self.web.is_empty() {
            writeln!(out, "  page  {}", self.web)?;
        }
        writeln!(out, "  API   {}/api/v1", self.api)?;
        out.flush()
    }
}

fn url(listeners: &[TcpListener], wanted: &Listen) -> String {
    let bound = listeners.first().and_then(|listener| listener.local_addr().ok());
    match bound {
        // Both loopback addresses: what people type.
        Some(addr) if wanted.optional.is_some() => format!("http://localhost:{}", addr.port()),
        Some(addr) => format!("http://{}", SocketAddr::new(addr.ip(), addr.port())),
        None => String::new(),
    }
}
