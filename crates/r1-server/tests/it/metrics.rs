//! The metrics, and a way to look at the server through them.

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use r1_testkit::upstream::{Script, Upstream};
use reqwest::{StatusCode, header};
use serde_json::{Value, json};
use tokio::time::Instant;

mod alarms;
mod watched;

use crate::support::{PATIENCE, Server, Setup, expect_problem, id_of, stream};

/// Where a server's metrics are.
pub(crate) struct Metrics {
    http: reqwest::Client,
    url: String,
}

/// What they said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    pub(crate) connections: u64,
    pub(crate) readers: u64,
    pub(crate) running: u64,
    pub(crate) tasks: u64,
    pub(crate) open_files: u64,
    pub(crate) memory: u64,
}

impl Setup {
    pub(crate) fn with_metrics(self) -> Self {
        self.set("SERVER__METRICS_ADDR", "127.0.0.1:0")
    }
}

impl Metrics {
    pub(crate) fn of(server: &Server) -> Result<Self> {
        let line = server.banner.lines().find_map(|line| line.trim().strip_prefix("metrics")).context("metrics")?;
        // A connection of its own for each look: none is left open in between.
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build()?;
        Ok(Self { http, url: line.trim().to_owned() })
    }

    /// A line of the page.
    pub(crate) fn value(&self, page: &str, line: &str) -> Result<f64> {
        value_of(page, line).with_context(|| format!("{line} in {page}"))
    }

    /// The whole page.
    pub(crate) async fn page(&self) -> Result<String> {
        Ok(self.http.get(&self.url).send().await?.text().await?)
    }

    /// The page as OpenMetrics.
    async fn newer_page(&self) -> Result<String> {
        let newer = self.http.get(&self.url).header(header::ACCEPT, "application/openmetrics-text;version=1.0.0");
        Ok(newer.send().await?.text().await?)
    }

    /// Waits until a line has a value that is wanted.
    pub(crate) async fn wait_line(&self, line: &str, wanted: impl Fn(f64) -> bool) -> Result<f64> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let page = self.page().await?;
            match value_of(&page, line) {
                Some(value) if wanted(value) => return Ok(value),
                value => ensure!(Instant::now() < deadline, "waited in vain for {line}, now {value:?}: {page}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub(crate) async fn read(&self) -> Result<Sample> {
        let page = self.page().await?;
        let values: HashMap<&str, u64> = page
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once(' '))
            .filter_map(|(name, value)| Some((name, value.parse().ok()?)))
            .collect();
        let value = |name| values.get(name).copied().with_context(|| format!("{name} in {page}"));
        Ok(Sample {
            connections: value("gpt_r1_connections")?,
            readers: value("gpt_r1_readers")?,
            running: value("gpt_r1_generations_running")?,
            tasks: value("gpt_r1_tasks")?,
            open_files: value("process_open_fds")?,
            memory: value("process_resident_memory_bytes")?,
        })
    }

    /// Waits until they are as wanted.
    pub(crate) async fn wait(&self, what: &str, wanted: impl Fn(&Sample) -> bool) -> Result<Sample> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let sample = self.read().await?;
            if wanted(&sample) {
                return Ok(sample);
            }
            ensure!(Instant::now() < deadline, "waited in vain for {what}: {sample:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test]
async fn they_say_what_is_true_now() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().role().chunk("one").wait_for("go").ending());
    let server = Setup::with_upstream(&upstream)?.with_metrics().start().await?;
    let metrics = Metrics::of(&server)?;
    let client = server.user("ada").await?;
    let idle = metrics.read().await?;
    assert_eq!((idle.readers, idle.running), (0, 0));
    ensure!(idle.connections >= 1 && idle.tasks > 1 && idle.open_files > 10 && idle.memory > 1 << 20, "{idle:?}");
    let mut asked = client.ask(&json!({"message": "go"})).await?;
    asked.next_frame().await?;
    let followed = client.get("/chat/stream").await?;
    let busy = metrics.wait("two readers of one answer", |now| (now.readers, now.running) == (2, 1)).await?;
    ensure!(busy.connections >= 2 && busy.tasks > idle.tasks && busy.open_files > idle.open_files, "{idle:?} {busy:?}");
    drop(followed);
    metrics.wait("one reader", |now| (now.readers, now.running) == (1, 1)).await?;
    upstream.open("go");
    asked.collect_to_end().await?;
    metrics.wait("the end", |now| (now.readers, now.running) == (0, 0)).await?;
    Ok(())
}

/// The value of a line.
fn value_of(page: &str, line: &str) -> Option<f64> {
    page.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' ')?.parse().ok())
}

/// An answer with more than its text: some reasoning, and the call of a tool that nobody offered.
fn thoughtful(text: &str) -> Script {
    let more = r#"{"choices":[{"delta":{"reasoning_content":"hm","tool_calls":[{"function":{"name":"x"}}]}}]}"#;
    Script::new().raw(format!("data: {more}\n\n")).chunk(text).ending()
}

#[tokio::test]
async fn what_happens_is_counted() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(thoughtful("a good answer"));
    for _ in 0..3 {
        upstream.push(Script::error(StatusCode::SERVICE_UNAVAILABLE, "busy", "busy"));
    }
    upstream.push(Script::error(StatusCode::UNAUTHORIZED, "key", "no"));
    upstream.push(Script::new().role().chunk("one").wait_for("never"));
    let server = Setup::with_upstream(&upstream)?.with_metrics().start().await?;
    let metrics = Metrics::of(&server)?;
    let client = server.user("ada").await?;
    for _ in 0..3 {
        client.ask_to_end(&json!({"message": "go"})).await?;
    }
    let mut asked = client.ask(&json!({"message": "go"})).await?;
    let start = asked.next_frame().await?.context("start")?;
    asked.next_frame().await?;
    client.post(&format!("/chat/generations/{}/stop", id_of(&start.data, "generation_id")?), &json!({})).await?;
    asked.collect_to_end().await?;
    client.get("/conversations/none").await?;
    let page = metrics.page().await?;
    for (line, wanted) in [
        ("gpt_r1_generations_accepted_total", 4.0),
        (r#"gpt_r1_generations_ended_total{state="completed"}"#, 1.0),
        (r#"gpt_r1_generations_ended_total{state="failed"}"#, 2.0),
        (r#"gpt_r1_generations_ended_total{state="stopped"}"#, 1.0),
        (r#"gpt_r1_generations_ended_total{state="interrupted"}"#, 0.0),
        (r#"gpt_r1_first_chunk_seconds_count{provider="openai"}"#, 2.0),
        (r#"gpt_r1_provider_errors_total{provider="openai",code="provider_unavailable",tried_again="yes"}"#, 2.0),
        (r#"gpt_r1_provider_errors_total{provider="openai",code="provider_unavailable",tried_again="no"}"#, 1.0),
        (r#"gpt_r1_provider_errors_total{provider="openai",code="provider_auth",tried_again="no"}"#, 1.0),
        (r#"gpt_r1_provider_skipped_total{provider="openai",kind="tool_call"}"#, 1.0),
        (r#"gpt_r1_http_responses_total{method="POST",route="/api/v1/chat/stream",status="200"}"#, 4.0),
        ("gpt_r1_log_commit_failures_total", 0.0),
        ("gpt_r1_database_connections_in_use", 0.0),
    ] {
        assert_eq!(value_of(&page, line), Some(wanted), "{line} in {page}");
    }
    for line in ["gpt_r1_log_commit_seconds_count", "gpt_r1_log_commit_size_bytes_sum", "process_cpu_seconds_total"] {
        ensure!(value_of(&page, line).is_some_and(|value| value > 0.0), "{line} in {page}");
    }
    ensure!(!page.contains(r#"kind="reasoning""#), "what was thought is kept: {page}");
    ensure!(!page.contains("conversations/none"), "no label is made of what somebody wrote: {page}");
    Ok(())
}

/// What a page has, by name.
fn names(page: &str) -> BTreeSet<&str> {
    page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect()
}

/// A file of the repository.
fn file(path: &str) -> Result<String> {
    Ok(std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path))?)
}

/// The metrics that a text names, by what `page` calls them; an error where one is not there.
fn named_in(text: &str, page: &str) -> Result<BTreeSet<String>> {
    let known = names(page);
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let of_word = |word: &str| {
        let suffixes = ["", "_bucket", "_count", "_sum"];
        let name = suffixes.iter().find_map(|suffix| word.strip_suffix(suffix).filter(|name| known.contains(name)));
        name.map(str::to_owned).with_context(|| format!("{word} is not in {page}"))
    };
    words.filter(|word| word.starts_with("gpt_r1_") || word.starts_with("process_")).map(of_word).collect()
}

/// A page of a server to which all has happened that is counted: what has labels is there from then on.
async fn full_page() -> Result<(Server, Metrics)> {
    let upstream = Upstream::start().await?;
    upstream.push(thoughtful("an answer"));
    upstream.push(Script::text("A title"));
    upstream.push(Script::error(StatusCode::UNAUTHORIZED, "key", "no"));
    // There, and asleep: nobody asks it anything.
    let setup = Setup::with_upstream(&upstream)?.on_sqlite().with_metrics().set("LOCAL_MODEL__ENABLED", "on");
    let server = setup.set("TITLES__ENABLED", "on").start().await?;
    let client = server.user("ada").await?;
    client.ask_to_end(&json!({"message": "go"})).await?;
    upstream.wait_requests(2).await?;
    client.ask_to_end(&json!({"message": "go"})).await?;
    let file = server.setup().data_dir().with_file_name("backup");
    let backup = server.setup().run(&["backup", file.to_str().context("a name")?]).await?;
    ensure!(backup.ok && backup.stderr.is_empty(), "{backup:?}");
    let metrics = Metrics::of(&server)?;
    metrics.wait_line("gpt_r1_last_backup_timestamp_seconds", |at| at > 0.0).await?;
    metrics.wait_line(r#"gpt_r1_jobs_total{kind="title",outcome="done"}"#, |done| done == 1.0).await?;
    Ok((server, metrics))
}

#[tokio::test]
async fn the_dashboard_and_the_table_know_them() -> Result<()> {
    let dashboard: Value = serde_json::from_str(&file("deploy/grafana-dashboard.json")?)?;
    let (_server, metrics) = full_page().await?;
    let page = metrics.page().await?;
    let panels = dashboard["panels"].as_array().context("panels")?;
    let asked = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let asked: Vec<&str> = asked.filter_map(|target| target["expr"].as_str()).collect();
    ensure!(asked.len() > 20, "{asked:?}");
    let shown = named_in(&asked.join(" "), &page)?;
    let table = file("docs/operations.md")?;
    for name in names(&page) {
        ensure!(table.contains(&format!("`{name}")), "{name} is not in docs/operations.md");
        ensure!(shown.contains(name) || name == "gpt_r1_build_info", "{name} is not on the dashboard");
    }
    // And the table names no other.
    let rows = table.lines().filter(|line| line.starts_with("| `gpt_r1_") || line.starts_with("| `process_"));
    let rows: Vec<&str> = rows.collect();
    ensure!(rows.len() > 20, "{rows:?}");
    named_in(&rows.join(" "), &page)?;
    Ok(())
}

#[tokio::test]
async fn they_are_not_for_a_foreign_name() -> Result<()> {
    let server = Setup::new()?.with_metrics().start().await?;
    let Metrics { http, url } = Metrics::of(&server)?;
    let refused = http.get(&url).header(header::HOST, "evil.example:9464").send().await?;
    assert_eq!(refused.status(), StatusCode::MISDIRECTED_REQUEST);
    expect_problem(refused, 421, "unknown_host").await?;
    assert_eq!(http.get(&url).header(header::HOST, "localhost").send().await?.status(), StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn they_are_for_prometheus() -> Result<()> {
    let server = Setup::new()?.with_metrics().start().await?;
    let Metrics { http, url } = Metrics::of(&server)?;
    let plain = http.get(&url).send().await?;
    assert_eq!(plain.headers()[header::CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
    let page = plain.text().await?;
    for line in ["# HELP gpt_r1_readers ", "# TYPE gpt_r1_readers gauge\n", "\ngpt_r1_readers 0\n"] {
        ensure!(page.contains(line), "{line:?} in {page}");
    }
    ensure!(!page.contains("# EOF") && !page.contains("# UNIT"), "{page}");
    for line in ["# TYPE gpt_r1_build_info gauge\n", "# TYPE gpt_r1_generations_accepted_total counter\n"] {
        ensure!(page.contains(line), "{line:?} in {page}");
    }
    let newer = http.get(&url).header("accept", "application/openmetrics-text;version=1.0.0,*/*;q=0.1").send().await?;
    let kind = &newer.headers()[header::CONTENT_TYPE];
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let page = newer.text().await?;
    for line in ["# TYPE gpt_r1_build info\n", "# TYPE gpt_r1_generations_accepted counter\n"] {
        ensure!(page.contains(line), "{line:?} in {page}");
    }
    ensure!(page.ends_with("\n# EOF\n"), "{page}");
    assert_eq!(http.post(&url).send().await?.status(), StatusCode::METHOD_NOT_ALLOWED);
    // Neither has what the other has.
    let api = url.replace("/metrics", "/api/v1/health");
    assert_eq!(http.get(api).send().await?.status(), StatusCode::NOT_FOUND);
    ensure!(!http.get(format!("{}/metrics", server.api)).send().await?.text().await?.contains("gpt_r1_readers"));
    Ok(())
}

#[tokio::test]
async fn they_are_off_unless_an_address_is_given() -> Result<()> {
    let server = Setup::new()?.start().await?;
    ensure!(!server.banner.contains("metrics"), "{}", server.banner);
    Ok(())
}

#[tokio::test]
async fn one_id_goes_from_the_proxy_through_the_log_to_the_provider() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::error(StatusCode::UNAUTHORIZED, "key", "no"));
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let asked = client.request(reqwest::Method::POST, "/chat/stream").header("x-request-id", "from-the-proxy");
    stream(asked.json(&json!({"message": "go"})).send().await?).await?.collect_to_end().await?;
    let log = server.log();
    let line = log.lines().find(|line| line.contains("failed: provider_auth")).context("a line")?;
    ensure!(line.contains("from-the-proxy"), "{line}");
    let sent = upstream.last_request().context("a request")?;
    ensure!(sent.headers["x-request-id"] == "from-the-proxy", "{:?}", sent.headers);
    // Without a proxy's, the one that the client is told; and whoever takes over has it.
    upstream.push(Script::new().wait_for("never"));
    upstream.push(Script::error(StatusCode::UNAUTHORIZED, "key", "no"));
    let answer = client.post("/chat/stream", &json!({"message": "go"})).await?;
    let told = answer.headers()["x-request-id"].to_str()?.to_owned();
    let start = stream(answer).await?.next_frame().await?.context("start")?;
    let generation = id_of(&start.data, "generation_id")?;
    upstream.wait_requests(2).await?;
    let next = server.kill().await?.start().await?;
    upstream.wait_requests(3).await?;
    for request in &upstream.requests()[1..] {
        ensure!(request.headers["x-request-id"] == told, "{:?}", request.headers);
    }
    let followed = client.at(&next).attach(&format!("generation_id={generation}")).await?;
    stream(followed).await?.collect_to_end().await?;
    let log = next.log();
    for what in ["goes on", "failed: provider_auth"] {
        let line = log.lines().find(|line| line.contains(what)).context("a line")?;
        ensure!(line.contains(&told), "{line}");
    }
    Ok(())
}

#[tokio::test]
async fn the_id_is_there_where_only_warnings_are_logged() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::error(StatusCode::UNAUTHORIZED, "key", "no"));
    let server = Setup::with_upstream(&upstream)?.set("LOG__LEVEL", "warn").start().await?;
    let client = server.user("ada").await?;
    let answer = client.post("/chat", &json!({"message": "go"})).await?;
    let told = answer.headers()["x-request-id"].to_str()?.to_owned();
    let log = server.log();
    let line = log.lines().find(|line| line.contains("failed: provider_auth")).context("a line")?;
    ensure!(line.contains(&told), "{line}");
    Ok(())
}
