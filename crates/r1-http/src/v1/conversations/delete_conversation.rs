use axum::extract::State;
use http::StatusCode;
use r1_domain::id::ConversationId;

use crate::{
    app::App,
    error::{ApiResult, Problem},
    session::Caller,
    v1::params::PathId,
};

/// Deletes a conversation with all its messages; an answer being written in it is stopped.
#[utoipa::path(
    delete, path = "/conversations/{id}", tag = "conversations",
    params(("id" = String, Path, description = "The conversation.")),
    responses(
        (status = 204, description = "It is gone."),
        (status = 404, description = "There is none with this id, or it is not yours.", body = Problem),
    )
)]
pub(crate) async fn delete_conversation(
    State(app): State<App>,
    caller: Caller,
    PathId(id): PathId<ConversationId>,
) -> ApiResult<StatusCode> {
    app.engine.stop_conversation(caller.id(), id).await;
    app.store.conversation_delete(caller.id(), id, app.clock.now()).await?;
    // One that was accepted in between.
    app.engine.stop_conversation(caller.id(), id).await;
    Ok(StatusCode::NO_CONTENT)
}
