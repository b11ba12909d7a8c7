//! Settings put together: each section in turn, then what they say about one another.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
use r1_auth::{
    AuthConfig,
    attempts::{AttemptLimits, Rate},
    key::SigningKey,
    password::PasswordConfig,
};
use secrecy::{ExposeSecret, SecretString};

use super::{
    Config, Database, DatabaseConfig, GenerationConfig, LimitsConfig, LocalEngine, LocalModelConfig, Postgres,
    ServerConfig, StreamConfig, TitlesConfig, listen, local_servers, log,
    providers::{self, ProviderConfig},
    reader::{Reader, Wrong},
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// One user has such a part of all request bodies in flight at most.
const BODY_SHARES: usize = 4;

/// Reads every setting. With any fault noted in `reader`, the result is not to be used.
pub(crate) fn assemble(reader: &mut Reader, environment: &[(String, String)]) -> Config {
    let data_dir = data_dir(reader, environment);
    let limits_enabled = reader.switch("limits.enabled");
    let auth = auth(reader, limits_enabled);
    let (secret_key, previous_secret_key) = keys(reader);
    let database = database(reader, &data_dir, secret_key.is_some());
    let providers = providers::read(reader, environment);
    let local_model = local_model(reader, environment, &providers);
    let local_name = local_model.as_ref().map(|local| local.name.as_str());
    let server = server(reader);
    let local_servers = local_servers::read(reader, &server, !providers.is_empty());
    Config {
        default_model: providers::default_model(reader, &providers, local_name, local_servers.as_ref()),
        server,
        database,
        auth,
        secret_key,
        previous_secret_key,
        limits: limits(reader, limits_enabled),
        stream: StreamConfig {
            heartbeat: reader.duration("stream.heartbeat", SECOND, HOUR),
            retention: reader.duration("stream.retention", SECOND, 365 * DAY),
            stall_limit: reader.duration("stream.stall_limit", SECOND, HOUR),
            write_timeout: reader.duration("stream.write_timeout", SECOND, HOUR),
        },
        generation: GenerationConfig {
            history: usize_of(reader.size("generation.history", KIB, 64 * MIB)),
            idempotency_ttl: reader.duration("generation.idempotency_ttl", SECOND, 365 * DAY),
            show_details: reader.switch("generation.show_details"),
        },
        titles: TitlesConfig {
            enabled: reader.switch("titles.enabled"),
            model: Some(reader.text("titles.model")).filter(|model| !model.is_empty()),
        },
        local_model,
        local_servers,
        log: log::read(reader, environment),
        data_dir,
        providers,
    }
}

fn usize_of(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn variable<'a>(environment: &'a [(String, String)], name: &str) -> Option<&'a str> {
    environment.iter().find(|(known, value)| known == name && !value.is_empty()).map(|(_, value)| value.as_str())
}

/// `~/` is the home directory; other paths are as they stand.
pub(crate) fn expand(text: &str, environment: &[(String, String)]) -> PathBuf {
    match (text.strip_prefix("~/"), variable(environment, "HOME")) {
        (Some(rest), Some(home)) => Path::new(home).join(rest),
        _ => PathBuf::from(text),
    }
}

fn data_dir(reader: &mut Reader, environment: &[(String, String)]) -> PathBuf {
    let text = reader.text("data_dir");
    if !text.is_empty() {
        return expand(&text, environment);
    }
    // The XDG Base Directory Specification: a relative path counts as none.
    let absolute = |name| variable(environment, name).map(PathBuf::from).filter(|path| path.is_absolute());
    let share = absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/share")));
    match share {
        Some(share) => share.join("gpt-r1"),
        None => {
            let remedy = "give --data-dir DIR, or set HOME";
            reader.fault("data_dir", "is not set, and there is no home directory to put it in", remedy);
            PathBuf::new()
        }
    }
}

fn server(reader: &mut Reader) -> ServerConfig {
    let (api, web, metrics) = listen::read(reader);
    let public_url = reader.read("server.public_url", |value| match value.text().map(str::trim) {
        Some("") => Ok(None),
        Some(text) => match providers::web_url(text, "https://chat.example.com")? {
            url if url.path() == "/" => Ok(Some(url)),
            _ => Err(Wrong::new(
                "has a path, and GPT.R1 can't be served below one",
                "give it a host name of its own, such as \"https://chat.example.com\", all paths of which the proxy passes on",
            )),
        },
        None => Err(Wrong::not("a URL", value, "write it like \"https://chat.example.com\"")),
    });
    let mut cors_origins = Vec::new();
    for text in reader.list("server.cors_origins") {
        let origin = providers::web_url(&text, "").ok().filter(|uri| uri.path() == "/" && !text.ends_with('/'));
        match origin.and_then(|uri| http::HeaderValue::from_str(&as_browsers_say(&uri)).ok()) {
            Some(origin) => cors_origins.push(origin),
            None => {
                let problem = format!("has {text:?}, which is no origin");
                let remedy = "write scheme and host only, such as \"https://app.example.com\"; \"*\" is not offered";
                reader.fault("server.cors_origins", problem, remedy);
            }
        }
    }
    let mut trusted_proxies = Vec::new();
    for text in reader.list("server.trusted_proxies") {
        let address = text.parse().map(|ip: std::net::IpAddr| IpNet::from(ip.to_canonical()));
        match address.or_else(|_| text.parse().map(|network: IpNet| network.trunc())) {
            Ok(network) => trusted_proxies.push(network),
            Err(_) => {
                let problem = format!("has {text:?}, which is neither an IP address nor a network");
                reader.fault("server.trusted_proxies", problem, "write it like \"127.0.0.1\" or \"10.0.0.0/8\"");
            }
        }
    }
    let shutdown_deadline = reader.duration("server.shutdown_deadline", SECOND, HOUR);
    let request_timeout = reader.duration("server.request_timeout", SECOND, HOUR);
    let connections = Some(reader.number("server.connections", 0, 1_000_000)).filter(|number| *number > 0);
    ServerConfig {
        api,
        web,
        metrics,
        public_url,
        cors_origins,
        trusted_proxies,
        shutdown_deadline,
        connections,
        request_timeout,
        first_look: reader.switch("server.first_look"),
    }
}

/// An origin as browsers send it, which is compared letter by letter: in small letters, without the
/// scheme's own port.
fn as_browsers_say(origin: &http::Uri) -> String {
    let (scheme, host) = (origin.scheme_str().unwrap_or_default(), origin.host().unwrap_or_default());
    let port = origin.port_u16().filter(|port| (scheme, *port) != ("http", 80) && (scheme, *port) != ("https", 443));
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    format!("{scheme}://{host}{port}").to_ascii_lowercase()
}

fn database(reader: &mut Reader, data_dir: &Path, has_secret_key: bool) -> DatabaseConfig {
    let key = "database.url";
    let sync_all = reader.switch("database.sync_all");
    let lease = reader.duration("database.lease", SECOND, MINUTE);
    let url = reader.secret(key);
    let text = url.as_ref().map_or("", |url| url.expose_secret());
    let database = if text.starts_with("postgres://") || text.starts_with("postgresql://") {
        let url = SecretString::from(text);
        let place = r1_store_postgres::describe(&url).unwrap_or_else(|error| {
            reader.fault(key, error.to_string(), "see docs/operations.md for what it may say");
            String::new()
        });
        // A key that is refused has its fault already.
        if !has_secret_key && reader.faults.iter().all(|fault| fault.key != "auth.secret_key") {
            let remedy = "`openssl rand -base64 32` makes one; all processes of a database need the same";
            reader.fault("auth.secret_key", "is needed with Postgres", remedy);
        }
        Database::Postgres(Postgres { url, place })
    } else {
        // Not repeated: there may be a password in it.
        if text.starts_with("sqlite:") {
            let remedy =
                "remove it (or unset DATABASE_URL) and set data_dir, or give --data-dir: SQLite lives in there";
            reader.fault(key, "can't choose SQLite's file", remedy);
        } else if !text.is_empty() {
            let remedy = "write postgres://user:password@host/name, or remove it (or unset DATABASE_URL): then everything \
                          is kept in SQLite, in data_dir";
            let problem = match providers::scheme(text) {
                Some(scheme) => {
                    format!("begins with {scheme}://; only postgres:// is possible, or nothing, for SQLite")
                }
                None => "is no URL such as postgres://user:password@host/name".to_owned(),
            };
            reader.fault(key, problem, remedy);
        }
        Database::Sqlite(data_dir.to_owned())
    };
    DatabaseConfig { database, sync_all, lease }
}

/// The key that signs, and the one before it.
fn keys(reader: &mut Reader) -> (Option<SigningKey>, Option<SigningKey>) {
    let mut read = |key, remedy| {
        let secret = reader.secret(key)?;
        let read = SigningKey::from_secret(&secret).ok();
        if read.is_none() {
            reader.fault(key, "must have at least 32 characters", remedy);
        }
        read
    };
    let remedy = "`openssl rand -base64 32` makes a good one; without any, one is made in data_dir";
    let present = read("auth.secret_key", remedy);
    let remedy = "give what auth.secret_key was before, or \"\"";
    let previous = read("auth.previous_secret_key", remedy);
    if previous.is_some() && present.is_none() && reader.faults.iter().all(|fault| fault.key != "auth.secret_key") {
        let remedy = "set auth.secret_key (SECRET_KEY) to the new one, or remove this";
        reader.fault("auth.previous_secret_key", "is the key before another one, and there is none", remedy);
    }
    (present, previous)
}

fn auth(reader: &mut Reader, limits_enabled: bool) -> AuthConfig {
    let memory = reader.size("auth.password_memory", 8 * KIB, GIB);
    let defaults = PasswordConfig::default();
    let passwords = PasswordConfig {
        memory_kib: u32::try_from(memory / KIB).unwrap_or(defaults.memory_kib),
        iterations: reader.number("auth.password_iterations", 1, 100),
        parallelism: reader.number("auth.password_parallelism", 1, 16),
        workers: match reader.number("auth.password_workers", 0, 1024) {
            0 => defaults.workers,
            workers => workers,
        },
        queue: reader.number("auth.password_queue", 1, 100_000),
    };
    if passwords.memory_kib < 8 * passwords.parallelism {
        reader.fault(
            "auth.password_memory",
            "is too small for password_parallelism",
            "give 8KiB or more for each of them",
        );
    }
    let rate = |reader: &mut Reader, key, per| Rate { attempts: reader.number(key, 1, 1_000_000), per };
    let minute = Duration::from_secs(60);
    let attempts = AttemptLimits {
        per_login: rate(reader, "limits.failed_sign_ins_per_name", minute),
        per_address: rate(reader, "limits.failed_sign_ins_per_address", minute),
        registrations: rate(reader, "limits.registrations_per_address", HOUR),
    };
    let config = AuthConfig {
        access_token_ttl: reader.duration("auth.access_token_ttl", SECOND, 30 * DAY),
        refresh_ttl: reader.duration("auth.refresh_ttl", SECOND, 3650 * DAY),
        cookie_ttl: reader.duration("auth.cookie_ttl", SECOND, 3650 * DAY),
        registration_open: reader.word("auth.registration", &[("open", true), ("closed", false)]),
        passwords,
        attempts: limits_enabled.then_some(attempts),
    };
    if config.refresh_ttl < config.access_token_ttl {
        reader.fault("auth.refresh_ttl", "is shorter than access_token_ttl", "make it as long or longer");
    }
    config
}

fn limits(reader: &mut Reader, enabled: bool) -> LimitsConfig {
    let per_user = |reader: &mut Reader, key| Some(reader.number(key, 1, 1_000_000)).filter(|_| enabled);
    let bodies_in_flight = usize_of(reader.size("limits.bodies_in_flight", 4 * KIB, 64 * GIB));
    let config = LimitsConfig {
        body: usize_of(reader.size("limits.body", KIB, GIB)),
        bodies_in_flight,
        bodies_in_flight_per_user: Some(bodies_in_flight / BODY_SHARES).filter(|_| enabled),
        message_chars: reader.number("limits.message_chars", 1, 100_000_000),
        runs_per_user: per_user(reader, "limits.runs_per_user"),
        attaches_per_user: per_user(reader, "limits.attaches_per_user"),
        requests_per_minute: Some(reader.number("limits.requests_per_minute", 1, 100_000_000)).filter(|_| enabled),
        answer_size: usize_of(reader.size("limits.answer_size", KIB, GIB)),
        answer_time: reader.duration("limits.answer_time", SECOND, DAY),
        max_tokens: reader.number("limits.max_tokens", 1, 10_000_000),
        max_tokens_given: reader.is_given("limits.max_tokens"),
    };
    if config.body > bodies_in_flight / BODY_SHARES {
        let problem = format!("is less than {BODY_SHARES} times limits.body ({} bytes)", config.body);
        reader.fault("limits.bodies_in_flight", problem, "make it larger, or limits.body smaller");
    }
    if config.message_chars > config.body {
        let problem = format!("is larger than what limits.body ({} bytes) lets through", config.body);
        reader.fault("limits.message_chars", problem, "make limits.body larger, or this smaller");
    }
    config
}

fn local_model(
    reader: &mut Reader,
    environment: &[(String, String)],
    providers: &[ProviderConfig],
) -> Option<LocalModelConfig> {
    let enabled = reader.word("local_model.enabled", &[("auto", None), ("on", Some(true)), ("off", Some(false))]);
    let name = reader.text("local_model.name");
    if name.is_empty() || name.contains('/') || name.contains(char::is_whitespace) {
        reader.fault("local_model.name", "must be a name without \"/\" and white space", "such as \"my-model\"");
    }
    let path = Some(reader.text("local_model.path")).filter(|path| !path.is_empty());
    let path = path.map(|path| expand(&path, environment));
    let none_for_zero = |number: usize| Some(number).filter(|number| *number > 0);
    let engine = [("builtin", LocalEngine::Builtin), ("llama-server", LocalEngine::LlamaServer)];
    let config = LocalModelConfig {
        engine: reader.word("local_model.engine", &engine),
        llama_server_path: expand(&reader.text("local_model.llama_server_path"), environment),
        path,
        name,
        threads: none_for_zero(reader.number("local_model.threads", 0, 1024)),
        context: none_for_zero(reader.number("local_model.context", 0, 10_000_000)),
        kv_budget: reader.size_or_auto("local_model.kv_budget", MIB, 1024 * GIB),
        idle_unload: reader.duration("local_model.idle_unload", SECOND, 365 * DAY),
    };
    let is_default = reader.text("default_model").starts_with("local/");
    let offered = enabled.unwrap_or(providers.is_empty() || is_default);
    if offered && config.path.as_ref().is_some_and(|path| !path.is_file()) {
        reader.fault(
            "local_model.path",
            "names no file",
            "give the path of a GGUF file, or \"\" for the one that is fetched",
        );
    }
    if offered && config.llama_server_path.as_os_str().is_empty() {
        reader.fault("local_model.llama_server_path", "is empty", "write \"llama-server\", or the path of the program");
    }
    offered.then_some(config)
}
