//! Going on with an answer that ended early, and answering a question again.

use anyhow::{Context, Result, ensure};
use r1_testkit::{
    sse::{Frame, Reader, text_of},
    upstream::{RecordedRequest, Script, Upstream},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Client, Server, Setup, expect, expect_problem, id_of, stream};

/// A server whose provider can go on from a partial answer, and a user.
async fn continuing(upstream: &Upstream) -> Result<(Server, Client)> {
    let setup = Setup::new()?
        .set("PROVIDERS__VLLM__BASE_URL", &upstream.base_url())
        .set("PROVIDERS__VLLM__CONTINUES", "vllm")
        .set("DEFAULT_MODEL", "vllm/test-model");
    started(setup).await
}

/// A server whose provider can't.
async fn plain(upstream: &Upstream) -> Result<(Server, Client)> {
    started(Setup::with_upstream(upstream)?).await
}

async fn started(setup: Setup) -> Result<(Server, Client)> {
    let server = setup.start().await?;
    let client = server.user("ada").await?;
    Ok((server, client))
}

/// Conversation and generation of an answer that ended in the middle.
struct Half {
    conversation: String,
    generation: String,
    start: Frame,
}

/// Has a question answered by `script`, to its end.
async fn answered(client: &Client, upstream: &Upstream, script: Script) -> Result<Half> {
    upstream.push(script);
    let frames = client.ask_to_end(&json!({"message": "What is the sun?"})).await?;
    let start = frames[0].clone();
    Ok(Half {
        conversation: id_of(&start.data, "conversation_id")?,
        generation: id_of(&start.data, "generation_id")?,
        start,
    })
}

fn cut(text: &str) -> Script {
    Script::new().role().chunk(text).finish("length").done()
}

async fn go_on(client: &Client, generation: &str) -> Result<Reader> {
    stream(client.request(Method::POST, &format!("/chat/generations/{generation}/continue")).send().await?).await
}

async fn retry(client: &Client, generation: &str, body: &Value) -> Result<Vec<Frame>> {
    let response = client.post(&format!("/chat/generations/{generation}/retry"), body).await?;
    stream(response).await?.collect_to_end().await
}

fn turns(request: &RecordedRequest) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let turns = request.body["messages"].as_array().cloned().unwrap_or_default();
    turns.iter().map(|turn| (text(&turn["role"]), text(&turn["content"]))).collect()
}

#[tokio::test]
async fn an_answer_goes_on_by_prefill() -> Result<()> {
    let upstream = Upstream::start().await?;
    let (_server, client) = continuing(&upstream).await?;
    let half = answered(&client, &upstream, cut("The sun is")).await?;
    upstream.push(Script::text(" hot."));
    let frames = go_on(&client, &half.generation).await?.collect_to_end().await?;
    assert_eq!(frames.iter().map(Frame::kind).collect::<Vec<_>>(), ["start", "chunk", "chunk", "chunk", "end"]);
    let start = &frames[0].data;
    assert_eq!(start["message_id"], half.start.data["message_id"], "the same message");
    assert_ne!(start["generation_id"], half.start.data["generation_id"]);
    assert_eq!(
        start.as_object().context("start")?.keys().collect::<Vec<_>>(),
        half.start.data.as_object().context("start")?.keys().collect::<Vec<_>>()
    );
    assert_eq!((frames[1].content(), text_of(&frames).as_str()), (Some("The sun is"), "The sun is hot."));
    let asked = upstream.last_request().context("a request")?;
    assert_eq!(asked.body["continue_final_message"], true);
    assert_eq!(turns(&asked).last(), Some(&("assistant".to_owned(), "The sun is".to_owned())));

    let messages = client.messages(&half.conversation).await?;
    assert_eq!((messages.len(), messages[1]["content"].as_str()), (2, Some("The sun is hot.")));
    assert_eq!(
        (messages[1]["status"].as_str(), messages[1]["finish_reason"].as_str()),
        (Some("completed"), Some("stop"))
    );
    assert_eq!(messages[1]["generation_id"], start["generation_id"]);
    Ok(())
}

#[tokio::test]
async fn a_provider_that_cannot_is_asked_to_go_on_and_its_repetition_dropped() -> Result<()> {
    let upstream = Upstream::start().await?;
    let (_server, client) = plain(&upstream).await?;
    let half = answered(&client, &upstream, Script::new().role().chunk("The sun is a st").cut()).await?;
    upstream.push(Script::new().role().chunk("sun").chunk(" is a ").chunk("star of").chunk(" many.").ending());
    let frames = go_on(&client, &half.generation).await?.collect_to_end().await?;
    let chunks: Vec<_> = frames.iter().filter_map(Frame::content).collect();
    assert_eq!(chunks, ["The sun is a st", "ar of", " many."]);
    let asked = turns(&upstream.last_request().context("a request")?);
    let expected = [("user", "What is the sun?"), ("assistant", "The sun is a st")];
    assert_eq!(asked.len(), 3, "{asked:?}");
    for (asked, expected) in asked.iter().zip(expected) {
        assert_eq!((asked.0.as_str(), asked.1.as_str()), expected);
    }
    assert_eq!(asked[2].0, "user");
    // Nobody sees that turn, and the next question does not bring it along.
    let messages = client.messages(&half.conversation).await?;
    assert_eq!((messages.len(), messages[1]["content"].as_str()), (2, Some("The sun is a star of many.")));
    upstream.push(Script::text("fine"));
    client.ask_to_end(&json!({"message": "And?", "conversation_id": half.conversation})).await?;
    let asked = turns(&upstream.last_request().context("a request")?);
    assert_eq!(
        asked.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(),
        ["What is the sun?", "The sun is a star of many.", "And?"]
    );
    Ok(())
}

#[tokio::test]
async fn what_was_stopped_goes_on_again_and_again() -> Result<()> {
    let upstream = Upstream::start().await?;
    let (_server, client) = continuing(&upstream).await?;
    let mut generation = answered(&client, &upstream, cut("0 ")).await?;
    for i in 1..4 {
        upstream.push(Script::new().role().chunk(format!("{i} ")).wait_for("never"));
        let mut reader = go_on(&client, &generation.generation).await?;
        let mut seen = Vec::new();
        while seen.len() < 3 {
            seen.push(reader.next_frame().await?.context("a frame")?);
        }
        let id = id_of(&seen[0].data, "generation_id")?;
        // Whoever comes now sees all of it, and what runs.
        let conversation = client.read(&format!("/conversations/{}", generation.conversation)).await?;
        assert_eq!(conversation["generation_id"], id.as_str());
        let message = client.messages(&generation.conversation).await?[1].clone();
        assert_eq!(
            (message["status"].as_str(), message["content"].as_str()),
            (Some("running"), Some(&*text_of(&seen)))
        );
        assert_eq!(message["last_event_id"], seen[2].last_event_id());
        expect(client.post(&format!("/chat/generations/{id}/stop"), &Value::Null).await?, StatusCode::OK).await?;
        generation.generation = id;
    }
    let message = client.messages(&generation.conversation).await?[1].clone();
    assert_eq!((message["status"].as_str(), message["content"].as_str()), (Some("stopped"), Some("0 1 2 3 ")));
    Ok(())
}

#[tokio::test]
async fn what_cannot_go_on_says_why() -> Result<()> {
    let upstream = Upstream::start().await?;
    let (server, client) = plain(&upstream).await?;
    let path = |generation: &str| format!("/chat/generations/{generation}/continue");
    let complete = answered(&client, &upstream, Script::text("all of it")).await?;
    let problem =
        expect_problem(client.post(&path(&complete.generation), &Value::Null).await?, 409, "not_continuable").await?;
    ensure!(problem["detail"].as_str().is_some_and(|detail| detail.contains("complete")), "{problem}");
    let empty = answered(&client, &upstream, Script::error(StatusCode::UNAUTHORIZED, "invalid_api_key", "no")).await?;
    let problem =
        expect_problem(client.post(&path(&empty.generation), &Value::Null).await?, 409, "not_continuable").await?;
    ensure!(problem["detail"].as_str().is_some_and(|detail| detail.contains("no text")), "{problem}");

    let half = answered(&client, &upstream, cut("half")).await?;
    let stranger = server.user("eve").await?;
    for verb in ["continue", "retry"] {
        let path = format!("/chat/generations/{}/{verb}", half.generation);
        expect_problem(stranger.post(&path, &Value::Null).await?, 404, "not_found").await?;
        expect_problem(server.anonymous().post(&path, &Value::Null).await?, 401, "unauthenticated").await?;
        let nobodys = format!("/chat/generations/0198f1c2-7c1e-7d3a-9a5e-3f1b2c4d5e6f/{verb}");
        expect_problem(client.post(&nobodys, &Value::Null).await?, 404, "not_found").await?;
        for (body, field) in [
            (json!({"max_tokens": 0}), "max_tokens"),
            (json!({"temperature": 3}), "temperature"),
            (json!({"message": "x"}), "message"),
        ] {
            let problem = expect_problem(client.post(&path, &body).await?, 422, "invalid").await?;
            assert_eq!(problem["errors"][0]["field"], field);
        }
        let text = client.request(Method::POST, &path).body("max_tokens=7").send().await?;
        expect_problem(text, 415, "unsupported_media_type").await?;
    }
    assert_eq!(upstream.requests().len(), 3, "nobody was asked");

    // While it runs, and once it has run.
    upstream.push(Script::new().role().chunk(" more").wait_for("go").ending());
    let reader = go_on(&client, &half.generation).await?;
    upstream.wait_reached("go", 1).await?;
    let running = client.read(&format!("/conversations/{}", half.conversation)).await?["generation_id"].clone();
    let newest = id_of(&json!({"id": running}), "id")?;
    for (generation, verb) in
        [(&half.generation, "continue"), (&half.generation, "retry"), (&newest, "continue"), (&newest, "retry")]
    {
        let path = format!("/chat/generations/{generation}/{verb}");
        let problem = expect_problem(client.post(&path, &Value::Null).await?, 409, "generation_running").await?;
        assert_eq!(problem["generation_id"], running, "{verb}");
    }
    upstream.open("go");
    reader.collect_to_end().await?;
    let problem =
        expect_problem(client.post(&path(&half.generation), &Value::Null).await?, 409, "generation_superseded").await?;
    assert_eq!(problem["generation_id"], running);
    Ok(())
}

#[tokio::test]
async fn the_same_key_continues_and_retries_once() -> Result<()> {
    let upstream = Upstream::start().await?;
    let (_server, client) = continuing(&upstream).await?;
    let half = answered(&client, &upstream, cut("half ")).await?;
    for (verb, text, upstream_calls) in [("continue", "half an answer", 2), ("retry", "an answer", 3)] {
        upstream.push(Script::text("an answer"));
        let path = format!("/chat/generations/{}/{verb}", half.generation);
        let ask = |body: Value| client.request(Method::POST, &path).header("idempotency-key", verb).json(&body).send();
        let responses = futures::future::join_all((0..10).map(|_| ask(json!({"max_tokens": 50})))).await;
        let mut bodies = Vec::new();
        for response in responses {
            bodies.push(stream(response?).await?.collect_to_end().await?);
        }
        ensure!(bodies.iter().all(|body| *body == bodies[0]), "all get the same stream");
        assert_eq!(text_of(&bodies[0]), text);
        // Later too, though there is nothing to be continued any more.
        assert_eq!(stream(ask(json!({"max_tokens": 50})).await?).await?.collect_to_end().await?, bodies[0]);
        assert_eq!(upstream.requests().len(), upstream_calls, "{verb}: one upstream call");
        expect_problem(ask(json!({"max_tokens": 51})).await?, 422, "idempotency_key_reused").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_retry_is_another_answer_beside_the_first() -> Result<()> {
    let upstream = Upstream::start().await?;
    let (_server, client) = plain(&upstream).await?;
    let first = answered(&client, &upstream, Script::text("first")).await?;
    let conversation = first.conversation.as_str();
    upstream.push(Script::text("more"));
    client.ask_to_end(&json!({"message": "More?", "conversation_id": conversation})).await?;
    let generation = id_of(&client.messages(conversation).await?[3], "generation_id")?;

    upstream.push(Script::text("other"));
    let frames = retry(&client, &generation, &json!({"model": "openai/other-model", "temperature": 0.25})).await?;
    let asked = upstream.last_request().context("a request")?;
    let texts: Vec<_> = turns(&asked).into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["What is the sun?", "first", "More?"], "up to the question, without the answer");
    assert_eq!((asked.body["model"].as_str(), asked.body["temperature"].as_f64()), (Some("other-model"), Some(0.25)));

    let messages = client.messages(conversation).await?;
    assert_eq!((messages.len(), text_of(&frames).as_str()), (5, "other"));
    assert_eq!((&messages[4]["id"], messages[4]["content"].as_str()), (&frames[0].data["message_id"], Some("other")));
    assert_eq!(messages[4]["parent_id"], messages[3]["parent_id"], "siblings");
    assert_eq!(messages[3]["content"], "more", "the first is as it was");
    assert_eq!(messages[4]["model"], "openai/other-model");
    let head = client.read(&format!("/conversations/{conversation}")).await?["head_message_id"].clone();
    assert_eq!(head, messages[4]["id"]);
    // What failed before its first word is asked again in the same way.
    upstream.push(Script::error(StatusCode::UNAUTHORIZED, "invalid_api_key", "no"));
    let failed = client.ask_to_end(&json!({"message": "And?", "conversation_id": conversation})).await?;
    upstream.push(Script::text("now"));
    let frames = retry(&client, &id_of(&failed[0].data, "generation_id")?, &Value::Null).await?;
    assert_eq!(text_of(&frames), "now");
    Ok(())
}

#[tokio::test]
async fn a_continued_run_survives_kill_9() -> Result<()> {
    let upstream = Upstream::start().await?;
    let (server, client) = continuing(&upstream).await?;
    let half = answered(&client, &upstream, cut("The sentence ")).await?;
    upstream.push(Script::new().role().chunk("that was ").wait_for("never"));
    upstream.push(Script::text("cut finishes."));
    let mut reader = go_on(&client, &half.generation).await?;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.push(reader.next_frame().await?.context("a frame")?);
    }
    let again = server.kill().await?.start().await?;
    let client = client.at(&again);
    let id = id_of(&seen[0].data, "generation_id")?;
    let replay = stream(client.attach(&format!("generation_id={id}")).await?).await?.collect_to_end().await?;
    assert_eq!(replay[..3], seen[..], "byte for byte");
    assert_eq!((replay[3].kind(), text_of(&replay).as_str()), ("resumed", "The sentence that was cut finishes."));
    let asked = turns(&upstream.last_request().context("a request")?);
    assert_eq!(asked.last().map(|(_, text)| text.as_str()), Some("The sentence that was "));
    assert_eq!(client.messages(&half.conversation).await?[1]["content"], "The sentence that was cut finishes.");
    Ok(())
}

/// Without a word of its own it is run again; with one it is interrupted, and may be continued.
#[tokio::test]
async fn a_continued_run_of_a_provider_that_cannot_survives_kill_9() -> Result<()> {
    let upstream = Upstream::start().await?;
    let (server, client) = plain(&upstream).await?;
    let half = answered(&client, &upstream, cut("One two")).await?;
    upstream.push(Script::new().role().wait_for("never"));
    upstream.push(Script::new().role().chunk(" three").wait_for("never"));
    let mut reader = go_on(&client, &half.generation).await?;
    let start = reader.next_frame().await?.context("start")?;
    assert_eq!(reader.next_frame().await?.context("the text so far")?.content(), Some("One two"));
    upstream.wait_reached("never", 1).await?;
    let id = id_of(&start.data, "generation_id")?;

    let server = server.kill().await?.start().await?;
    let client = client.at(&server);
    let mut reader = stream(client.attach(&format!("generation_id={id}")).await?).await?;
    let mut seen = Vec::new();
    while text_of(&seen) != "One two three" {
        seen.push(reader.next_frame().await?.context("a frame")?);
    }
    assert_eq!(turns(&upstream.last_request().context("a request")?).len(), 3, "asked to go on, not anew");

    let server = server.kill().await?.start().await?;
    let client = client.at(&server);
    let replay = stream(client.attach(&format!("generation_id={id}")).await?).await?.collect_to_end().await?;
    assert_eq!(replay.last().context("an end")?.data["code"], "interrupted");
    let message = client.messages(&half.conversation).await?[1].clone();
    assert_eq!((message["status"].as_str(), message["content"].as_str()), (Some("interrupted"), Some("One two three")));
    upstream.push(Script::text(" four"));
    let frames = go_on(&client, &id).await?.collect_to_end().await?;
    assert_eq!(text_of(&frames), "One two three four");
    Ok(())
}
