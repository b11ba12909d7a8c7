use axum::extract::State;
use r1_domain::id::ConversationId;
use serde::Serialize;

use super::body::MessageBody;
use crate::{
    app::App,
    error::{ApiResult, Problem},
    listing::ListQuery,
    session::Caller,
    v1::params::{PathId, Query},
};

/// A page of messages.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct MessagePage {
    /// Oldest first, all branches.
    messages: Vec<MessageBody>,
    /// Where the next page starts; null on the last.
    next_cursor: Option<String>,
}

/// Lists a conversation's messages.
#[utoipa::path(
    get, path = "/conversations/{id}/messages", tag = "conversations",
    params(("id" = String, Path, description = "The conversation."), ListQuery),
    responses(
        (status = 200, description = "A page. A running answer comes with its text so far and the last_event_id of exactly that text.", body = MessagePage),
        (status = 400, description = "A parameter is not valid.", body = Problem),
        (status = 404, description = "There is none with this id, or it is not yours.", body = Problem),
    )
)]
pub(crate) async fn list_messages(
    State(app): State<App>,
    caller: Caller,
    PathId(id): PathId<ConversationId>,
    Query(query): Query<ListQuery>,
) -> ApiResult<axum::Json<MessagePage>> {
    let mut page = app.store.message_list(caller.id(), id, query.page()?).await?;
    app.engine.fill_running(caller.id(), &mut page.items).await?;
    Ok(axum::Json(MessagePage {
        messages: page.items.into_iter().map(Into::into).collect(),
        next_cursor: page.next.map(|cursor| cursor.to_string()),
    }))
}
