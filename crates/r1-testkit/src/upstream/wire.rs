//! The OpenAI wire format, as a server writes it (`chat.completion.chunk` objects, `list` of models).

use bytes::Bytes;
use serde_json::{Value, json};

/// A chunk of this model with these choices, both already JSON. By hand: a bench's upstream makes
/// tens of thousands a second on the cores that it measures.
fn envelope(model: &str, choices: &str, usage: &str) -> String {
    let model = Value::from(model);
    format!(
        r#"{{"id":"chatcmpl-scripted","object":"chat.completion.chunk","created":1767225600,"model":{model},"system_fingerprint":"fp_scripted","choices":[{choices}]{usage}}}"#
    )
}

/// A chunk with text.
pub(super) fn chunk(model: &str, text: &str) -> String {
    let text = Value::from(text);
    let choice = format!(r#"{{"index":0,"delta":{{"content":{text}}},"logprobs":null,"finish_reason":null}}"#);
    envelope(model, &choice, "")
}

/// The chunk that comes first.
pub(super) fn role(model: &str) -> String {
    let choice =
        r#"{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}"#;
    envelope(model, choice, "")
}

/// The chunk that says why the answer ends.
pub(super) fn finish(model: &str, reason: &str) -> String {
    let reason = Value::from(reason);
    envelope(model, &format!(r#"{{"index":0,"delta":{{}},"logprobs":null,"finish_reason":{reason}}}"#), "")
}

/// The chunk that counts.
pub(super) fn usage(model: &str, prompt_tokens: u64, completion_tokens: u64) -> String {
    let total_tokens = prompt_tokens + completion_tokens;
    let usage = format!(
        r#","usage":{{"prompt_tokens":{prompt_tokens},"completion_tokens":{completion_tokens},"total_tokens":{total_tokens}}}"#
    );
    envelope(model, "", &usage)
}

/// A frame around it.
pub(super) fn frame(payload: &str) -> Bytes {
    Bytes::from(format!("data: {payload}\n\n"))
}

/// The answer to `GET /models`.
pub(super) fn models(names: &[String]) -> Value {
    let data: Vec<_> = names
        .iter()
        .map(|name| json!({"id": name, "object": "model", "created": 1_767_225_600, "owned_by": "scripted"}))
        .collect();
    json!({"object": "list", "data": data})
}
