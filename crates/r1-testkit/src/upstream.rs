//! The one paced, faultable OpenAI-compatible upstream: for tests, benches and the browser suite.
//!
//! A real HTTP/1.1 server on a real socket, so that what is tested includes the client's pooling,
//! its timeouts and its closing. What it says is a [`Script`], picked in this order: the key check
//! (401), then the next of the queue ([`Upstream::push`]), then the chooser
//! ([`Upstream::respond_with`]), then an echo of the question.
//!
//! **Invariant:** a script's steps run in order and lazily; no step is made before the one before
//! it has gone to the socket's buffer, so a 100 MB line costs 64 KiB.

mod body;
mod connection;
mod script;
mod wire;

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use http::{HeaderMap, Method, StatusCode, header};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream, UnixListener},
    sync::watch,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use script::{PacedMark, Script, Step, paced_marks};

/// How long the `wait_*` methods wait before they give up, so that a wrong test fails with words.
const PATIENCE: Duration = Duration::from_secs(20);
/// Requests that are recorded; later ones are only counted (a bench sends more than it reads).
const RECORDED_REQUESTS: usize = 4096;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct RecordedRequest {
    /// The method.
    pub method: Method,
    /// The path, without the query.
    pub path: String,
    /// The query, without its `?`; empty if there is none.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; null if it was no JSON.
    pub body: Value,
    /// Number of the connection that it came on, from 1.
    pub connection: u64,
}

impl RecordedRequest {
    /// The key of its `Authorization: Bearer` header.
    #[must_use]
    pub fn bearer(&self) -> Option<&str> {
        self.headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
    }

    /// The content of its last message by a user; empty if there is none.
    #[must_use]
    pub fn question(&self) -> &str {
        let messages = self.body["messages"].as_array().map_or(&[][..], Vec::as_slice);
        let question = messages.iter().rev().find(|message| message["role"] == "user");
        question.and_then(|message| message["content"].as_str()).unwrap_or_default()
    }
}

/// What has happened so far. Every number only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Connections accepted.
    pub connections_opened: u64,
    /// Connections gone, whoever ended them.
    pub connections_closed: u64,
    /// Requests for completions.
    pub requests: u64,
    /// Requests for the list of models.
    pub model_lists: u64,
    /// Answers that the client did not hear to their end.
    pub answers_abandoned: u64,
}

/// What was waited for did not happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DidNotHappen {
    what: String,
}

impl std::fmt::Display for DidNotHappen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "waited {PATIENCE:?} in vain for {}", self.what)
    }
}

impl std::error::Error for DidNotHappen {}

/// A place where scripts wait until a test lets them go on.
#[derive(Clone)]
struct Gate {
    open: CancellationToken,
    arrived: watch::Sender<u64>,
}

impl Gate {
    fn arrive(&self) {
        self.arrived.send_modify(|arrived| *arrived += 1);
    }

    async fn opened(&self) {
        self.open.cancelled().await;
    }
}

type Chooser = Arc<dyn Fn(&RecordedRequest) -> Script + Send + Sync>;

/// What the connections' tasks share with the test.
struct Shared {
    queue: Mutex<VecDeque<Script>>,
    chooser: Mutex<Option<Chooser>>,
    key: Mutex<Option<String>>,
    models: Mutex<Script>,
    routes: Mutex<HashMap<String, Chooser>>,
    requests: Mutex<Vec<RecordedRequest>>,
    gates: Mutex<HashMap<String, Gate>>,
    counters: watch::Sender<Counters>,
    closing: CancellationToken,
}

impl Shared {
    fn count<T>(&self, change: impl FnOnce(&mut Counters) -> T) -> T {
        let mut given = None;
        self.counters.send_modify(|counters| given = Some(change(counters)));
        match given {
            Some(given) => given,
            None => unreachable!("send_modify calls its closure once"),
        }
    }

    fn gate(&self, name: &str) -> Gate {
        let new = || Gate { open: CancellationToken::new(), arrived: watch::Sender::new(0) };
        self.gates.lock().entry(name.to_owned()).or_insert_with(new).clone()
    }

    /// Records the request and picks its answer.
    fn choose(&self, request: RecordedRequest) -> Script {
        let key = self.key.lock().clone();
        let rejected = key.is_some_and(|key| request.bearer() != Some(&key));
        let route = self.routes.lock().get(&request.path).cloned();
        let script = match (request.method.as_str(), request.path.as_str()) {
            ("GET" | "POST", _) if rejected => {
                Script::error(StatusCode::UNAUTHORIZED, "invalid_api_key", "Incorrect API key provided: sk-…")
            }
            _ if route.is_some() => route.map_or_else(Script::new, |route| route(&request)),
            ("POST", path) if path.ends_with("/chat/completions") => {
                let queued = self.queue.lock().pop_front();
                let chooser = self.chooser.lock().clone();
                queued.or_else(|| Some(chooser?(&request))).unwrap_or_else(|| echo(&request))
            }
            ("GET", path) if path.ends_with("/models") => self.models.lock().clone(),
            _ => Script::error(StatusCode::NOT_FOUND, "not_found", "Unknown request URL"),
        };
        let is_completion = request.method == Method::POST && request.path.ends_with("/chat/completions");
        let is_list = request.method == Method::GET && request.path.ends_with("/models");
        {
            let mut requests = self.requests.lock();
            if requests.len() < RECORDED_REQUESTS {
                requests.push(request);
            }
        }
        self.count(|counters| {
            if is_completion {
                counters.requests += 1;
            } else if is_list {
                counters.model_lists += 1;
            }
        });
        script
    }
}

fn echo(request: &RecordedRequest) -> Script {
    Script::text(&format!("You said: {}", request.question()))
}

/// The running upstream. Dropping it closes the listener and every connection.
pub struct Upstream {
    shared: Arc<Shared>,
    address: Option<SocketAddr>,
    tasks: TaskTracker,
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream").field("address", &self.address).field("counters", &self.counters()).finish()
    }
}

impl Upstream {
    /// Starts one on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// The operating system's, when there is no port.
    pub async fn start() -> io::Result<Self> {
        Self::start_on((Ipv4Addr::LOCALHOST, 0).into()).await
    }

    /// Starts one on this address.
    ///
    /// # Errors
    /// The operating system's, when the address is taken.
    pub async fn start_on(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let upstream = Self::new(Some(listener.local_addr()?));
        upstream.tasks.spawn(accept_tcp(listener, upstream.shared.clone(), upstream.tasks.clone()));
        Ok(upstream)
    }

    /// Starts one on a Unix socket. There is no reset on those: [`Step::Reset`] is a cut.
    ///
    /// # Errors
    /// The operating system's.
    pub fn start_unix(path: &Path) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        let upstream = Self::new(None);
        upstream.tasks.spawn(accept_unix(listener, upstream.shared.clone(), upstream.tasks.clone()));
        Ok(upstream)
    }

    fn new(address: Option<SocketAddr>) -> Self {
        let models = ["echo", "paced"].map(str::to_owned);
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            chooser: Mutex::default(),
            key: Mutex::default(),
            models: Mutex::new(Script::json(StatusCode::OK, &wire::models(&models))),
            routes: Mutex::default(),
            requests: Mutex::default(),
            gates: Mutex::default(),
            counters: watch::Sender::default(),
            closing: CancellationToken::new(),
        });
        Self { shared, address, tasks: TaskTracker::new() }
    }

    /// What a client is configured with: `http://127.0.0.1:PORT/v1`. Over a Unix socket the host
    /// means nothing.
    #[must_use]
    pub fn base_url(&self) -> String {
        self.address.map_or_else(|| "http://localhost/v1".to_owned(), |address| format!("http://{address}/v1"))
    }

    /// Where it listens; none over a Unix socket.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Puts a script at the end of the queue: the first request gets the first.
    pub fn push(&self, script: Script) {
        self.shared.queue.lock().push_back(script);
    }

    /// From now on this picks the answer whenever the queue is empty. Must not block.
    pub fn respond_with(&self, chooser: impl Fn(&RecordedRequest) -> Script + Send + Sync + 'static) {
        *self.shared.chooser.lock() = Some(Arc::new(chooser));
    }

    /// From now on every answer is `count` chunks, one at each interval `every`: for benches.
    pub fn pace(&self, count: u64, every: Duration) {
        let script = Script::paced(count, every);
        self.respond_with(move |_| script.clone());
    }

    /// From now on 401 for all that do not bring this key.
    pub fn require_key(&self, key: &str) {
        *self.shared.key.lock() = Some(key.to_owned());
    }

    /// What `GET /models` lists.
    pub fn set_models(&self, names: &[&str]) {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        self.set_models_script(Script::json(StatusCode::OK, &wire::models(&names)));
    }

    /// What `GET /models` answers, faults included.
    pub fn set_models_script(&self, script: Script) {
        *self.shared.models.lock() = script;
    }

    /// From now on this answers whatever comes for a path of its own, such as `/api/show`. Must not block.
    pub fn route(&self, path: &str, answer: impl Fn(&RecordedRequest) -> Script + Send + Sync + 'static) {
        self.shared.routes.lock().insert(path.to_owned(), Arc::new(answer));
    }

    /// Opens a gate, for good: every script that waits for it goes on, and none waits there again.
    pub fn open(&self, gate: &str) {
        self.shared.gate(gate).open.cancel();
    }

    /// Waits until `n` scripts in all have come to this gate.
    ///
    /// # Errors
    /// [`DidNotHappen`] after 20 s, as for all `wait_*` methods.
    pub async fn wait_reached(&self, gate: &str, n: u64) -> Result<(), DidNotHappen> {
        let arrived = self.shared.gate(gate).arrived.subscribe();
        patiently(arrived, |arrived| *arrived >= n, || format!("{n} scripts to come to the gate '{gate}'")).await
    }

    /// How many scripts have come to this gate so far, open or not.
    #[must_use]
    pub fn reached(&self, gate: &str) -> u64 {
        *self.shared.gate(gate).arrived.borrow()
    }

    /// The requests so far, in order, lists of models among them (at most 4096).
    #[must_use]
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.shared.requests.lock().clone()
    }

    /// The newest request.
    #[must_use]
    pub fn last_request(&self) -> Option<RecordedRequest> {
        self.shared.requests.lock().last().cloned()
    }

    /// The numbers.
    #[must_use]
    pub fn counters(&self) -> Counters {
        *self.shared.counters.borrow()
    }

    /// Connections that are open now.
    #[must_use]
    pub fn connections_open(&self) -> u64 {
        let counters = self.counters();
        counters.connections_opened - counters.connections_closed
    }

    /// Waits until the numbers are as wanted.
    ///
    /// # Errors
    /// [`DidNotHappen`].
    pub async fn wait_until(
        &self,
        what: &str,
        mut condition: impl FnMut(&Counters) -> bool,
    ) -> Result<(), DidNotHappen> {
        let counters = self.shared.counters.subscribe();
        patiently(counters, |counters| condition(counters), || format!("{what}: {:?}", self.counters())).await
    }

    /// Waits until `n` connections in all are gone: "stop closes the socket".
    ///
    /// # Errors
    /// [`DidNotHappen`].
    pub async fn wait_closed(&self, n: u64) -> Result<(), DidNotHappen> {
        self.wait_until(&format!("{n} connections to close"), |counters| counters.connections_closed >= n).await
    }

    /// Waits until `n` completions in all have been asked for.
    ///
    /// # Errors
    /// [`DidNotHappen`].
    pub async fn wait_requests(&self, n: u64) -> Result<(), DidNotHappen> {
        self.wait_until(&format!("{n} requests"), |counters| counters.requests >= n).await
    }

    /// Closes the listener and every connection, and waits for their tasks.
    pub async fn shut_down(&self) {
        self.shared.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.closing.cancel();
        self.tasks.close();
    }
}

async fn patiently<T>(
    mut watched: watch::Receiver<T>,
    condition: impl FnMut(&T) -> bool,
    what: impl Fn() -> String,
) -> Result<(), DidNotHappen> {
    match tokio::time::timeout(PATIENCE, watched.wait_for(condition)).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(DidNotHappen { what: what() }),
    }
}

async fn accept_tcp(listener: TcpListener, shared: Arc<Shared>, tasks: TaskTracker) {
    while let Some(accepted) = shared.closing.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                let socket = socket_of(&stream);
                tasks.spawn(connection::serve(stream, socket, shared.clone()));
            }
            // Out of descriptors, say: others will close.
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

async fn accept_unix(listener: UnixListener, shared: Arc<Shared>, tasks: TaskTracker) {
    while let Some(accepted) = shared.closing.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => {
                tasks.spawn(connection::serve(stream, None, shared.clone()));
            }
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

/// A second handle to the same socket, to set what a script wants in mid-connection.
fn socket_of(stream: &TcpStream) -> Option<socket2::Socket> {
    socket2::SockRef::from(stream).try_clone().ok()
}
