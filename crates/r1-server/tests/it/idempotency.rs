//! `Idempotency-Key`: one message, one upstream call, the same stream; whatever limit is reached.

use anyhow::{Context, Result, ensure};
use futures::future::{join_all, try_join_all};
use r1_testkit::{
    sse::{Frame, text_of},
    upstream::{Script, Upstream},
};
use reqwest::{Method, RequestBuilder, Response, StatusCode, header::HeaderValue};
use serde_json::{Value, json};

use crate::support::{Client, Setup, expect, expect_problem, id_of, stream};

/// A provider that can go on from a partial answer.
fn steady(upstream: &Upstream) -> Result<Setup> {
    Ok(Setup::new()?
        .set("PROVIDERS__STEADY__BASE_URL", &upstream.base_url())
        .set("PROVIDERS__STEADY__CONTINUES", "vllm")
        .set("DEFAULT_MODEL", "steady/m"))
}

fn keyed(client: &Client, path: &str, key: &str, body: &Value) -> RequestBuilder {
    client.request(Method::POST, path).header("idempotency-key", key).json(body)
}

/// Fifty of the same at once.
async fn fifty(request: impl Fn() -> RequestBuilder) -> Result<Vec<Response>> {
    Ok(try_join_all((0..50).map(|_| request().send())).await?)
}

/// The one stream that all of them got.
async fn same_stream(responses: Vec<Response>) -> Result<Vec<Frame>> {
    let bodies = join_all(responses.into_iter().map(async |response| stream(response).await?.collect_to_end().await));
    let mut bodies = bodies.await.into_iter().collect::<Result<Vec<_>>>()?;
    let first = bodies.pop().context("a body")?;
    ensure!(bodies.iter().all(|body| *body == first), "they differ");
    Ok(first)
}

/// The one document that all of them got, with 201.
async fn same_document(responses: Vec<Response>) -> Result<String> {
    let mut bodies = Vec::new();
    for response in responses {
        ensure!(response.status() == StatusCode::CREATED, "{}", response.status());
        bodies.push(response.text().await?);
    }
    let first = bodies.pop().context("a body")?;
    ensure!(bodies.iter().all(|body| *body == first), "they differ");
    Ok(first)
}

#[tokio::test]
async fn fifty_at_once_and_after_a_kill_are_one_message() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().role().chunk("half ").wait_for("never"));
    let server = steady(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let body = json!({"message": "hello"});
    let mut seen = Vec::new();
    for response in fifty(|| keyed(&client, "/chat/stream", "k", &body)).await? {
        let mut reader = stream(response).await?;
        seen.push(reader.collect_until(|frame| frame.content() == Some("half ")).await?);
    }
    ensure!(seen.iter().all(|frames| *frames == seen[0]));
    let conversation = id_of(&seen[0][0].data, "conversation_id")?;

    upstream.push(Script::new().role().chunk("and ").wait_for("go").chunk("whole").ending());
    let server = server.kill().await?.start().await?;
    let client = client.at(&server);
    // Some come while it is taken over, some later, some after its end.
    let mut responses = fifty(|| keyed(&client, "/chat/stream", "k", &body)).await?;
    upstream.wait_reached("go", 1).await?;
    responses.extend(fifty(|| keyed(&client, "/chat/stream", "k", &body)).await?);
    expect_problem(
        keyed(&client, "/chat/stream", "k", &json!({"message": "x"})).send().await?,
        422,
        "idempotency_key_reused",
    )
    .await?;
    upstream.open("go");
    let frames = same_stream(responses).await?;
    ensure!(frames.starts_with(&seen[0]), "what was seen before is the beginning");
    assert_eq!(text_of(&frames), "half and whole");
    assert_eq!(same_stream(fifty(|| keyed(&client, "/chat/stream", "k", &body)).await?).await?, frames);
    assert_eq!(upstream.requests().len(), 2, "one call, and one that went on after the crash");
    assert_eq!(client.messages(&conversation).await?.len(), 2);
    assert_eq!(client.read("/conversations").await?["conversations"].as_array().context("list")?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_whole_answer_waits_for_the_one_that_runs() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().role().chunk("half ").wait_for("never"));
    let server = steady(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let body = json!({"message": "hello"});
    let ask = |client: &Client| keyed(client, "/chat", "k", &body).send();
    {
        // Its client hangs up once the model has begun.
        let first = ask(&client);
        tokio::select! {
            _ = first => anyhow::bail!("it is not at its end"),
            reached = upstream.wait_reached("never", 1) => reached?,
        }
        let mut reader = stream(client.get("/chat/stream").await?).await?;
        reader.collect_until(|frame| frame.content() == Some("half ")).await?;
    }
    upstream.push(Script::new().role().chunk("and ").wait_for("go").chunk("whole").ending());
    let server = server.kill().await?.start().await?;
    let client = client.at(&server);
    let (answers, opened) = tokio::join!(fifty(|| keyed(&client, "/chat", "k", &body)), async {
        upstream.wait_reached("go", 1).await?;
        upstream.open("go");
        anyhow::Ok(())
    });
    opened?;
    let answers = try_join_all(answers?.into_iter().map(|answer| expect(answer, StatusCode::OK))).await?;
    assert_eq!(
        (answers[0]["content"].as_str(), answers[0]["status"].as_str()),
        (Some("half and whole"), Some("completed"))
    );
    ensure!(answers.iter().all(|answer| *answer == answers[0]), "they differ");
    assert_eq!(expect(ask(&client).await?, StatusCode::OK).await?, answers[0], "after its end too");
    assert_eq!(upstream.requests().len(), 2);
    Ok(())
}

#[tokio::test]
async fn fifty_at_once_and_after_a_kill_are_one_conversation() -> Result<()> {
    let server = Setup::new()?.start().await?;
    let client = server.user("ada").await?;
    let body = json!({"title": "One"});
    let made = same_document(fifty(|| keyed(&client, "/conversations", "k", &body)).await?).await?;
    let server = server.kill().await?.start().await?;
    let client = client.at(&server);
    assert_eq!(same_document(fifty(|| keyed(&client, "/conversations", "k", &body)).await?).await?, made);
    assert_eq!(client.read("/conversations").await?["conversations"].as_array().context("list")?.len(), 1);

    // What it made may be deleted: the key is no second conversation for that.
    let path = format!("/conversations/{}", id_of(&serde_json::from_str(&made)?, "id")?);
    assert_eq!(client.request(Method::DELETE, &path).send().await?.status(), StatusCode::NO_CONTENT);
    expect_problem(keyed(&client, "/conversations", "k", &body).send().await?, 404, "not_found").await?;
    Ok(())
}

#[tokio::test]
async fn a_key_is_of_one_user_and_one_route() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|_| Script::new().role().chunk("x").finish("length").done());
    let server = steady(&upstream)?.start().await?;
    let (ada, eve) = (server.user("ada").await?, server.user("eve").await?);
    let body = json!({"message": "hello"});
    let ask = |client: &Client| keyed(client, "/chat/stream", "k", &body).send();
    let of_ada = stream(ask(&ada).await?).await?.collect_to_end().await?;
    let of_eve = stream(ask(&eve).await?).await?.collect_to_end().await?;
    assert_ne!(of_ada[0].id, of_eve[0].id, "the same key and body of another person is another request");
    // On another route it is a mistake: a client that turned to another one must not be answered twice.
    let generation = id_of(&of_ada[0].data, "generation_id")?;
    let (go_on, retry) =
        (format!("/chat/generations/{generation}/continue"), format!("/chat/generations/{generation}/retry"));
    for (path, body) in [("/chat", &body), ("/conversations", &json!({})), (&go_on, &json!({})), (&retry, &json!({}))] {
        expect_problem(keyed(&ada, path, "k", body).send().await?, 422, "idempotency_key_reused").await?;
    }
    assert_eq!(upstream.requests().len(), 2);
    // Its own keys on those routes, twice each.
    for (n, path) in [&go_on, &retry].into_iter().enumerate() {
        let key = format!("k-{n}");
        let first = stream(keyed(&ada, path, &key, &json!({})).send().await?).await?.collect_to_end().await?;
        let again = stream(keyed(&ada, path, &key, &json!({})).send().await?).await?.collect_to_end().await?;
        assert_eq!(first, again);
        expect_problem(keyed(&ada, path, &key, &json!({"max_tokens": 5})).send().await?, 422, "idempotency_key_reused")
            .await?;
    }
    assert_eq!(upstream.requests().len(), 4);
    Ok(())
}

#[tokio::test]
async fn a_repeat_meets_no_limit_and_a_flood_of_them_does() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|_| Script::new().role().chunk("x").wait_for("go").ending());
    let setup = steady(&upstream)?
        .set("LIMITS__ENABLED", "true")
        .set("LIMITS__RUNS_PER_USER", "1")
        .set("LIMITS__ATTACHES_PER_USER", "1");
    let server = setup.start().await?;
    let client = server.user("ada").await?;
    let body = json!({"message": "hello"});
    let ask = |key: &str, body: &Value| keyed(&client, "/chat/stream", key, body).send();
    let mut first = stream(ask("k", &body).await?).await?;
    let generation = id_of(&first.next_frame().await?.context("start")?.data, "generation_id")?;

    // No place to follow and none to run: who asks for something new learns of the limit.
    expect_problem(ask("new", &body).await?, 429, "too_many_streams").await?;
    expect_problem(ask("k", &json!({"message": "another"})).await?, 422, "idempotency_key_reused").await?;
    // Whoever lost the connection that holds the place gets the answer.
    let mut again = stream(ask("k", &body).await?).await?;
    let start = again.next_frame().await?.context("start")?;
    assert_eq!(id_of(&start.data, "generation_id")?, generation);
    // Again and again is bounded, and told what it is about.
    let refused = expect_problem(ask("k", &body).await?, 429, "too_many_streams").await?;
    assert_eq!(refused["generation_id"], Value::from(generation));
    upstream.open("go");
    let (first, again) = (first.collect_to_end().await?, again.collect_to_end().await?);
    assert_eq!(first, again);
    // The places are free, and so is the key that was refused.
    drop(stream(ask("new", &json!({"message": "another body"})).await?).await?.collect_to_end().await?);
    assert_eq!(upstream.requests().len(), 2);
    Ok(())
}

#[tokio::test]
async fn the_rate_of_requests_counts_repeats_and_forgets_no_key() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::text("once"));
    let setup = steady(&upstream)?.set("LIMITS__ENABLED", "true").set("LIMITS__REQUESTS_PER_MINUTE", "60");
    let server = setup.start().await?;
    let client = server.user("ada").await?;
    let body = json!({"message": "hello"});
    let ask = || keyed(&client, "/chat/stream", "k", &body).send();
    let first = stream(ask().await?).await?.collect_to_end().await?;
    let refused = loop {
        let response = ask().await?;
        if response.status() != StatusCode::OK {
            break response;
        }
    };
    assert_eq!(refused.headers().get("retry-after"), Some(&HeaderValue::from_static("1")));
    expect_problem(refused, 429, "rate_limited").await?;
    let again = loop {
        let response = ask().await?;
        if response.status() == StatusCode::OK {
            break stream(response).await?.collect_to_end().await?;
        }
    };
    assert_eq!((again, upstream.requests().len()), (first, 1));
    Ok(())
}

#[tokio::test]
async fn the_key_of_a_refused_request_is_free() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().role().chunk("x").wait_for("never"));
    let server = steady(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let mut running = client.ask(&json!({"message": "go"})).await?;
    let start = running.next_frame().await?.context("start")?.data;
    let (conversation, generation) = (id_of(&start, "conversation_id")?, id_of(&start, "generation_id")?);
    let nobody = "0198f1c2-7c1e-7d3a-9a5e-3f1b2c4d5e6f";
    let faults = [
        (json!({"message": "x", "conversation_id": conversation}), 409, "generation_running"),
        (json!({"message": "x", "conversation_id": nobody}), 404, "not_found"),
        (json!({"message": ""}), 422, "invalid"),
    ];
    for path in ["/chat/stream", "/chat"] {
        for (body, status, code) in &faults {
            let refused = keyed(&client, path, path, body).send().await?;
            let problem = expect(refused, StatusCode::from_u16(*status)?).await?;
            ensure!(*status == 422 || problem["code"] == *code, "{problem}");
        }
        upstream.push(Script::text("fine"));
        let fine = keyed(&client, path, path, &json!({"message": "hello"})).send().await?;
        ensure!(fine.status() == StatusCode::OK && fine.text().await?.contains("fine"));
    }
    let path = format!("/chat/generations/{generation}/retry");
    expect_problem(keyed(&client, &path, "r", &json!({})).send().await?, 409, "generation_running").await?;
    client.post(&format!("/chat/generations/{generation}/stop"), &json!(null)).await?;
    upstream.push(Script::text("again"));
    let again = stream(keyed(&client, &path, "r", &json!({"max_tokens": 7})).send().await?).await?;
    assert_eq!(text_of(&again.collect_to_end().await?), "again");
    Ok(())
}

#[tokio::test]
async fn a_key_is_checked() -> Result<()> {
    let server = Setup::new()?.start().await?;
    let client = server.user("ada").await?;
    let any = "0198f1c2-7c1e-7d3a-9a5e-3f1b2c4d5e6f";
    let (go_on, retry) = (format!("/chat/generations/{any}/continue"), format!("/chat/generations/{any}/retry"));
    let question = json!({"message": "x"});
    let routes = [
        ("/chat/stream", &question),
        ("/chat", &question),
        ("/conversations", &json!({})),
        (&go_on, &json!({})),
        (&retry, &json!({})),
    ];
    let long = "k".repeat(256);
    for (path, body) in routes {
        for bad in [&b""[..], b"two words", b"tab\tulator", "schlüssel".as_bytes(), b"\xff", long.as_bytes()] {
            let request = client.request(Method::POST, path).header("idempotency-key", bad).json(body);
            let problem = expect_problem(request.send().await?, 400, "bad_parameter").await?;
            assert_eq!(problem["errors"][0]["field"], "Idempotency-Key");
        }
        let twice = keyed(&client, path, "a", body).header("idempotency-key", "a");
        expect_problem(twice.send().await?, 400, "bad_parameter").await?;
    }
    assert_eq!(client.read("/conversations").await?["conversations"], json!([]), "nothing of it was carried out");
    let made = keyed(&client, "/conversations", &long[1..], &json!({})).send().await?;
    assert_eq!(made.status(), StatusCode::CREATED);
    Ok(())
}
