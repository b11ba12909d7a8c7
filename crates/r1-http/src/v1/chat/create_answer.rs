use axum::extract::State;
use http::HeaderMap;
use r1_domain::{
    event::{Failure, INTERRUPTED, Usage},
    fold::Folded,
    id::GenerationId,
    log::Kind,
};
use serde::{Deserialize, Serialize};

use super::{
    accept::accept,
    question::{ChatRequest, question},
};
use crate::{
    app::App,
    body::RawJson,
    error::{ApiError, ApiResult, Problem},
    session::Caller,
    v1::failure::FailureBody,
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
    status: String,
    /// Why the model ended.
    finish_reason: Option<String>,
    /// Tokens used, where somebody counted.
    #[schema(value_type = Option<Object>)]
    usage: Option<Usage>,
    /// What went wrong after the question was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<FailureBody>,
}

#[derive(Deserialize)]
struct StartPayload {
    conversation_id: String,
    message_id: String,
    model: String,
}

#[derive(Deserialize)]
struct EndPayload {
    status: String,
    finish_reason: Option<String>,
    usage: Option<Usage>,
}

impl AnswerBody {
    fn new(generation_id: GenerationId, folded: Folded) -> Self {
        let start = folded.start.and_then(|payload| serde_json::from_str::<StartPayload>(&payload).ok());
        let (conversation_id, message_id, model) = match start {
            Some(start) => (Some(start.conversation_id), Some(start.message_id), Some(start.model)),
            None => (None, None, None),
        };
        let mut answer = Self {
            generation_id: generation_id.to_string(),
            conversation_id,
            message_id,
            model,
            role: "assistant",
            content: folded.text,
            status: "running".to_owned(),
            finish_reason: None,
            usage: None,
            error: None,
        };
        match folded.terminal {
            Some((Kind::Error, payload)) => {
                answer.error = Failure::read(&payload).map(FailureBody::from);
                let interrupted = answer.error.as_ref().is_some_and(|e| e.code == INTERRUPTED);
                answer.status = if interrupted { "interrupted" } else { "failed" }.to_owned();
            }
            Some((_, payload)) => {
                if let Ok(end) = serde_json::from_str::<EndPayload>(&payload) {
                    answer.status = end.status;
                    answer.finish_reason = end.finish_reason;
                    answer.usage = end.usage;
                }
            }
            None => {}
        }
        answer
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
