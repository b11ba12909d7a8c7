//! A run: start what is measured, look at the machine, go through the scenarios, report.

use std::{
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use clap::ValueEnum;
use tempfile::TempDir;

use crate::{
    cli::Options,
    fixture::{self, Fixture, Size},
    guard::Guard,
    load::UpstreamAt,
    nginx,
    peers::{DIRECT, FLOOR, NGINX, SERVER, Target},
    proc,
    process::{self, Process, say},
    report::Report,
    scenario::{self, Scenario},
    server::{Server, Setup},
};

/// What the scenarios work with.
pub(crate) struct Bench {
    pub(crate) options: Options,
    pub(crate) guard: Guard,
    pub(crate) report: Report,
    pub(crate) upstream: UpstreamAt,
    directories: u32,
    fixture: Option<Fixture>,
    _upstream: Process,
    floor: (Process, SocketAddr),
    nginx: Option<(Process, SocketAddr)>,
    // Dropped last: nginx has a file there to remove.
    scratch: TempDir,
}

/// A server of one scenario's, with an account signed in.
pub(crate) struct Running {
    pub(crate) server: Server,
    pub(crate) token: String,
}

impl Running {
    pub(crate) fn target(&self) -> Target {
        let (address, process) = (self.server.address, Some(self.server.process.id()));
        Target { name: SERVER, address, process, token: Some(self.token.clone()) }
    }
}

/// Runs the benchmark.
///
/// # Errors
/// A stream that was not exact, a machine that is not fit, or whatever else stood in the way.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    anyhow::ensure!(options.server.is_file(), "there is no {}: build it first", options.server.display());
    let all = Scenario::value_variants();
    let chosen = if options.only.is_empty() { all } else { &options.only };
    let mut bench = Bench::start(options.clone()).await?;
    for scenario in chosen {
        say(format_args!("{scenario:?}"));
        scenario::run(*scenario, &mut bench).await.with_context(|| format!("{scenario:?}"))?;
        bench.guard.look_back()?;
    }
    let Bench { guard, mut report, .. } = bench;
    if options.quick {
        return Ok(writeln!(std::io::stdout(), "every scenario ran, every stream was exact")?);
    }
    let verdict = guard.verdict()?;
    (report.foreign, report.foreign_most) = (verdict.foreign, verdict.foreign_most);
    (report.marks, report.notes) = (verdict.marks, verdict.notes);
    report.date = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string();
    let before = Report::committed(&options.out.join("results.json"));
    let markdown = report.markdown(before.as_ref());
    writeln!(std::io::stdout(), "{markdown}")?;
    if options.only.is_empty() {
        report.write(&options.out, &markdown)?;
    }
    Ok(())
}

impl Bench {
    async fn start(options: Options) -> anyhow::Result<Self> {
        let guard = if options.quick { Guard::new(true) } else { Guard::look(options.anyway).await? };
        let scratch = tempfile::Builder::new().prefix("gpt-r1-bench-").tempdir()?;
        let (upstream, address) = Process::start_own(&["upstream"])?;
        let floor = Process::start_own(&["relay", &address.to_string()])?;
        // A smoke test needs no third system.
        let version = nginx::version().filter(|_| !options.quick);
        let nginx = match version {
            Some(_) => Some(nginx::start(&scratch.path().join("nginx"), address).await?),
            None => None,
        };
        let report = Report {
            commit: commit().unwrap_or_else(|| "unknown".to_owned()),
            date: String::new(),
            machine: proc::machine(),
            nginx: version,
            rounds: options.rounds,
            seconds: options.seconds,
            foreign: 0.0,
            foreign_most: 0.0,
            marks: Vec::new(),
            notes: Vec::new(),
            figures: Vec::new(),
            silent: options.quick,
        };
        let at = UpstreamAt { address, process: upstream.id() };
        let (directories, fixture) = (0, None);
        Ok(Self {
            options,
            guard,
            report,
            upstream: at,
            scratch,
            directories,
            fixture,
            _upstream: upstream,
            floor,
            nginx,
        })
    }

    /// What is measured in full, or what shows in a moment that it works.
    pub(crate) fn scale<T>(&self, full: T, quick: T) -> T {
        if self.options.quick { quick } else { full }
    }

    /// The rounds' numbers.
    pub(crate) fn rounds(&self) -> std::ops::Range<usize> {
        0..self.scale(self.options.rounds as usize, 1)
    }

    /// The numbers of at most this many rounds: for what takes long and hardly varies.
    pub(crate) fn few_rounds(&self, most: usize) -> std::ops::Range<usize> {
        0..self.rounds().end.min(most)
    }

    /// The length of a window; none where only exactness counts.
    pub(crate) fn window(&self) -> Duration {
        self.scale(Duration::from_secs_f64(self.options.seconds), Duration::ZERO)
    }

    /// A new, empty directory.
    pub(crate) fn directory(&mut self) -> PathBuf {
        self.directories += 1;
        self.scratch.path().join(self.directories.to_string())
    }

    /// The server under test with these settings.
    pub(crate) fn setup(&self, settings: &[(&'static str, &str)]) -> Setup {
        let settings = settings.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        Setup { binary: self.options.server.clone(), upstream: self.upstream.address, settings }
    }

    /// Starts the server on an empty directory and signs somebody in.
    pub(crate) async fn server(&mut self) -> anyhow::Result<Running> {
        self.server_with(&[]).await
    }

    /// The same with these settings.
    pub(crate) async fn server_with(&mut self, settings: &[(&'static str, &str)]) -> anyhow::Result<Running> {
        let directory = self.directory();
        let server = self.setup(settings).start(&directory)?;
        let token = server.register(0).await?;
        Ok(Running { server, token })
    }

    /// Starts the server on the filled directory and signs its first user in.
    pub(crate) async fn filled_server(&mut self, settings: &[(&'static str, &str)]) -> anyhow::Result<Running> {
        let data_dir = self.fixture().await?.data_dir;
        let server = self.setup(settings).start(&data_dir)?;
        let token = server.sign_in(0).await?;
        Ok(Running { server, token })
    }

    /// The filled directory, made at its first use.
    pub(crate) async fn fixture(&mut self) -> anyhow::Result<Fixture> {
        if let Some(fixture) = &self.fixture {
            return Ok(fixture.clone());
        }
        let size = self.scale(Size::FULL, Size::QUICK);
        say(format_args!("  filling a database with {} messages", size.messages()));
        let directory = self.directory();
        let fixture = fixture::make(&self.setup(&[]), &directory, size).await?;
        self.fixture = Some(fixture.clone());
        Ok(fixture)
    }

    /// The server and what it is measured against, in this round's order.
    pub(crate) fn targets(&self, running: &Running, round: usize) -> Vec<Target> {
        let relay = |name, (process, address): &(Process, SocketAddr)| Target {
            name,
            address: *address,
            process: Some(process.id()),
            token: None,
        };
        let mut targets = vec![running.target(), relay(FLOOR, &self.floor)];
        targets.extend(self.nginx.as_ref().map(|nginx| relay(NGINX, nginx)));
        // Whoever comes first has the quieter or the busier machine: everybody once.
        let first = round % targets.len();
        targets.rotate_left(first);
        targets
    }

    /// The upstream itself.
    pub(crate) fn direct(&self) -> Target {
        Target { name: DIRECT, address: self.upstream.address, process: None, token: None }
    }
}

/// The commit that is checked out, and whether the files are its.
fn commit() -> Option<String> {
    let here = Path::new(".");
    let commit = process::output("git", &["rev-parse", "--short=12", "HEAD"], here)?;
    let changes =
        process::output("git", &["status", "--porcelain", "--", "bench", "crates", "Cargo.lock", "web"], here)?;
    Some(if changes.is_empty() { commit } else { format!("{commit} with changes") })
}
