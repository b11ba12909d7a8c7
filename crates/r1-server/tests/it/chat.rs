//! The answer as one JSON document, and what goes to the model.

use anyhow::{Context, Result};
use r1_testkit::upstream::{Script, Upstream};
use reqwest::StatusCode;
use serde_json::json;

use crate::support::{Setup, expect};

#[tokio::test]
async fn a_whole_answer_is_the_fold_of_its_stream() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::text("all of it"));
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let answer =
        expect(client.post("/chat", &json!({"message": "go", "temperature": 0.5})).await?, StatusCode::OK).await?;
    assert_eq!((answer["content"].as_str(), answer["status"].as_str()), (Some("all of it"), Some("completed")));
    assert_eq!((answer["finish_reason"].as_str(), answer["role"].as_str()), (Some("stop"), Some("assistant")));
    assert!(answer["usage"]["total_tokens"].as_u64().is_some(), "{answer}");
    let id = answer["conversation_id"].as_str().context("a conversation was made")?;
    let messages = client.messages(id).await?;
    assert_eq!(messages[1]["id"], answer["message_id"]);
    assert_eq!(client.read(&format!("/conversations/{id}")).await?["title"], "go", "named after the question");
    let asked = upstream.last_request().context("a request")?;
    assert_eq!((asked.body["temperature"].as_f64(), asked.body["stream"].as_bool()), (Some(0.5), Some(true)));
    Ok(())
}

#[tokio::test]
async fn a_failed_answer_says_so() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().role().chunk("half").cut());
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let answer = expect(client.post("/chat", &json!({"message": "go"})).await?, StatusCode::OK).await?;
    assert_eq!((answer["status"].as_str(), answer["content"].as_str()), (Some("failed"), Some("half")));
    assert_eq!(answer["error"]["code"], "upstream_truncated");
    Ok(())
}

#[tokio::test]
async fn models_are_listed() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.set_models(&["alpha", "beta"]);
    let server = Setup::with_upstream(&upstream)?.set("DEFAULT_MODEL", "openai/beta").start().await?;
    let client = server.user("ada").await?;
    let list = client.read("/models").await?;
    let models = list["models"].as_array().context("models")?;
    assert_eq!((models[0]["id"].as_str(), models[0]["default"].as_bool()), (Some("openai/beta"), Some(true)));
    assert!(models.iter().any(|model| model["id"] == "openai/alpha"), "{list}");
    Ok(())
}
