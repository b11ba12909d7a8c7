use axum::extract::State;
use r1_domain::{
    conversation::{ConversationChange, check_title},
    id::{ConversationId, MessageId},
};
use serde::Deserialize;

use super::body::ConversationBody;
use crate::{
    app::App,
    body::Json,
    error::{ApiError, ApiResult, Problem},
    session::Caller,
    v1::params::PathId,
};

/// What to change; at least one of them.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateConversationRequest {
    /// The new title, 1 to 200 characters.
    #[schema(max_length = 200)]
    title: Option<String>,
    /// A message on the branch to be shown. The branch goes on from it by the newest message that follows each: the
    /// conversation's `head_message_id` becomes the last of these, or this one if none follows. An answer that is being
    /// written, here or on another branch, goes on.
    head_message_id: Option<String>,
}

impl UpdateConversationRequest {
    fn check(self) -> Result<ConversationChange, ApiError> {
        if self.title.is_none() && self.head_message_id.is_none() {
            return Err(ApiError::invalid_field(
                "title",
                "or head_message_id must be given: there is nothing to change",
            ));
        }
        let title = self.title.map(|title| title.trim().to_owned());
        if let Some(title) = &title {
            check_title(title).map_err(|message| ApiError::invalid_field("title", message))?;
        }
        let head = self.head_message_id.map(|id| id.parse::<MessageId>()).transpose();
        let head = head.map_err(|_| ApiError::invalid_field("head_message_id", "must be the id of a message"))?;
        Ok(ConversationChange { title, head })
    }
}

/// Renames a conversation, or chooses the branch of it that is shown.
#[utoipa::path(
    patch, path = "/conversations/{id}", tag = "conversations",
    params(("id" = String, Path, description = "The conversation.")),
    request_body = UpdateConversationRequest,
    responses(
        (status = 200, description = "The conversation.", body = ConversationBody),
        (status = 404, description = "There is none with this id, or it is not yours.", body = Problem),
        (status = 422, description = "The title is not valid, the message is not in this conversation, or neither is given.", body = Problem),
    )
)]
pub(crate) async fn update_conversation(
    State(app): State<App>,
    caller: Caller,
    PathId(id): PathId<ConversationId>,
    Json(request): Json<UpdateConversationRequest>,
) -> ApiResult<axum::Json<ConversationBody>> {
    let change = request.check()?;
    let changed = app.store.conversation_change(caller.id(), id, change, app.clock.now()).await?;
    let changed =
        changed.ok_or_else(|| ApiError::invalid_field("head_message_id", "must be a message of this conversation"))?;
    Ok(axum::Json(changed.into()))
}
