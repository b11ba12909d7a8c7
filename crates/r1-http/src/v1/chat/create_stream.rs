use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::HeaderMap;

use super::{
    accept::accept,
    question::{ChatRequest, question},
};
use crate::{
    app::App,
    body::RawJson,
    error::{ApiResult, Problem},
    session::Caller,
    sse::EventStream,
};

/// Asks, and streams the answer as Server-Sent Events.
///
/// The answer belongs to the server: it goes on when the connection closes, and
/// `GET /chat/stream` follows it from any event on. An `error` event has the fields of `AnswerError`, in that order:
/// `detail`, the provider's own message, is for administrators, or for everybody where `generation.show_details` is on.
#[utoipa::path(
    post, path = "/chat/stream", tag = "chat",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key and body make one message and get the same stream.")),
    request_body = ChatRequest,
    responses(
        (status = 200, description = "Accepted and stored. Events `start`, `reasoning` where the model shows what it thinks, `chunk`…, then `end` or `error`; each has an `id` for Last-Event-ID.", content_type = "text/event-stream", body = String),
        (status = 404, description = "The conversation or the parent is unknown, or not yours; or what the key made was deleted since.", body = Problem),
        (status = 409, description = "An answer is being written in this conversation: `generation_id` names it.", body = Problem),
        (status = 422, description = "Fields are not valid, the model is unknown, or the key was used for another request.", body = Problem),
        (status = 429, description = "Too many answers are being written for this account, or followed. A request that was accepted before meets neither limit; where too many such are followed again it is told its `generation_id`.", body = Problem),
    )
)]
pub(crate) async fn create_stream(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    body: RawJson,
) -> ApiResult<Response> {
    let question = question(&app, &caller, &headers, "POST /chat/stream", &body)?;
    let (accepted, following) =
        accept(&app, &caller, question.idempotency.clone(), app.engine.send(caller.id(), question)).await?;
    Ok(EventStream::new(accepted.reader, app.settings.heartbeat, following).into_response())
}
