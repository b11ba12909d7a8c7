use axum::extract::State;
use http::HeaderMap;
use r1_domain::{
    event::{End, Event, Outcome, Usage},
    fold::Folded,
    generation::State as GenerationState,
    id::GenerationId,
};
use serde::Serialize;

use super::{
    accept::accept,
    question::{ChatRequest, question},
};
use crate::{
    app::App,
    body::RawJson,
    error::{ApiError, ApiResult, Problem},
    session::Caller,
    v1::{
        failure::FailureBody,
        part::{self, PartBody},
    },
};

/// A whole answer: what the events of its stream add up to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Answer)]
pub(crate) struct AnswerBody {
    /// The generation that wrote it.
    generation_id: String,
    /// Its conversation.
    conversation_id: Option<String>,
    /// Its message.
    message_id: Option<String>,
    /// The model, as `provider/model`.
    model: Option<String>,
    /// Always `assistant`.
    role: &'static str,
    /// The text.
    content: String,
    /// `completed`, `stopped`, `failed`, `interrupted`; `running` if the server had to let go.
    status: &'static str,
    /// Why the model ended.
    finish_reason: Option<String>,
    /// Tokens used, where somebody counted.
    #[schema(value_type = Option<Object>)]
    usage: Option<Usage>,
    /// What went wrong after the question was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<FailureBody>,
    /// All its parts in order, where there are others than text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<PartBody>,
}

impl AnswerBody {
    fn new(generation_id: GenerationId, folded: Folded) -> Self {
        let (conversation_id, message_id, model) = match folded.start {
            Some(start) => {
                (Some(start.conversation_id.to_string()), Some(start.message_id.to_string()), Some(start.model))
            }
            None => (None, None, None),
        };
        let state = folded.terminal.as_ref().map_or(GenerationState::Running, Event::state);
        let (finish_reason, usage, error) = match folded.terminal {
            Some(Event::Error(failure)) => (None, None, Some(FailureBody::from(failure))),
            Some(Event::End(End { outcome: Outcome::Completed { finish_reason }, usage, .. })) => {
                (Some(finish_reason), usage, None)
            }
            Some(Event::End(End { usage, .. })) => (None, usage, None),
            _ => (None, None, None),
        };
        let (content, parts) = part::of(folded.content);
        Self {
            generation_id: generation_id.to_string(),
            conversation_id,
            message_id,
            model,
            role: "assistant",
            content,
            status: state.as_str(),
            finish_reason,
            usage,
            error,
            parts,
        }
    }
}

/// Asks, and gives the answer whole.
#[utoipa::path(
    post, path = "/chat", tag = "chat",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key and body make one message and get the same answer.")),
    request_body = ChatRequest,
    responses(
        (status = 200, description = "Accepted, and now at its end: `status` and `error` say how it went.", body = AnswerBody),
        (status = 404, description = "The conversation or the parent is unknown, or not yours; or what the key made was deleted since.", body = Problem),
        (status = 409, description = "An answer is being written in this conversation: `generation_id` names it.", body = Problem),
        (status = 422, description = "Fields are not valid, the model is unknown, or the key was used for another request.", body = Problem),
        (status = 429, description = "Too many answers are being written for this account, or followed. A request that was accepted before meets neither limit; where too many such are followed again it is told its `generation_id`.", body = Problem),
    )
)]
pub(crate) async fn create_answer(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    body: RawJson,
) -> ApiResult<axum::Json<AnswerBody>> {
    let question = question(&app, &caller, &headers, "POST /chat", &body)?;
    // The answer takes long.
    drop(body);
    let (accepted, following) =
        accept(&app, &caller, question.idempotency.clone(), app.engine.send(caller.id(), question)).await?;
    let folded = tokio::select! {
        folded = accepted.reader.fold() => folded?,
        // The answer goes on, but not for this caller.
        () = following.watch.over() => return Err(ApiError::session_ended()),
    };
    Ok(axum::Json(AnswerBody::new(accepted.generation_id, folded)))
}
