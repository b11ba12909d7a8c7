//! What the tests share: a client of an upstream, and what came of asking it.

use std::time::Duration;

use futures::StreamExt;
use r1_domain::{
    message::{Role, Turn},
    provider::{CompletionRequest, CompletionStream, Delta, Provider, ProviderError, ProviderErrorCode},
};
use r1_providers::openai::{OpenAi, OpenAiConfig};
use r1_testkit::upstream::{Script, Upstream};

/// The key that every client here has.
pub(crate) const KEY: &str = "sk-very-secret";

pub(crate) fn config(upstream: &Upstream) -> OpenAiConfig {
    let mut config = OpenAiConfig::new("up", upstream.base_url());
    config.api_key = Some(KEY.into());
    config.headers_timeout = Duration::from_secs(10);
    config.idle_timeout = Duration::from_secs(10);
    config
}

pub(crate) fn client(upstream: &Upstream) -> OpenAi {
    OpenAi::new(config(upstream)).unwrap()
}

pub(crate) fn request(question: &str) -> CompletionRequest {
    CompletionRequest {
        model: "echo".to_owned(),
        turns: vec![Turn { role: Role::User, content: question.to_owned() }],
        partial_answer: None,
        partial_ids: None,
        temperature: None,
        max_tokens: Some(100),
        seed: 7,
        user_key: "u".to_owned(),
        request_id: None,
        use_invalid_key: false,
    }
}

pub(crate) type Last = Result<Delta, ProviderError>;

/// The text of a stream, and its last item; checks that there is one last item and no more.
pub(crate) async fn read(mut stream: CompletionStream) -> (String, Last) {
    let mut text = String::new();
    loop {
        match stream.next().await.expect("a terminal item") {
            Ok(Delta::Text { text: more, .. }) => {
                assert!(!more.is_empty());
                text.push_str(&more);
            }
            Ok(Delta::LeftOut(_) | Delta::Reasoning(_) | Delta::Skipped(_)) => {}
            last => {
                assert_eq!(stream.next().await, None);
                return (text, last);
            }
        }
    }
}

/// What comes of one request; a refusal is an answer without text.
pub(crate) async fn ask(client: &OpenAi, request: CompletionRequest) -> (String, Last) {
    match client.complete(request).await {
        Ok(stream) => read(stream).await,
        Err(error) => (String::new(), Err(error)),
    }
}

/// What comes of one scripted answer. No error may give anything away.
pub(crate) async fn play(script: Script) -> (String, Last) {
    let upstream = Upstream::start().await.unwrap();
    upstream.push(script);
    let (text, last) = ask(&client(&upstream), request("hello")).await;
    if let Err(error) = &last {
        assert_discreet(error);
    }
    (text, last)
}

/// No key, no address; and no word of the upstream's but in the detail.
pub(crate) fn assert_discreet(error: &ProviderError) {
    let shown = format!("{error} {error:?}");
    for secret in [KEY, "127.0.0.1", "http://", "https://"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let own = ProviderError { detail: None, ..error.clone() };
    for secret in ["sk-", "http", "upstream says"] {
        assert!(!format!("{own} {own:?}").contains(secret), "{own:?}");
    }
    assert!(error.message.contains("'up'") || error.code == ProviderErrorCode::ContextTooLong, "{shown}");
}

pub(crate) fn code(last: &Last) -> (ProviderErrorCode, bool) {
    let error = last.as_ref().expect_err("a failure");
    (error.code, error.retryable)
}

pub(crate) fn finish(last: &Last) -> &str {
    match last {
        Ok(Delta::Done { finish_reason, .. }) => finish_reason,
        other => panic!("{other:?} is no finish"),
    }
}
