//! `kill -9`: what any reader saw is there afterwards.

use anyhow::{Context, Result};
use r1_testkit::{
    sse::text_of,
    upstream::{Script, Upstream},
};
use serde_json::json;

use crate::support::{PATIENCE, Setup, id_of, stream};

#[tokio::test]
async fn what_was_shown_is_stored() -> Result<()> {
    let upstream = Upstream::start().await?;
    let mut script = Script::new().role();
    for i in 0..50 {
        script = script.chunk(format!("word{i} "));
    }
    upstream.push(script.wait_for("never"));
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let mut client = server.user("ada").await?;
    let mut reader = client.ask(&json!({"message": "go"})).await?;
    let mut seen = Vec::new();
    while seen.len() < 51 {
        seen.push(reader.next_frame().await?.context("a frame")?);
    }
    let (generation, conversation) = (id_of(&seen[0].data, "generation_id")?, id_of(&seen[0].data, "conversation_id")?);
    let again = server.kill().await?.start().await?;
    client = client.at(&again);

    let replay = stream(client.attach(&format!("generation_id={generation}")).await?).await?.collect_to_end().await?;
    assert_eq!(replay[..seen.len()], seen[..], "byte for byte");
    let last = replay.last().context("a terminal event")?;
    assert_eq!((last.data["code"].as_str(), last.data["retryable"].as_bool()), (Some("interrupted"), Some(true)));
    let message = &client.messages(&conversation).await?[1];
    assert_eq!(
        (message["status"].as_str(), message["content"].as_str()),
        (Some("interrupted"), Some(text_of(&seen).as_str()))
    );
    Ok(())
}

#[tokio::test]
async fn a_question_without_a_word_of_answer_is_asked_again() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().wait_for("never"));
    upstream.push(Script::text("after all"));
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let mut reader = client.ask(&json!({"message": "go"})).await?;
    let start = reader.next_frame().await?.context("start")?;
    upstream.wait_requests(1).await?;
    let again = server.kill().await?.start().await?;
    let client = client.at(&again);
    let generation = id_of(&start.data, "generation_id")?;
    let replay = stream(client.attach(&format!("generation_id={generation}")).await?).await?.collect_to_end().await?;
    assert_eq!(replay[0], start);
    assert_eq!(replay[1].kind(), "resumed");
    assert_eq!(replay[1].id.context("an id")?.cursor.epoch, 2);
    assert_eq!(text_of(&replay), "after all");
    Ok(())
}

#[tokio::test]
async fn a_provider_that_can_continue_finishes_the_sentence() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().role().chunk("The sentence ").wait_for("never"));
    upstream.push(Script::text("finishes."));
    let setup = Setup::new()?
        .set("PROVIDERS__VLLM__BASE_URL", &upstream.base_url())
        .set("PROVIDERS__VLLM__CONTINUES", "vllm")
        .set("DEFAULT_MODEL", "vllm/test-model");
    let server = setup.start().await?;
    let client = server.user("ada").await?;
    let mut reader = client.ask(&json!({"message": "go"})).await?;
    let start = reader.next_frame().await?.context("start")?;
    let chunk = reader.next_frame().await?.context("chunk")?;
    let again = server.kill().await?.start().await?;
    let client = client.at(&again);
    let follow = client.request(reqwest::Method::GET, "/chat/stream").header("last-event-id", chunk.last_event_id());
    let rest = r1_testkit::sse::Reader::from_response(follow.send().await?)?.after(chunk.id.context("an id")?);
    let mut frames = vec![start, chunk];
    frames.extend(rest.collect_to_end().await?);
    assert_eq!(text_of(&frames), "The sentence finishes.");
    let asked = upstream.last_request().context("a request")?;
    assert_eq!(asked.body["continue_final_message"], true);
    Ok(())
}

#[tokio::test]
async fn a_server_that_never_lives_for_long_retires_logs_too() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::text("one two three"));
    let mut server = Setup::with_upstream(&upstream)?.set("STREAM__RETENTION", "1s").start().await?;
    let mut client = server.user("ada").await?;
    let live = client.ask_to_end(&json!({"message": "go"})).await?;
    let generation = id_of(&live[0].data, "generation_id")?;
    let begun = std::time::Instant::now();
    loop {
        server = server.kill().await?.start().await?;
        client = client.at(&server);
        let replay = stream(client.attach(&format!("generation_id={generation}")).await?).await?;
        let replay = replay.collect_to_end().await?;
        assert_eq!(text_of(&replay), "one two three");
        if replay != live {
            return Ok(());
        }
        anyhow::ensure!(begun.elapsed() < PATIENCE, "the log is still there");
    }
}
