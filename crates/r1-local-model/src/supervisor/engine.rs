//! The two engines as command lines, and the address at which each listens.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt, fs, io,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use secrecy::{ExposeSecret, SecretString};
use tokio::process::Command;

use super::{
    SupervisorOptions,
    place::{KeyFile, Place},
};

/// Tokens for all slots of `llama-server` together where no context is asked for. It allocates them
/// when it starts, and its own default is the model's whole context for every slot: with models
/// trained on 128 Ki tokens, more memory than most machines have.
const SHARED_CONTEXT: usize = 16_384;
/// The built-in engine's default for [`SupervisorOptions::kv_budget`], in bytes; `llama-server`'s
/// own is 8 GiB.
const KV_BUDGET: u64 = 64 << 20;

/// What runs the model.
#[derive(Debug, Clone)]
pub enum Engine {
    /// The engine of this crate, in a child process of this program.
    Builtin {
        /// The program: the running one's own path.
        exe: PathBuf,
        /// Arguments before `local-model`, as a rule none.
        args: Vec<OsString>,
    },
    /// llama.cpp's server (<https://github.com/ggml-org/llama.cpp/tree/master/tools/server>).
    LlamaServer {
        /// The program. A bare name such as `llama-server` is looked for on `PATH`.
        path: PathBuf,
        /// Answers that run at a time. Each slot has a context of its own, so that one long answer
        /// can't end another: [`SupervisorOptions::context`] if that is given, else an equal share
        /// of 16384 tokens, or the model's context if that is smaller.
        slots: usize,
        /// Further arguments, for what this program does not know of.
        args: Vec<OsString>,
    },
}

/// Where a child speaks the OpenAI wire format.
#[derive(Clone)]
pub enum Endpoint {
    /// HTTP over this Unix socket; any host name will do. The API is at `/v1`.
    Unix(PathBuf),
    /// HTTP on the loopback interface.
    Tcp {
        /// Ends in `/v1`, without a slash.
        base_url: String,
        /// Goes as a bearer token: other users of the machine reach the port too, and don't have it.
        api_key: SecretString,
    },
}

impl PartialEq for Endpoint {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unix(a), Self::Unix(b)) => a == b,
            (Self::Tcp { base_url: a, api_key: x }, Self::Tcp { base_url: b, api_key: y }) => {
                a == b && x.expose_secret() == y.expose_secret()
            }
            _ => false,
        }
    }
}

impl Eq for Endpoint {}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => f.debug_tuple("Unix").field(path).finish(),
            Self::Tcp { base_url, .. } => f.debug_struct("Tcp").field("base_url", base_url).finish_non_exhaustive(),
        }
    }
}

/// The engine can't even be tried.
#[derive(Debug, thiserror::Error)]
pub(super) enum LaunchError {
    #[error(
        "{} is not installed: it is not on PATH. Install llama.cpp, name the program's path, or use the built-in engine",
        .0.display()
    )]
    NotOnPath(PathBuf),
    #[error("there is no such program: {}. Correct the path, or use the built-in engine", .0.display())]
    NoSuchProgram(PathBuf),
    #[error("{} is not a program: it is not a file that may be executed", .0.display())]
    NotExecutable(PathBuf),
    #[error("the engine can't be started: {0}")]
    Io(#[from] io::Error),
}

/// A child about to be started.
pub(super) struct Launch {
    pub command: Command,
    pub endpoint: Endpoint,
    /// For the health check.
    pub address: Address,
    /// To be kept for as long as the child lives.
    pub key_file: Option<KeyFile>,
}

/// Where a child listens.
#[derive(Debug, Clone)]
pub(super) enum Address {
    Unix(PathBuf),
    Tcp(u16),
}

/// The command line for `model`.
pub(super) fn launch(options: &SupervisorOptions, place: &Place, model: &Path) -> Result<Launch, LaunchError> {
    place.clear()?;
    let mut launch = match &options.engine {
        Engine::Builtin { exe, args } => builtin(options, place, model, exe, args),
        Engine::LlamaServer { path, slots, args } => llama_server(options, place, model, path, *slots, args)?,
    };
    for (name, _) in env::vars_os().filter(|(name, _)| is_secret(name)) {
        launch.command.env_remove(name);
    }
    Ok(launch)
}

fn builtin(options: &SupervisorOptions, place: &Place, model: &Path, exe: &Path, args: &[OsString]) -> Launch {
    let mut command = Command::new(exe);
    command.args(args).arg("local-model").arg("--model").arg(model).arg("--socket").arg(place.socket());
    command.args(["--name", &options.name, "--threads", &options.threads.to_string()]);
    if let Some(context) = options.context {
        command.args(["--context", &context.to_string()]);
    }
    if let Some(bytes) = options.kv_budget {
        command.args(["--kv-budget", &bytes.to_string()]);
    }
    Launch { command, endpoint: Endpoint::Unix(place.socket()), address: Address::Unix(place.socket()), key_file: None }
}

fn llama_server(
    options: &SupervisorOptions,
    place: &Place,
    model: &Path,
    path: &Path,
    slots: usize,
    args: &[OsString],
) -> Result<Launch, LaunchError> {
    let search = env::var_os("PATH").unwrap_or_default();
    let exe = find_program(path, &search)?;
    let port = free_port()?;
    // In a file of this user's: arguments can be read by everybody on the machine.
    let api_key = random_key();
    let key_file = KeyFile::write(place.api_key(), &api_key)?;

    let mut command = Command::new(exe);
    command.arg("--model").arg(model).args(["--host", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--alias", &options.name, "--parallel", &slots.to_string()]);
    command.args(["--threads", &options.threads.to_string()]).arg("--api-key-file").arg(place.api_key());
    // llama-server divides its context among the slots. The alternative, one that they share
    // (`--kv-unified`), ends running answers when it is full.
    let context = options.context.map_or(SHARED_CONTEXT, |context| context.saturating_mul(slots));
    // Prompts that have left their slot. In MiB, rounded down: it is a limit, and 0 is "none".
    let cache = options.kv_budget.unwrap_or(KV_BUDGET) >> 20;
    command.args(["--ctx-size", &context.to_string(), "--cache-ram", &cache.to_string()]);
    command.args(args);
    let base_url = format!("http://127.0.0.1:{port}/v1");
    Ok(Launch {
        command,
        endpoint: Endpoint::Tcp { base_url, api_key },
        address: Address::Tcp(port),
        key_file: Some(key_file),
    })
}

fn find_program(path: &Path, search: &OsStr) -> Result<PathBuf, LaunchError> {
    let runs = |path: &PathBuf| fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    if path.components().count() > 1 {
        return match path.to_owned() {
            path if runs(&path) => Ok(path),
            path if path.exists() => Err(LaunchError::NotExecutable(path)),
            path => Err(LaunchError::NoSuchProgram(path)),
        };
    }
    let mut places = env::split_paths(search).map(|directory| directory.join(path));
    places.find(runs).ok_or_else(|| LaunchError::NotOnPath(path.to_owned()))
}

/// Free a moment ago. If somebody else takes it first, the child ends and the next one gets another.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

fn random_key() -> SecretString {
    rand::random::<[u8; 32]>().iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

/// The engine reads files that come from the network: it need not know the server's secrets.
fn is_secret(name: &OsStr) -> bool {
    let name = name.to_string_lossy().to_ascii_uppercase();
    name.starts_with("GPT_R1_")
        || ["KEY", "SECRET", "TOKEN", "PASSW", "DATABASE_URL"].iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_looked_for_on_path() {
        let (empty, full) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let program = full.path().join("llama-server");
        fs::write(empty.path().join("llama-server"), "not a program").unwrap();
        fs::write(&program, "").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let search = env::join_paths([empty.path(), full.path()]).unwrap();
        let name = Path::new("llama-server");
        assert_eq!(find_program(name, &search).unwrap(), program);
        assert!(matches!(find_program(name, empty.path().as_os_str()), Err(LaunchError::NotOnPath(_))));
    }

    #[test]
    fn a_path_is_taken_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("llama-server");
        let search = directory.path().as_os_str();
        let fault = |path: &Path| find_program(path, search).unwrap_err().to_string();
        let absent = fault(&program);
        assert!(absent.starts_with(&format!("there is no such program: {}.", program.display())), "{absent}");
        fs::write(&program, "not a program").unwrap();
        assert!(fault(&program).ends_with("it is not a file that may be executed"));
        assert!(fault(directory.path()).ends_with("it is not a file that may be executed"));
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find_program(&program, OsStr::new("")).unwrap(), program);
        assert!(fault(Path::new("./llama-server")).starts_with("there is no such program: ./llama-server."));
    }

    #[test]
    fn secrets_stay_with_the_server() {
        for name in ["OPENAI_API_KEY", "SECRET_KEY", "DATABASE_URL", "GPT_R1__LOCAL_MODEL__PATH", "hf_token"] {
            assert!(is_secret(OsStr::new(name)), "{name}");
        }
        for name in ["PATH", "HOME", "RUST_LOG", "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH"] {
            assert!(!is_secret(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn an_endpoint_shows_no_key() {
        let endpoint = Endpoint::Tcp { base_url: "http://x/v1".to_owned(), api_key: "hidden".into() };
        assert!(!format!("{endpoint:?}").contains("hidden"));
        assert_ne!(random_key().expose_secret(), random_key().expose_secret());
    }
}
