//! Another generation where one has ended: more of the same answer, or another answer to the same
//! question.
//!
//! **Invariant (the log is the truth):** a continued answer's new log begins with all that the message says so far,
//! so a message is always the fold of its newest generation's log.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use r1_domain::{
    generation::{Generation, GenerationRequest, State},
    id::{GenerationId, MessageId, UserId},
    log::{FIRST_GRAMMAR, REASONING_GRAMMAR},
    message::NotContinuable,
    part::Content,
    store::{IdempotencyKey, NewGeneration, Purpose, Store},
};

use crate::{
    accept::{Accepted, Admission, Admitted, new_seed},
    engine::Engine,
    error::EngineError,
};

/// How an answer shall go on. The caller has checked ranges.
#[derive(Debug, Clone, Default)]
pub struct Continuation {
    /// 0 to 2; none: as before.
    pub temperature: Option<f64>,
    /// At most this many further tokens; none: the engine's default.
    pub max_tokens: Option<u32>,
    /// By which the request is found in the logs.
    pub request_id: Option<String>,
    /// Whether who asks may read the provider's own words, should it fail.
    pub shows_details: bool,
    /// The client's idempotency key, if it gave one.
    pub idempotency: Option<IdempotencyKey>,
}

/// How a question shall be answered again. The caller has checked ranges.
#[derive(Debug, Clone, Default)]
pub struct Retry {
    /// `provider/model`, or a bare name; none: as before.
    pub model: Option<String>,
    /// 0 to 2; none: as before.
    pub temperature: Option<f64>,
    /// At most this many tokens of answer; none: as before.
    pub max_tokens: Option<u32>,
    /// By which the request is found in the logs.
    pub request_id: Option<String>,
    /// Whether who asks may read the provider's own words, should it fail.
    pub shows_details: bool,
    /// The client's idempotency key, if it gave one.
    pub idempotency: Option<IdempotencyKey>,
}

impl Engine {
    /// Goes on with the message of `earlier`, its newest generation, which has ended early: the same
    /// model, the same question.
    ///
    /// # Errors
    /// Nothing is written when an error is given back: `KeyReused`, `Draining`, `NotFound`, `Busy`,
    /// `Superseded`, `NotContinuable`, `UnknownModel`, `TooManyRuns`, `Store`.
    pub async fn go_on(
        &self,
        owner: UserId,
        earlier: GenerationId,
        how: Continuation,
    ) -> Result<Accepted, EngineError> {
        let admitted = match self.admit(owner, how.idempotency.as_ref()).await? {
            Admission::Earlier(accepted) => return Ok(accepted),
            Admission::Now(admitted) => admitted,
        };
        let earlier = self.ended(owner, earlier).await?;
        // A text that has ended never changes, and the commit finds nothing to go on with if the
        // message has another generation by then: what is read here is what is continued.
        let message = self.store.message_get(owner, earlier.message_id).await?;
        if let Some(newest) = message.generation_id.filter(|newest| *newest != earlier.id) {
            return Err(if message.state.is_terminal() {
                EngineError::Superseded { generation_id: newest }
            } else {
                EngineError::Busy { generation_id: newest }
            });
        }
        message.check_continuable(self.options().answer_bytes)?;
        if !earlier.is_known() {
            return Err(NotContinuable::Newer.into());
        }
        let request = GenerationRequest {
            temperature: how.temperature.or(earlier.request.temperature),
            max_tokens: how.max_tokens.or(self.options().max_tokens),
            given_bytes: message.content.len(),
            request_id: how.request_id,
            shows_details: how.shows_details,
            // From its text: the tokens of the message's earlier generations went with their logs, or will.
            // The model and the seed as before: an answer that was cut goes on as it would have.
            ..earlier.request.clone()
        };
        self.begin(&earlier, Purpose::Continue, request, Some(message.into_content()), how.idempotency, admitted).await
    }

    /// Answers the question of `earlier`'s message again: another message beside that one, whatever
    /// became of it.
    ///
    /// # Errors
    /// Nothing is written when an error is given back: `KeyReused`, `Draining`, `NotFound`, `Busy`,
    /// `UnknownModel`, `TooManyRuns`, `Store`.
    pub async fn retry(&self, owner: UserId, earlier: GenerationId, how: Retry) -> Result<Accepted, EngineError> {
        let admitted = match self.admit(owner, how.idempotency.as_ref()).await? {
            Admission::Earlier(accepted) => return Ok(accepted),
            Admission::Now(admitted) => admitted,
        };
        let earlier = self.ended(owner, earlier).await?;
        // The default of a model that runs here is nobody's wish for another one.
        let default =
            self.models.resolve_stored(&earlier.request.model).ok().and_then(|model| model.default_max_tokens);
        let given = earlier.request.max_tokens.filter(|most| Some(*most) != default);
        let request = GenerationRequest {
            model: how.model.unwrap_or_else(|| earlier.request.model.clone()),
            temperature: how.temperature.or(earlier.request.temperature),
            max_tokens: how.max_tokens.or(given),
            seed: new_seed(),
            use_invalid_key: false,
            given_bytes: 0,
            request_id: how.request_id,
            shows_details: how.shows_details,
        };
        let answer_id = MessageId::new(self.clock.now());
        self.begin(&earlier, Purpose::Retry { answer_id }, request, None, how.idempotency, admitted).await
    }

    async fn ended(&self, owner: UserId, id: GenerationId) -> Result<Generation, EngineError> {
        let generation = self.store.generation_get(owner, id).await?;
        if generation.state.is_terminal() { Ok(generation) } else { Err(EngineError::Busy { generation_id: id }) }
    }

    async fn begin(
        &self,
        earlier: &Generation,
        purpose: Purpose,
        mut request: GenerationRequest,
        given: Option<Content>,
        idempotency: Option<IdempotencyKey>,
        admitted: Admitted,
    ) -> Result<Accepted, EngineError> {
        // As it was stored, it is its provider's or nobody's; what a person asks for now may be a bare name.
        let model = if request.model == earlier.request.model {
            self.models.resolve_stored(&request.model)?
        } else {
            self.models.resolve(Some(&request.model))?
        };
        request.model.clone_from(&model.name);
        request.max_tokens = request.max_tokens.or(model.default_max_tokens);
        let now = self.clock.now();
        let generation = Generation {
            id: GenerationId::new(now),
            message_id: match purpose {
                Purpose::Continue => earlier.message_id,
                Purpose::Retry { answer_id } => answer_id,
            },
            state: State::Running,
            epoch: 1,
            node_id: admitted.life.node_id,
            grammar: self.node.grammar().max(given.as_ref().map_or(FIRST_GRAMMAR, grammar_of)),
            request,
            created_at: now,
            ..earlier.clone()
        };
        let new = NewGeneration {
            owner: generation.owner,
            earlier: earlier.id,
            purpose,
            generation_id: generation.id,
            request: generation.request.clone(),
            node_id: admitted.life.node_id,
            grammar: generation.grammar,
            start: Bytes::new(),
            idempotency,
            most_running: self.options().runs_per_user,
            now,
        };
        let commit = |store: Arc<dyn Store>, start| {
            async move { Ok((store.generation_begin(NewGeneration { start, ..new }).await?, None)) }.boxed()
        };
        self.accept(generation, model, given, admitted, commit).await
    }
}

/// What a log that begins with this is written in, at the least: whoever does not know it would lose a part.
fn grammar_of(given: &Content) -> u32 {
    if given.parts.is_empty() { FIRST_GRAMMAR } else { REASONING_GRAMMAR }
}
