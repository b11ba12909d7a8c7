//! What answers use: counted over all calls of the model, estimated where nobody counts, and summed up.

use anyhow::{Context, Result, ensure};
use r1_testkit::{
    sse::Frame,
    upstream::{Script, Upstream},
};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Client, Server, Setup, expect, expect_problem, id_of, stream};

const ASK: &str = "What is the sun?";

/// A server whose provider can go on from a partial answer, and a user.
async fn started(upstream: &Upstream) -> Result<(Server, Client)> {
    let setup = Setup::new()?.set("PROVIDERS__VLLM__BASE_URL", &upstream.base_url());
    let setup = setup.set("PROVIDERS__VLLM__CONTINUES", "vllm").set("DEFAULT_MODEL", "vllm/test-model");
    let server = setup.start().await?;
    let client = server.user("ada").await?;
    Ok((server, client))
}

fn usage(frames: &[Frame]) -> Result<&Value> {
    Ok(&frames.last().context("an end")?.data["usage"])
}

/// Numbers of ours: some for each side, and marked so.
fn is_estimate(usage: &Value) -> bool {
    let count = |name: &str| usage[name].as_u64().filter(|count| *count > 0);
    let parts = count("prompt_tokens").zip(count("completion_tokens"));
    usage["estimated"] == true && parts.is_some_and(|(prompt, said)| count("total_tokens") == Some(prompt + said))
}

/// The only line of the caller's sums.
async fn sums(client: &Client) -> Result<Value> {
    let used = client.read("/me/usage").await?;
    let lines = used["usage"].as_array().context("usage")?;
    ensure!(lines.len() == 1, "{used}");
    Ok(lines[0].clone())
}

#[tokio::test]
async fn what_a_provider_counts_is_taken_and_what_none_counts_is_estimated() -> Result<()> {
    let upstream = Upstream::start().await?;
    let (server, client) = started(&upstream).await?;
    upstream.push(Script::text("It is hot."));
    let counted = client.ask_to_end(&json!({"message": ASK})).await?;
    assert_eq!(*usage(&counted)?, json!({"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}));
    let id = &counted.first().context("a start")?.data["generation_id"];
    let details = client.read(&format!("/chat/generations/{}", id.as_str().context("an id")?)).await?;
    assert_eq!(details["usage"], *usage(&counted)?);
    let times = details["first_token_ms"].as_u64().zip(details["total_ms"].as_u64());
    ensure!(times.is_some_and(|(first, total)| first <= total), "{details}");
    let line = sums(&client).await?;
    assert_eq!(
        (&line["answers"], &line["estimated_answers"], &line["uncounted_answers"]),
        (&json!(1), &json!(0), &json!(0))
    );
    assert_eq!((&line["prompt_tokens"], &line["completion_tokens"]), (&json!(11), &json!(3)));

    // A provider that says nothing; a limit of ours; a stop.
    upstream.push(Script::new().role().thought("Hm.").chunk("It is hot.").finish("stop").done());
    ensure!(is_estimate(usage(&client.ask_to_end(&json!({"message": ASK})).await?)?));
    upstream.push(Script::new().role().chunk("It is ").wait_for("never"));
    let mut reader = client.ask(&json!({"message": ASK})).await?;
    let mut stopped = reader.collect_until(|frame| frame.content().is_some()).await?;
    let path = format!("/chat/generations/{}/stop", id_of(&stopped[0].data, "generation_id")?);
    expect(client.post(&path, &Value::Null).await?, StatusCode::OK).await?;
    stopped.extend(reader.collect_to_end().await?);
    ensure!(is_estimate(usage(&stopped)?), "{stopped:?}");
    // A failure has no place for it in its event; it counts all the same. One that was refused used nothing.
    upstream.push(Script::new().role().chunk("It is ").cut());
    client.ask_to_end(&json!({"message": ASK})).await?;
    let line = sums(&client).await?;
    assert_eq!(
        (&line["answers"], &line["estimated_answers"], &line["uncounted_answers"]),
        (&json!(4), &json!(3), &json!(0))
    );
    upstream.push(Script::error(StatusCode::UNAUTHORIZED, "invalid_api_key", "no"));
    client.ask_to_end(&json!({"message": ASK})).await?;
    let line = sums(&client).await?;
    assert_eq!(
        (&line["answers"], &line["estimated_answers"], &line["uncounted_answers"]),
        (&json!(5), &json!(3), &json!(1))
    );
    ensure!(line["model"] == "vllm/test-model" && line["day"].as_str().is_some_and(|day| day.len() == 10), "{line}");

    // The same as the administrator's, and nobody else's.
    let shown = server.setup().run(&["user", "usage", "ada", "--json"]).await?;
    ensure!(shown.ok, "{shown:?}");
    let shown: Value = serde_json::from_str(&shown.stdout)?;
    for field in
        ["day", "model", "answers", "estimated_answers", "uncounted_answers", "prompt_tokens", "completion_tokens"]
    {
        assert_eq!(shown[0][field], line[field], "{field}");
    }
    assert_eq!(server.user("eve").await?.read("/me/usage?days=366").await?, json!({"usage": []}));
    expect_problem(server.anonymous().get("/me/usage").await?, 401, "unauthenticated").await?;
    for days in ["0", "-1", "367", "x", "1.5"] {
        expect_problem(client.get(&format!("/me/usage?days={days}")).await?, 400, "bad_parameter").await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_a_killed_process_used_counts() -> Result<()> {
    let upstream = Upstream::start().await?;
    let (server, client) = started(&upstream).await?;
    upstream.push(Script::new().role().chunk("The sentence ").wait_for("never"));
    upstream.push(Script::text("finishes."));
    let mut reader = client.ask(&json!({"message": ASK})).await?;
    let seen = reader.collect_until(|frame| frame.content().is_some()).await?;
    let server = server.kill().await?.start().await?;
    let client = client.at(&server);
    let generation = id_of(&seen[0].data, "generation_id")?;
    let frames = stream(client.attach(&format!("generation_id={generation}")).await?).await?.collect_to_end().await?;
    let used = usage(&frames)?;
    // The second call counted 11 and 1 itself.
    ensure!(is_estimate(used), "{used}");
    ensure!(used["prompt_tokens"].as_u64() > Some(11) && used["completion_tokens"].as_u64() > Some(1), "{used}");
    assert_eq!(sums(&client).await?["prompt_tokens"], used["prompt_tokens"]);
    Ok(())
}
