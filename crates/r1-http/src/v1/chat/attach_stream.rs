use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use r1_domain::{
    cursor::{Cursor, EventId},
    id::{ConversationId, GenerationId},
};
use r1_generation::Target;
use serde::Deserialize;

use crate::{
    app::App,
    error::{ApiError, ApiResult, Problem},
    retry_body::come_back,
    session::Caller,
    sse::{EventStream, Following},
    v1::params::{Query, only, parse},
};

/// What to follow, and from where.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct AttachQuery {
    /// This generation.
    generation_id: Option<String>,
    /// The running generation of this conversation, else its newest.
    conversation_id: Option<String>,
    /// With `generation_id`: only what comes after this event, `<epoch>.<seq>`; `0` for all.
    after: Option<String>,
}

/// Follows an answer: what was said first, then what is being said.
///
/// Without a cursor from the beginning. Without parameters the caller's newest running generation,
/// so that a plain `new EventSource('/api/v1/chat/stream')` works.
#[utoipa::path(
    get, path = "/chat/stream", tag = "chat",
    params(AttachQuery, ("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last event that the client got. Beats `after`, and names the generation where no `generation_id` does. Given once, or not at all.")),
    responses(
        (status = 200, description = "The events from there on, byte for byte as everybody else gets them. A body that ends with `retry:` and no terminal event asks to come back.", content_type = "text/event-stream", body = String),
        (status = 204, description = "Nothing to follow, or the client has had the terminal event."),
        (status = 400, description = "A cursor or an id is not valid.", body = Problem),
        (status = 404, description = "The generation or conversation is unknown, or not yours.", body = Problem),
    )
)]
pub(crate) async fn attach_stream(
    State(app): State<App>,
    caller: Result<Caller, ApiError>,
    headers: HeaderMap,
    query: Result<Query<AttachQuery>, ApiError>,
) -> Response {
    let attached = match (caller, query) {
        (Ok(caller), Ok(Query(query))) => attach(&app, &caller, &headers, &query).await,
        (Err(error), _) | (_, Err(error)) => Err(error),
    };
    attached.unwrap_or_else(come_back)
}

async fn attach(app: &App, caller: &Caller, headers: &HeaderMap, query: &AttachQuery) -> ApiResult<Response> {
    let (target, after) = aim(query, last_event_id(headers)?)?;
    let permit = app.attaches.acquire(caller.id())?;
    match app.engine.attach(caller.id(), target, after).await? {
        Some(reader) => {
            let watch = caller.watch(app, reader.generation_id());
            let following = Following { _permit: permit, watch };
            Ok(EventStream::new(reader, app.settings.heartbeat, following).into_response())
        }
        None => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

fn last_event_id(headers: &HeaderMap) -> ApiResult<Option<EventId>> {
    match only(headers, "Last-Event-ID")? {
        // What an EventSource sends that has had no event with an id yet.
        Some(value) if value.is_empty() => Ok(None),
        Some(value) => parse("Last-Event-ID", Some(value.to_str().unwrap_or("?"))),
        None => Ok(None),
    }
}

/// What is followed, and from which cursor.
fn aim(query: &AttachQuery, last: Option<EventId>) -> ApiResult<(Target, Option<Cursor>)> {
    let generation: Option<GenerationId> = parse("generation_id", query.generation_id.as_deref())?;
    let conversation: Option<ConversationId> = parse("conversation_id", query.conversation_id.as_deref())?;
    let after: Option<Cursor> = parse("after", query.after.as_deref())?;
    if generation.is_some() && conversation.is_some() {
        return Err(ApiError::bad_parameter("conversation_id", "can't be given together with generation_id"));
    }
    match (generation, last) {
        (Some(id), Some(last)) if last.generation_id != id => {
            Err(ApiError::bad_parameter("Last-Event-ID", "must be of the generation in generation_id"))
        }
        (_, Some(last)) => Ok((Target::Generation(last.generation_id), Some(last.cursor))),
        (Some(id), None) => Ok((Target::Generation(id), after)),
        (None, None) if after.is_some_and(|after| after != Cursor::BEGINNING) => {
            Err(ApiError::bad_parameter("after", "needs the generation_id of its event"))
        }
        (None, None) => Ok((conversation.map_or(Target::Newest, Target::Conversation), None)),
    }
}
