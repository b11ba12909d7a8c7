use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::HeaderMap;
use r1_domain::id::GenerationId;
use r1_generation::Continuation;
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

/// How an answer shall go on.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContinueRequest {
    /// How free the rest is; not given: as before.
    #[schema(minimum = 0.0, maximum = 2.0)]
    temperature: Option<f64>,
    /// At most this many further tokens.
    #[schema(minimum = 1, maximum = 1_000_000)]
    max_tokens: Option<u32>,
}

/// Goes on with an answer that ended early, and streams it as Server-Sent Events.
///
/// The answer was stopped, interrupted, cut at a length limit, or failed after some text. A new
/// generation writes on in the same message; it begins with all that the message says so far.
#[utoipa::path(
    post, path = "/chat/generations/{id}/continue", tag = "chat",
    params(
        ("id" = String, Path, description = "The newest generation of the answer."),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key and body continue once and get the same stream."),
    ),
    request_body = Option<ContinueRequest>,
    responses(
        (status = 200, description = "Accepted and stored. Events `start`, what the message says so far (one event for each part, mostly one `chunk` with the text), further `reasoning` and `chunk`s, then `end` or `error`.", content_type = "text/event-stream", body = String),
        (status = 404, description = "There is none with this id, or it is not yours; or what the key made was deleted since.", body = Problem),
        (status = 409, description = "`code` is `generation_running` (an answer is being written in this conversation: `generation_id` names it), `generation_superseded` (the answer was continued since: `generation_id` names its newest) or `not_continuable` (`detail` says what to do instead).", body = Problem),
        (status = 422, description = "Fields are not valid, the model is no longer there, or the key was used for another request.", body = Problem),
        (status = 429, description = "Too many answers are being written for this account, or followed. A request that was accepted before meets neither limit; where too many such are followed again it is told its `generation_id`.", body = Problem),
    )
)]
pub(crate) async fn continue_generation(
    State(app): State<App>,
    caller: Caller,
    PathId(id): PathId<GenerationId>,
    headers: HeaderMap,
    body: OptionalJson,
) -> ApiResult<Response> {
    let request: ContinueRequest = body.parse()?;
    let mut faults = Faults::default();
    faults.check_temperature(request.temperature);
    faults.check_max_tokens(request.max_tokens);
    faults.into_result()?;
    let key = idempotency_key(&headers, &format!("POST /chat/generations/{id}/continue"), &body.bytes)?;
    let how = Continuation {
        temperature: request.temperature,
        max_tokens: request.max_tokens,
        request_id: Some(RequestId::of(&headers).into()),
        shows_details: app.shows_details(&caller),
        idempotency: key.clone(),
    };
    let (accepted, following) = accept(&app, &caller, key, app.engine.go_on(caller.id(), id, how)).await?;
    Ok(EventStream::new(accepted.reader, app.settings.heartbeat, following).into_response())
}
