//! A question on the wire, and its checks.

use http::HeaderMap;
use r1_domain::text::is_blank;
use r1_generation::Question;
use serde::Deserialize;

use super::{faults::Faults, idempotency::idempotency_key};
use crate::{app::App, body::RawJson, error::ApiError, problem::RequestId, session::Caller};

/// A question.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChatRequest {
    /// The question. One with nothing to be seen is empty.
    #[schema(
        example = "Explain quantum computing in exactly 3 short paragraphs",
        min_length = 1,
        max_length = 200_000
    )]
    message: String,
    /// The conversation; not given: one is made and named after the question.
    conversation_id: Option<String>,
    /// The message to follow, for a branch; not given: the conversation's newest.
    parent_id: Option<String>,
    /// `provider/model` or a bare name of the default provider's; not given: the default. A name that the
    /// answer before has is its provider's: 422 where that is no longer configured.
    model: Option<String>,
    /// How free the answer is; the provider's default if not given.
    #[schema(minimum = 0.0, maximum = 2.0)]
    temperature: Option<f64>,
    /// At most this many tokens of answer.
    #[schema(minimum = 1, maximum = 1_000_000)]
    max_tokens: Option<u32>,
    /// Run with a key that the provider rejects, to see how an error streams.
    #[serde(default)]
    use_invalid_key: bool,
}

/// Parses and checks a question; all faulty fields at once.
pub(super) fn question(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    route: &str,
    body: &RawJson,
) -> Result<Question, ApiError> {
    let request: ChatRequest = body.parse()?;
    let mut faults = Faults::default();

    let most = app.settings.message_chars;
    if is_blank(&request.message) {
        faults.add("message", "must not be empty");
    } else if request.message.len() > most && request.message.chars().count() > most {
        faults.add("message", format!("must have at most {most} characters"));
    }
    let conversation_id = faults.parse("conversation_id", request.conversation_id.as_deref());
    let parent_id = faults.parse("parent_id", request.parent_id.as_deref());
    if request.parent_id.is_some() && request.conversation_id.is_none() {
        faults.add("parent_id", "needs the conversation_id of its conversation");
    }
    faults.check_temperature(request.temperature);
    faults.check_max_tokens(request.max_tokens);
    faults.check_model(request.model.as_deref());
    faults.into_result()?;
    Ok(Question {
        idempotency: idempotency_key(headers, route, &body.bytes)?,
        text: request.message,
        conversation_id,
        parent_id,
        model: request.model,
        temperature: request.temperature,
        max_tokens: request.max_tokens,
        use_invalid_key: request.use_invalid_key,
        request_id: Some(RequestId::of(headers).into()),
        shows_details: app.shows_details(caller),
    })
}
