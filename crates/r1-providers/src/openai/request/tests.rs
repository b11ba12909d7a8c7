use r1_domain::message::{Role, Turn};
use serde_json::{Value, json};

use super::*;

fn request() -> CompletionRequest {
    CompletionRequest {
        model: "m".to_owned(),
        turns: vec![Turn { role: Role::User, content: "Hi".to_owned() }],
        partial_answer: None,
        partial_ids: None,
        temperature: None,
        max_tokens: Some(9),
        seed: u64::MAX,
        user_key: "u1".to_owned(),
        request_id: None,
        use_invalid_key: false,
    }
}

fn body(change: impl FnOnce(&mut OpenAiConfig, &mut CompletionRequest)) -> Value {
    let (mut config, mut request) = (OpenAiConfig::new("x", "http://x"), request());
    change(&mut config, &mut request);
    serde_json::to_value(encode(&config, &Fit::default(), "m", &request).0).unwrap()
}

#[test]
fn nothing_is_sent_that_was_not_asked_for() {
    assert_eq!(
        body(|_, _| {}),
        json!({
            "model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": true,
            "stream_options": {"include_usage": true}, "max_tokens": 9,
        })
    );
    let full = body(|config, request| {
        let parameters = &mut config.parameters;
        parameters.max_tokens_field = Some(MaxTokensField::MaxCompletionTokens);
        (parameters.send_seed, parameters.send_user) = (Some(true), Some(true));
        parameters.stream_options = Some(false);
        request.temperature = Some(0.5);
    });
    assert_eq!(
        full,
        json!({
            "model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": true, "temperature": 0.5,
            "max_completion_tokens": 9, "seed": u64::MAX, "user": "u1",
        })
    );
}

#[test]
fn each_kind_of_continuation_has_its_words() {
    let partial = |continues, text: &str| {
        body(|config, request| {
            config.continues = continues;
            request.partial_answer = Some(text.to_owned());
        })
    };
    let plain = partial(Continues::Plain, "So far. \n");
    assert_eq!(plain["messages"][1], json!({"role": "assistant", "content": "So far."}));
    assert_eq!(plain.get("continue_final_message"), None);
    assert_eq!(partial(Continues::Plain, " \n")["messages"].as_array().unwrap().len(), 1);
    let vllm = partial(Continues::Vllm, "So far. ");
    assert_eq!(vllm["messages"][1], json!({"role": "assistant", "content": "So far. "}));
    assert_eq!((&vllm["continue_final_message"], &vllm["add_generation_prompt"]), (&json!(true), &json!(false)));
    let prefix = partial(Continues::Prefix, "So far");
    assert_eq!(prefix["messages"][1], json!({"role": "assistant", "content": "So far", "prefix": true}));
    assert_eq!(partial(Continues::Vllm, "").get("continue_final_message"), None);
}

#[test]
fn tokens_are_for_our_own_engine_alone() {
    let sent = |own_engine, continues, partial: Option<&str>| {
        let (mut config, mut request) = (OpenAiConfig::new("x", "http://x"), request());
        (config.own_engine, config.continues) = (own_engine, continues);
        request.partial_answer = partial.map(str::to_owned);
        request.partial_ids = partial.map(|_| [5, 70_000].into());
        request.max_tokens = Some(0);
        let (body, seam) = encode(&config, &Fit::default(), "m", &request);
        (serde_json::to_value(body).unwrap(), seam.is_some())
    };
    for continues in [Continues::Plain, Continues::Vllm, Continues::Prefix] {
        let (body, seam) = sent(false, continues, Some("So far"));
        assert_eq!((body.get("return_token_ids"), body.get("continue_token_ids")), (None, None));
        assert_eq!((&body["max_tokens"], seam), (&json!(1), true), "0 is no limit that others know");
    }
    let (body, seam) = sent(true, Continues::Vllm, Some("So far"));
    assert_eq!((&body["return_token_ids"], &body["continue_token_ids"]), (&json!(true), &json!([5, 70_000])));
    assert_eq!((&body["messages"][1]["content"], &body["max_tokens"], seam), (&json!("So far"), &json!(0), false));
    let (body, _) = sent(true, Continues::Vllm, None);
    assert_eq!((&body["return_token_ids"], body.get("continue_token_ids")), (&json!(true), None));
    assert_eq!(body["max_tokens"], 1);
}
