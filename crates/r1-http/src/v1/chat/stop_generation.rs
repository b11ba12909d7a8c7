use axum::extract::State;
use r1_domain::{generation::Generation, id::GenerationId};
use serde::Serialize;

use crate::{
    app::App,
    error::{ApiResult, Problem},
    session::Caller,
    v1::params::PathId,
};

/// How a generation stands.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Generation)]
pub(crate) struct GenerationBody {
    /// The generation.
    generation_id: String,
    /// Its conversation.
    conversation_id: String,
    /// Its message.
    message_id: String,
    /// `queued`, `running`, `completed`, `stopped`, `failed` or `interrupted`; never one of the first two after a stop.
    status: &'static str,
}

impl From<Generation> for GenerationBody {
    fn from(generation: Generation) -> Self {
        Self {
            generation_id: generation.id.to_string(),
            conversation_id: generation.conversation_id.to_string(),
            message_id: generation.message_id.to_string(),
            status: generation.state.as_str(),
        }
    }
}

/// Stops an answer, from any device. The message keeps the text written so far.
#[utoipa::path(
    post, path = "/chat/generations/{id}/stop", tag = "chat",
    params(("id" = String, Path, description = "The generation.")),
    responses(
        (status = 200, description = "It has ended: stopped now, or before in the way that `status` says.", body = GenerationBody),
        (status = 404, description = "There is none with this id, or it is not yours.", body = Problem),
        (status = 503, description = "`code` is `stop_not_stored` (it is stopped; its end is stored once the database takes it), `draining` (the server is going down and has left it to its next start) or `storage_unavailable`. Ask again after `Retry-After`.", body = Problem),
    )
)]
pub(crate) async fn stop_generation(
    State(app): State<App>,
    caller: Caller,
    PathId(id): PathId<GenerationId>,
) -> ApiResult<axum::Json<GenerationBody>> {
    Ok(axum::Json(app.engine.stop(caller.id(), id).await?.into()))
}
