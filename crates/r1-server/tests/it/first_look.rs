//! Providers that are known before somebody asks them something.

use anyhow::{Context, Result, ensure};
use r1_testkit::upstream::Upstream;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Client, Setup, expect_problem};

const LOOK: &str = "SERVER__FIRST_LOOK";

/// Waits until somebody has asked the provider, and gives back how it is.
async fn asked(admin: &Client) -> Result<Value> {
    loop {
        let provider = admin.read("/health").await?["providers"][0].take();
        if provider["status"] != "unknown" {
            return Ok(provider);
        }
    }
}

#[tokio::test]
async fn a_wrong_key_is_said_at_the_start_and_nothing_is_billed() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.require_key("sk-right");
    for (key, status) in [("sk-wrong", "degraded"), ("sk-right", "ok")] {
        let setup = Setup::with_upstream(&upstream)?.env("OPENAI_API_KEY", key).set(LOOK, "on");
        // Configured models are no reason to believe that the provider is there.
        let server = setup.set("PROVIDERS__OPENAI__MODELS", "test-model").start().await?;
        let admin = server.admin("ada").await?;
        let provider = asked(&admin).await?;
        assert_eq!(provider["status"], status, "{provider}");
        let is_said = server.log().contains("ERROR") && server.log().contains("it rejected the key (status 401)");
        assert_eq!(is_said, status == "degraded", "{}", server.log());
    }
    assert_eq!((upstream.counters().requests, upstream.counters().model_lists), (0, 2));
    Ok(())
}

#[tokio::test]
async fn who_reaches_the_metrics_learns_how_all_parts_are() -> Result<()> {
    let server = Setup::new()?.with_metrics().start().await?;
    let line = server.banner.lines().find_map(|line| line.trim().strip_prefix("metrics")).context("metrics")?;
    let health: Value = reqwest::get(line.trim().replace("/metrics", "/health")).await?.json().await?;
    assert_eq!((&health["status"], &health["version"]), (&json!("ok"), &json!(env!("CARGO_PKG_VERSION"))));
    assert_eq!(health["providers"], json!([{"name": "nobody", "status": "unknown"}]));
    Ok(())
}

#[tokio::test]
async fn the_check_asks_where_it_shall() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.set_models(&["test-modem", "other"]);
    let setup = Setup::with_upstream(&upstream)?.env("OPENAI_API_KEY", "sk-very-secret");
    let quiet = setup.run(&["config", "check"]).await?;
    ensure!(quiet.ok && upstream.counters().model_lists == 0, "{quiet:?}");
    let online = setup.run(&["config", "check", "--online"]).await?;
    ensure!(online.ok && online.stdout.contains("answers, and lists 2 models"), "{online:?}");
    ensure!(online.stdout.contains("key: api_key, OPENAI_API_KEY") && !online.stdout.contains("sk-very"), "{online:?}");
    ensure!(online.stdout.contains("did you mean openai/test-modem?"), "{online:?}");
    assert_eq!(upstream.counters().requests, 0);
    upstream.require_key("sk-another");
    let rejected = setup.run(&["config", "check", "--online"]).await?;
    ensure!(!rejected.ok && rejected.stdout.contains("it rejected the key (status 401)"), "{rejected:?}");
    ensure!(rejected.stderr.contains("these providers can't be asked: openai"), "{rejected:?}");
    let listed = setup.run(&["model", "list"]).await?;
    ensure!(listed.ok && listed.stdout.contains("openai/…\tcan't be listed: it rejected the key"), "{listed:?}");
    Ok(())
}

#[tokio::test]
async fn a_mistyped_provider_gets_422_and_nobody_is_asked() -> Result<()> {
    let upstream = Upstream::start().await?;
    let setup = Setup::with_upstream(&upstream)?.set("PROVIDERS__OPENAI__MODELS", "test-model,meta-llama/llama-3");
    let server = setup.start().await?;
    let ada = server.user("ada").await?;
    for (model, part) in [
        ("opneai/test-model", "did you mean 'openai/test-model'?"),
        ("nope/gone", "there is no provider 'nope' here"),
        ("meta-llama/llama-4", "did you mean 'openai/meta-llama/llama-3'?"),
    ] {
        let refused = ada.post("/chat/stream", &json!({"message": "go", "model": model})).await?;
        let problem = expect_problem(refused, 422, "invalid").await?;
        ensure!(problem["errors"][0]["message"].as_str().is_some_and(|message| message.contains(part)), "{problem}");
    }
    assert_eq!(upstream.counters().requests, 0);
    for model in ["meta-llama/llama-3", "meta-llama/llama-3:free", "openai/any", "any"] {
        let answered = ada.post("/chat", &json!({"message": "go", "model": model})).await?;
        assert_eq!(answered.status(), StatusCode::OK, "{model}");
    }
    Ok(())
}
