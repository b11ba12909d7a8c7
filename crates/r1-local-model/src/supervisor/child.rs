//! One engine process: started so that it can't outlive this one, heard, and ended.

use std::{
    collections::VecDeque,
    io,
    process::{ExitStatus, Stdio},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{ChildStderr, ChildStdin, Command},
    runtime::Handle,
    sync::oneshot,
};
use tokio_util::task::TaskTracker;

/// A longer line of the engine's is cut here, in bytes.
const MAX_LINE: u64 = 1024;
/// Lines kept for the last words: an error further back belongs to an answer, not to the end.
const TAIL: usize = 8;

pub(super) struct Child {
    process: tokio::process::Child,
    /// Open while this process lives: the engine ends when it closes.
    stdin: Option<ChildStdin>,
    tail: Arc<Mutex<Tail>>,
    stderr: TaskTracker,
    /// The thread that has started the child waits for this to be dropped.
    _parent: mpsc::Sender<()>,
}

impl Child {
    pub(super) async fn start(mut command: Command) -> io::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        // A group of its own: Ctrl-C goes to all of the terminal's group, and the answers that run
        // here shall be drained first. The two ways to end with this process don't go by groups.
        command.process_group(0);
        die_with_parent(&mut command);
        let (mut process, parent) = spawn_from_own_thread(command).await?;
        let tail = Arc::new(Mutex::new(Tail::default()));
        let stderr = TaskTracker::new();
        if let Some(pipe) = process.stderr.take() {
            stderr.spawn(relay(pipe, tail.clone()));
        }
        stderr.close();
        Ok(Self { stdin: process.stdin.take(), process, tail, stderr, _parent: parent })
    }

    pub(super) fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Waits for its end. May be dropped and called again.
    pub(super) async fn ended(&mut self) -> String {
        let status = self.process.wait().await;
        status.map_or_else(|error| error.to_string(), describe)
    }

    /// What it wrote to its standard error of why it ended, once it has; empty if nothing.
    pub(super) async fn last_words(&self) -> String {
        // A grandchild may hold the pipe open: what it says does not matter.
        let _ = tokio::time::timeout(Duration::from_millis(100), self.stderr.wait()).await;
        self.tail.lock().last_words().to_owned()
    }

    /// Asks it to end, and makes it after `grace`.
    pub(super) async fn stop(mut self, grace: Duration) {
        self.stdin = None;
        if let Some(pid) = self.id() {
            terminate(pid);
        }
        if tokio::time::timeout(grace, self.process.wait()).await.is_err() {
            tracing::warn!("the local model's engine did not end in time and is killed");
            if let Err(error) = self.process.kill().await {
                tracing::error!(%error, "the local model's engine could not be killed");
            }
        }
    }
}

/// The last lines of a standard error.
#[derive(Default)]
struct Tail(VecDeque<String>);

impl Tail {
    fn push(&mut self, line: &str) {
        if self.0.len() == TAIL {
            self.0.pop_front();
        }
        self.0.push_back(line.to_owned());
    }

    /// The last line that looks like an error, else the last one: engines write timings and a word
    /// of good-bye after what matters.
    fn last_words(&self) -> &str {
        let error = self.0.iter().rfind(|line| line.to_ascii_lowercase().contains("error"));
        error.or(self.0.back()).map_or("", String::as_str)
    }
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match status.signal() {
        Some(libc::SIGKILL) => "killed by the system, which may have run out of memory".to_owned(),
        Some(signal) => format!("ended by signal {signal}"),
        None => format!("ended with status {}", status.code().unwrap_or_default()),
    }
}

/// The kernel sends the "parent died" signal when the parent's *thread* ends (prctl(2)), and the
/// runtime's threads come and go. So the child gets a thread that lives as long as it.
async fn spawn_from_own_thread(mut command: Command) -> io::Result<(tokio::process::Child, mpsc::Sender<()>)> {
    let (parent, gone) = mpsc::channel::<()>();
    let (started, spawned) = oneshot::channel();
    let runtime = Handle::current();
    thread::Builder::new().name("local-model".to_owned()).stack_size(256 << 10).spawn(move || {
        let _runtime = runtime.enter();
        // A receiver that has gone drops the child, and that kills it.
        let _ = started.send(command.spawn());
        // Ends with an error when the sender is dropped; nothing is ever sent.
        let _ = gone.recv();
    })?;
    Ok((spawned.await.map_err(io::Error::other)??, parent))
}

#[cfg(target_os = "linux")]
fn die_with_parent(command: &mut Command) {
    let parent = std::process::id();
    #[expect(unsafe_code, reason = "pre_exec runs between fork and exec; see SAFETY")]
    // SAFETY: between fork and exec of a process with threads only async-signal-safe functions may
    // be called. The closure makes two system calls, allocates nothing (an `io::Error` of a code or
    // a kind is plain data) and takes no lock.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // The parent may have died before the call above: then nobody would tell.
            if u32::try_from(libc::getppid()) != Ok(parent) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            Ok(())
        });
    }
}

/// Elsewhere its standard input tells the built-in engine.
#[cfg(not(target_os = "linux"))]
fn die_with_parent(_command: &mut Command) {}

fn terminate(pid: u32) {
    let Ok(pid) = libc::pid_t::try_from(pid) else { return };
    #[expect(unsafe_code, reason = "the standard library sends SIGKILL only; see SAFETY")]
    // SAFETY: kill(2) has no memory effects. The pid is a child's that has not been waited for
    // (`tokio::process::Child::id` is none afterwards), so it can't be another process's by now.
    let sent = unsafe { libc::kill(pid, libc::SIGTERM) };
    if sent != 0 {
        tracing::debug!(error = %io::Error::last_os_error(), "the local model's engine could not be asked to end");
    }
}

/// Passes the engine's standard error on to the log, in lines of bounded length.
async fn relay(pipe: ChildStderr, tail: Arc<Mutex<Tail>>) {
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut pipe).take(MAX_LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text: String = String::from_utf8_lossy(&line).chars().filter(|c| !c.is_control()).collect();
        let text = text.trim();
        if !text.is_empty() {
            tracing::debug!(target: "r1_local_model::engine", "{text}");
            tail.lock().push(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_an_error_if_there_is_one() {
        let mut tail = Tail::default();
        assert_eq!(tail.last_words(), "");
        tail.push("E Error: no such tensor");
        tail.push("E error: exiting");
        tail.push("I total time = 5 ms");
        assert_eq!(tail.last_words(), "E error: exiting");
        for n in 0..TAIL {
            tail.push(&format!("I slot {n}"));
        }
        assert_eq!(tail.last_words(), "I slot 7", "an old error says nothing about the end");
        assert_eq!(tail.0.len(), TAIL);
    }
}
