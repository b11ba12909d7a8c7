//! The configuration: read once at the start, checked as a whole, then passed around as plain values.
//!
//! [`layers`] lays the default file, a file, the environment and the flags over one another;
//! [`reader`] asks for settings by type; [`assemble`] and [`providers`] put them together and look
//! for contradictions, with [`way`] and [`parameters`] for a single provider; [`warnings`] says what is allowed but risky; [`show`] prints what is in force.
//!
//! **Invariant:** a [`Config`] has no fault that could be seen without touching network or
//! database; and no secret of it can be printed.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use r1_auth::{AuthConfig, key::SigningKey};
use secrecy::SecretString;

mod assemble;
mod fault;
mod keys;
mod layers;
mod listen;
mod local_servers;
mod log;
mod model_settings;
mod parameters;
mod provider_tables;
mod providers;
mod reader;
mod show;
mod units;
mod value;
mod values;
mod warnings;
mod way;

pub(crate) use fault::Faults;
pub(crate) use layers::Flags;
pub(crate) use local_servers::LocalServersConfig;
pub(crate) use providers::{Continues, DefaultModel, ProviderConfig};
pub(crate) use values::Values;

/// Everything that an operator decides.
#[derive(Debug)]
pub(crate) struct Config {
    /// Where database, signing key and lock live.
    pub(crate) data_dir: PathBuf,
    /// What answers a request that names no model.
    pub(crate) default_model: DefaultModel,
    /// `[server]`.
    pub(crate) server: ServerConfig,
    /// `[database]`.
    pub(crate) database: DatabaseConfig,
    /// `[auth]`, and the attempt limits.
    pub(crate) auth: AuthConfig,
    /// The signing key, where it is given; else it is made in the data directory.
    pub(crate) secret_key: Option<SigningKey>,
    /// The key before that one: its tokens are accepted too.
    pub(crate) previous_secret_key: Option<SigningKey>,
    /// `[limits]`.
    pub(crate) limits: LimitsConfig,
    /// `[stream]`.
    pub(crate) stream: StreamConfig,
    /// `[generation]`.
    pub(crate) generation: GenerationConfig,
    /// `[titles]`.
    pub(crate) titles: TitlesConfig,
    /// `[providers.NAME]`, by name.
    pub(crate) providers: Vec<ProviderConfig>,
    /// `[local_model]`; none if it is not offered.
    pub(crate) local_model: Option<LocalModelConfig>,
    /// `[local_servers]`; none if nobody is looked for.
    pub(crate) local_servers: Option<LocalServersConfig>,
    /// `[log]`.
    pub(crate) log: LogConfig,
}

/// Where one port listens, if anywhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Listen {
    /// This has to work. Where there is none, nobody listens.
    pub(crate) required: Option<SocketAddr>,
    /// This is taken where there is such an address: [::1] beside 127.0.0.1, for `localhost`.
    pub(crate) optional: Option<SocketAddr>,
}

/// How the server is reached.
#[derive(Debug)]
pub(crate) struct ServerConfig {
    /// Port of the API.
    pub(crate) api: Listen,
    /// Port of the page.
    pub(crate) web: Listen,
    /// Port of the metrics; nowhere if they are off.
    pub(crate) metrics: Listen,
    /// Where browsers reach it from outside: scheme and host, path `/`.
    pub(crate) public_url: Option<http::Uri>,
    /// Origins that may call the API from a browser.
    pub(crate) cors_origins: Vec<http::HeaderValue>,
    /// Proxies whose `X-Forwarded-For` says who the client is.
    pub(crate) trusted_proxies: Vec<ipnet::IpNet>,
    /// How long running answers get after SIGTERM.
    pub(crate) shutdown_deadline: Duration,
    /// Connections of clients at the same time; none: as many as files and memory allow.
    pub(crate) connections: Option<usize>,
    /// How long a request's header, and then its body, may take to come.
    pub(crate) request_timeout: Duration,
    /// Each provider is asked for its list of models at the start.
    pub(crate) first_look: bool,
}

/// Which database.
#[derive(Debug)]
pub(crate) enum Database {
    /// SQLite, in this directory: the data directory.
    Sqlite(PathBuf),
    /// On a server.
    Postgres(Postgres),
}

/// A database on a server.
#[derive(Debug)]
pub(crate) struct Postgres {
    /// May hold a password.
    pub(crate) url: SecretString,
    /// Host, port and name.
    pub(crate) place: String,
}

/// Where everything is stored.
#[derive(Debug)]
pub(crate) struct DatabaseConfig {
    /// Which database.
    pub(crate) database: Database,
    /// SQLite: every commit survives a power loss. On a server every commit does.
    pub(crate) sync_all: bool,
    /// How long a node that says nothing is believed to live.
    pub(crate) lease: Duration,
}

/// What one user, one request or one answer may cost. None is "any number".
#[derive(Debug)]
pub(crate) struct LimitsConfig {
    /// Request body, in bytes.
    pub(crate) body: usize,
    /// All request bodies that are being read or worked on, in bytes.
    pub(crate) bodies_in_flight: usize,
    /// What one user, or one address of strangers, may have of those; none: all.
    pub(crate) bodies_in_flight_per_user: Option<usize>,
    /// Message, in characters.
    pub(crate) message_chars: usize,
    /// Answers being written, per user.
    pub(crate) runs_per_user: Option<usize>,
    /// Streams followed, per user.
    pub(crate) attaches_per_user: Option<usize>,
    /// Requests per minute and user.
    pub(crate) requests_per_minute: Option<u32>,
    /// Answer, in bytes.
    pub(crate) answer_size: usize,
    /// Answer, from accepted to finished.
    pub(crate) answer_time: Duration,
    /// Answer, in tokens, where the request names no limit.
    pub(crate) max_tokens: u32,
    /// Whether the administrator said so: else it bounds the local model alone.
    pub(crate) max_tokens_given: bool,
}

/// How answers are streamed.
#[derive(Debug)]
pub(crate) struct StreamConfig {
    /// Pause after which a quiet stream gets a comment.
    pub(crate) heartbeat: Duration,
    /// How long a finished answer's log is kept.
    pub(crate) retention: Duration,
    /// How long storage may stand still before readers are sent away.
    pub(crate) stall_limit: Duration,
    /// How long a reader may take nothing.
    pub(crate) write_timeout: Duration,
}

/// How answers are made.
#[derive(Debug)]
pub(crate) struct GenerationConfig {
    /// Newest bytes of a conversation that go to the model.
    pub(crate) history: usize,
    /// How long an Idempotency-Key is remembered.
    pub(crate) idempotency_ttl: Duration,
    /// Whether everybody may read a provider's own words of a fault.
    pub(crate) show_details: bool,
}

/// Which model names conversations.
#[derive(Debug)]
pub(crate) struct TitlesConfig {
    /// Whether one does.
    pub(crate) enabled: bool,
    /// Its name; none is each conversation's own.
    pub(crate) model: Option<String>,
}

/// What runs the local model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum LocalEngine {
    /// Our own.
    #[default]
    Builtin,
    /// llama.cpp's server.
    LlamaServer,
}

/// The model on this machine.
#[derive(Debug)]
pub(crate) struct LocalModelConfig {
    /// What runs it.
    pub(crate) engine: LocalEngine,
    /// llama.cpp's server: a path, or a name looked for on PATH.
    pub(crate) llama_server_path: PathBuf,
    /// A GGUF file; none is the pinned one.
    pub(crate) path: Option<PathBuf>,
    /// Its name behind `local/`.
    pub(crate) name: String,
    /// Threads; none is all cores but one.
    pub(crate) threads: Option<usize>,
    /// Tokens in a conversation; none is what the model can.
    pub(crate) context: Option<usize>,
    /// Memory that keeps conversations warm, in bytes; none is what the engine thinks right.
    pub(crate) kv_budget: Option<u64>,
    /// Unused for this long, it is stopped.
    pub(crate) idle_unload: Duration,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// What is logged.
#[derive(Debug)]
pub(crate) struct LogConfig {
    /// A level or a filter, as `tracing_subscriber::EnvFilter` reads it: RUST_LOG's, where that is set.
    pub(crate) level: String,
    /// RUST_LOG is set.
    pub(crate) level_is_of_environment: bool,
    /// Every answered request has a line.
    pub(crate) access: bool,
    /// How lines look.
    pub(crate) format: LogFormat,
}

/// A configuration without faults.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The configuration.
    pub(crate) config: Config,
    /// What is allowed but risky, one sentence each.
    pub(crate) warnings: Vec<String>,
    /// Every setting in force with its source, secrets masked: for `config check`.
    pub(crate) effective: String,
    /// Every setting in force, to be held against those of another time.
    pub(crate) values: Values,
}

/// What a configuration is read from, besides the file.
#[derive(Default)]
pub(crate) struct Source {
    /// The command line.
    pub(crate) flags: Flags,
    /// The variables of the process.
    pub(crate) environment: Vec<(String, String)>,
}

/// Reads and checks all layers. The environment is the source's, so that tests bring their own.
///
/// # Errors
/// All faults at once.
pub(crate) fn load(source: &Source) -> Result<Loaded, Faults> {
    let Source { flags, environment } = source;
    let defaults = layers::defaults();
    let layers = layers::Layers::read(&defaults, flags, environment);
    if layers.is_broken {
        // Without the file's settings, others would seem to be missing.
        return Err(Faults::new(layers.faults));
    }
    let mut reader = reader::Reader::new(defaults, layers.given, layers.faults);
    let config = assemble::assemble(&mut reader, environment);
    if !reader.faults.is_empty() {
        return Err(Faults::new(reader.faults));
    }
    let warnings = warnings::warnings(&config, &reader, environment);
    let effective = show::effective(&config, &reader);
    Ok(Loaded { config, warnings, effective, values: Values::of(&reader) })
}

#[cfg(test)]
mod tests;
