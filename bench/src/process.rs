//! Processes that the benchmark starts, and what it says.

use std::{
    fmt,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::Context;

/// What a process of ours prints before its address.
const ANNOUNCEMENT: &str = "listening on ";

/// A started process. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts a command and waits for the line of its output in which `address` finds where it
    /// listens.
    pub(crate) fn start(
        mut command: Command,
        address: impl Fn(&str) -> Option<SocketAddr>,
    ) -> anyhow::Result<(Self, SocketAddr)> {
        let name = command.get_program().display().to_string();
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = Self { child: command.spawn().with_context(|| format!("{name} can't be started"))? };
        let out = process.child.stdout.take().context("no output")?;
        for line in BufReader::new(out).lines() {
            if let Some(address) = address(&line?) {
                return Ok((process, address));
            }
        }
        anyhow::bail!("{name} ended before it said where it listens")
    }

    /// Starts a command that says nothing.
    pub(crate) fn start_silent(mut command: Command) -> anyhow::Result<Self> {
        let name = command.get_program().display().to_string();
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Self { child: command.spawn().with_context(|| format!("{name} can't be started"))? })
    }

    /// Starts another process of this program.
    pub(crate) fn start_own(arguments: &[&str]) -> anyhow::Result<(Self, SocketAddr)> {
        let mut command = Command::new(std::env::current_exe().context("where is this program?")?);
        command.args(arguments);
        Self::start(command, |line| line.strip_prefix(ANNOUNCEMENT)?.parse().ok())
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn terminate(mut self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw).context("no process")?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(pid) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) else { return };
        if matches!(self.child.try_wait(), Ok(None)) {
            // nginx's master takes its worker along only when it is asked.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
            let _ = self.child.wait();
        }
    }
}

/// Says where this process listens.
pub(crate) fn announce(address: SocketAddr) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{ANNOUNCEMENT}{address}")?;
    Ok(out.flush()?)
}

/// A line on standard error. Nobody there to read it is no error.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// As many open files as the operating system lets us have: every stream is one or two.
pub(crate) fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// A command's output, trimmed; none where it fails or is not there.
pub(crate) fn output(program: &str, arguments: &[&str], directory: &Path) -> Option<String> {
    let out = Command::new(program).args(arguments).current_dir(directory).stderr(Stdio::null()).output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim_end().to_owned())
}
