use axum::extract::State;
use r1_domain::{
    branch::{BranchEnd, BranchRequest},
    id::{ConversationId, MessageId},
    page::InvalidPageCursor,
};
use serde::{Deserialize, Serialize};

use super::body::MessageBody;
use crate::{
    app::App,
    error::{ApiError, ApiResult, Problem},
    listing::{limit_of, page_of},
    session::Caller,
    v1::params::{PathId, Query},
};

/// Which messages.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct MessageListQuery {
    /// `next_cursor` of the page before. With `path`, it stays on the branch of the page that gave it.
    cursor: Option<String>,
    /// Rows per page, 1 to 200; 50 if not given.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
    /// One branch instead of all messages, from its end towards the root: `head` is the branch that is shown, a
    /// message's id the one through that message. Beyond a message it goes on by the newest that follows each, as
    /// `head_message_id` does. Each message comes with its `siblings`.
    path: Option<String>,
}

/// A page of messages.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct MessagePage {
    /// Oldest first: of all branches, or, with `path`, of the one. The pages of a branch begin with its newest.
    messages: Vec<MessageBody>,
    /// Where the next page starts; null on the last. The next page of a branch is the one before this.
    next_cursor: Option<String>,
}

/// Lists a conversation's messages: all of them, or one branch.
#[utoipa::path(
    get, path = "/conversations/{id}/messages", tag = "conversations",
    params(("id" = String, Path, description = "The conversation."), MessageListQuery),
    responses(
        (status = 200, description = "A page. A running answer comes with its text so far and the last_event_id of exactly that text.", body = MessagePage),
        (status = 400, description = "A parameter is not valid.", body = Problem),
        (status = 404, description = "There is none with this id, or it is not yours; or it has no message with the id in path.", body = Problem),
    )
)]
pub(crate) async fn list_messages(
    State(app): State<App>,
    caller: Caller,
    PathId(id): PathId<ConversationId>,
    Query(query): Query<MessageListQuery>,
) -> ApiResult<axum::Json<MessagePage>> {
    let MessageListQuery { cursor, limit, path } = query;
    let Some(path) = path else {
        let mut page = app.store.message_list(caller.id(), id, page_of(cursor.as_deref(), limit)?).await?;
        app.engine.fill_running(caller.id(), &mut page.items).await?;
        return Ok(axum::Json(MessagePage {
            messages: page.items.into_iter().map(Into::into).collect(),
            next_cursor: page.next.map(|cursor| cursor.to_string()),
        }));
    };
    let request = BranchRequest { end: end_of(&path, cursor.as_deref())?, limit: limit_of(limit)? };
    let mut page = app.store.message_branch(caller.id(), id, request).await?;
    app.engine.fill_running(caller.id(), &mut page.messages).await?;
    let messages = page.messages.into_iter().zip(&page.siblings);
    Ok(axum::Json(MessagePage {
        messages: messages.map(|(message, siblings)| MessageBody::of_branch(message, siblings)).collect(),
        next_cursor: page.next.map(|message| message.to_string()),
    }))
}

/// Where the page of a branch ends. A cursor is the message with which the older page ends, so what follows that one may
/// change meanwhile.
fn end_of(path: &str, cursor: Option<&str>) -> Result<BranchEnd, ApiError> {
    let end = match path {
        "head" => BranchEnd::Head,
        id => BranchEnd::Through(
            id.parse::<MessageId>()
                .map_err(|_| ApiError::bad_parameter("path", "must be head or the id of a message"))?,
        ),
    };
    let Some(cursor) = cursor else { return Ok(end) };
    let message =
        cursor.parse::<MessageId>().map_err(|_| ApiError::bad_parameter("cursor", InvalidPageCursor.to_string()))?;
    Ok(BranchEnd::At(message))
}
