use axum::extract::State;
use r1_domain::{
    id::{ConversationId, UserId},
    store::StoreError,
};
use serde::{Deserialize, Serialize};

use super::body::ConversationBody;
use crate::{
    app::App,
    error::{ApiResult, Problem},
    listing::page_of,
    session::Caller,
    v1::params::Query,
};

/// Which conversations.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConversationQuery {
    /// Only the one with this id: a page of one, or an empty page where there is none or it is not
    /// yours. So a client can ask whether a conversation exists without an error as the answer.
    id: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows per page, 1 to 200; 50 if not given.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// A page of conversations.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ConversationPage {
    /// The newest `updated_at` first.
    conversations: Vec<ConversationBody>,
    /// Where the next page starts; null on the last.
    next_cursor: Option<String>,
}

/// Lists the caller's conversations.
#[utoipa::path(
    get, path = "/conversations", tag = "conversations", params(ConversationQuery),
    responses(
        (status = 200, description = "A page.", body = ConversationPage),
        (status = 400, description = "A parameter is not valid.", body = Problem),
    )
)]
pub(crate) async fn list_conversations(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ConversationQuery>,
) -> ApiResult<axum::Json<ConversationPage>> {
    let page = page_of(query.cursor.as_deref(), query.limit)?;
    if let Some(id) = query.id {
        let conversations = find(&app, caller.id(), &id).await?.into_iter().collect();
        return Ok(axum::Json(ConversationPage { conversations, next_cursor: None }));
    }
    let page = app.store.conversation_list(caller.id(), page).await?;
    Ok(axum::Json(ConversationPage {
        conversations: page.items.into_iter().map(Into::into).collect(),
        next_cursor: page.next.map(|cursor| cursor.to_string()),
    }))
}

/// What is no id at all names nothing, like an id that nothing has.
async fn find(app: &App, owner: UserId, id: &str) -> Result<Option<ConversationBody>, StoreError> {
    let Ok(id) = id.parse::<ConversationId>() else { return Ok(None) };
    match app.store.conversation_get(owner, id).await {
        Ok(conversation) => Ok(Some(conversation.into())),
        Err(StoreError::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}
