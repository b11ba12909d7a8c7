//! The child process: `gpt-r1 local-model`.
//!
//! Two threads matter: this one runs a small runtime for the socket, the other runs the model. The
//! socket is there at once and says "loading" until the weights are in memory and the system
//! prompt is read.
//!
//! **Invariant:** the process ends when its parent does, however the parent ended.

use std::io::Read;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::LoadError;
use crate::gguf::Gguf;
use crate::model::Model;
use crate::scheduler::{Limits, Scheduler};
use crate::server::{Loaded, Server};
use crate::template::{ChatTemplate, Message, Role};
use crate::tokenizer::Tokenizer;

/// How long open connections may take to end.
const GRACE: Duration = Duration::from_secs(1);

/// How to run.
#[derive(Debug, Clone)]
pub struct ChildOptions {
    /// The GGUF file.
    pub model: PathBuf,
    /// Where to listen. A socket that is already there is replaced.
    pub socket: PathBuf,
    /// The model's name on the wire.
    pub name: String,
    /// Threads for the matrix products; 1 leaves the other cores to the server.
    pub threads: usize,
    /// Tokens per sequence; the model's own context if `None`, or if that is smaller.
    pub context: Option<usize>,
    /// Bytes of keys and values kept of finished conversations.
    pub kv_budget_bytes: usize,
    /// End when standard input does, and when the parent process does. For a process that a
    /// supervisor started with a pipe; not for one started by hand.
    pub follow_parent: bool,
}

/// Why the child ended other than by request.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// The model can't be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The socket can't be made.
    #[error("cannot listen on {}", path.display())]
    Listen {
        /// The socket's path.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The operating system refused a thread, a signal handler or the like.
    #[error("cannot start the local model")]
    Start(#[from] std::io::Error),
    /// The inference thread died; a bug.
    #[error("the local model stopped working")]
    Died,
}

/// Runs the child until SIGTERM, SIGINT, or its parent's end.
///
/// # Errors
/// [`ChildError`]: it could not start, or the model died.
pub fn run_child(options: ChildOptions) -> Result<(), ChildError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(4).build()?;
    let result = runtime.block_on(run(options, CancellationToken::new()));
    runtime.shutdown_timeout(GRACE);
    result
}

/// Runs until `stop` or one of the other reasons to end.
pub(crate) async fn run(options: ChildOptions, stop: CancellationToken) -> Result<(), ChildError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut orphaned = signal(SignalKind::hangup())?;
    let parent = std::os::unix::process::parent_id();
    if options.follow_parent {
        follow_parent(stop.clone())?;
    }
    let listener = listen(&options.socket)?;
    let server = Arc::new(Server::new(options.name.clone(), unix_time()));
    let tracker = TaskTracker::new();
    tracker.spawn(Arc::clone(&server).serve(listener, tracker.clone(), stop.clone()));

    let result = {
        let loading = tokio::task::spawn_blocking({
            let options = options.clone();
            move || load(&options)
        });
        let work = async {
            let loaded = loading.await.map_err(|_| ChildError::Died)??;
            let died = loaded.scheduler.closed();
            server.set_loaded(loaded);
            tracing::info!(model = %options.model.display(), "local model ready");
            died.cancelled().await;
            Err(ChildError::Died)
        };
        tokio::pin!(work);
        loop {
            tokio::select! {
                result = &mut work => break result,
                _ = terminate.recv() => break Ok(()),
                _ = interrupt.recv() => break Ok(()),
                () = stop.cancelled() => break Ok(()),
                _ = orphaned.recv() => {
                    // Linux sends it when the thread that started us ends, the process or not.
                    if std::os::unix::process::parent_id() != parent {
                        break Ok(());
                    }
                }
            }
        }
    };
    stop.cancel();
    if let Some(loaded) = server.loaded() {
        loaded.scheduler.shut_down();
    }
    tracker.close();
    if tokio::time::timeout(GRACE, tracker.wait()).await.is_err() {
        tracing::warn!("connections were still open at the end");
    }
    let _ = std::fs::remove_file(&options.socket);
    result
}

/// Reads the file and makes everything ready for the first question. Takes a fraction of a second.
fn load(options: &ChildOptions) -> Result<Loaded, ChildError> {
    let file = Gguf::open(&options.model)?;
    let tokenizer = Arc::new(Tokenizer::load(&file)?);
    let template = ChatTemplate::load(&file, &tokenizer)?;
    let model = Model::load(&file, options.threads)?;
    drop(file);
    let trained = model.config().context;
    let context = options.context.map_or(trained, |context| context.min(trained)).max(1);
    let limits = Limits { context, kept_bytes: options.kv_budget_bytes, ..Limits::default() };
    let prefix = common_prefix(&tokenizer, &template);
    let scheduler = Scheduler::start(model, Arc::clone(&tokenizer), &prefix, limits)?;
    Ok(Loaded { scheduler, tokenizer, template, context })
}

/// The tokens that every conversation without a system prompt of its own begins with.
fn common_prefix(tokenizer: &Tokenizer, template: &ChatTemplate) -> Vec<u32> {
    let tokens = |question: &str| {
        let message = Message { role: Role::User, content: question.to_owned() };
        let mut tokens: Vec<u32> = tokenizer.begin().into_iter().collect();
        if let Ok(rendered) = template.render(&[&message]) {
            let segments: Vec<_> = rendered.segments().collect();
            tokens.extend(tokenizer.encode(&segments));
        }
        tokens
    };
    let (a, b) = (tokens("Hello"), tokens("What"));
    a.iter().zip(&b).take_while(|(a, b)| a == b).map(|(a, _)| *a).collect()
}

fn listen(path: &Path) -> Result<UnixListener, ChildError> {
    let error = |source| ChildError::Listen { path: path.to_owned(), source };
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        std::fs::remove_file(path).map_err(error)?;
    }
    let listener = UnixListener::bind(path).map_err(error)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(error)?;
    Ok(listener)
}

/// Two ways, since each has a gap: the pipe closes however the parent ends, unless another child
/// of it inherited the other end; the signal needs Linux.
fn follow_parent(stop: CancellationToken) -> std::io::Result<()> {
    // A thread of its own, never joined: reading from a pipe cannot be interrupted, and a runtime
    // would wait for it at the end.
    std::thread::Builder::new().name(String::from("parent")).spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut buffer = [0; 256];
        while matches!(stdin.read(&mut buffer), Ok(1..)) {}
        stop.cancel();
    })?;
    #[cfg(target_os = "linux")]
    {
        #[expect(unsafe_code, reason = "there is no safe interface to prctl")]
        // SAFETY: sets a flag of this process; no memory is passed.
        let result = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGHUP) };
        if result != 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}

/// For the `created` fields of responses, which nothing relies on.
#[expect(clippy::disallowed_methods, reason = "the child has no Clock, and decides nothing by the time of day")]
fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
