//! What a model thinks: streamed, kept and shown beside the text, and never taken for it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use r1_domain::{
    id::NodeId,
    log::FIRST_GRAMMAR,
    time::{Clock, SystemClock},
};
use r1_testkit::{
    sse::{Frame, Reader, text_of},
    upstream::{Script, Upstream},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Client, PATIENCE, Server, Setup, expect, expect_problem, id_of, stream};

/// As long as nobody ends it.
const HOUR: Duration = Duration::from_secs(3600);

/// A server whose provider can't go on from a partial answer, and a user.
async fn plain(upstream: &Upstream) -> Result<(Server, Client)> {
    started(Setup::with_upstream(upstream)?).await
}

/// A server whose provider can.
async fn continuing(upstream: &Upstream) -> Result<(Server, Client)> {
    let setup = Setup::new()?.set("PROVIDERS__VLLM__BASE_URL", &upstream.base_url());
    started(setup.set("PROVIDERS__VLLM__CONTINUES", "vllm").set("DEFAULT_MODEL", "vllm/test-model")).await
}

async fn started(setup: Setup) -> Result<(Server, Client)> {
    let server = setup.start().await?;
    let client = server.user("ada").await?;
    Ok((server, client))
}

fn thoughtful() -> Script {
    Script::new().role().thought("Let me ").thought("see.")
}

fn kinds(frames: &[Frame]) -> Vec<&str> {
    frames.iter().map(Frame::kind).collect()
}

fn raw(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(|frame| frame.raw.to_vec()).collect()
}

/// The answer in the conversation of a stream.
async fn answer(client: &Client, frames: &[Frame]) -> Result<Value> {
    let messages = client.messages(&id_of(&frames[0].data, "conversation_id")?).await?;
    messages.into_iter().next_back().context("an answer")
}

/// Parts without what no test can know, how long they took.
fn parts(message: &Value) -> Value {
    let mut parts = message["parts"].clone();
    for part in parts.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        part.shift_remove("duration_ms");
    }
    parts
}

fn is_timed(part: &Value) -> bool {
    part["duration_ms"].is_u64()
}

fn thought(content: &str) -> Value {
    json!({"type": "reasoning", "content": content})
}

fn text(content: &str) -> Value {
    json!({"type": "text", "content": content})
}

#[tokio::test]
async fn what_is_thought_is_streamed_and_kept_beside_the_text() -> Result<()> {
    let upstream = Upstream::start().await?;
    let (_server, client) = plain(&upstream).await?;
    upstream.respond_with(|_| thoughtful().chunk("It is ").chunk("so.").ending());
    let frames = client.ask_to_end(&json!({"message": "Why?"})).await?;
    assert_eq!(kinds(&frames), ["start", "reasoning", "reasoning", "chunk", "chunk", "end"]);
    ensure!(frames[1].raw.ends_with(b"\ndata: {\"type\": \"reasoning\", \"content\": \"Let me \"}\n\n"), "{frames:?}");
    assert_eq!(text_of(&frames), "It is so.");

    let message = answer(&client, &frames).await?;
    assert_eq!((message["content"].as_str(), message["status"].as_str()), (Some("It is so."), Some("completed")));
    assert_eq!(parts(&message), json!([thought("Let me see."), text("It is so.")]));
    ensure!(is_timed(&message["parts"][0]) && !is_timed(&message["parts"][1]), "{message}");

    // Whole, as JSON, and again by the same key: from the log.
    let ask = client.request(Method::POST, "/chat").header("idempotency-key", "k-1").json(&json!({"message": "Why?"}));
    let again = ask.try_clone().context("a request")?;
    let whole = expect(ask.send().await?, StatusCode::OK).await?;
    assert_eq!((whole["content"].as_str(), parts(&whole)), (Some("It is so."), parts(&message)));
    ensure!(is_timed(&whole["parts"][0]), "{whole}");
    assert_eq!(expect(again.send().await?, StatusCode::OK).await?, whole);

    // The next question brings nothing of it along.
    let conversation = id_of(&frames[0].data, "conversation_id")?;
    client.ask_to_end(&json!({"message": "And?", "conversation_id": conversation})).await?;
    let asked = upstream.last_request().context("a request")?.body["messages"].to_string();
    ensure!(asked.contains("It is so.") && !asked.contains("Let me"), "{asked}");
    Ok(())
}

#[tokio::test]
async fn every_reader_gets_the_same_and_a_reload_goes_on_in_the_middle_of_a_thought() -> Result<()> {
    let upstream = Upstream::start().await?;
    let (_server, client) = plain(&upstream).await?;
    upstream.push(Script::new().role().thought("Let me ").wait_for("thought").thought("see.").chunk("So.").ending());
    let mut live = client.ask(&json!({"message": "Why?"})).await?;
    let mut seen = live.collect_until(|frame| frame.kind() == "reasoning").await?;
    let other = stream(client.get("/chat/stream").await?).await?;
    let message = answer(&client, &seen).await?;
    assert_eq!((message["status"].as_str(), message["content"].as_str()), (Some("running"), Some("")));
    assert_eq!(message["parts"], json!([thought("Let me ")]));
    assert_eq!(message["last_event_id"], seen[1].last_event_id(), "of exactly that");

    let follow = client.request(Method::GET, "/chat/stream").header("last-event-id", seen[1].last_event_id());
    let rest = Reader::from_response(follow.send().await?)?.after(seen[1].id.context("an id")?);
    upstream.open("thought");
    let rest = rest.collect_to_end().await?;
    seen.extend(live.collect_to_end().await?);
    assert_eq!(kinds(&rest), ["reasoning", "chunk", "end"]);
    assert_eq!((raw(&rest), raw(&other.collect_to_end().await?)), (raw(&seen[2..]), raw(&seen)));
    let generation = id_of(&seen[0].data, "generation_id")?;
    let replay = stream(client.attach(&format!("generation_id={generation}&after=0")).await?).await?;
    assert_eq!(raw(&replay.collect_to_end().await?), raw(&seen));
    Ok(())
}

#[tokio::test]
async fn a_stop_keeps_what_was_thought() -> Result<()> {
    let upstream = Upstream::start().await?;
    let (_server, client) = plain(&upstream).await?;
    upstream.push(thoughtful().wait_for("never"));
    let mut reader = client.ask(&json!({"message": "Why?"})).await?;
    let seen = reader.collect_until(|frame| frame.data["content"] == "see.").await?;
    let generation = id_of(&seen[0].data, "generation_id")?;
    let stopped = client.post(&format!("/chat/generations/{generation}/stop"), &Value::Null).await?;
    assert_eq!(expect(stopped, StatusCode::OK).await?["status"], "stopped");
    assert_eq!(kinds(&reader.collect_to_end().await?), ["end"]);
    let message = answer(&client, &seen).await?;
    assert_eq!((message["status"].as_str(), message["content"].as_str()), (Some("stopped"), Some("")));
    assert_eq!(parts(&message), json!([thought("Let me see.")]));
    ensure!(is_timed(&message["parts"][0]), "what is known of a call that was cut: {message}");
    Ok(())
}

/// It is paid for, and was shown: no second try; and no text to go on from.
#[tokio::test]
async fn an_answer_that_fails_after_thinking_is_a_failure() -> Result<()> {
    let upstream = Upstream::start().await?;
    let (_server, client) = continuing(&upstream).await?;
    upstream.push(thoughtful().cut());
    let frames = client.ask_to_end(&json!({"message": "Why?"})).await?;
    assert_eq!(kinds(&frames), ["start", "reasoning", "reasoning", "error"]);
    assert_eq!((frames[3].data["code"].as_str(), upstream.requests().len()), (Some("upstream_truncated"), 1));
    let message = answer(&client, &frames).await?;
    assert_eq!((message["status"].as_str(), parts(&message)), (Some("failed"), json!([thought("Let me see.")])));
    let path = format!("/chat/generations/{}/continue", id_of(&frames[0].data, "generation_id")?);
    let problem = expect_problem(client.post(&path, &Value::Null).await?, 409, "not_continuable").await?;
    ensure!(problem["detail"].as_str().is_some_and(|detail| detail.contains("no text")), "{problem}");
    Ok(())
}

/// Killed with `kill -9` after the frames that `until` ends, and followed to the end in the next life.
async fn killed(
    server: Server,
    client: Client,
    until: impl Fn(&Frame) -> bool,
) -> Result<(Server, Client, Vec<Frame>)> {
    let mut reader = client.ask(&json!({"message": "Why?"})).await?;
    let mut seen = reader.collect_until(until).await?;
    let last = seen.last().context("a frame")?.clone();
    let server = server.kill().await?.start().await?;
    let client = client.at(&server);
    let follow = client.request(Method::GET, "/chat/stream").header("last-event-id", last.last_event_id());
    let rest = stream(follow.send().await?).await?.after(last.id.context("an id")?);
    seen.extend(rest.collect_to_end().await?);
    let generation = id_of(&seen[0].data, "generation_id")?;
    let replay = stream(client.attach(&format!("generation_id={generation}")).await?).await?;
    assert_eq!(raw(&replay.collect_to_end().await?), raw(&seen), "nothing lost, nothing twice");
    Ok((server, client, seen))
}

#[tokio::test]
async fn killed_while_it_thinks_it_thinks_again() -> Result<()> {
    let upstream = Upstream::start().await?;
    let (server, client) = plain(&upstream).await?;
    upstream.push(thoughtful().wait_for("never"));
    upstream.push(Script::new().role().thought("Once more.").chunk("So.").ending());
    let (_server, client, frames) = killed(server, client, |frame| frame.data["content"] == "see.").await?;
    assert_eq!(kinds(&frames), ["start", "reasoning", "reasoning", "resumed", "reasoning", "chunk", "end"]);
    let resumed = String::from_utf8(frames[3].raw.to_vec())?;
    ensure!(resumed.ends_with("\"epoch\": 2, \"discard\": \"reasoning\"}\n\n"), "{resumed}");
    let message = answer(&client, &frames).await?;
    assert_eq!(
        (parts(&message), message["content"].as_str()),
        (json!([thought("Once more."), text("So.")]), Some("So."))
    );
    ensure!(is_timed(&message["parts"][0]), "{message}");
    Ok(())
}

#[tokio::test]
async fn killed_in_its_text_it_keeps_what_was_thought() -> Result<()> {
    let upstream = Upstream::start().await?;
    let (server, client) = continuing(&upstream).await?;
    upstream.push(thoughtful().chunk("The sentence ").wait_for("never"));
    upstream.push(Script::text("finishes."));
    let (server, client, frames) = killed(server, client, |frame| frame.kind() == "chunk").await?;
    assert_eq!(text_of(&frames), "The sentence finishes.");
    ensure!(frames.iter().all(|frame| frame.data["discard"].is_null()), "{frames:?}");
    let asked = upstream.last_request().context("a request")?.body["messages"].to_string();
    ensure!(asked.contains("The sentence ") && !asked.contains("Let me"), "{asked}");
    let message = answer(&client, &frames).await?;
    assert_eq!(parts(&message), json!([thought("Let me see."), text("The sentence finishes.")]));
    ensure!(!is_timed(&message["parts"][0]), "nobody knows any more: {message}");
    drop(server);

    // A provider that can't go on: it is interrupted, and nothing is taken away.
    let (server, client) = plain(&upstream).await?;
    upstream.push(thoughtful().chunk("Half").thought("But").wait_for("never"));
    let (_server, client, frames) = killed(server, client, |frame| frame.data["content"] == "But").await?;
    assert_eq!(frames.last().context("an end")?.data["code"], "interrupted");
    let message = answer(&client, &frames).await?;
    assert_eq!(parts(&message), json!([thought("Let me see."), text("Half"), thought("But")]));
    Ok(())
}

#[tokio::test]
async fn a_continued_answer_keeps_what_was_thought() -> Result<()> {
    let upstream = Upstream::start().await?;
    let (server, client) = plain(&upstream).await?;
    upstream.push(thoughtful().chunk("One ").finish("length").done());
    upstream.push(Script::new().role().thought("More.").chunk("two").ending());
    let half = client.ask_to_end(&json!({"message": "Why?"})).await?;
    let before = answer(&client, &half).await?;
    let path = format!("/chat/generations/{}/continue", id_of(&half[0].data, "generation_id")?);
    let frames = stream(client.post(&path, &Value::Null).await?).await?.collect_to_end().await?;
    assert_eq!(kinds(&frames), ["start", "reasoning", "chunk", "reasoning", "chunk", "end"]);
    assert_eq!((frames[1].data["content"].as_str(), text_of(&frames).as_str()), (Some("Let me see."), "One two"));
    let message = answer(&client, &frames).await?;
    let all = json!([thought("Let me see."), text("One "), thought("More."), text("two")]);
    assert_eq!((message["content"].as_str(), parts(&message)), (Some("One two"), all));
    assert_eq!(message["parts"][0], before["parts"][0], "with how long it took then");
    ensure!(is_timed(&message["parts"][2]), "{message}");

    // Killed while it goes on, it still has it; what is thought anew before a word is thought again.
    upstream.push(thoughtful().chunk("One ").finish("length").done());
    upstream.push(Script::new().role().thought("Lost.").wait_for("never"));
    upstream.push(Script::new().role().thought("Found.").chunk("two").ending());
    let half = client.ask_to_end(&json!({"message": "Why?"})).await?;
    let before = answer(&client, &half).await?;
    let path = format!("/chat/generations/{}/continue", id_of(&half[0].data, "generation_id")?);
    let mut reader = stream(client.post(&path, &Value::Null).await?).await?;
    let seen = reader.collect_until(|frame| frame.data["content"] == "Lost.").await?;
    let server = server.kill().await?.start().await?;
    let client = client.at(&server);
    let generation = id_of(&seen[0].data, "generation_id")?;
    let frames = stream(client.attach(&format!("generation_id={generation}")).await?).await?.collect_to_end().await?;
    assert_eq!(frames[4].data["discard"], "reasoning");
    let message = answer(&client, &frames).await?;
    assert_eq!(parts(&message), json!([thought("Let me see."), text("One "), thought("Found."), text("two")]));
    assert_eq!(message["parts"][0], before["parts"][0]);
    Ok(())
}

#[tokio::test]
async fn between_tags_in_the_text_it_is_thought_as_well() -> Result<()> {
    let upstream = Upstream::start().await?;
    let (_server, client) = plain(&upstream).await?;
    upstream.push(Script::new().role().chunk("<thi").chunk("nk>Let me ").chunk("see.</think>\n\nSo.").ending());
    let frames = client.ask_to_end(&json!({"message": "Why?"})).await?;
    assert_eq!(text_of(&frames), "So.");
    let message = answer(&client, &frames).await?;
    assert_eq!(parts(&message), json!([thought("Let me see."), text("So.")]));
    Ok(())
}

/// Its log is gone; what it said and thought is read from the message.
#[tokio::test]
async fn a_retired_log_has_it_still() -> Result<()> {
    let upstream = Upstream::start().await?;
    let (server, client) = started(Setup::with_upstream(&upstream)?.set("STREAM__RETENTION", "1s")).await?;
    upstream.push(thoughtful().chunk("So.").ending());
    let live = client.ask_to_end(&json!({"message": "Why?"})).await?;
    let generation = id_of(&live[0].data, "generation_id")?;
    let (begun, mut server, mut client) = (std::time::Instant::now(), server, client);
    let replay = loop {
        server = server.kill().await?.start().await?;
        client = client.at(&server);
        let replay = stream(client.attach(&format!("generation_id={generation}")).await?).await?;
        let replay = replay.collect_to_end().await?;
        if replay != live {
            break replay;
        }
        ensure!(begun.elapsed() < PATIENCE, "the log is still there");
    };
    assert_eq!(kinds(&replay), ["start", "reasoning", "chunk", "end"]);
    assert_eq!((replay[1].data["content"].as_str(), text_of(&replay).as_str()), (Some("Let me see."), "So."));
    Ok(())
}

/// A node of an older version would lose it. While one has a lease, answers go on as they did before.
#[tokio::test]
async fn beside_an_older_node_nothing_of_it_is_kept() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|_| thoughtful().chunk("So.").ending());
    let setup = Setup::with_upstream(&upstream)?.on_postgres()?.set("DATABASE__LEASE", "2s");
    let (server, client) = started(setup).await?;
    let setup = server.kill().await?;
    let store = setup.store().await?;
    let (nodes, older) = (store.nodes().context("nodes")?, NodeId::new(SystemClock.now()));
    nodes.join(older, HOUR, FIRST_GRAMMAR).await?;
    let server = setup.start().await?;
    let client = client.at(&server);
    let ask = json!({"message": "Why?"});
    let frames = client.ask_to_end(&ask).await?;
    assert_eq!(kinds(&frames), ["start", "chunk", "end"]);
    ensure!(answer(&client, &frames).await?.get("parts").is_none());

    nodes.leave(older).await?;
    let begun = std::time::Instant::now();
    while !kinds(&client.ask_to_end(&ask).await?).contains(&"reasoning") {
        ensure!(begun.elapsed() < PATIENCE, "it was told that the older one has left");
    }
    Ok(())
}

/// What there was before reasoning is as it was, byte for byte.
#[tokio::test]
async fn an_answer_without_it_is_as_ever() -> Result<()> {
    let upstream = Upstream::start().await?;
    let (_server, client) = plain(&upstream).await?;
    upstream.push(Script::text("One two"));
    let response = client.post("/chat/stream", &json!({"message": "Why?"})).await?;
    let body = response.text().await?;
    let start = body.split("\n\n").next().context("a frame")?;
    let data: Value = serde_json::from_str(start.split_once("data: ").context("data")?.1)?;
    let [generation, conversation, message] =
        ["generation_id", "conversation_id", "message_id"].map(|field| data[field].as_str().unwrap_or_default());
    let expected = format!(
        r#"id: {generation}:1.1
data: {{"type": "start", "message": "Starting response generation...", "conversation_id": "{conversation}", "generation_id": "{generation}", "message_id": "{message}", "model": "openai/test-model"}}

id: {generation}:1.2
data: {{"type": "chunk", "content": "One "}}

id: {generation}:1.3
data: {{"type": "chunk", "content": "two"}}

id: {generation}:1.4
data: {{"type": "end", "message": "Response completed", "conversation_id": "{conversation}", "message_id": "{message}", "status": "completed", "finish_reason": "stop", "usage": {{"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13}}}}

"#
    );
    assert_eq!(body, expected);
    let stored = client.get(&format!("/conversations/{conversation}/messages")).await?.text().await?;
    ensure!(!stored.contains("parts"), "{stored}");
    Ok(())
}
