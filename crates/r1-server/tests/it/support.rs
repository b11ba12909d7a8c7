//! Starting the binary, and clients for it.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use crate::manager::Manager;
use anyhow::{Context, Result, bail, ensure};
use r1_auth::key::SigningKey;
use r1_domain::store::Store;
use r1_store_postgres::{PostgresOptions, PostgresStore};
use r1_store_sqlite::{SqliteOptions, SqliteStore};
use r1_testkit::{
    namespace::Namespace,
    postgres::TestDatabase,
    sse::{self, Frame},
    upstream::Upstream,
};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
pub(crate) use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout, Command},
};

/// The binary under test.
pub(crate) const GPT_R1: &str = env!("CARGO_BIN_EXE_gpt-r1");
/// Of all servers on PostgreSQL.
pub(crate) const SECRET_KEY: &str = "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk";
/// No test finds what happens to run on its machine.
const LOOK: &str = "LOCAL_SERVERS__LOOK";
/// Longest wait for anything that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Sends a signal to a process that this test has started, or a child of it.
pub(crate) fn send_signal(pid: u32, signal: Signal) -> Result<()> {
    // Nobody's id, where it has ended already: 0 would be everybody here.
    let pid = rustix::process::Pid::from_raw(pid.try_into()?).context("it has ended")?;
    Ok(rustix::process::kill_process(pid, signal)?)
}

/// What a server is started with.
pub(crate) struct Setup {
    data_dir: PathBuf,
    settings: Vec<(String, String)>,
    /// Instead of SQLite in the data directory.
    postgres: Option<Arc<TestDatabase>>,
    /// Runs in a network of its own.
    namespace: Option<Arc<Namespace>>,
    /// May open no more files than this.
    open_files: Option<u32>,
    _own: Option<tempfile::TempDir>,
}

/// Whether `R1_IT_DATABASE` says that the servers of these tests keep everything in PostgreSQL.
pub(crate) fn on_postgres() -> bool {
    std::env::var("R1_IT_DATABASE").is_ok_and(|database| database == "postgres")
}

impl Setup {
    /// A data directory of its own, free ports, no limits on rates, no local model; its only
    /// provider is nobody.
    pub(crate) fn new() -> Result<Self> {
        let own = tempfile::tempdir()?;
        let data_dir = own.path().join("data");
        let postgres = on_postgres().then(TestDatabase::make).transpose()?.map(Arc::new);
        let setup =
            Self { data_dir, settings: Vec::new(), postgres, namespace: None, open_files: None, _own: Some(own) };
        Ok(setup
            .set("LIMITS__ENABLED", "false")
            .set("LOCAL_MODEL__ENABLED", "off")
            .set(LOOK, "off")
            // Tests count what a provider is asked.
            .set("SERVER__FIRST_LOOK", "off")
            .set("TITLES__ENABLED", "off")
            .set("PROVIDERS__NOBODY__BASE_URL", "http://127.0.0.1:9/v1")
            .set("DEFAULT_MODEL", "nobody/nothing"))
    }

    /// The same on PostgreSQL, whatever the others are on.
    pub(crate) fn on_postgres(mut self) -> Result<Self> {
        if self.postgres.is_none() {
            self.postgres = Some(Arc::new(TestDatabase::make()?));
        }
        Ok(self)
    }

    /// The same on SQLite, for what is about its files.
    pub(crate) fn on_sqlite(mut self) -> Self {
        self.postgres = None;
        self
    }

    /// The same in a network of its own; clients come by the last of its cables.
    pub(crate) fn inside(mut self, namespace: &Arc<Namespace>) -> Self {
        self.namespace = Some(namespace.clone());
        self
    }

    /// The same with this limit on open files, which it can't raise.
    pub(crate) fn open_files(self, most: u32) -> Self {
        Self { open_files: Some(most), ..self }
    }

    /// A node more: the same settings and database, a data directory of its own.
    pub(crate) fn another(&self) -> Result<Self> {
        let own = tempfile::tempdir()?;
        let data_dir = own.path().join("data");
        let (settings, postgres) = (self.settings.clone(), self.postgres.clone());
        Ok(Self { data_dir, settings, postgres, namespace: None, open_files: None, _own: Some(own) })
    }

    /// The same settings and database, in this data directory.
    pub(crate) fn at(&self, data_dir: &Path) -> Self {
        let (settings, postgres) = (self.settings.clone(), self.postgres.clone());
        Self { data_dir: data_dir.to_owned(), settings, postgres, namespace: None, open_files: None, _own: None }
    }

    /// The database, where it is PostgreSQL.
    pub(crate) fn database(&self) -> Option<&TestDatabase> {
        self.postgres.as_deref()
    }

    /// The same in a directory that outlives it.
    pub(crate) fn within(directory: &Path) -> Result<Self> {
        Ok(Self { data_dir: directory.join("data"), _own: None, ..Self::new()? })
    }

    /// The same with the local model and nothing else, as a fresh checkout has it.
    pub(crate) fn with_local_model() -> Result<Self> {
        let mut setup = Self::new()?;
        setup.settings.retain(|(key, _)| key == "GPT_R1__LIMITS__ENABLED");
        Ok(setup.set(LOOK, "off"))
    }

    /// The same with the upstream as its provider.
    pub(crate) fn with_upstream(upstream: &Upstream) -> Result<Self> {
        let mut setup = Self::new()?;
        setup.settings.retain(|(key, _)| key != "GPT_R1__PROVIDERS__NOBODY__BASE_URL");
        Ok(setup.env("OPENAI_BASE_URL", &upstream.base_url()).set("DEFAULT_MODEL", "openai/test-model"))
    }

    /// One setting: `SECTION__KEY`.
    pub(crate) fn set(self, key: &str, value: &str) -> Self {
        self.env(&format!("GPT_R1__{key}"), value)
    }

    /// One variable.
    pub(crate) fn env(mut self, key: &str, value: &str) -> Self {
        self.settings.retain(|(old, _)| old != key);
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Without the settings whose keys begin so.
    pub(crate) fn without(mut self, prefix: &str) -> Self {
        self.settings.retain(|(key, _)| !key.starts_with(&format!("GPT_R1__{prefix}")));
        self
    }

    /// What a server that has ended left behind, or a guest beside one on PostgreSQL.
    pub(crate) async fn store(&self) -> Result<Box<dyn Store>> {
        let Some(database) = &self.postgres else {
            return Ok(Box::new(SqliteStore::open(&SqliteOptions::new(&self.data_dir))?));
        };
        let key = SigningKey::from_secret(&SECRET_KEY.into())?.fingerprint();
        Ok(Box::new(PostgresStore::open_guest(&PostgresOptions::new(database.url().into(), key)).await?))
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// A command of the binary with these settings and nothing else of our environment.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = match (&self.namespace, self.open_files) {
            (Some(namespace), _) => namespace.command(GPT_R1),
            (None, Some(most)) => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", &format!("ulimit -n {most} && exec \"$0\" \"$@\""), GPT_R1]);
                shell
            }
            (None, None) => Command::new(GPT_R1),
        };
        command.args(args).args(["--data-dir".as_ref(), self.data_dir.as_os_str()]);
        command.env_clear().kill_on_drop(true).stdin(Stdio::null());
        for name in ["PATH", "HOME", "XDG_CACHE_HOME", "TMPDIR", "LLVM_PROFILE_FILE"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if let Some(database) = &self.postgres {
            command.env("DATABASE_URL", database.url()).env("SECRET_KEY", SECRET_KEY);
        }
        command.envs(self.settings.iter().map(|(key, value)| (key, value)));
        // Nobody's gpt-r1.toml.
        if let Some(parent) = self.data_dir.parent() {
            command.current_dir(parent);
        }
        command
    }

    /// Starts `gpt-r1 serve` and waits until it says where it listens.
    pub(crate) async fn start(self) -> Result<Server> {
        Server::start(self).await
    }

    /// Runs a short command to its end.
    pub(crate) async fn run(&self, args: &[&str]) -> Result<Finished> {
        let output = tokio::time::timeout(PATIENCE, self.command(args).output()).await??;
        Ok(Finished {
            ok: output.status.success(),
            stdout: String::from_utf8(output.stdout)?,
            stderr: String::from_utf8(output.stderr)?,
        })
    }
}

/// How a short command ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) ok: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    setup: Setup,
    child: Child,
    stdout: BufReader<ChildStdout>,
    log: PathBuf,
    /// `http://127.0.0.1:PORT`
    pub(crate) api: String,
    /// `http://127.0.0.1:PORT`
    pub(crate) web: String,
    /// What it printed before it was ready.
    pub(crate) banner: String,
}

impl Server {
    async fn start(setup: Setup) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let parent = setup.data_dir.parent().context("a data directory has a parent")?;
        let log = parent.join(format!("log-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        let api = match &setup.namespace {
            Some(namespace) => format!("{}:0", namespace.cables()[1].there()),
            None => "127.0.0.1:0".to_owned(),
        };
        let is_json = setup.settings.iter().any(|(key, value)| key == "GPT_R1__LOG__FORMAT" && value == "json");
        let manager = is_json.then(Manager::new).transpose()?;
        let mut command = setup.command(&["serve", "--api-addr", &api, "--web-addr", "127.0.0.1:0"]);
        if let Some(manager) = &manager {
            command.env("NOTIFY_SOCKET", &manager.address);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(std::fs::File::create(&log)?).spawn()?;
        let mut stdout = BufReader::new(child.stdout.take().context("stdout is piped")?);
        let mut banner = String::new();
        if let Some(manager) = manager {
            manager.hears("READY=1").await.with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;
            let (api, web) = said(&log)?;
            return Ok(Self { setup, child, stdout, log, api, web, banner });
        }
        let ready = async {
            loop {
                let before = banner.len();
                if stdout.read_line(&mut banner).await? == 0 {
                    bail!("the server ended: {}{}", banner, std::fs::read_to_string(&log)?);
                }
                if banner[before..].trim_start().starts_with("API") {
                    return Ok(());
                }
            }
        };
        tokio::time::timeout(PATIENCE, ready).await.context("the server did not get ready")??;
        let address = |word: &str| {
            let line =
                banner.lines().find(|line| line.trim_start().starts_with(word)).context("a line with the address")?;
            line.split_whitespace().nth(1).map(|url| url.trim_end_matches('/').to_owned()).context("an address")
        };
        let (api, web) = (address("API")?, address("page")?);
        let api = api.trim_end_matches("/api/v1").to_owned();
        Ok(Self { setup, child, stdout, log, api, web, banner })
    }

    /// Process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// All it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Where it logs: to be read after its end.
    pub(crate) fn log_path(&self) -> PathBuf {
        self.log.clone()
    }

    pub(crate) fn setup(&self) -> &Setup {
        &self.setup
    }

    /// `kill -9`, and the setup to start it again.
    pub(crate) async fn kill(mut self) -> Result<Setup> {
        self.child.kill().await?;
        Ok(self.setup)
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        send_signal(self.pid(), signal)
    }

    /// Waits for it to end by itself; gives back whether it did so well, and the setup.
    pub(crate) async fn ended(mut self) -> Result<(bool, Setup)> {
        // Its pipe is read to the end: it must not block on us.
        let mut rest = String::new();
        let _ =
            tokio::time::timeout(PATIENCE, tokio::io::AsyncReadExt::read_to_string(&mut self.stdout, &mut rest)).await;
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.context("the server did not end")??;
        Ok((status.success(), self.setup))
    }

    /// A client without a user.
    pub(crate) fn anonymous(&self) -> Client {
        Client::of(&self.api)
    }

    /// Registers a user with this name and signs in.
    pub(crate) async fn user(&self, name: &str) -> Result<Client> {
        self.register(name, None).await
    }

    /// The same for the first administrator.
    pub(crate) async fn admin(&self, name: &str) -> Result<Client> {
        let line = self.banner.lines().find(|line| line.contains("setup code")).context("a setup code")?;
        self.register(name, line.split_whitespace().last()).await
    }

    async fn register(&self, name: &str, setup_code: Option<&str>) -> Result<Client> {
        let mut client = self.anonymous();
        let email = format!("{name}@example.com");
        let form = json!({"username": name, "email": email, "password": "correct horse", "setup_code": setup_code});
        let registered = client.post("/auth/register", &form).await?;
        ensure!(registered.status() == StatusCode::CREATED, "registered: {}", registered.text().await?);
        client.sign_in(name, "correct horse").await?;
        Ok(client)
    }
}

/// Where a server whose log is JSON says that its API and its page are.
fn said(log: &Path) -> Result<(String, String)> {
    let log = std::fs::read_to_string(log)?;
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ready = lines.into_iter().find(|line| line["message"] == "ready").context("a line that it is ready")?;
    let address = |name: &str| ready[name].as_str().map(str::to_owned).context("an address");
    Ok((address("api")?, address("web")?))
}

fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap_or_default()
}

/// A client of the API, signed in or not.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    pub(crate) token: Option<String>,
}

impl Client {
    /// A client of whatever serves at an address, without a user.
    pub(crate) fn of(address: &str) -> Self {
        Self { http: http(), base: format!("{address}/api/v1"), token: None }
    }

    pub(crate) async fn sign_in(&mut self, name: &str, password: &str) -> Result<Value> {
        let login = self.post("/auth/login", &json!({"username": name, "password": password})).await?;
        let session = expect(login, StatusCode::OK).await?;
        self.token = Some(session["access_token"].as_str().context("an access token")?.to_owned());
        Ok(session)
    }

    /// The same user at another life of the server.
    pub(crate) fn at(self, server: &Server) -> Self {
        Self { token: self.token, ..server.anonymous() }
    }

    /// A request to `/api/v1{path}` with the client's token.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Response> {
        Ok(self.request(Method::GET, path).send().await?)
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Response> {
        Ok(self.request(Method::POST, path).json(body).send().await?)
    }

    /// GET, 200, JSON.
    pub(crate) async fn read(&self, path: &str) -> Result<Value> {
        expect(self.get(path).await?, StatusCode::OK).await
    }

    /// Makes a conversation and gives back its id.
    pub(crate) async fn conversation(&self) -> Result<String> {
        let made = self.post("/conversations", &json!({"title": "Test"})).await?;
        id_of(&expect(made, StatusCode::CREATED).await?, "id")
    }

    /// Sends a question; the stream is open when this returns.
    pub(crate) async fn ask(&self, body: &Value) -> Result<sse::Reader> {
        stream(self.post("/chat/stream", body).await?).await
    }

    /// Sends a question and reads its stream to the end.
    pub(crate) async fn ask_to_end(&self, body: &Value) -> Result<Vec<Frame>> {
        self.ask(body).await?.collect_to_end().await
    }

    /// Follows: `query` is what stands behind the question mark.
    pub(crate) async fn attach(&self, query: &str) -> Result<Response> {
        self.get(&format!("/chat/stream?{query}")).await
    }

    /// All messages of a conversation, which must fit one page.
    pub(crate) async fn messages(&self, conversation: &str) -> Result<Vec<Value>> {
        let page = self.read(&format!("/conversations/{conversation}/messages?limit=200")).await?;
        page["messages"].as_array().cloned().context("messages")
    }
}

/// The response as a stream.
pub(crate) async fn stream(response: Response) -> Result<sse::Reader> {
    if response.status() != StatusCode::OK {
        bail!("{}: {}", response.status(), response.text().await?);
    }
    sse::Reader::from_response(response)
}

/// The response's JSON, if it has this status.
pub(crate) async fn expect(response: Response, status: StatusCode) -> Result<Value> {
    let (got, text) = (response.status(), response.text().await?);
    ensure!(got == status, "{got} instead of {status}: {text}");
    Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
}

/// A problem document with this status and code.
pub(crate) async fn expect_problem(response: Response, status: u16, code: &str) -> Result<Value> {
    let kind = response.headers().get("content-type").cloned();
    let id = response.headers().get("x-request-id").cloned().context("a request id")?;
    let problem = expect(response, StatusCode::from_u16(status)?).await?;
    ensure!(kind.is_some_and(|kind| kind == "application/problem+json"), "{problem}");
    ensure!(problem["code"] == code && problem["status"] == status, "{problem}");
    ensure!(problem["request_id"] == id.to_str()? && problem["detail"].is_string(), "{problem}");
    Ok(problem)
}

/// A string field.
pub(crate) fn id_of(value: &Value, field: &str) -> Result<String> {
    value[field].as_str().map(str::to_owned).with_context(|| format!("{field} in {value}"))
}
