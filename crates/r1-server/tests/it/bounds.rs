//! What strangers and one user can make the server hold: connections, headers and bodies have a total, and whoever
//! comes with a real request is answered beside them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use r1_testkit::upstream::{Script, Upstream};
use reqwest::StatusCode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    metrics::Metrics,
    raw::{Raw, get, head, header, post},
    support::{Client, Server, Setup, expect_problem},
};

/// Long enough for an answer on a busy machine, and shorter than what the attackers here hold on for.
const SOON: Duration = Duration::from_secs(15);

/// Each connection here is a file of this process.
fn raise_open_files() -> Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}

/// Somebody new signs in, asks and gets the whole answer, and the server says that it is well.
async fn is_served(server: &Server, name: &str) -> Result<()> {
    let served = async {
        let health = server.anonymous().get("/health").await?;
        ensure!(health.status() == StatusCode::OK, "{}", health.status());
        let client = server.user(name).await?;
        let frames = client.ask_to_end(&json!({"message": "go"})).await?;
        ensure!(frames.last().is_some_and(|frame| frame.data["type"] == "end"), "{frames:?}");
        anyhow::Ok(())
    };
    timeout(SOON, served).await.context("not served in time")?
}

async fn with_answers(upstream: &Upstream) -> Result<Setup> {
    upstream.respond_with(|_| Script::text("one two"));
    Ok(Setup::with_upstream(upstream)?.with_metrics())
}

#[tokio::test]
async fn few_files_are_no_end() -> Result<()> {
    let upstream = Upstream::start().await?;
    let server = with_answers(&upstream).await?.open_files(256).start().await?;
    let metrics = Metrics::of(&server)?;
    let mut idle = try_join_all((0..300).map(|_| Raw::connect(&server))).await?;
    is_served(&server, "ada").await?;
    let page = metrics.page().await?;
    assert_eq!(metrics.value(&page, "gpt_r1_connections_most")?, 160.0);
    ensure!(metrics.value(&page, "gpt_r1_connections_made_to_leave_total")? >= 140.0, "{page}");
    ensure!(metrics.value(&page, "gpt_r1_connections")? <= 160.0, "{page}");
    // Those that came first had waited the longest.
    assert_eq!(idle[0].read_to_close().await?, b"");
    Ok(())
}

#[tokio::test]
async fn a_limit_below_what_it_needs_is_said() -> Result<()> {
    let setup = Setup::new()?.open_files(64);
    let ended = setup.run(&["serve", "--api-addr", "127.0.0.1:0", "--web-addr", "127.0.0.1:0"]).await?;
    ensure!(!ended.ok && ended.stderr.contains("64 files") && ended.stderr.contains("ulimit -n"), "{ended:?}");
    Ok(())
}

#[tokio::test]
async fn half_headers_have_a_total() -> Result<()> {
    raise_open_files()?;
    let upstream = Upstream::start().await?;
    let server = with_answers(&upstream).await?.start().await?;
    let metrics = Metrics::of(&server)?;
    let before = metrics.read().await?;
    let half = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}", "x".repeat(60_000));
    let mut open = Vec::new();
    for _ in 0..1500 {
        let mut raw = Raw::connect(&server).await?;
        raw.send(&half).await?;
        open.push(raw);
    }
    is_served(&server, "ada").await?;
    let after = metrics.wait("some to leave", |now| now.connections < 1200).await?;
    ensure!(after.memory < before.memory + (100 << 20), "{before:?} {after:?}");
    // Those that are being kept between two requests count as well.
    drop(open);
    metrics.wait("an idle server", |now| now.connections < 50).await?;
    let client = server.anonymous();
    let mut open = Vec::new();
    for _ in 0..1500 {
        let mut raw = Raw::connect(&server).await?;
        raw.send(get("/health/live", &client) + &half).await?;
        open.push(raw);
    }
    is_served(&server, "bob").await?;
    let after = metrics.wait("some to leave", |now| now.connections < 1200).await?;
    ensure!(after.memory < before.memory + (130 << 20), "{before:?} {after:?}");
    Ok(())
}

#[tokio::test]
async fn an_answer_is_not_cut_for_a_newcomer() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|request| match request.question() {
        "wait" => Script::new().role().chunk("one ").wait_for("go").chunk("two").ending(),
        _ => Script::text("one two"),
    });
    let setup = Setup::with_upstream(&upstream)?.with_metrics().set("SERVER__CONNECTIONS", "20");
    let server = setup.start().await?;
    let client = server.user("ada").await?;
    let mut following = Vec::new();
    for _ in 0..12 {
        let mut raw = Raw::connect(&server).await?;
        raw.send(post("/chat/stream", &client, &json!({"message": "wait"}))).await?;
        raw.read_until("one ").await?;
        following.push(raw);
    }
    // Silent ones, and such as have sent half a body: none of them keeps anybody from asking.
    let mut strangers = Vec::new();
    let half = head("POST", "/auth/login", &server.anonymous()).replace("authorization: Bearer \r\n", "")
        + "content-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    for number in 0..60 {
        let mut raw = Raw::connect(&server).await?;
        if number % 2 == 0 {
            // It may have been closed for those behind it.
            let _ = raw.send(&half).await;
        }
        strangers.push(raw);
    }
    is_served(&server, "bob").await?;
    drop(strangers);
    // More answers than that are too many. Health has a place all the same.
    for _ in 0..7 {
        let mut raw = Raw::connect(&server).await?;
        raw.send(post("/chat/stream", &client, &json!({"message": "wait"}))).await?;
        raw.read_until("one ").await?;
        following.push(raw);
    }
    let mut raw = Raw::connect(&server).await?;
    raw.send(get("/conversations", &client)).await?;
    let refused = String::from_utf8(raw.read_to_close().await?)?;
    ensure!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("too_many_connections"), "{refused}");
    ensure!(header(&refused, "retry-after").is_some(), "{refused}");
    // An EventSource would give up for good on any other status.
    let mut raw = Raw::connect(&server).await?;
    raw.send(get("/chat/stream", &client)).await?;
    let refused = String::from_utf8(raw.read_to_close().await?)?;
    ensure!(refused.starts_with("HTTP/1.1 200 ") && refused.contains("retry: 5000\n\n"), "{refused}");
    let mut raw = Raw::connect(&server).await?;
    raw.send(get("/health/live", &client)).await?;
    ensure!(raw.read_answer().await?.starts_with("HTTP/1.1 204 "));
    upstream.open("go");
    for raw in &mut following {
        raw.read_until(r#""type": "end""#).await?;
    }
    Ok(())
}

/// Half of a body that says to be larger.
async fn half_body(server: &Server, client: &Client) -> Result<Raw> {
    let mut raw = Raw::connect(server).await?;
    let head = head("POST", "/chat/stream", client);
    raw.send(format!("{head}content-type: application/json\r\ncontent-length: 60000\r\n\r\n{{\"message\":\"")).await?;
    raw.send("x".repeat(30_000)).await?;
    Ok(raw)
}

#[tokio::test]
async fn half_bodies_have_a_total_and_everybody_a_share() -> Result<()> {
    let upstream = Upstream::start().await?;
    let setup = with_answers(&upstream).await?.set("LIMITS__ENABLED", "true").set("LIMITS__MESSAGE_CHARS", "1000");
    let server = setup.set("LIMITS__BODY", "64KiB").set("LIMITS__BODIES_IN_FLIGHT", "256KiB").start().await?;
    let metrics = Metrics::of(&server)?;
    let in_flight = async || {
        let page = metrics.page().await?;
        metrics.value(&page, "gpt_r1_request_bodies_bytes")
    };
    let ada = server.user("ada").await?;
    let mut half = try_join_all((0..60).map(|_| half_body(&server, &ada))).await?;
    is_served(&server, "bob").await?;
    assert_eq!(in_flight().await?, 60_000.0);
    // Those that find no room for a while are told so.
    let last = half.pop().context("one")?;
    let mut told = String::new();
    for mut raw in half.into_iter().chain([last]) {
        told = String::from_utf8(raw.read_to_close().await?)?;
        if !told.contains("request_timeout") {
            break;
        }
    }
    ensure!(told.starts_with("HTTP/1.1 429 ") && told.contains("too_many_bodies"), "{told}");
    ensure!(header(&told, "retry-after").is_some(), "{told}");
    timeout(SOON, async {
        while in_flight().await? > 0.0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::Ok(())
    })
    .await??;

    // Four users have all there is: the fifth gets in with what is small enough, and is told where it is not.
    let mut half = Vec::new();
    for name in ["carl", "dora", "emil", "fred"] {
        half.push(half_body(&server, &server.user(name).await?).await?);
    }
    let gus = server.user("gus").await?;
    gus.ask_to_end(&json!({"message": "go"})).await?;
    let large: Value = json!({"message": "x".repeat(30_000)});
    let refused = gus.post("/chat/stream", &large).await?;
    ensure!(refused.headers().contains_key("retry-after"));
    expect_problem(refused, 503, "bodies_full").await?;
    drop(half);
    expect_problem(gus.post("/chat/stream", &large).await?, 422, "invalid").await?;
    Ok(())
}

#[tokio::test]
async fn what_says_that_it_is_too_large_is_not_asked_for() -> Result<()> {
    let server = Setup::new()?.set("LIMITS__MESSAGE_CHARS", "1000").set("LIMITS__BODY", "64KiB").start().await?;
    let client = server.user("ada").await?;
    for path in ["/chat/stream", "/chat", "/auth/login", "/conversations"] {
        let mut raw = Raw::connect(&server).await?;
        let head = head("POST", path, &client) + "content-type: application/json\r\nexpect: 100-continue\r\n";
        raw.send(format!("{head}content-length: 65537\r\n\r\n")).await?;
        let answer = raw.read_until("\r\n\r\n").await?;
        ensure!(answer.starts_with("HTTP/1.1 413 "), "{path}: {answer}");
    }
    // What does not say is cut where it is too large.
    let mut raw = Raw::connect(&server).await?;
    let chunked =
        head("POST", "/chat", &client) + "content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    raw.send(chunked).await?;
    let _ = raw.send(format!("10000\r\n{}\r\n1\r\nx\r\n0\r\n\r\n", "x".repeat(65_536))).await;
    ensure!(raw.read_until("\r\n\r\n").await?.starts_with("HTTP/1.1 413 "));
    Ok(())
}
