//! Sending a question: the question, the answer's row, the generation and its `start` are one commit.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use r1_domain::{
    conversation::title_from_question,
    generation::{Generation, GenerationRequest, State},
    id::{ConversationId, GenerationId, MessageId, UserId},
    provider::{ResolvedModel, UnknownModel},
    store::{IdempotencyKey, NewTurn, Store, TurnPlace},
};

use crate::{
    accept::{Accepted, Admission, new_seed},
    engine::Engine,
    error::EngineError,
};

/// A question and how it shall be answered. The caller has checked lengths and ranges.
#[derive(Debug, Clone)]
pub struct Question {
    /// The text.
    pub text: String,
    /// The conversation; none: one is made and named after the question.
    pub conversation_id: Option<ConversationId>,
    /// The message to follow; none: the conversation's newest.
    pub parent_id: Option<MessageId>,
    /// `provider/model`, or a bare name; none: the default. The name that stands on the answer before is
    /// that provider's, also when it has gone: the default provider is not asked for it.
    pub model: Option<String>,
    /// 0 to 2; none for the provider's own default.
    pub temperature: Option<f64>,
    /// At most this many tokens of answer; none: the engine's default.
    pub max_tokens: Option<u32>,
    /// Ask with a key that the provider rejects.
    pub use_invalid_key: bool,
    /// By which the request is found in the logs.
    pub request_id: Option<String>,
    /// Whether who asks may read the provider's own words, should it fail.
    pub shows_details: bool,
    /// The client's idempotency key, if it gave one.
    pub idempotency: Option<IdempotencyKey>,
}

impl Engine {
    /// Accepts a question and starts its answer.
    ///
    /// # Errors
    /// Nothing is written when an error is given back: `KeyReused`, `Draining`, `UnknownModel`,
    /// `TooManyRuns`, `NotFound` (conversation or parent), `Busy`, `Store`.
    pub async fn send(&self, owner: UserId, question: Question) -> Result<Accepted, EngineError> {
        let admitted = match self.admit(owner, question.idempotency.as_ref()).await? {
            Admission::Earlier(accepted) => return Ok(accepted),
            Admission::Now(admitted) => admitted,
        };
        let model = self.model_for(owner, &question).await?;

        let now = self.clock.now();
        let generation = Generation {
            id: GenerationId::new(now),
            owner,
            conversation_id: question.conversation_id.unwrap_or_else(|| ConversationId::new(now)),
            message_id: MessageId::new(now),
            state: State::Running,
            epoch: 1,
            node_id: admitted.life.node_id,
            grammar: self.node.grammar(),
            request: GenerationRequest {
                model: model.name.clone(),
                temperature: question.temperature,
                max_tokens: question.max_tokens.or(self.options().max_tokens).or(model.default_max_tokens),
                seed: new_seed(),
                use_invalid_key: question.use_invalid_key,
                given_bytes: 0,
                request_id: question.request_id,
                shows_details: question.shows_details,
            },
            created_at: now,
        };
        let turn = NewTurn {
            owner,
            conversation_id: generation.conversation_id,
            place: match question.conversation_id {
                Some(_) => TurnPlace::Existing { parent: question.parent_id },
                None => TurnPlace::New,
            },
            title: title_from_question(&question.text),
            question_id: MessageId::new(now),
            question: question.text,
            answer_id: generation.message_id,
            generation_id: generation.id,
            request: generation.request.clone(),
            node_id: admitted.life.node_id,
            grammar: generation.grammar,
            start: Bytes::new(),
            idempotency: question.idempotency,
            most_running: self.options().runs_per_user,
            now,
        };
        let history_bytes = self.options().history_bytes;
        let commit = move |store: Arc<dyn Store>, start| {
            async move { store.turn_begin_with_history(NewTurn { start, ..turn }, history_bytes).await }.boxed()
        };
        self.accept(generation, model, None, admitted, commit).await
    }

    /// The model that is asked. A name whose first part is no provider here is a bare name, such as a
    /// router's `vendor/model`; unless the answer that the question follows has it: then it is that of a
    /// provider which has gone, and a conversation never changes its provider by itself.
    async fn model_for(&self, owner: UserId, question: &Question) -> Result<ResolvedModel, EngineError> {
        let (Some(name), Some(conversation)) = (question.model.as_deref(), question.conversation_id) else {
            return Ok(self.models.resolve(question.model.as_deref())?);
        };
        let gone = match self.models.resolve_stored(name) {
            Err(gone @ UnknownModel::NoProvider { .. }) if name.contains('/') => gone,
            _ => return Ok(self.models.resolve(Some(name))?),
        };
        let before = match question.parent_id {
            Some(parent) => Some(parent),
            None => self.store.conversation_get(owner, conversation).await?.head,
        };
        if let Some(before) = before
            && self.store.message_get(owner, before).await?.model.as_deref() == Some(name)
        {
            return Err(gone.into());
        }
        Ok(self.models.resolve(Some(name))?)
    }
}
