//! The published walk-through: its script, its commands and its prompts, against the local model.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use r1_testkit::sse::{Reader, text_of};
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{Client, Server, Setup, expect, id_of};

async fn with_local_model() -> Result<Server> {
    Setup::with_local_model()?.start().await
}

/// The walk-through's script says `http://localhost:8000`; the copy under test says where the
/// server of this test is. Nothing else of it is touched.
#[tokio::test]
async fn the_script_runs() -> Result<()> {
    let server = with_local_model().await?;
    let script =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/seed/streaming_test.sh"))?;
    let here = script.replace("http://localhost:8000", &server.api);
    ensure!(here != script, "the script names the address");
    // Twice: the second time the account is there already.
    for _ in 0..2 {
        let output = Command::new("bash").args(["-c", &here]).output().await?;
        ensure!(output.status.success());
        let text = String::from_utf8(output.stdout)?;
        let events: Vec<&str> = text.lines().filter(|line| line.starts_with("data: ")).collect();
        ensure!(
            events[0].starts_with(r#"data: {"type": "start", "message": "Starting response generation...""#),
            "{text}"
        );
        let end = events[events.len() - 1];
        let payload: Value = serde_json::from_str(end.trim_start_matches("data: "))?;
        check_pieces(events.len() - 2, &payload)?;
        for chunk in &events[1..events.len() - 1] {
            ensure!(chunk.starts_with(r#"data: {"type": "chunk", "content": ""#), "{chunk}");
        }
        ensure!(
            end.starts_with(r#"data: {"type": "end", "message": "Response completed", "conversation_id": ""#),
            "{end}"
        );
        ensure!(text.trim_end().ends_with("streaming works perfectly!"), "{text}");
    }
    Ok(())
}

/// How long an answer is, is the model's; that it comes piece by piece, a token or a few at a time, is
/// the server's.
fn check_pieces(chunks: usize, end: &Value) -> Result<()> {
    let tokens = end["usage"]["completion_tokens"].as_u64().with_context(|| format!("tokens in {end}"))?;
    ensure!(u64::try_from(chunks)? * 2 >= tokens, "{chunks} chunks for {tokens} tokens");
    Ok(())
}

async fn demo_user(server: &Server) -> Result<Client> {
    let mut client = server.anonymous();
    let form = json!({"username": "demo_user", "email": "demo@example.com", "password": "demo123456"});
    expect(client.post("/auth/register", &form).await?, StatusCode::CREATED).await?;
    client.sign_in("demo_user", "demo123456").await?;
    Ok(client)
}

#[tokio::test]
async fn every_prompt_is_answered_to_its_end() -> Result<()> {
    let server = with_local_model().await?;
    let client = demo_user(&server).await?;
    for prompt in [
        "Write a detailed explanation about artificial intelligence in exactly 5 paragraphs",
        "Explain quantum computing in exactly 3 short paragraphs",
        "Write a story about a robot in exactly 4 paragraphs",
        "Write a detailed 1000-word essay about the future of technology",
    ] {
        // A model of this size rambles into its token limit once in a while (docs/benchmarks.md), or
        // has little to say: it may be asked three times. What the server does holds for each.
        let mut asked = 0;
        loop {
            let id = client.conversation().await?;
            let frames = client.ask_to_end(&json!({"message": prompt, "conversation_id": id})).await?;
            let end = &frames.last().context("end")?.data;
            let text = text_of(&frames);
            assert_eq!(end["status"], "completed", "{prompt}");
            check_pieces(frames.len() - 2, end)?;
            assert_eq!(client.messages(&id).await?[1]["content"], text);
            if end["finish_reason"] == "stop" && text.split_whitespace().count() > 40 {
                break;
            }
            asked += 1;
            ensure!(asked < 3, "{prompt}: cut off or too short three times, at last {text:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn two_streams_at_once() -> Result<()> {
    let server = with_local_model().await?;
    let client = demo_user(&server).await?;
    let ask = |message: &'static str| {
        let client = client.clone();
        async move {
            let id = client.conversation().await?;
            client.ask_to_end(&json!({"message": message, "conversation_id": id, "max_tokens": 100})).await
        }
    };
    let (a, b) = tokio::join!(ask("Count from 1 to 100"), ask("List 50 countries"));
    for frames in [a?, b?] {
        let end = &frames.last().context("end")?.data;
        assert_eq!(end["status"], "completed");
        check_pieces(frames.len() - 2, end)?;
    }
    Ok(())
}

#[tokio::test]
async fn an_invalid_key_streams_an_error() -> Result<()> {
    let server = with_local_model().await?;
    let client = demo_user(&server).await?;
    let id = client.conversation().await?;
    let ask = json!({"message": "Test message", "conversation_id": id, "use_invalid_key": true});
    let frames = client.ask_to_end(&ask).await?;
    let last = frames.last().context("an error event")?;
    assert_eq!(
        (frames.len(), last.data["code"].as_str(), last.data["retryable"].as_bool()),
        (2, Some("provider_auth"), Some(false))
    );
    Ok(())
}

/// `new EventSource('/api/v1/chat/stream')` on the page: the cookie, no parameter.
#[tokio::test]
async fn an_event_source_follows_the_newest_running_answer() -> Result<()> {
    let server = with_local_model().await?;
    let client = demo_user(&server).await?;
    let login = json!({"username": "demo_user", "password": "demo123456"});
    let anonymous = server.anonymous();
    let response =
        anonymous.request(Method::POST, "/auth/login").header(header::ORIGIN, &server.api).json(&login).send().await?;
    let cookie = response.headers()[header::SET_COOKIE].to_str()?.split(';').next().context("a cookie")?.to_owned();
    // A sampled answer may end before the page comes; a page that came in time sees all of it.
    let mut asked = 0;
    let seen = loop {
        let live = client.ask(&json!({"message": "Write a story about a robot in exactly 4 paragraphs"})).await?;
        let source = anonymous.request(Method::GET, "/chat/stream").header(header::COOKIE, &cookie);
        let source = source.header(header::ACCEPT, "text/event-stream").send().await?;
        if source.status() == StatusCode::OK {
            let seen = Reader::from_response(source)?.collect_to_end().await?;
            assert_eq!(seen, live.collect_to_end().await?);
            break seen;
        }
        assert_eq!(source.status(), StatusCode::NO_CONTENT);
        assert_eq!(live.collect_to_end().await?.last().context("end")?.data["status"], "completed");
        asked += 1;
        ensure!(asked < 3, "three answers ended at once");
    };
    // What the browser does after the end: it comes back with the last id, and is told to stop.
    let back = anonymous.request(Method::GET, "/chat/stream").header(header::COOKIE, &cookie);
    let back = back.header("last-event-id", seen.last().context("end")?.last_event_id()).send().await?;
    assert_eq!(back.status(), StatusCode::NO_CONTENT);
    ensure!(id_of(&seen[0].data, "generation_id").is_ok());
    Ok(())
}
