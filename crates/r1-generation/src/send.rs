//! Accepting a question.
//!
//! Once it is accepted, the question, the answer's row, the generation and its `start` are one
//! commit. The commit and the run that follows belong to a task of the engine's: a client that
//! goes away in between changes nothing.

use std::sync::Arc;

use r1_domain::{
    conversation::title_from_question,
    generation::{Generation, GenerationRequest, State},
    id::{ConversationId, GenerationId, MessageId, UserId},
    log::Position,
    store::{Earlier, IdempotencyKey, NewTurn, StoreError, TurnOutcome, TurnPlace},
};
use rand::RngExt;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::{
    engine::{Engine, Target},
    error::EngineError,
    log::{Log, SharedLog},
    reader::Reader,
    registry::{Registry, Running},
    start::start_event,
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
    /// `provider/model`, or a bare name; none: the default.
    pub model: Option<String>,
    /// 0 to 2; none for the provider's own default.
    pub temperature: Option<f64>,
    /// At most so many tokens of answer; none: the engine's default.
    pub max_tokens: Option<u32>,
    /// Ask with a key that the provider rejects.
    pub use_invalid_key: bool,
    /// The client's idempotency key, if it gave one.
    pub idempotency: Option<IdempotencyKey>,
}

/// A question that is, or was earlier, accepted.
pub struct Accepted {
    /// The generation that answers it.
    pub generation_id: GenerationId,
    /// Follows it from the beginning.
    pub reader: Reader,
}

impl Engine {
    /// Accepts a question and starts its answer.
    ///
    /// # Errors
    /// Nothing is written when an error is given back: `KeyReused`, `Draining`, `UnknownModel`,
    /// `TooManyRuns`, `NotFound` (conversation or parent), `Busy`, `Store`.
    pub async fn send(&self, owner: UserId, question: Question) -> Result<Accepted, EngineError> {
        // Before any limit: a repeated request costs nothing and must not be refused for it.
        let _deciding = match &question.idempotency {
            Some(key) => {
                let deciding = self.registry.lock_key(owner, &key.key).await;
                if let Some(earlier) = self.store.idempotency_find(owner, key).await? {
                    return self.accepted_earlier(owner, earlier).await;
                }
                Some(deciding)
            }
            None => None,
        };
        // Taken before the look at the drain: a drain that begins now waits for this send.
        let _sending = self.runs.token();
        if self.is_draining() {
            return Err(EngineError::Draining);
        }
        let model = self.models.resolve(question.model.as_deref())?;

        let now = self.clock.now();
        let generation = Generation {
            id: GenerationId::new(now),
            owner,
            conversation_id: question.conversation_id.unwrap_or_else(|| ConversationId::new(now)),
            message_id: MessageId::new(now),
            state: State::Running,
            epoch: 1,
            node_id: self.node_id,
            request: GenerationRequest {
                model: model.name.clone(),
                temperature: question.temperature,
                max_tokens: question.max_tokens.unwrap_or(self.options.max_tokens),
                // Kept within what JSON numbers carry exactly everywhere.
                seed: rand::rng().random_range(0..1 << 53),
                use_invalid_key: question.use_invalid_key,
            },
            created_at: now,
        };
        let log = Arc::new(Log::new(generation.id, owner, &start_event(&generation)));
        let turn = NewTurn {
            owner,
            conversation_id: generation.conversation_id,
            place: match question.conversation_id {
                Some(_) => TurnPlace::Existing { parent: question.parent_id },
                None => TurnPlace::New { title: title_from_question(&question.text) },
            },
            question_id: MessageId::new(now),
            question: question.text,
            answer_id: generation.message_id,
            generation_id: generation.id,
            request: generation.request.clone(),
            node_id: self.node_id,
            start: log.start_records(),
            idempotency: question.idempotency,
            now,
        };
        let running = Running { log, conversation_id: generation.conversation_id, stop: CancellationToken::new() };
        // In the registry before the commit: whoever learns of the generation from storage finds
        // its log here. It also holds the user's place among the runs.
        if !self.registry.insert_within(self.options.runs_per_user, running.clone()) {
            return Err(EngineError::TooManyRuns { limit: self.options.runs_per_user.unwrap_or_default() });
        }

        let reader = Reader::new(running.log.clone(), Position::START, self.options.stall_limit);
        let run = self.run(&running, model, &generation, None);
        let store = self.store.clone();
        let mut unaccepted = Unaccepted { registry: self.registry.clone(), log: Some(running.log.clone()) };
        let (answer, outcome) = oneshot::channel();
        self.runs.spawn(async move {
            let outcome = store.turn_begin(turn).await;
            let accepted = matches!(outcome, Ok(TurnOutcome::Accepted));
            if accepted {
                unaccepted.log = None;
                running.log.accepted();
            }
            drop(unaccepted);
            // Nobody waits for it any more if the client has gone: that changes nothing.
            let _ = answer.send(outcome);
            if accepted {
                run.run().await;
            }
        });
        let gone = |_| EngineError::Store(StoreError::Internal("the accepting task is gone".into()));
        match outcome.await.map_err(gone)?? {
            TurnOutcome::Accepted => Ok(Accepted { generation_id: generation.id, reader }),
            TurnOutcome::Busy(generation_id) => Err(EngineError::Busy { generation_id }),
            TurnOutcome::Earlier(earlier) => self.accepted_earlier(owner, earlier).await,
        }
    }

    async fn accepted_earlier(&self, owner: UserId, earlier: Earlier) -> Result<Accepted, EngineError> {
        let Earlier::Generation(generation_id) = earlier else { return Err(EngineError::KeyReused) };
        match self.attach(owner, Target::Generation(generation_id), None).await? {
            Some(reader) => Ok(Accepted { generation_id, reader }),
            None => Err(EngineError::NotFound),
        }
    }
}

/// Forgets a run that does not come to be, in whatever way.
struct Unaccepted {
    registry: Arc<Registry>,
    log: Option<SharedLog>,
}

impl Drop for Unaccepted {
    fn drop(&mut self) {
        if let Some(log) = self.log.take() {
            self.registry.remove(log.id());
            log.abandon();
        }
    }
}
