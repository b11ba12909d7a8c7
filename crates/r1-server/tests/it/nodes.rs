//! Several processes on one PostgreSQL: whatever one does, all others know, and where one is gone another
//! goes on.

mod faults;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use r1_testkit::{
    sse::{Reader, text_of},
    upstream::{Script, Upstream},
};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{Client, PATIENCE, Server, Setup, expect, expect_problem, id_of, stream};

/// How long a silent node is believed to live in these tests.
const LEASE: Duration = Duration::from_secs(2);

/// Settings of a node whose provider can go on from a partial answer.
fn setup(upstream: &Upstream) -> Result<Setup> {
    let setup = Setup::new()?.on_postgres()?;
    Ok(setup
        .set("DATABASE__LEASE", "2s")
        .set("PROVIDERS__VLLM__BASE_URL", &upstream.base_url())
        .set("PROVIDERS__VLLM__CONTINUES", "vllm")
        .set("PROVIDERS__UNABLE__BASE_URL", &upstream.base_url())
        .set("DEFAULT_MODEL", "vllm/m"))
}

/// Two nodes, and a user's client for each.
async fn two(upstream: &Upstream) -> Result<((Server, Client), (Server, Client))> {
    let first = setup(upstream)?;
    let second = first.another()?;
    start(first, second).await
}

/// The same of these setups.
async fn start(first: Setup, second: Setup) -> Result<((Server, Client), (Server, Client))> {
    let (first, second) = (first.start().await?, second.start().await?);
    let one = first.user("ada").await?;
    let other = one.clone().at(&second);
    Ok(((first, one), (second, other)))
}

/// Follows a generation from its beginning.
async fn follow(client: &Client, generation: &str) -> Result<Reader> {
    stream(client.attach(&format!("generation_id={generation}")).await?).await
}

#[tokio::test]
async fn any_node_shows_what_another_writes() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream
        .push(Script::new().role().chunk("one ").wait_for("go").chunk("two ").wait_for("on").chunk("three").ending());
    let ((_first, one), (_second, other)) = two(&upstream).await?;
    let mut asking = one.ask(&json!({"message": "go"})).await?;
    let start = asking.next_frame().await?.context("start")?;
    let (generation, conversation) = (id_of(&start.data, "generation_id")?, id_of(&start.data, "conversation_id")?);
    asking.next_frame().await?.context("a chunk")?;

    let mut elsewhere = follow(&other, &generation).await?;
    assert_eq!(elsewhere.next_frame().await?.as_ref(), Some(&start));
    assert_eq!(elsewhere.next_frame().await?.context("one")?.content(), Some("one "));
    upstream.open("go");
    assert_eq!(elsewhere.next_frame().await?.context("two")?.content(), Some("two "), "while it runs");

    // A page that is opened there: the text so far, and exactly what comes after it.
    let message = &other.messages(&conversation).await?[1];
    assert_eq!((message["status"].as_str(), message["content"].as_str()), (Some("running"), Some("one two ")));
    let listed = other.read("/conversations").await?;
    assert_eq!(listed["conversations"][0]["generation_id"], generation.as_str(), "{listed}");
    let last = id_of(message, "last_event_id")?;
    let rest = other.request(Method::GET, "/chat/stream").header("last-event-id", &last).send().await?;
    let rest = Reader::from_response(rest)?.after(last.parse()?);
    upstream.open("on");
    let rest = rest.collect_to_end().await?;
    assert_eq!(text_of(&rest), "three");

    asking.collect_to_end().await?;
    elsewhere.collect_to_end().await?;
    let whole = follow(&one, &generation).await?.collect_to_end().await?;
    assert_eq!(follow(&other, &generation).await?.collect_to_end().await?, whole);
    assert_eq!(text_of(&whole), "one two three");
    assert_eq!(upstream.requests().len(), 1);
    Ok(())
}

#[tokio::test]
async fn an_event_seen_on_one_node_is_not_given_again_by_another() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::paced(200, Duration::from_millis(5)));
    let ((_first, one), (_second, other)) = two(&upstream).await?;
    let mut asking = one.ask(&json!({"message": "go"})).await?;
    let start = asking.next_frame().await?.context("start")?;
    let generation = id_of(&start.data, "generation_id")?;
    // Somebody follows there, so that the log is known there, up to some event.
    let _watching = follow(&other, &generation).await?;
    let mut frames = vec![start];
    let mut clients = [&other, &one].into_iter().cycle();
    let mut reader = asking;
    while !frames.last().context("a frame")?.is_terminal() {
        for _ in 0..7 {
            match reader.next_frame().await? {
                Some(frame) => frames.push(frame),
                None => break,
            }
        }
        let last = frames.last().context("a frame")?.last_event_id();
        let client = clients.next().context("a client")?;
        let response = client.request(Method::GET, "/chat/stream").header("last-event-id", &last).send().await?;
        if response.status() == StatusCode::NO_CONTENT {
            break;
        }
        reader = Reader::from_response(response)?.after(last.parse()?);
    }
    let whole = follow(&one, &generation).await?.collect_to_end().await?;
    assert_eq!(frames, whole, "byte for byte, whoever gave it");
    Ok(())
}

#[tokio::test]
async fn any_node_stops_what_another_writes() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().role().chunk("so far").wait_for("never"));
    let ((_first, one), (_second, other)) = two(&upstream).await?;
    let mut asking = one.ask(&json!({"message": "go"})).await?;
    let start = asking.next_frame().await?.context("start")?;
    let (generation, conversation) = (id_of(&start.data, "generation_id")?, id_of(&start.data, "conversation_id")?);
    asking.next_frame().await?.context("a chunk")?;

    let path = format!("/chat/generations/{generation}/stop");
    let stopped = expect(other.post(&path, &json!({})).await?, StatusCode::OK).await?;
    assert_eq!(stopped["status"], "stopped", "{stopped}");
    upstream.wait_closed(1).await?;
    let rest = asking.collect_to_end().await?;
    assert_eq!(rest.last().context("an end")?.data["status"], "stopped");
    let message = &one.messages(&conversation).await?[1];
    assert_eq!((message["status"].as_str(), message["content"].as_str()), (Some("stopped"), Some("so far")));
    let again = expect(one.post(&path, &json!({})).await?, StatusCode::OK).await?;
    assert_eq!(again["status"], "stopped");
    Ok(())
}

#[tokio::test]
async fn deleting_a_conversation_stops_what_runs_in_it_elsewhere() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().role().chunk("so far").wait_for("never"));
    let ((_first, one), (_second, other)) = two(&upstream).await?;
    let mut asking = one.ask(&json!({"message": "go"})).await?;
    let start = asking.next_frame().await?.context("start")?;
    upstream.wait_requests(1).await?;
    let path = format!("/conversations/{}", id_of(&start.data, "conversation_id")?);
    assert_eq!(other.request(Method::DELETE, &path).send().await?.status(), StatusCode::NO_CONTENT);
    upstream.wait_closed(1).await?;
    assert_eq!(one.get(&path).await?.status(), StatusCode::NOT_FOUND);
    Ok(())
}

#[tokio::test]
async fn keys_and_limits_hold_across_nodes() -> Result<()> {
    let upstream = Upstream::start().await?;
    for _ in 0..2 {
        upstream.push(Script::new().role().chunk("so far").wait_for("never"));
    }
    let first = setup(&upstream)?.set("LIMITS__ENABLED", "true").set("LIMITS__RUNS_PER_USER", "2");
    let second = first.another()?;
    let (first, second) = (first.start().await?, second.start().await?);
    let one = first.user("ada").await?;
    let other = one.clone().at(&second);
    let ask = |client: &Client, key: &str| {
        client.request(Method::POST, "/chat/stream").header("idempotency-key", key).json(&json!({"message": "go"}))
    };
    // The same request at both at once: one answer, both see it.
    let (here, there) = tokio::try_join!(ask(&one, "k").send(), ask(&other, "k").send())?;
    let (mut here, mut there) = (stream(here).await?, stream(there).await?);
    let (here, there) = (here.next_frame().await?.context("start")?, there.next_frame().await?.context("start")?);
    assert_eq!(here, there);
    // A place is left, then none, on either node.
    stream(ask(&other, "second").send().await?).await?;
    for client in [&one, &other] {
        expect_problem(ask(client, "third").send().await?, 429, "too_many_generations").await?;
    }
    assert_eq!(upstream.requests().len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_session_that_ends_on_one_node_has_ended_on_all() -> Result<()> {
    let upstream = Upstream::start().await?;
    let ((_first, one), (_second, other)) = two(&upstream).await?;
    other.read("/auth/me").await?;
    assert_eq!(one.post("/auth/logout", &json!({})).await?.status(), StatusCode::NO_CONTENT);
    let ended = Instant::now();
    while other.get("/auth/me").await?.status() != StatusCode::UNAUTHORIZED {
        ensure!(ended.elapsed() < PATIENCE, "it is believed for ever");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_data_directory_has_one_node() -> Result<()> {
    let upstream = Upstream::start().await?;
    let server = setup(&upstream)?.start().await?;
    let second = server.setup().run(&["serve", "--api-addr", "127.0.0.1:0", "--web-addr", "127.0.0.1:0"]).await?;
    assert!(!second.ok && second.stderr.contains("--data-dir"), "{second:?}");
    Ok(())
}
