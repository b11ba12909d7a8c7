use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::HeaderMap;
use r1_domain::id::GenerationId;
use r1_generation::Retry;
use serde::Deserialize;

use super::{accept::accept, faults::Faults, idempotency::idempotency_key};
use crate::{
    app::App,
    body::OptionalJson,
    error::{ApiResult, Problem},
    problem::RequestId,
    session::Caller,
    sse::EventStream,
    v1::params::PathId,
};

/// How a question shall be answered again. What is not given is as before.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RetryRequest {
    /// `provider/model` or a bare name.
    model: Option<String>,
    /// How free the answer is.
    #[schema(minimum = 0.0, maximum = 2.0)]
    temperature: Option<f64>,
    /// At most this many tokens of answer.
    #[schema(minimum = 1, maximum = 1_000_000)]
    max_tokens: Option<u32>,
}

/// Answers a question again, and streams the answer as Server-Sent Events.
///
/// The new answer is a message of its own beside the old one, with the same `parent_id`, and becomes
/// the conversation's `head_message_id`. The model is not shown the old answer.
#[utoipa::path(
    post, path = "/chat/generations/{id}/retry", tag = "chat",
    params(
        ("id" = String, Path, description = "A generation of the answer, however it ended."),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key and body make one answer and get the same stream."),
    ),
    request_body = Option<RetryRequest>,
    responses(
        (status = 200, description = "Accepted and stored. Events as of `POST /chat/stream`; `message_id` in `start` is the new answer.", content_type = "text/event-stream", body = String),
        (status = 404, description = "There is none with this id, or it is not yours; or what the key made was deleted since.", body = Problem),
        (status = 409, description = "An answer is being written in this conversation: `generation_id` names it.", body = Problem),
        (status = 422, description = "Fields are not valid, the model is unknown, or the key was used for another request.", body = Problem),
        (status = 429, description = "Too many answers are being written for this account, or followed. A request that was accepted before meets neither limit; where too many such are followed again it is told its `generation_id`.", body = Problem),
    )
)]
pub(crate) async fn retry_generation(
    State(app): State<App>,
    caller: Caller,
    PathId(id): PathId<GenerationId>,
    headers: HeaderMap,
    body: OptionalJson,
) -> ApiResult<Response> {
    let request: RetryRequest = body.parse()?;
    let mut faults = Faults::default();
    faults.check_model(request.model.as_deref());
    faults.check_temperature(request.temperature);
    faults.check_max_tokens(request.max_tokens);
    faults.into_result()?;
    let key = idempotency_key(&headers, &format!("POST /chat/generations/{id}/retry"), &body.bytes)?;
    let how = Retry {
        model: request.model,
        temperature: request.temperature,
        max_tokens: request.max_tokens,
        request_id: Some(RequestId::of(&headers).into()),
        shows_details: app.shows_details(&caller),
        idempotency: key.clone(),
    };
    let (accepted, following) = accept(&app, &caller, key, app.engine.retry(caller.id(), id, how)).await?;
    Ok(EventStream::new(accepted.reader, app.settings.heartbeat, following).into_response())
}
