use axum::extract::State;
use r1_domain::{event::Usage, generation::Spent, id::GenerationId};
use serde::Serialize;

use super::stop_generation::GenerationBody;
use crate::{
    app::App,
    error::{ApiResult, Problem},
    session::Caller,
    v1::params::PathId,
};

/// How a generation stands, what its model was given and what it took.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = GenerationDetails)]
pub(crate) struct GenerationDetailsBody {
    #[serde(flatten)]
    generation: GenerationBody,
    /// Once its message has ended: the oldest message that the model was given. Absent where it was given all that
    /// was said before.
    #[serde(skip_serializing_if = "Option::is_none")]
    remembers_from: Option<String>,
    /// Once it has ended: tokens used by all its calls of the model, as in its `end` event; kept after a failure, too.
    #[schema(value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    /// Once it has ended: milliseconds from its acceptance to the first text or thought, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_token_ms: Option<u64>,
    /// Once it has ended: milliseconds from its acceptance to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    total_ms: Option<u64>,
}

/// Says how an answer stands, without its text.
#[utoipa::path(
    get, path = "/chat/generations/{id}", tag = "chat",
    params(("id" = String, Path, description = "The generation.")),
    responses(
        (status = 200, description = "How it stands.", body = GenerationDetailsBody),
        (status = 404, description = "There is none with this id, or it is not yours.", body = Problem),
    )
)]
pub(crate) async fn get_generation(
    State(app): State<App>,
    caller: Caller,
    PathId(id): PathId<GenerationId>,
) -> ApiResult<axum::Json<GenerationDetailsBody>> {
    let generation = app.store.generation_get(caller.id(), id).await?;
    let Spent { usage, first_token_ms, created_at, ended_at } = app.store.generation_spent(caller.id(), id).await?;
    let message = app.store.message_get(caller.id(), generation.message_id).await?;
    Ok(axum::Json(GenerationDetailsBody {
        remembers_from: message.remembers_from.map(|id| id.to_string()),
        usage,
        first_token_ms,
        total_ms: ended_at.map(|ended_at| u64::try_from(ended_at.since(created_at).as_millis()).unwrap_or(u64::MAX)),
        generation: generation.into(),
    }))
}
