use axum::extract::State;
use r1_domain::id::ConversationId;

use super::body::ConversationBody;
use crate::{
    app::App,
    error::{ApiResult, Problem},
    session::Caller,
    v1::params::PathId,
};

/// One conversation.
#[utoipa::path(
    get, path = "/conversations/{id}", tag = "conversations",
    params(("id" = String, Path, description = "The conversation.")),
    responses(
        (status = 200, description = "The conversation.", body = ConversationBody),
        (status = 404, description = "There is none with this id, or it is not yours.", body = Problem),
    )
)]
pub(crate) async fn get_conversation(
    State(app): State<App>,
    caller: Caller,
    PathId(id): PathId<ConversationId>,
) -> ApiResult<axum::Json<ConversationBody>> {
    Ok(axum::Json(app.store.conversation_get(caller.id(), id).await?.into()))
}
