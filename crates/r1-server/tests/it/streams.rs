//! The stream on our side: its bytes, attaching, stopping, idempotency.

use anyhow::{Context, Result, ensure};
use r1_testkit::{
    sse::{Reader, text_of},
    upstream::{Script, Upstream},
};
use reqwest::{Method, StatusCode, header};
use serde_json::json;

use crate::support::{Setup, expect, expect_problem, id_of, stream};

#[tokio::test]
async fn a_stream_looks_as_published() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::text("Artificial intelligence (AI) is"));
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let id = client.conversation().await?;
    let response = client.post("/chat/stream", &json!({"message": "What is AI?", "conversation_id": id})).await?;
    let headers = response.headers().clone();
    assert_eq!(headers[header::CONTENT_TYPE], "text/event-stream");
    assert_eq!(headers[header::CACHE_CONTROL], "no-cache, no-transform");
    assert_eq!(headers["x-accel-buffering"], "no");
    ensure!(!headers.contains_key(header::CONTENT_ENCODING));
    let body = response.text().await?;
    let lines: Vec<&str> = body.lines().filter(|line| line.starts_with("data: ")).collect();
    ensure!(
        lines[0].starts_with(
            r#"data: {"type": "start", "message": "Starting response generation...", "conversation_id": ""#
        ),
        "{body}"
    );
    assert_eq!(lines[1], r#"data: {"type": "chunk", "content": "Artificial "}"#);
    let end = lines.last().context("end")?;
    ensure!(
        end.starts_with(&format!(
            r#"data: {{"type": "end", "message": "Response completed", "conversation_id": "{id}""#
        )),
        "{end}"
    );
    ensure!(end.contains(r#""status": "completed", "finish_reason": "stop", "usage": {"prompt_tokens": "#), "{end}");

    let messages = client.messages(&id).await?;
    assert_eq!(messages[0]["content"], "What is AI?");
    assert_eq!(messages[1]["content"], "Artificial intelligence (AI) is");
    assert_eq!(
        (messages[1]["status"].as_str(), messages[1]["model"].as_str()),
        (Some("completed"), Some("openai/test-model"))
    );
    Ok(())
}

#[tokio::test]
async fn an_answer_goes_on_without_its_reader() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().role().chunk("one ").wait_for("go").chunk("two").ending());
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let id = client.conversation().await?;
    let mut reader = client.ask(&json!({"message": "count", "conversation_id": id})).await?;
    let start = reader.next_frame().await?.context("start")?;
    let first = reader.next_frame().await?.context("chunk")?;
    drop(reader);

    // The page sees the text so far and the cursor of exactly that text.
    let running = client.messages(&id).await?[1].clone();
    assert_eq!((running["status"].as_str(), running["content"].as_str()), (Some("running"), Some("one ")));
    assert_eq!(running["last_event_id"], first.last_event_id());
    upstream.open("go");
    let follow =
        client.request(Method::GET, "/chat/stream").header("last-event-id", first.last_event_id()).send().await?;
    let rest = Reader::from_response(follow)?.after(first.id.context("an id")?).collect_to_end().await?;
    assert_eq!(rest[0].content(), Some("two"));
    assert_eq!(client.messages(&id).await?[1]["content"], "one two");
    ensure!(start.is_terminal() || rest.last().is_some_and(|frame| frame.is_terminal()));
    Ok(())
}

#[tokio::test]
async fn every_reader_gets_the_same_bytes() -> Result<()> {
    let upstream = Upstream::start().await?;
    let mut script = Script::new().role();
    for i in 0..300 {
        script = script.chunk(format!("wörd-{i} \"quoted\"\n"));
        if i % 100 == 50 {
            script = script.wait_for(&format!("gate-{i}"));
        }
    }
    upstream.push(script.ending());
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let live = client.ask(&json!({"message": "go"})).await?;
    upstream.wait_reached("gate-50", 1).await?;
    let newest = stream(client.get("/chat/stream").await?).await?;
    for gate in ["gate-50", "gate-150", "gate-250"] {
        upstream.open(gate);
    }
    let live = live.collect_to_end().await?;
    let generation = id_of(&live[0].data, "generation_id")?;
    let raw =
        |frames: &[r1_testkit::sse::Frame]| frames.iter().flat_map(|frame| frame.raw.to_vec()).collect::<Vec<u8>>();
    assert_eq!(raw(&newest.collect_to_end().await?), raw(&live));
    let replay =
        stream(client.attach(&format!("generation_id={generation}&after=0")).await?).await?.collect_to_end().await?;
    assert_eq!(raw(&replay), raw(&live));
    for frame in [0, 1, 150, live.len() - 2] {
        let id = live[frame].id.context("an id")?;
        let response = client.attach(&format!("generation_id={generation}&after={}", id.cursor)).await?;
        let rest = Reader::from_response(response)?.after(id).collect_to_end().await?;
        assert_eq!(raw(&rest), raw(&live[frame + 1..]), "after {frame}");
    }
    // At the terminal event there is nothing more: an EventSource stops for good.
    let last = live.last().context("end")?.last_event_id();
    let response = client.request(Method::GET, "/chat/stream").header("last-event-id", last).send().await?;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(client.get("/chat/stream").await?.status(), StatusCode::NO_CONTENT, "nothing runs");
    // A cursor that this log never had: the whole answer again.
    let response = client.attach(&format!("generation_id={generation}&after=7.3")).await?;
    assert_eq!(raw(&Reader::from_response(response)?.collect_to_end().await?), raw(&live));
    Ok(())
}

#[tokio::test]
async fn the_same_key_makes_one_message() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|_| Script::new().role().chunk("once").wait_for("go").ending());
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let ask = |message: &str| {
        client.request(Method::POST, "/chat/stream").header("idempotency-key", "k-1").json(&json!({"message": message}))
    };
    let mut readers = Vec::new();
    for response in futures::future::join_all((0..20).map(|_| ask("hello").send())).await {
        readers.push(stream(response?).await?);
    }
    upstream.open("go");
    let mut bodies = Vec::new();
    for reader in readers {
        bodies.push(reader.collect_to_end().await?);
    }
    ensure!(bodies.iter().all(|body| *body == bodies[0]), "all get the same stream");
    assert_eq!(text_of(&bodies[0]), "once");
    assert_eq!(upstream.requests().len(), 1, "one upstream call");
    assert_eq!(client.read("/conversations").await?["conversations"].as_array().context("list")?.len(), 1);
    expect_problem(ask("another").send().await?, 422, "idempotency_key_reused").await?;

    let make = |title: &str| {
        client.request(Method::POST, "/conversations").header("idempotency-key", "k-2").json(&json!({"title": title}))
    };
    let first = expect(make("a").send().await?, StatusCode::CREATED).await?;
    assert_eq!(expect(make("a").send().await?, StatusCode::CREATED).await?["id"], first["id"]);
    expect_problem(make("b").send().await?, 422, "idempotency_key_reused").await?;
    Ok(())
}

#[tokio::test]
async fn a_quiet_stream_has_heartbeats() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().wait_for("go").ending());
    let server = Setup::with_upstream(&upstream)?.set("STREAM__HEARTBEAT", "1s").start().await?;
    let client = server.user("ada").await?;
    let mut response = client.post("/chat/stream", &json!({"message": "go"})).await?;
    let mut body = Vec::new();
    while String::from_utf8_lossy(&body).matches(": heartbeat\n\n").count() < 2 {
        body.extend_from_slice(&response.chunk().await?.context("the stream goes on")?);
    }
    upstream.open("go");
    while let Some(bytes) = response.chunk().await? {
        body.extend_from_slice(&bytes);
    }
    ensure!(String::from_utf8(body)?.trim_end().lines().last().is_some_and(|line| line.contains(r#""type": "end""#)));
    Ok(())
}

#[tokio::test]
async fn one_user_has_so_many_runs_and_readers() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|_| Script::new().role().chunk("x").wait_for("never"));
    let server = Setup::with_upstream(&upstream)?
        .set("LIMITS__ENABLED", "true")
        .set("LIMITS__RUNS_PER_USER", "2")
        .set("LIMITS__ATTACHES_PER_USER", "3")
        .start()
        .await?;
    let client = server.user("ada").await?;
    let _a = client.ask(&json!({"message": "a"})).await?;
    let _b = client.ask(&json!({"message": "b"})).await?;
    expect_problem(client.post("/chat/stream", &json!({"message": "c"})).await?, 429, "too_many_generations").await?;
    let third = client.get("/chat/stream").await?;
    assert_eq!(third.status(), StatusCode::OK);
    // An EventSource gives up on any status but 200: a passing refusal is a 200 that says when.
    let fourth = client.get("/chat/stream").await?;
    assert_eq!(fourth.status(), StatusCode::OK);
    assert_eq!(fourth.text().await?, "retry: 5000\n\n");
    drop(third);
    Ok(())
}
