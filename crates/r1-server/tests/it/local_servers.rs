//! Servers of models on this machine, found by a server that was told nothing.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use r1_testkit::upstream::{Script, Upstream};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Client, PATIENCE, Setup, id_of, stream};

/// A server that looks at these addresses. Its default is a provider that is nobody.
fn looking(addresses: &str) -> Result<Setup> {
    Ok(Setup::new()?
        .set("LOCAL_SERVERS__LOOK", "on")
        .set("LOCAL_SERVERS__ADDRESSES", addresses)
        .set("LOCAL_SERVERS__EVERY", "100ms"))
}

/// Where an upstream is, as an address to look at.
fn place(name: &str, base_url: &str) -> String {
    format!("{name}={}", base_url.replace("http://", "").replace("/v1", ""))
}

fn lists(upstream: &Upstream, owner: &str, id: &str) {
    let list = json!({"data": [{"id": id, "owned_by": owner}, {"id": format!("{id}-embed"), "owned_by": owner}]});
    upstream.set_models_script(Script::json(StatusCode::OK, &list));
}

async fn ids(client: &Client) -> Result<Vec<String>> {
    let list = client.read("/models").await?;
    let models = list["models"].as_array().context("models")?;
    Ok(models.iter().filter_map(|model| model["id"].as_str().map(str::to_owned)).collect())
}

/// Waits until these are the models.
async fn wait_ids(client: &Client, expected: &[&str]) -> Result<()> {
    let mut seen = Vec::new();
    let waiting = async {
        loop {
            seen = ids(client).await?;
            if seen == expected {
                return anyhow::Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, waiting).await {
        Ok(done) => done,
        Err(_) => bail!("{seen:?} is not {expected:?}"),
    }
}

#[tokio::test]
async fn a_conversation_keeps_its_server_through_its_absence_and_a_restart() -> Result<()> {
    let ollama = Upstream::start().await?;
    lists(&ollama, "library", "llama3.2");
    let here = place("ollama", &ollama.base_url());
    let server = looking(&here)?.start().await?;
    let client = server.user("ada").await?;
    wait_ids(&client, &["nobody/nothing", "ollama/llama3.2"]).await?;
    ensure!(server.log().contains("model servers found on this machine: ollama (1 model)"), "{}", server.log());
    ensure!(server.log().contains("found on this machine: ollama"), "{}", server.log());
    // Nobody has chosen: it is not asked.
    let unasked = client.ask_to_end(&json!({"message": "go"})).await?;
    assert_eq!((unasked[0].data["model"].as_str(), ollama.counters().requests), (Some("nobody/nothing"), 0));

    let frames = client.ask_to_end(&json!({"message": "go", "model": "ollama/llama3.2"})).await?;
    assert_eq!(frames[0].data["model"], "ollama/llama3.2");
    assert_eq!(frames.last().context("an end")?.kind(), "end");
    // It is looked at all the time, too.
    let asked = ollama.requests().into_iter().rfind(|request| request.body.is_object()).context("a question")?;
    assert_eq!(asked.body["model"], "llama3.2");
    let (conversation, generation) =
        (id_of(&frames[0].data, "conversation_id")?, id_of(&frames[0].data, "generation_id")?);

    let address = ollama.base_url().replace("http://", "").replace("/v1", "").parse()?;
    ollama.shut_down().await;
    wait_ids(&client, &["nobody/nothing"]).await?;
    let setup = server.kill().await?;
    let server = setup.start().await?;
    let client = client.at(&server);
    let more = json!({"message": "more", "model": "ollama/llama3.2", "conversation_id": conversation});
    let not_running = |frames: Vec<r1_testkit::sse::Frame>| -> Result<()> {
        assert_eq!(frames[0].data["model"], "ollama/llama3.2");
        let error: &Value = &frames.last().context("an error")?.data;
        ensure!(error["code"] == "provider_unreachable" && error.to_string().contains("not running"), "{error}");
        Ok(())
    };
    not_running(client.ask_to_end(&more).await?)?;
    let retry = client.request(Method::POST, &format!("/chat/generations/{generation}/retry")).json(&json!({}));
    not_running(stream(retry.send().await?).await?.collect_to_end().await?)?;

    let again = Upstream::start_on(address).await?;
    lists(&again, "library", "llama3.2");
    wait_ids(&client, &["nobody/nothing", "ollama/llama3.2"]).await?;
    let frames = client.ask_to_end(&more).await?;
    assert_eq!(frames.last().context("an end")?.kind(), "end", "{frames:?}");
    assert_eq!(again.counters().requests, 1);
    Ok(())
}

#[tokio::test]
async fn another_gpt_r1_is_none_whatever_it_lists() -> Result<()> {
    let other = Setup::new()?.start().await?;
    // One of a later version, which lists models in this format too.
    let later = Upstream::start().await?;
    lists(&later, "gpt-r1", "its-own");
    let health = other.anonymous().read("/health").await?;
    later.route("/api/v1/health", move |_| Script::json(StatusCode::OK, &health).header("x-request-id", "1"));
    let vllm = Upstream::start().await?;
    lists(&vllm, "vllm", "qwen");
    let addresses = [
        place("ollama", &other.api),
        place("lm-studio", &other.web),
        place("llama-cpp", &later.base_url()),
        place("vllm", &vllm.base_url()),
    ];
    let server = looking(&addresses.join(","))?.start().await?;
    let client = server.admin("ada").await?;
    wait_ids(&client, &["nobody/nothing", "vllm/qwen"]).await?;
    later.wait_until("a second look", |counters| counters.model_lists >= 2).await?;
    assert_eq!(ids(&client).await?, ["nobody/nothing", "vllm/qwen"]);
    let frames = client.ask_to_end(&json!({"message": "go", "model": "llama-cpp/its-own"})).await?;
    assert_eq!(frames.last().context("an error")?.data["code"], "provider_unreachable");
    assert_eq!(later.counters().requests, 0);
    let health = client.read("/health").await?;
    assert_eq!(health["providers"].as_array().map(Vec::len), Some(2), "{health}");
    Ok(())
}

#[tokio::test]
async fn nobody_is_looked_for_where_that_is_off() -> Result<()> {
    let ollama = Upstream::start().await?;
    let server = looking(&place("ollama", &ollama.base_url()))?.set("LOCAL_SERVERS__LOOK", "auto").start().await?;
    let client = server.user("ada").await?;
    // A provider is configured, so that "auto" is off; and `ollama/…` is then a name of the default's.
    let frames = client.ask_to_end(&json!({"message": "go", "model": "ollama/llama3.2"})).await?;
    assert_eq!(frames[0].data["model"], "nobody/ollama/llama3.2");
    assert_eq!(ids(&client).await?, ["nobody/nothing"]);
    assert_eq!(ollama.counters().connections_opened, 0);
    Ok(())
}
