//! The request's body (OpenAI API reference, "Create chat completion").

use r1_domain::provider::CompletionRequest;
use serde::Serialize;

use super::{
    config::{Continues, OpenAiConfig},
    parameters::MaxTokensField,
};
use crate::continuation::Seam;

#[derive(Debug, Serialize)]
pub(super) struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    continue_final_message: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    add_generation_prompt: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    return_token_ids: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    continue_token_ids: Option<&'a [u32]>,
}

#[derive(Debug, Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    prefix: bool,
}

#[derive(Debug, Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// The body for a request, and the seam to put its answer through, where it goes on from a partial
/// answer.
pub(super) fn encode<'a>(
    config: &OpenAiConfig,
    model: &'a str,
    request: &'a CompletionRequest,
) -> (Body<'a>, Option<Seam>) {
    let message = |role: r1_domain::message::Role, content| Message { role: role.as_str(), content, prefix: false };
    let mut messages: Vec<_> = request.turns.iter().map(|turn| message(turn.role, turn.content.as_str())).collect();
    let partial = request.partial_answer.as_deref().filter(|partial| !partial.is_empty());
    let mut seam = None;
    let mut vllm = None;
    if let Some(partial) = partial {
        let sent = if config.continues == Continues::Plain { partial.trim_end() } else { partial };
        // Where it goes on from its tokens a beginning that looks like an echo is none.
        seam = (!config.token_ids).then(|| Seam::new(partial, sent));
        if !sent.is_empty() {
            let role = r1_domain::message::Role::Assistant.as_str();
            messages.push(Message { role, content: sent, prefix: config.continues == Continues::Prefix });
            vllm = (config.continues == Continues::Vllm).then_some(());
        }
    }
    let ids = request.partial_ids.as_deref().filter(|_| config.token_ids && vllm.is_some());
    // Nothing left to write is a request only for who knows what is written.
    let most = if ids.is_some() { request.max_tokens } else { request.max_tokens.map(|most| most.max(1)) };
    let parameters = config.parameters_for(model);
    let (max_tokens, max_completion_tokens) = match parameters.max_tokens_field.unwrap_or_default() {
        MaxTokensField::MaxTokens => (most, None),
        MaxTokensField::MaxCompletionTokens => (None, most),
    };
    let body = Body {
        model,
        messages,
        stream: true,
        stream_options: parameters.stream_options.unwrap_or(true).then_some(StreamOptions { include_usage: true }),
        temperature: request.temperature,
        max_tokens,
        max_completion_tokens,
        seed: parameters.send_seed.unwrap_or(false).then_some(request.seed),
        user: parameters.send_user.unwrap_or(false).then_some(request.user_key.as_str()),
        continue_final_message: vllm.map(|()| true),
        add_generation_prompt: vllm.map(|()| false),
        return_token_ids: config.token_ids.then_some(true),
        continue_token_ids: ids,
    };
    (body, seam)
}

#[cfg(test)]
mod tests {
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
        serde_json::to_value(encode(&config, "m", &request).0).unwrap()
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
        let sent = |token_ids, continues, partial: Option<&str>| {
            let (mut config, mut request) = (OpenAiConfig::new("x", "http://x"), request());
            (config.token_ids, config.continues) = (token_ids, continues);
            request.partial_answer = partial.map(str::to_owned);
            request.partial_ids = partial.map(|_| [5, 70_000].into());
            request.max_tokens = Some(0);
            let (body, seam) = encode(&config, "m", &request);
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
}
