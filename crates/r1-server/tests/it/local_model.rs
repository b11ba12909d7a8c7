//! The local model as a part of the server: a child process that may die, sleep and wake.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context, Result, ensure};
use r1_testkit::sse::text_of;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Client, Server, Setup, Signal, expect, expect_problem, id_of, send_signal};

async fn start(setup: Setup) -> Result<(Server, Client)> {
    let server = setup.start().await?;
    // Health tells nobody else how the model is.
    let client = server.admin("ada").await?;
    Ok((server, client))
}

/// Waits until health says this of the local model.
async fn until(client: &Client, status: &str) -> Result<Value> {
    loop {
        let health = client.read("/health").await?;
        let local = health["providers"].as_array().and_then(|all| all.iter().find(|p| p["name"] == "local")).cloned();
        let local = local.with_context(|| format!("the local model in {health}"))?;
        if local["status"] == status {
            return Ok(local);
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

pub(crate) fn child_of(pid: u32) -> Result<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    for entry in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let children = std::fs::read_to_string(entry?.path().join("children"))?;
        if let Some(child) = children.split_whitespace().next() {
            return Ok(child.parse()?);
        }
    }
    anyhow::bail!("no child: {children}")
}

#[tokio::test]
async fn it_starts_with_the_server_and_answers() -> Result<()> {
    let (_server, client) = start(Setup::with_local_model()?).await?;
    until(&client, "ready").await?;
    let frames = client.ask_to_end(&json!({"message": "What is the capital of France?", "temperature": 0})).await?;
    ensure!(text_of(&frames).contains("Paris"), "{}", text_of(&frames));
    let models = client.read("/models").await?;
    ensure!(models["models"][0]["id"].as_str().is_some_and(|id| id.starts_with("local/")), "{models}");
    ensure!(models["models"][0]["description"].is_string(), "it is named as what it is: {models}");
    Ok(())
}

#[tokio::test]
async fn an_unknown_local_model_is_refused() -> Result<()> {
    let (_server, client) = start(Setup::with_local_model()?).await?;
    let refused = client.post("/chat/stream", &json!({"message": "x", "model": "local/gpt-9"})).await?;
    let problem = expect_problem(refused, 422, "invalid").await?;
    assert_eq!(problem["errors"][0]["field"], "model");
    Ok(())
}

#[tokio::test]
async fn a_crash_ends_no_chat_but_the_one_that_ran_in_it() -> Result<()> {
    let (server, client) = start(Setup::with_local_model()?).await?;
    until(&client, "ready").await?;
    // Not sampled: its length is the same each time, and long enough to be cut.
    let ask = json!({"message": "Write a very long story", "max_tokens": 2000, "temperature": 0});
    let mut reader = client.ask(&ask).await?;
    let start = reader.next_frame().await?.context("start")?;
    reader.next_frame().await?;
    let child = child_of(server.pid())?;
    send_signal(child, Signal::KILL)?;
    let frames = reader.collect_to_end().await?;
    assert_eq!(frames.last().context("a terminal event")?.kind(), "error");
    let conversation = id_of(&start.data, "conversation_id")?;
    ensure!(
        !client.messages(&conversation).await?[1]["content"].as_str().unwrap_or_default().is_empty(),
        "the text is kept"
    );
    // The next question finds it running again.
    let frames = client.ask_to_end(&json!({"message": "Hello", "max_tokens": 20, "temperature": 0})).await?;
    ensure!(!text_of(&frames).is_empty());
    assert_ne!(child_of(server.pid())?, child);
    Ok(())
}

#[tokio::test]
async fn it_goes_to_sleep_and_wakes_when_somebody_comes() -> Result<()> {
    let (_server, client) = start(Setup::with_local_model()?.set("LOCAL_MODEL__IDLE_UNLOAD", "1s")).await?;
    until(&client, "ready").await?;
    until(&client, "idle").await?;
    client.read("/auth/me").await?;
    until(&client, "ready").await?;
    let frames = client.ask_to_end(&json!({"message": "Hello", "max_tokens": 20, "temperature": 0})).await?;
    ensure!(!text_of(&frames).is_empty());
    Ok(())
}

#[tokio::test]
async fn a_corrupt_file_is_said_to_be_one() -> Result<()> {
    let setup = Setup::with_local_model()?;
    let model = setup.data_dir().parent().context("a folder")?.join("broken.gguf");
    std::fs::write(&model, b"GGUF\x03\0\0\0 and then nothing that makes sense")?;
    let (server, client) = start(setup.set("LOCAL_MODEL__PATH", &model.display().to_string())).await?;
    let frames = client.ask_to_end(&json!({"message": "Hello"})).await?;
    let error = &frames.last().context("an error event")?.data;
    assert_eq!(error["type"], "error");
    let local = until(&client, "failed").await?;
    ensure!(local["detail"].is_string(), "{local}");
    // Everything else works; the log names the file and the remedy.
    expect(client.post("/conversations", &json!({})).await?, StatusCode::CREATED).await?;
    ensure!(server.log().contains("broken.gguf") && server.log().contains("download it again"), "{}", server.log());
    Ok(())
}

#[tokio::test]
async fn a_question_beyond_its_context_is_refused_in_words() -> Result<()> {
    let (_server, client) = start(Setup::with_local_model()?).await?;
    let frames = client.ask_to_end(&json!({"message": "many words ".repeat(15_000)})).await?;
    assert_eq!(frames.last().context("an error event")?.data["code"], "context_too_long");
    Ok(())
}

#[tokio::test]
async fn a_conversation_longer_than_its_context_goes_on() -> Result<()> {
    let (server, client) = start(Setup::with_local_model()?.set("LOCAL_MODEL__CONTEXT", "512")).await?;
    let id = client.conversation().await?;
    for turn in 0..6 {
        let message = format!("This is turn {turn}. {}", "Some words to fill it up. ".repeat(20));
        let ask = json!({"message": message, "conversation_id": id, "max_tokens": 40});
        let frames = client.ask_to_end(&ask).await?;
        assert_eq!(frames.last().context("end")?.data["status"], "completed", "turn {turn}");
    }
    // Where its memory begins is told with each answer: with a question, and never earlier than before.
    let messages = client.messages(&id).await?;
    let place = |mark: &Value| messages.iter().position(|message| message["id"] == *mark);
    let marks: Vec<_> = messages.chunks(2).map(|turn| place(&turn[1]["remembers_from"])).collect();
    ensure!(marks[0].is_none() && marks[5].is_some() && marks.is_sorted(), "{marks:?}");
    ensure!(marks.iter().flatten().all(|at| messages[*at]["role"] == "user"), "{marks:?}");
    let generation = id_of(&messages[11], "generation_id")?;
    let details = client.read(&format!("/chat/generations/{generation}")).await?;
    assert_eq!(details["remembers_from"], messages[11]["remembers_from"]);
    // The same after a restart.
    let server = server.kill().await?.start().await?;
    assert_eq!(client.at(&server).messages(&id).await?, messages);
    Ok(())
}

/// The same door for llama.cpp's server, here a stand-in that speaks its command line.
#[tokio::test]
async fn llama_server_is_another_engine_behind_the_same_door() -> Result<()> {
    let setup = Setup::with_local_model()?;
    let folder = setup.data_dir().parent().context("a folder")?.to_owned();
    let stub = folder.join("llama-server");
    std::fs::write(&stub, include_str!("local_model/llama_server_stub.py"))?;
    std::fs::set_permissions(&stub, std::fs::Permissions::from_mode(0o700))?;
    let model = folder.join("any.gguf");
    std::fs::write(&model, b"GGUF")?;
    let setup = setup
        .set("LOCAL_MODEL__ENGINE", "llama-server")
        .set("LOCAL_MODEL__LLAMA_SERVER_PATH", &stub.display().to_string())
        .set("LOCAL_MODEL__PATH", &model.display().to_string());
    let (_server, client) = start(setup).await?;
    let frames = client.ask_to_end(&json!({"message": "hello stub"})).await?;
    assert_eq!(text_of(&frames), "stub heard: hello stub");
    Ok(())
}
