//! What goes over the wire, and with which key.

use r1_domain::provider::{Delta, Provider, ProviderErrorCode as Code};
use r1_providers::{
    catalog::{Catalog, CatalogConfig},
    openai::{Continues, FIRST_MODEL, OpenAi},
};
use r1_testkit::upstream::{Script, Upstream};
use serde_json::json;

use crate::support::{KEY, ask, client, code, config, finish, request};

#[tokio::test]
async fn a_request_is_what_was_asked_and_no_more() {
    let upstream = Upstream::start().await.unwrap();
    upstream.require_key(KEY);
    let (text, last) = ask(&client(&upstream), request("hello")).await;
    assert_eq!((text.as_str(), finish(&last)), ("You said: hello", "stop"));
    assert!(matches!(last, Ok(Delta::Done { usage: Some(usage), .. }) if usage.prompt_tokens == 11));
    let sent = upstream.last_request().unwrap();
    assert_eq!((sent.path.as_str(), sent.bearer()), ("/v1/chat/completions", Some(KEY)));
    assert_eq!(sent.headers["content-type"], "application/json");
    assert_eq!(sent.headers["accept"], "text/event-stream");
    assert_eq!(sent.headers["accept-encoding"], "identity");
    assert_eq!(
        sent.body,
        json!({
            "model": "echo", "messages": [{"role": "user", "content": "hello"}], "stream": true,
            "stream_options": {"include_usage": true}, "max_tokens": 100,
        })
    );
}

#[tokio::test]
async fn an_invalid_key_is_rejected_and_says_nothing_about_the_provider() {
    let upstream = Upstream::start().await.unwrap();
    upstream.require_key(KEY);
    let invalid = || r1_domain::provider::CompletionRequest { use_invalid_key: true, ..request("x") };
    let with_key = client(&upstream);
    let rejected = ask(&with_key, invalid()).await.1;
    assert_eq!(code(&rejected), (Code::Auth, false));
    assert_eq!(with_key.health().status, "unknown", "not its fault");
    let sent = upstream.last_request().unwrap();
    assert!(sent.bearer().unwrap().starts_with("sk-invalid-"));
    // Without a key nobody is asked, and the answer is the same.
    let mut config = config(&upstream);
    config.api_key = None;
    let without_key = OpenAi::new(config).unwrap();
    let (own, rejected) = (ask(&without_key, invalid()).await.1.unwrap_err(), rejected.unwrap_err());
    assert_eq!((own.message, own.code, own.detail), (rejected.message, rejected.code, None));
    assert_eq!(upstream.counters().requests, 1);
    // A key that is really wrong is another matter.
    assert_eq!(code(&ask(&without_key, request("x")).await.1), (Code::Auth, false));
    assert_eq!(without_key.health().status, "degraded");
    assert_eq!(without_key.health().detail.as_deref(), Some("the last request ended with provider_auth"));
}

#[tokio::test]
async fn keys_are_never_shown() {
    let upstream = Upstream::start().await.unwrap();
    let config = config(&upstream);
    assert!(!format!("{config:?}").contains(KEY));
    let client = OpenAi::new(config.clone()).unwrap();
    assert!(!format!("{client:?}").contains(KEY));
    let catalog = Catalog::new(CatalogConfig { providers: vec![config], ..CatalogConfig::default() }).unwrap();
    assert!(!format!("{catalog:?}").contains(KEY));
}

#[tokio::test]
async fn answers_go_on_from_where_they_were() {
    let upstream = Upstream::start().await.unwrap();
    let mut can = config(&upstream);
    can.continues = Continues::Plain;
    let can = OpenAi::new(can).unwrap();
    let partial =
        || r1_domain::provider::CompletionRequest { partial_answer: Some("The sun is ".to_owned()), ..request("x") };
    upstream.push(Script::new().chunk("The sun").chunk(" is").chunk(" hot.").ending());
    assert!(can.can_continue());
    assert_eq!(ask(&can, partial()).await.0, "hot.");
    let sent = upstream.last_request().unwrap();
    assert_eq!(sent.body["messages"][1], json!({"role": "assistant", "content": "The sun is"}));
    let cannot = client(&upstream);
    assert!(!cannot.can_continue());
    assert_eq!(code(&ask(&cannot, partial()).await.1), (Code::Rejected, false));
}

#[tokio::test]
async fn without_a_default_the_first_listed_model_is_asked() {
    let upstream = Upstream::start().await.unwrap();
    upstream.set_models(&["llama", "other"]);
    let asked = client(&upstream);
    let default = r1_domain::provider::CompletionRequest { model: FIRST_MODEL.to_owned(), ..request("x") };
    assert_eq!(finish(&ask(&asked, default.clone()).await.1), "stop");
    assert_eq!(upstream.last_request().unwrap().body["model"], "llama");
    upstream.set_models(&["default", "other"]);
    assert_eq!(finish(&ask(&client(&upstream), default).await.1), "stop");
    assert_eq!(upstream.last_request().unwrap().body["model"], "default");
}
