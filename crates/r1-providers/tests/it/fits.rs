//! A provider refuses a parameter, and is asked again without it: once, and for that model never again.

use http::StatusCode;
use r1_domain::{
    message::{Role, Turn},
    provider::{CompletionRequest, ProviderErrorCode as Code},
};
use r1_providers::openai::{MaxTokensField, OpenAi, Parameters, SystemRole};
use r1_testkit::upstream::{RecordedRequest, Script, Upstream};
use serde_json::{Value, json};

use crate::support::{ask, client, code, config, finish, request};

/// Refuses these, one at a time, as OpenAI words it.
fn refusing(names: &'static [&'static str]) -> impl Fn(&RecordedRequest) -> Script {
    move |request| match names.iter().find(|name| request.body.get(**name).is_some()) {
        Some(name) => refusal(name),
        None => Script::text("fine"),
    }
}

fn refusal(name: &str) -> Script {
    let message = format!("Unsupported parameter: '{name}' is not supported with this model.");
    let error = json!({"error": {"message": message, "param": name, "code": "unsupported_parameter"}});
    Script::json(StatusCode::BAD_REQUEST, &error)
}

fn warm(question: &str) -> CompletionRequest {
    CompletionRequest { temperature: Some(0.5), ..request(question) }
}

fn sent(upstream: &Upstream) -> Vec<Value> {
    upstream.requests().into_iter().map(|request| request.body).collect()
}

#[tokio::test]
async fn what_a_model_refuses_never_reaches_it_twice() {
    for refused in [
        &["max_tokens"][..],
        &["temperature"],
        &["stream_options"],
        &["max_tokens", "temperature"],
        &["max_tokens", "max_completion_tokens", "stream_options", "temperature"],
    ] {
        let upstream = Upstream::start().await.unwrap();
        upstream.respond_with(refusing(refused));
        let client = client(&upstream);
        let (text, last) = ask(&client, warm("x")).await;
        assert_eq!((text.as_str(), finish(&last)), ("fine", "stop"), "{refused:?}");
        assert_eq!(upstream.requests().len(), refused.len() + 1);
        assert_eq!(client.health().status, "ok");
        for name in refused {
            let with = sent(&upstream).iter().filter(|body| body.get(name).is_some()).count();
            assert!(with <= refused.len(), "{name}");
        }
        let before = upstream.requests().len();
        assert_eq!(ask(&client, warm("y")).await.0, "fine");
        let later = sent(&upstream).split_off(before);
        assert_eq!(later.len(), 1, "{refused:?}");
        assert!(refused.iter().all(|name| later[0].get(*name).is_none()), "{later:?}");
        // Another model may take it.
        let other = CompletionRequest { model: "other".to_owned(), ..warm("z") };
        let _ = ask(&client, other).await;
        let other = sent(&upstream).into_iter().find(|body| body["model"] == "other").unwrap();
        assert!(other.get(refused[0]).is_some());
    }
}

#[tokio::test]
async fn the_limit_keeps_its_value_under_its_other_name() {
    let upstream = Upstream::start().await.unwrap();
    upstream.respond_with(refusing(&["max_tokens"]));
    let _ = ask(&client(&upstream), request("x")).await;
    assert_eq!(sent(&upstream)[1]["max_completion_tokens"], 100);
}

#[tokio::test]
async fn a_refusal_that_is_not_mended_is_one() {
    let upstream = Upstream::start().await.unwrap();
    upstream.respond_with(|_| refusal("temperature"));
    let client = client(&upstream);
    assert_eq!(code(&ask(&client, warm("x")).await.1), (Code::Rejected, false));
    assert_eq!(upstream.requests().len(), 2, "one corrected request");
    // Nothing that was sent is named; a key is another matter; a server's fault too.
    for (status, name) in [(400, "top_p"), (403, "temperature"), (500, "temperature"), (404, "temperature")] {
        let upstream = Upstream::start().await.unwrap();
        let mut script = refusal(name);
        script.status = StatusCode::from_u16(status).unwrap();
        upstream.respond_with(move |_| script.clone());
        assert!(ask(&crate::support::client(&upstream), warm("x")).await.1.is_err());
        assert_eq!(upstream.requests().len(), 1, "{status} {name}");
    }
}

#[tokio::test]
async fn a_limit_that_leaves_no_room_is_not_the_conversations_fault() {
    let upstream = Upstream::start().await.unwrap();
    upstream.respond_with(|request| {
        let full = request.question().len() > 5;
        if full || request.body.get("max_tokens").is_some() {
            let in_the_completion = if full { "" } else { " (3000 in the messages, 2000 in the completion)" };
            let message = format!(
                "This model's maximum context length is 4097 tokens. You requested 5000 tokens{in_the_completion}."
            );
            return Script::error(StatusCode::BAD_REQUEST, "context_length_exceeded", &message);
        }
        Script::text("fine")
    });
    let client = client(&upstream);
    assert_eq!(ask(&client, request("short")).await.0, "fine");
    assert_eq!(ask(&client, request("again")).await.0, "fine");
    assert_eq!(upstream.requests().len(), 4, "a limit that may fit another time is not forgotten");
    assert_eq!(code(&ask(&client, request("much too long")).await.1), (Code::ContextTooLong, false));
}

#[tokio::test]
async fn a_system_turn_is_sent_as_the_model_takes_it() {
    let with_system = || CompletionRequest {
        turns: vec![
            Turn { role: Role::System, content: "Be brief.".to_owned() },
            Turn { role: Role::User, content: "Hi".to_owned() },
        ],
        ..request("x")
    };
    let upstream = Upstream::start().await.unwrap();
    upstream.respond_with(|request| match request.body["messages"][0]["role"].as_str() {
        Some("user") => Script::text("fine"),
        Some(role) => {
            let message = format!("Unsupported value: 'messages[0].role' does not support '{role}' with this model.");
            Script::json(StatusCode::BAD_REQUEST, &json!({"error": {"message": message, "param": "messages[0].role"}}))
        }
        None => Script::html(StatusCode::OK),
    });
    let client = client(&upstream);
    assert_eq!(ask(&client, with_system()).await.0, "fine");
    assert_eq!(ask(&client, with_system()).await.0, "fine");
    let bodies = sent(&upstream);
    assert_eq!(bodies.len(), 3);
    assert_eq!(bodies[2]["messages"], json!([{"role": "user", "content": "Be brief.\n\nHi"}]));
    let mut config = config(&upstream);
    config.parameters = Parameters { system_role: Some(SystemRole::Developer), ..Parameters::default() };
    upstream.respond_with(|_| Script::text("fine"));
    let _ = ask(&OpenAi::new(config).unwrap(), with_system()).await;
    assert_eq!(upstream.last_request().unwrap().body["messages"][0]["role"], "developer");
}

#[tokio::test]
async fn a_template_that_refuses_a_system_turn_is_given_none() {
    for message in [
        "Error: Jinja Exception: Conversation roles must alternate user/assistant/user/assistant/...",
        "Error rendering prompt with jinja template: \"Only user and assistant roles are supported!\"",
        "Error: Jinja Exception: System role not supported",
    ] {
        let upstream = Upstream::start().await.unwrap();
        upstream.respond_with(move |request| match request.body["messages"][0]["role"].as_str() {
            Some("user") => Script::text("fine"),
            _ => Script::error(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message),
        });
        let turns = [(Role::System, "Be brief."), (Role::User, "Hi")];
        let turns = turns.map(|(role, content)| Turn { role, content: content.to_owned() }).to_vec();
        let (text, _) = ask(&client(&upstream), CompletionRequest { turns, ..request("x") }).await;
        assert_eq!((text.as_str(), upstream.requests().len()), ("fine", 2), "{message}");
    }
}

#[tokio::test]
async fn settings_say_what_is_sent() {
    let upstream = Upstream::start().await.unwrap();
    let mut config = config(&upstream);
    config.parameters = Parameters {
        max_tokens_field: Some(MaxTokensField::MaxCompletionTokens),
        max_tokens: Some(7),
        unsupported: vec!["temperature".to_owned(), "stream_options".to_owned()],
        send_seed: Some(true),
        ..Parameters::default()
    };
    let unlimited = CompletionRequest { max_tokens: None, ..warm("x") };
    let _ = ask(&OpenAi::new(config).unwrap(), unlimited.clone()).await;
    let body = upstream.last_request().unwrap().body;
    assert_eq!((&body["max_completion_tokens"], &body["seed"]), (&json!(7), &json!(7)));
    assert_eq!((body.get("temperature"), body.get("stream_options"), body.get("max_tokens")), (None, None, None));
    // Where nobody set a limit, none is sent.
    let _ = ask(&client(&upstream), unlimited).await;
    let body = upstream.last_request().unwrap().body;
    assert_eq!((body.get("max_completion_tokens"), body.get("max_tokens")), (None, None));
}

#[tokio::test]
async fn a_model_that_does_not_stream_is_asked_for_the_whole() {
    let upstream = Upstream::start().await.unwrap();
    upstream.respond_with(|request| match request.body["stream"].as_bool() {
        Some(true) if request.body.get("stream_options").is_none() => refusal("stream"),
        Some(true) => refusal("stream_options"),
        _ => Script::json(StatusCode::OK, &json!({"choices": [{"message": {"content": "whole"}}]})),
    });
    assert_eq!(ask(&client(&upstream), request("x")).await.0, "whole");
}
