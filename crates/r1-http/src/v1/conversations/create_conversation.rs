use axum::{extract::State, response::IntoResponse};
use http::{HeaderMap, StatusCode};
use r1_domain::{conversation::check_title, id::ConversationId, store::Earlier};
use r1_generation::EngineError;
use serde::Deserialize;

use super::body::ConversationBody;
use crate::{
    app::App,
    body::RawJson,
    error::{ApiError, ApiResult, Problem},
    session::Caller,
    v1::chat::idempotency::idempotency_key,
};

/// A new conversation.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateConversationRequest {
    /// Title, 1 to 200 characters; if not given `New conversation`, until the first question names it.
    #[schema(example = "Streaming Demo", max_length = 200)]
    title: Option<String>,
}

/// Makes a conversation.
#[utoipa::path(
    post, path = "/conversations", tag = "conversations",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key and body make one conversation, however often they come.")),
    request_body = CreateConversationRequest,
    responses(
        (status = 201, description = "The conversation.", body = ConversationBody),
        (status = 404, description = "What the key made was deleted since.", body = Problem),
        (status = 422, description = "The title is not valid, or the key was used for another request.", body = Problem),
    )
)]
pub(crate) async fn create_conversation(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    body: RawJson,
) -> ApiResult<impl IntoResponse> {
    let request: CreateConversationRequest = body.parse()?;
    let title = request.title.as_deref().map(str::trim);
    title.map_or(Ok(()), check_title).map_err(|message| ApiError::invalid_field("title", message))?;
    let key = idempotency_key(&headers, "POST /conversations", &body.bytes)?;
    let now = app.clock.now();
    let made = app.store.conversation_create(caller.id(), ConversationId::new(now), title, key, now).await?;
    let conversation = match made {
        Ok(conversation) => conversation,
        Err(Earlier::Conversation(id)) => app.store.conversation_get(caller.id(), id).await?,
        Err(Earlier::Generation(_) | Earlier::OtherRequest) => return Err(EngineError::KeyReused.into()),
    };
    Ok((StatusCode::CREATED, axum::Json(ConversationBody::from(conversation))))
}
