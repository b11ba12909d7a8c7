//! The child process's life, with a stub for an engine.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{net::UnixStream, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use r1_local_model::{
    fetch::{FetchOptions, ModelSource},
    supervisor::{Endpoint, Engine, State, Supervisor, SupervisorError, SupervisorOptions, Timing},
};
use secrecy::ExposeSecret;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

const STUB: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/stub_engine.py");
const NEVER: Duration = Duration::from_secs(3600);

struct Fixture {
    directory: TempDir,
}

impl Fixture {
    /// See the stub for the words.
    fn new(behaviour: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("model.behaviour"), behaviour).unwrap();
        fs::write(directory.path().join("model.alive"), "").unwrap();
        Self { directory }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn options(&self) -> SupervisorOptions {
        options(self.directory.path())
    }

    /// One line per start.
    fn starts(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.file("model.starts")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn pid(&self) -> u64 {
        self.starts().last().unwrap()["pid"].as_u64().unwrap()
    }

    /// Returns when no stub of this fixture lives.
    async fn gone(&self) {
        let alive = self.file("model.alive");
        tokio::task::spawn_blocking(move || fs::File::open(alive).unwrap().lock().unwrap()).await.unwrap();
    }
}

fn options(directory: &Path) -> SupervisorOptions {
    SupervisorOptions {
        engine: Engine::Builtin { exe: STUB.into(), args: Vec::new() },
        model: ModelSource::File(directory.join("model")),
        socket_dir: directory.to_owned(),
        name: "tiny".to_owned(),
        threads: 1,
        context: Some(2048),
        kv_budget: Some(1 << 20),
        idle_unload: NEVER,
        timing: Timing { backoff: Duration::from_millis(1), retry: NEVER, ..Timing::default() },
    }
}

fn supervise(options: SupervisorOptions) -> Supervisor {
    Supervisor::new(options, &CancellationToken::new()).unwrap()
}

fn kill(pid: u64) {
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
}

/// The process group that a process is in.
fn group(pid: u64) -> u64 {
    let output = Command::new("ps").args(["-o", "pgid=", "-p", &pid.to_string()]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn a_model_is_loaded_when_somebody_asks() {
    let fixture = Fixture::new("ready");
    let supervisor = supervise(fixture.options());
    assert_eq!(supervisor.status().state, State::Idle);
    let (one, two) = tokio::join!(supervisor.acquire(), supervisor.acquire());
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(supervisor.status().state, State::Ready);
    assert_eq!(one.endpoint(), two.endpoint());
    let Endpoint::Unix(socket) = one.endpoint() else { panic!("{one:?}") };
    assert!(socket.exists());
    let starts = fixture.starts();
    assert_eq!(starts.len(), 1);
    let model = fixture.file("model");
    let expected = serde_json::json!([
        "local-model",
        "--model",
        model,
        "--socket",
        socket,
        "--name",
        "tiny",
        "--threads",
        "1",
        "--context",
        "2048",
        "--kv-budget",
        "1048576",
    ]);
    assert_eq!(starts[0]["arguments"], expected);
    supervisor.shutdown().await;
    fixture.gone().await;
    assert_eq!(supervisor.status().state, State::Stopped);
    assert_eq!(supervisor.acquire().await.unwrap_err(), SupervisorError::ShuttingDown);
}

#[tokio::test]
async fn start_loads_in_the_background() {
    let fixture = Fixture::new("loading");
    let supervisor = supervise(fixture.options());
    supervisor.start();
    supervisor.reached(State::Starting).await;
    fs::write(fixture.file("model.go"), "").unwrap();
    supervisor.reached(State::Ready).await;
    assert_eq!(fixture.starts().len(), 1);
}

#[tokio::test]
async fn waiting_has_an_end() {
    let fixture = Fixture::new("loading");
    let mut options = fixture.options();
    options.timing.acquire = Duration::from_millis(50);
    let supervisor = supervise(options);
    let error = supervisor.acquire().await.unwrap_err();
    assert_eq!(error, SupervisorError::NotReady { detail: "starting".to_owned() });
    fs::write(fixture.file("model.go"), "").unwrap();
    supervisor.reached(State::Ready).await;
}

#[tokio::test]
async fn a_crashed_child_is_started_again() {
    let fixture = Fixture::new("exit,ready");
    let supervisor = supervise(fixture.options());
    let lease = supervisor.acquire().await.unwrap();
    assert_eq!(fixture.starts().len(), 2);
    let endpoint = lease.endpoint().clone();
    kill(fixture.pid());
    supervisor.reached(State::Starting).await;
    let again = supervisor.acquire().await.unwrap();
    assert_eq!(fixture.starts().len(), 3);
    assert_eq!(*again.endpoint(), endpoint, "the address stays");
}

#[tokio::test]
async fn a_crash_loop_ends_and_says_why() {
    let fixture = Fixture::new("exit");
    let mut options = fixture.options();
    options.timing.crash_limit = 3;
    let supervisor = supervise(options);
    let SupervisorError::Failed { reason, retry_after } = supervisor.acquire().await.unwrap_err() else {
        panic!("{:?}", supervisor.status())
    };
    assert_eq!(reason, "its engine failed 3 times in a row (ended with status 3)");
    assert!(retry_after > NEVER / 2);
    let status = supervisor.status();
    assert_eq!((status.state, status.detail), (State::Failed, Some(reason)));
    assert!(status.cause.unwrap().ends_with("the stub does not like this model"));
    assert!(supervisor.acquire().await.is_err(), "at once, and without another try");
    assert_eq!(fixture.starts().len(), 3);
}

#[tokio::test]
async fn a_failure_quotes_the_engine_s_error() {
    let fixture = Fixture::new("");
    let mut options = fixture.options();
    let script = "echo 'E srv: error: no such tensor' >&2; echo 'I slot: total time = 5 ms' >&2; exit 3";
    options.engine = Engine::Builtin { exe: "/bin/sh".into(), args: vec!["-c".into(), script.into()] };
    options.timing.crash_limit = 1;
    let supervisor = supervise(options);
    supervisor.acquire().await.unwrap_err();
    let cause = supervisor.status().cause.unwrap();
    assert!(cause.ends_with("(ended with status 3): E srv: error: no such tensor"), "{cause}");
}

#[tokio::test]
async fn a_failure_is_forgotten_after_a_pause() {
    let fixture = Fixture::new("exit,exit,ready");
    let mut options = fixture.options();
    options.timing.crash_limit = 2;
    options.timing.retry = Duration::from_millis(20);
    let supervisor = supervise(options);
    supervisor.start();
    supervisor.reached(State::Failed).await;
    supervisor.warm();
    supervisor.reached(State::Ready).await;
    supervisor.acquire().await.unwrap();
}

#[tokio::test]
async fn a_child_that_never_gets_ready_counts_as_crashed() {
    let fixture = Fixture::new("mute");
    let mut options = fixture.options();
    options.timing.start = Duration::from_millis(300);
    options.timing.crash_limit = 1;
    let error = supervise(options).acquire().await.unwrap_err();
    assert!(error.to_string().contains("not ready in time"), "{error}");
    fixture.gone().await;
}

#[tokio::test]
async fn an_unused_child_is_unloaded_and_loaded_again() {
    let fixture = Fixture::new("ready");
    let mut options = fixture.options();
    options.idle_unload = Duration::from_millis(100);
    let supervisor = supervise(options);
    let lease = supervisor.acquire().await.unwrap();
    let idle = supervisor.reached(State::Idle);
    assert!(tokio::time::timeout(Duration::from_millis(400), idle).await.is_err(), "not while it is in use");
    drop(lease);
    supervisor.reached(State::Idle).await;
    fixture.gone().await;
    supervisor.warm();
    supervisor.reached(State::Ready).await;
    assert_eq!(fixture.starts().len(), 2);
    supervisor.reached(State::Idle).await;
    supervisor.acquire().await.unwrap();
    assert_eq!(fixture.starts().len(), 3);
}

#[tokio::test]
async fn the_child_ends_with_the_supervisor() {
    let fixture = Fixture::new("ready");
    let supervisor = supervise(fixture.options());
    let lease = supervisor.acquire().await.unwrap();
    drop(supervisor);
    fixture.gone().await;
    drop(lease);
}

#[test]
fn the_child_ends_with_the_runtime() {
    let fixture = Fixture::new("stubborn");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let supervisor = supervise(fixture.options());
    runtime.block_on(supervisor.acquire()).unwrap();
    drop(runtime);
    tokio::runtime::Runtime::new().unwrap().block_on(fixture.gone());
}

#[tokio::test]
async fn a_child_that_does_not_want_to_end_is_killed() {
    let fixture = Fixture::new("stubborn");
    let mut options = fixture.options();
    options.timing.stop = Duration::from_millis(100);
    let supervisor = supervise(options);
    supervisor.acquire().await.unwrap();
    supervisor.shutdown().await;
    fixture.gone().await;
}

#[tokio::test]
async fn cancelling_the_server_ends_everything() {
    let fixture = Fixture::new("loading");
    let cancel = CancellationToken::new();
    let supervisor = Supervisor::new(fixture.options(), &cancel).unwrap();
    supervisor.start();
    supervisor.reached(State::Starting).await;
    cancel.cancel();
    assert_eq!(supervisor.acquire().await.unwrap_err(), SupervisorError::ShuttingDown);
    supervisor.shutdown().await;
    fixture.gone().await;
}

/// Not a test by itself: the process that [`a_child_dies_with_its_parent`] kills.
#[tokio::test]
async fn parent_to_be_killed() {
    let Some(directory) = std::env::var_os("STUB_PARENT_OF") else { return };
    let supervisor = supervise(options(Path::new(&directory)));
    supervisor.acquire().await.unwrap();
    println!("\nready");
    std::future::pending::<()>().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_child_dies_with_its_parent() {
    let fixture = Fixture::new("stubborn");
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "parent_to_be_killed", "--nocapture"])
        .env("STUB_PARENT_OF", fixture.directory.path())
        .env("STUB_API_KEY", "the server's secret")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "ready"));
    assert!(fixture.starts()[0]["secret"].is_null(), "the engine knows no secret");
    parent.kill().unwrap();
    parent.wait().unwrap();
    fixture.gone().await;
}

/// Not a test by itself: the process that [`a_child_outlives_ctrl_c`] interrupts.
#[tokio::test]
async fn parent_to_be_interrupted() {
    let Some(directory) = std::env::var_os("STUB_INTERRUPTED_PARENT_OF") else { return };
    let mut interrupt = signal(SignalKind::interrupt()).unwrap();
    let supervisor = supervise(options(Path::new(&directory)));
    let lease = supervisor.acquire().await.unwrap();
    println!("\nready");
    interrupt.recv().await.unwrap();
    let Endpoint::Unix(socket) = lease.endpoint() else { panic!("{lease:?}") };
    let mut connection = UnixStream::connect(socket).unwrap();
    connection.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut status = String::new();
    BufReader::new(connection).read_line(&mut status).unwrap();
    println!("{status}");
    supervisor.shutdown().await;
}

/// A terminal sends SIGINT to all of its foreground process group.
#[tokio::test]
async fn a_child_outlives_ctrl_c() {
    let fixture = Fixture::new("ready");
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "parent_to_be_interrupted", "--nocapture"])
        .env("STUB_INTERRUPTED_PARENT_OF", fixture.directory.path())
        .process_group(0)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(parent.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line == "ready"));
    assert_eq!(group(parent.id().into()), u64::from(parent.id()));
    assert_eq!(group(fixture.pid()), fixture.pid(), "the child is not in its parent's group");
    let group = format!("-{}", parent.id());
    assert!(Command::new("kill").args(["-INT", "--", &group]).status().unwrap().success());
    assert!(lines.any(|line| line == "HTTP/1.1 200 OK"), "the child answers after it");
    assert!(parent.wait().unwrap().success());
    fixture.gone().await;
    assert_eq!(fixture.starts().len(), 1);
}

/// The value behind an option in the last start's arguments.
fn option(fixture: &Fixture, name: &str) -> String {
    let starts = fixture.starts();
    let arguments = starts.last().unwrap()["arguments"].as_array().unwrap();
    let at = arguments.iter().position(|argument| argument == name).unwrap();
    arguments[at + 1].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn llama_server_s_memory_is_bounded_unless_said_otherwise() {
    for (context, kv_budget, expected) in [
        (None, None, ("16384", "64")),
        (Some(4096), Some(3 << 30), ("16384", "3072")),
        (Some(512), Some((2 << 20) - 1), ("2048", "1")),
    ] {
        let fixture = Fixture::new("ready");
        let mut options = fixture.options();
        options.engine = Engine::LlamaServer { path: STUB.into(), slots: 4, args: Vec::new() };
        (options.context, options.kv_budget) = (context, kv_budget);
        let supervisor = supervise(options);
        supervisor.acquire().await.unwrap();
        let found = (option(&fixture, "--ctx-size"), option(&fixture, "--cache-ram"));
        assert_eq!((found.0.as_str(), found.1.as_str()), expected);
    }
}

#[tokio::test]
async fn the_key_s_file_goes_with_the_child() {
    let fixture = Fixture::new("ready");
    let mut options = fixture.options();
    options.engine = Engine::LlamaServer { path: STUB.into(), slots: 1, args: Vec::new() };
    options.idle_unload = Duration::from_millis(20);
    let supervisor = supervise(options);
    let lease = supervisor.acquire().await.unwrap();
    let file = PathBuf::from(option(&fixture, "--api-key-file"));
    assert!(file.exists());
    drop(lease);
    supervisor.reached(State::Idle).await;
    let lease = supervisor.acquire().await.unwrap();
    assert!(file.exists());
    supervisor.shutdown().await;
    assert!(!file.exists());
    drop(lease);
}

#[tokio::test]
async fn llama_server_listens_on_a_port_with_a_key() {
    let fixture = Fixture::new("exit,ready");
    let mut options = fixture.options();
    options.engine = Engine::LlamaServer { path: STUB.into(), slots: 3, args: vec!["--mlock".into()] };
    let supervisor = supervise(options);
    let lease = supervisor.acquire().await.unwrap();
    let Endpoint::Tcp { base_url, api_key } = lease.endpoint() else { panic!("{lease:?}") };
    let start = &fixture.starts()[1];
    let arguments: Vec<_> = start["arguments"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
    let option = |name| arguments[arguments.iter().position(|a| *a == name).unwrap() + 1];
    assert_eq!(*base_url, format!("http://127.0.0.1:{}/v1", option("--port")));
    assert_eq!(option("--host"), "127.0.0.1");
    assert_eq!((option("--alias"), option("--parallel"), option("--ctx-size")), ("tiny", "3", "6144"));
    assert_eq!(arguments.last(), Some(&"--mlock"));
    assert_eq!(start["key"].as_str().unwrap(), api_key.expose_secret());
    assert!(!arguments.contains(&api_key.expose_secret()), "arguments can be read by everybody");
    kill(fixture.pid());
    supervisor.reached(State::Starting).await;
    assert_ne!(supervisor.acquire().await.unwrap().endpoint(), lease.endpoint());
}

#[tokio::test]
async fn an_engine_that_is_not_installed_is_said_so() {
    let fixture = Fixture::new("ready");
    let mut options = fixture.options();
    options.engine = Engine::LlamaServer { path: "llama-server-that-nobody-has".into(), slots: 1, args: Vec::new() };
    let supervisor = supervise(options);
    let error = supervisor.acquire().await.unwrap_err();
    assert_eq!(error.to_string(), "the local model can't be used: the engine is not installed");
    let cause = supervisor.status().cause.unwrap();
    assert!(cause.contains("llama-server-that-nobody-has is not installed: it is not on PATH"), "{cause}");

    let mut options = fixture.options();
    options.engine = Engine::Builtin { exe: fixture.file("absent"), args: Vec::new() };
    let error = supervise(options).acquire().await.unwrap_err();
    assert_eq!(error.to_string(), "the local model can't be used: the engine can't be started");

    let (mut options, absent) = (fixture.options(), fixture.file("absent"));
    options.engine = Engine::LlamaServer { path: absent.clone(), slots: 1, args: Vec::new() };
    let supervisor = supervise(options);
    supervisor.acquire().await.unwrap_err();
    let cause = supervisor.status().cause.unwrap();
    assert!(cause.starts_with(&format!("there is no such program: {}", absent.display())), "{cause}");
    assert!(!cause.contains("PATH"), "{cause}");
}

#[tokio::test]
async fn a_model_that_can_t_be_fetched_is_a_failure_without_paths() {
    let fixture = Fixture::new("ready");
    let mut fetch = FetchOptions::from_environment(None);
    fetch.cache_dir = Some(fixture.file("cache"));
    fetch.hub = None;
    fetch.python = None;
    let mut options = fixture.options();
    options.model = ModelSource::Fetch(Box::new(fetch));
    let supervisor = supervise(options);
    let error = supervisor.acquire().await.unwrap_err().to_string();
    assert_eq!(error, "the local model can't be used: the model file could not be fetched from any source");
    assert!(supervisor.status().cause.unwrap().contains("GPT_R1__LOCAL_MODEL__PATH"));
    assert_eq!(fixture.starts().len(), 0);
}
