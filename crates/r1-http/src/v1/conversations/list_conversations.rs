use axum::extract::State;
use serde::Serialize;

use super::body::ConversationBody;
use crate::{
    app::App,
    error::{ApiResult, Problem},
    listing::ListQuery,
    session::Caller,
    v1::params::Query,
};

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
    get, path = "/conversations", tag = "conversations", params(ListQuery),
    responses(
        (status = 200, description = "A page.", body = ConversationPage),
        (status = 400, description = "A parameter is not valid.", body = Problem),
    )
)]
pub(crate) async fn list_conversations(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> ApiResult<axum::Json<ConversationPage>> {
    let page = app.store.conversation_list(caller.id(), query.page()?).await?;
    Ok(axum::Json(ConversationPage {
        conversations: page.items.into_iter().map(Into::into).collect(),
        next_cursor: page.next.map(|cursor| cursor.to_string()),
    }))
}
