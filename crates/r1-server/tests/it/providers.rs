//! Providers that fail, each in its own way: a defined end, the text kept, no key in any text.

use anyhow::{Context, Result, ensure};
use r1_testkit::{
    sse::{Frame, text_of},
    upstream::{Script, Upstream},
};
use reqwest::StatusCode;
use serde_json::json;

use crate::support::{Setup, id_of};

/// Runs one question against a script and gives back its frames.
async fn ask(upstream: &Upstream, script: Script) -> Result<Vec<Frame>> {
    for _ in 0..3 {
        upstream.push(script.clone());
    }
    let setup = Setup::with_upstream(upstream)?.env("OPENAI_API_KEY", "sk-very-secret");
    let server = setup.start().await?;
    let client = server.user("ada").await?;
    let frames = client.ask_to_end(&json!({"message": "go"})).await?;
    let conversation = id_of(&frames[0].data, "conversation_id")?;
    let stored = &client.messages(&conversation).await?[1];
    assert_eq!(stored["content"], text_of(&frames), "the text is kept");
    let shown = frames.iter().map(|frame| String::from_utf8_lossy(&frame.raw).into_owned()).collect::<String>();
    for secret in ["sk-very-secret", "127.0.0.1"] {
        ensure!(!shown.contains(secret), "{secret} in {shown}");
    }
    ensure!(!server.log().contains("sk-very-secret"), "{}", server.log());
    Ok(frames)
}

fn error(frames: &[Frame]) -> (&str, bool) {
    let last = frames.last().map(|frame| &frame.data);
    last.map_or(("", false), |data| (data["code"].as_str().unwrap_or("none"), data["retryable"] == true))
}

#[tokio::test]
async fn refusals_before_the_stream() -> Result<()> {
    let cases = [
        (
            Script::error(StatusCode::UNAUTHORIZED, "invalid_api_key", "Incorrect key: sk-very-secret"),
            "provider_auth",
            1,
        ),
        (Script::error(StatusCode::NOT_FOUND, "model_not_found", "no such model"), "model_not_found", 1),
        (Script::error(StatusCode::BAD_REQUEST, "context_length_exceeded", "too long"), "context_too_long", 1),
        (Script::rate_limited("3600"), "provider_rate_limited", 1),
        (Script::rate_limited("0"), "provider_rate_limited", 3),
        (Script::error(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "busy"), "provider_unavailable", 3),
        (Script::html(StatusCode::OK), "upstream_invalid", 1),
    ];
    for (script, code, calls) in cases {
        let upstream = Upstream::start().await?;
        let frames = ask(&upstream, script).await?;
        assert_eq!((frames.len(), error(&frames).0), (2, code));
        assert_eq!(upstream.requests().len(), calls, "{code}: requests");
    }
    Ok(())
}

#[tokio::test]
async fn faults_in_mid_answer_keep_the_text_and_are_not_retried() -> Result<()> {
    let half = || Script::new().role().chunk("half ").chunk("said");
    let cases = [
        (half().reset(), "upstream_truncated"),
        (half().cut(), "upstream_truncated"),
        (half(), "upstream_truncated"),
        (
            half().raw("data: {\"error\": {\"message\": \"sk-very-secret\", \"type\": \"server_error\"}}\n\n"),
            "provider_failed",
        ),
    ];
    for (script, code) in cases {
        let upstream = Upstream::start().await?;
        let frames = ask(&upstream, script).await?;
        assert_eq!((text_of(&frames).as_str(), error(&frames).0), ("half said", code));
        assert_eq!(upstream.requests().len(), 1, "{code}: once a word is said there is no second try");
    }
    Ok(())
}

#[tokio::test]
async fn a_missing_done_after_a_finish_is_fine() -> Result<()> {
    let upstream = Upstream::start().await?;
    let frames = ask(&upstream, Script::new().role().chunk("whole").finish("stop")).await?;
    assert_eq!(frames.last().context("end")?.data["status"], "completed");
    Ok(())
}

#[tokio::test]
async fn a_retry_that_works_is_not_seen() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::error(StatusCode::BAD_GATEWAY, "x", "y"));
    upstream.push(Script::text("second try"));
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let frames = server.user("ada").await?.ask_to_end(&json!({"message": "go"})).await?;
    assert_eq!(text_of(&frames), "second try");
    assert_eq!(upstream.requests().len(), 2);
    Ok(())
}

#[tokio::test]
async fn silence_has_an_end() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().role().chunk("and then").hang());
    let setup = Setup::new()?
        .set("PROVIDERS__QUIET__BASE_URL", &upstream.base_url())
        .set("PROVIDERS__QUIET__IDLE_TIMEOUT", "200ms")
        .set("DEFAULT_MODEL", "quiet/test-model");
    let server = setup.start().await?;
    let frames = server.user("ada").await?.ask_to_end(&json!({"message": "go"})).await?;
    assert_eq!((text_of(&frames).as_str(), error(&frames).0), ("and then", "provider_timeout"));
    upstream.wait_closed(1).await?;
    Ok(())
}

#[tokio::test]
async fn nobody_at_the_address() -> Result<()> {
    let upstream = Upstream::start().await?;
    let setup = Setup::with_upstream(&upstream)?;
    upstream.shut_down().await;
    drop(upstream);
    let server = setup.start().await?;
    let frames = server.user("ada").await?.ask_to_end(&json!({"message": "go"})).await?;
    assert_eq!(error(&frames), ("provider_unreachable", true));
    Ok(())
}

#[tokio::test]
async fn the_invalid_key_switch_shows_an_error_and_harms_nobody() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.require_key("sk-very-secret");
    upstream.respond_with(|_| Script::text("fine"));
    let setup = Setup::with_upstream(&upstream)?.env("OPENAI_API_KEY", "sk-very-secret");
    let server = setup.start().await?;
    let client = server.user("ada").await?;
    let frames = client.ask_to_end(&json!({"message": "Test message", "use_invalid_key": true})).await?;
    assert_eq!(frames.iter().map(Frame::kind).collect::<Vec<_>>(), ["start", "error"]);
    assert_eq!(error(&frames), ("provider_auth", false));
    let health = client.read("/health").await?;
    assert_eq!(health["providers"][0]["status"], "ok", "not the provider's fault: {health}");
    assert_eq!(text_of(&client.ask_to_end(&json!({"message": "Test message"})).await?), "fine");
    Ok(())
}
