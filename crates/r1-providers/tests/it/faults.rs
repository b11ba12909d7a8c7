//! Every way in which a provider can go wrong, and what it becomes.

use std::time::Duration;

use http::StatusCode;
use r1_domain::provider::{Delta, ProviderErrorCode as Code};
use r1_providers::openai::OpenAi;
use r1_testkit::upstream::{Script, Step, Upstream};
use serde_json::json;

use crate::support::{ask, assert_discreet, client, code, config, finish, play, request};

#[tokio::test]
async fn refusals_have_their_codes() {
    let refusal = |status: u16, code: &str| {
        play(Script::error(StatusCode::from_u16(status).unwrap(), code, "upstream says no to sk-very-secret"))
    };
    for (status, words, expected) in [
        (401, "invalid_api_key", (Code::Auth, false)),
        (403, "forbidden", (Code::Auth, false)),
        (404, "model_not_found", (Code::ModelNotFound, false)),
        (400, "context_length_exceeded", (Code::ContextTooLong, false)),
        (400, "bad", (Code::Rejected, false)),
        (500, "x", (Code::Unavailable, true)),
        (503, "x", (Code::Unavailable, true)),
        (307, "x", (Code::InvalidResponse, false)),
    ] {
        assert_eq!(code(&refusal(status, words).await.1), expected, "{status} {words}");
    }
    let limited = play(Script::rate_limited("7")).await.1;
    assert_eq!(code(&limited), (Code::RateLimited, true));
    assert_eq!(limited.unwrap_err().retry_after, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn a_refusal_without_an_end_is_read_to_a_limit() {
    let flood = Script::html(StatusCode::BAD_GATEWAY);
    let flood = Script { steps: vec![Step::Flood { byte: b'<', length: 100_000_000 }], ..flood };
    let mut endless = flood.clone();
    endless.headers.remove("content-length");
    assert_eq!(code(&play(endless).await.1), (Code::Unavailable, true));
}

#[tokio::test]
async fn endings() {
    let a = || Script::new().role().chunk("a");
    assert_eq!(code(&play(a()).await.1), (Code::Truncated, true), "a clean end without a finish");
    assert_eq!(code(&play(a().cut()).await.1), (Code::Truncated, true));
    assert_eq!(code(&play(a().reset()).await.1), (Code::Truncated, true));
    assert_eq!(finish(&play(a().finish("length")).await.1), "length", "without [DONE]");
    assert_eq!(finish(&play(a().finish("length").reset()).await.1), "length", "reset after the finish");
    assert_eq!(finish(&play(a().done()).await.1), "stop", "without a finish");
    assert_eq!(finish(&play(a().done().hang()).await.1), "stop", "a body that does not end");
    let failing = a().raw("data: {\"error\":{\"message\":\"upstream says sk-\",\"type\":\"server_error\"}}\n\n").hang();
    let (text, last) = play(failing).await;
    assert_eq!((text.as_str(), code(&last)), ("a", (Code::Failed, true)));
}

#[tokio::test]
async fn what_is_not_the_protocol() {
    let invalid = (Code::InvalidResponse, false);
    assert_eq!(code(&play(Script::html(StatusCode::OK)).await.1), invalid);
    assert_eq!(code(&play(Script::gzip("hello")).await.1), invalid);
    let plain = Script::document(StatusCode::OK, "text/plain", "upstream says hello".to_owned());
    assert_eq!(code(&play(plain).await.1), invalid);
    let line = Script::new().chunk("a").raw("data: ").then(Step::Flood { byte: b'x', length: 100_000_000 }).ending();
    let (text, last) = play(line).await;
    assert_eq!((text.as_str(), code(&last)), ("a", invalid));
    let odd = Script::new().chunk("a").raw(": keep-alive\n\ndata: <b>\n\n").chunk("b").ending();
    let (text, last) = play(odd).await;
    assert_eq!((text.as_str(), code(&last)), ("ab", (Code::Truncated, true)), "words may be missing");
    let not_utf8 = Script::new().raw(&b"data: {\"choices\":[{\"delta\":{\"content\":\"x\xffy\"}}]}\n\n"[..]).ending();
    assert_eq!(play(not_utf8).await.0, "x\u{fffd}y");
}

#[tokio::test]
async fn a_whole_answer_as_json_is_taken() {
    let choice = json!({"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"});
    let usage = json!({"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3});
    let ok = StatusCode::OK;
    let (text, last) = play(Script::json(ok, &json!({"choices": [choice], "usage": usage}))).await;
    assert_eq!(text, "Hi.");
    assert!(matches!(last, Ok(Delta::Done { usage: Some(usage), .. }) if usage.total_tokens == 3));
    let error = json!({"error": {"message": "upstream says no", "type": "overloaded_error"}});
    assert_eq!(code(&play(Script::json(ok, &error)).await.1), (Code::Failed, true));
    assert_eq!(code(&play(Script::json(ok, &json!({"hello": 1}))).await.1), (Code::InvalidResponse, false));
    let torn = Script::new().header("content-type", "application/json").raw("{\"choices\":[").cut();
    assert_eq!(code(&play(torn).await.1), (Code::Truncated, true));
    let huge = Script::new().header("content-type", "application/json");
    let huge = huge.then(Step::Flood { byte: b' ', length: 100_000_000 });
    assert_eq!(code(&play(huge).await.1), (Code::InvalidResponse, false));
}

#[tokio::test]
async fn silence_has_an_end() {
    let upstream = Upstream::start().await.unwrap();
    let mut impatient = config(&upstream);
    impatient.idle_timeout = Duration::from_millis(400);
    let impatient = OpenAi::new(impatient).unwrap();
    upstream.push(Script::new().chunk("a").hang());
    let (text, last) = ask(&impatient, request("x")).await;
    assert_eq!((text.as_str(), code(&last)), ("a", (Code::Timeout, true)));
    upstream.wait_closed(1).await.unwrap();
    // Comments are a sign of life.
    let alive = (0..10).fold(Script::new(), |script, _| script.pause(Duration::from_millis(60)).raw(": alive\n\n"));
    upstream.push(alive.chunk("b").ending());
    assert_eq!(ask(&impatient, request("x")).await.0, "b");
}

#[tokio::test]
async fn headers_that_do_not_come_time_out() {
    // A listener that takes connections into its backlog and never answers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    let mut config = r1_providers::openai::OpenAiConfig::new("up", base_url);
    config.headers_timeout = Duration::from_millis(60);
    let last = ask(&OpenAi::new(config).unwrap(), request("x")).await.1;
    assert_eq!(code(&last), (Code::Timeout, true));
}

#[tokio::test]
async fn a_provider_that_cannot_be_reached_is_told_apart() {
    let upstream = Upstream::start().await.unwrap();
    let gone = client(&upstream);
    let plain = upstream.base_url();
    upstream.shut_down().await;
    drop(upstream);
    let unreachable = |config: r1_providers::openai::OpenAiConfig| async move {
        let last = ask(&OpenAi::new(config).unwrap(), request("x")).await.1;
        assert_eq!(code(&last), (Code::Unreachable, true));
        let error = last.unwrap_err();
        assert_discreet(&error);
        error.message
    };
    let refused = ask(&gone, request("x")).await.1;
    assert_eq!(code(&refused), (Code::Unreachable, true));
    assert_eq!(refused.unwrap_err().message, "The provider 'up' refuses connections: is it running?");
    assert_eq!(gone.health().status, "degraded");
    let mut config = r1_providers::openai::OpenAiConfig::new("up", plain);
    config.unix_socket = Some("/nonexistent/socket".into());
    assert!(unreachable(config).await.contains("is it running"));
    // A label that is too long for the DNS: no resolver is asked.
    let host = "x".repeat(64);
    let config = r1_providers::openai::OpenAiConfig::new("up", format!("http://{host}.invalid/v1"));
    assert!(unreachable(config).await.contains("cannot be found"));
    // A server that does not speak TLS.
    let upstream = Upstream::start().await.unwrap();
    let config = r1_providers::openai::OpenAiConfig::new("up", upstream.base_url().replace("http:", "https:"));
    let last = ask(&OpenAi::new(config).unwrap(), request("x")).await.1;
    assert_eq!(code(&last), (Code::Unreachable, false), "asking again will not help");
    assert!(last.unwrap_err().message.contains("does not speak TLS"));
}

#[tokio::test]
async fn a_connection_closed_before_an_answer() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    let client = OpenAi::new(r1_providers::openai::OpenAiConfig::new("up", base_url)).unwrap();
    let closing = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut some = [0; 16];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut some).await.unwrap();
    };
    let ((_, last), ()) = tokio::join!(ask(&client, request("x")), closing);
    assert_eq!(code(&last), (Code::Unavailable, true));
}
