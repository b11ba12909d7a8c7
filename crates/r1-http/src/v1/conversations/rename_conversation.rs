use axum::extract::State;
use r1_domain::{conversation::check_title, id::ConversationId};
use serde::Deserialize;

use super::body::ConversationBody;
use crate::{
    app::App,
    body::Json,
    error::{ApiError, ApiResult, Problem},
    session::Caller,
    v1::params::PathId,
};

/// What to change.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RenameConversationRequest {
    /// The new title, 1 to 200 characters.
    #[schema(max_length = 200)]
    title: String,
}

/// Renames a conversation.
#[utoipa::path(
    patch, path = "/conversations/{id}", tag = "conversations",
    params(("id" = String, Path, description = "The conversation.")),
    request_body = RenameConversationRequest,
    responses(
        (status = 200, description = "The conversation.", body = ConversationBody),
        (status = 404, description = "There is none with this id, or it is not yours.", body = Problem),
        (status = 422, description = "The title is not valid.", body = Problem),
    )
)]
pub(crate) async fn rename_conversation(
    State(app): State<App>,
    caller: Caller,
    PathId(id): PathId<ConversationId>,
    Json(request): Json<RenameConversationRequest>,
) -> ApiResult<axum::Json<ConversationBody>> {
    let title = request.title.trim();
    check_title(title).map_err(|message| ApiError::invalid_field("title", message))?;
    Ok(axum::Json(app.store.conversation_rename(caller.id(), id, title, app.clock.now()).await?.into()))
}
