//! Titles: after a conversation's first answer a model gives it a name.
//!
//! What was said goes to the model as data, between marks that it can't know beforehand, and what comes back is
//! [cleaned](clean) as the words of a stranger. The title is written where the conversation still has the first words
//! of its question; a person's is never touched. Where no model gives one, those words stay.
//!
//! **Invariant:** an answer neither waits for its title nor fails with it: all that happens before the answer's end is
//! that a row is added to its commit.

mod clean;
mod prompt;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, future::BoxFuture};
use r1_domain::{
    conversation::TitledBy,
    id::{ConversationId, JobId, MessageId, UserId},
    jobs::{EndingAnswer, FollowUp, Job, NewJob, TITLE},
    provider::{CompletionRequest, Delta, Models, ProviderError, ResolvedModel},
    store::{Store, StoreError, StoreResult},
    text::is_blank,
};
use serde::{Deserialize, Serialize};

use crate::{Handler, JobError, Observer, Progress};

/// How often a title is tried.
const ATTEMPTS: u32 = 3;
/// How long an attempt may take: a model on a slow machine has to read a page first.
const TIME: Duration = Duration::from_secs(120);
/// A provider that asks for a longer pause than this is not asked again.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// Tokens of a title.
const TOKENS: u32 = 64;
/// The same of a model that thinks before it answers, or may: one that said nothing at the first attempt.
const THOUGHTFUL_TOKENS: u32 = 2048;
/// Most bytes of a title that are read, and of what is thought before it.
const READ: usize = 4096;
const READ_THOUGHTS: usize = 64 * 1024;

/// Which model makes titles.
#[derive(Debug, Clone, Default)]
pub struct TitleOptions {
    /// Its name, for all conversations. None: each conversation's own.
    pub model: Option<String>,
    /// A model, as `provider/model`, whose titles are worse than the first words.
    pub unable: Option<String>,
}

/// Hands titles in, and makes them.
pub struct Titles {
    store: Arc<dyn Store>,
    models: Arc<dyn Models>,
    observer: Arc<dyn Observer>,
    options: TitleOptions,
}

/// What is kept with a job.
#[derive(Debug, Serialize, Deserialize)]
struct Payload {
    /// The answer.
    answer: MessageId,
}

impl Titles {
    /// Of the conversations in this store, by these models.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        models: Arc<dyn Models>,
        observer: Arc<dyn Observer>,
        options: TitleOptions,
    ) -> Self {
        Self { store, models, observer, options }
    }

    /// The model that makes the title of a conversation with this one. None where it would make a bad one.
    fn model_for(&self, own: &str) -> Result<Option<ResolvedModel>, JobError> {
        let found = match &self.options.model {
            Some(name) => self.models.resolve(Some(name)),
            None => self.models.resolve_stored(own),
        };
        let model = found.map_err(|error| JobError::lasting(error.to_string()))?;
        let is_able = self.options.unable.as_ref() != Some(&model.name);
        Ok(is_able.then_some(model))
    }

    async fn make(&self, job: &Job) -> Result<(), JobError> {
        let Some(conversation) = job.conversation else { return Err(JobError::lasting("it names no conversation")) };
        let payload: Payload =
            serde_json::from_str(&job.payload).map_err(|_| JobError::lasting("its payload can't be read"))?;
        let Some(said) = self.read(job, conversation, payload.answer).await? else { return Ok(()) };
        let Some(model) = self.model_for(&said.model)? else { return Ok(()) };
        let title =
            self.ask(job, &model, prompt::prompt(&job.claim.id.to_string(), &said.question, &said.answer)).await?;
        // False: somebody has named it meanwhile.
        self.store.conversation_retitle(job.owner, conversation, &said.words, &title).await?;
        Ok(())
    }

    /// What a title is made of. None where none is wanted any more.
    async fn read(&self, job: &Job, id: ConversationId, answer: MessageId) -> Result<Option<Said>, JobError> {
        match self.read_all(job.owner, id, answer).await {
            // Deleted.
            Err(StoreError::NotFound) => Ok(None),
            read => Ok(read?),
        }
    }

    async fn read_all(&self, owner: UserId, id: ConversationId, answer: MessageId) -> StoreResult<Option<Said>> {
        let conversation = self.store.conversation_get(owner, id).await?;
        let Some(words) = conversation.title.filter(|_| conversation.titled_by == TitledBy::Question) else {
            return Ok(None);
        };
        let answer = self.store.message_get(owner, answer).await?;
        let (Some(question), Some(model)) = (answer.parent_id, answer.model) else { return Ok(None) };
        let question = self.store.message_get(owner, question).await?.content;
        Ok(Some(Said { words, question, answer: answer.content, model }))
    }

    async fn ask(&self, job: &Job, model: &ResolvedModel, prompt: String) -> Result<String, JobError> {
        let thinks = model.abilities.reasoning == Some(true) || job.attempts > 1;
        let request = CompletionRequest {
            model: model.upstream_name.clone(),
            turns: vec![prompt::turn(prompt)],
            partial_answer: None,
            partial_ids: None,
            temperature: None,
            max_tokens: Some(if thinks { THOUGHTFUL_TOKENS } else { TOKENS }),
            // Another attempt is another throw.
            seed: u64::from(job.attempts),
            user_key: job.owner.to_string(),
            request_id: None,
            use_invalid_key: false,
        };
        let mut stream = model.provider.complete(request).await.map_err(|error| failed(&error))?;
        let (mut text, mut thought) = (String::new(), 0);
        while let Some(delta) = stream.next().await {
            match delta.map_err(|error| failed(&error))? {
                Delta::Text { text: more, .. } => text.push_str(&more),
                Delta::Reasoning(more) => thought += more.len(),
                Delta::LeftOut(_) | Delta::Skipped(_) => {}
                Delta::Done { usage, .. } => {
                    if let Some(usage) = usage {
                        self.observer.used(TITLE, model.provider_name(), &model.upstream_name, usage);
                    }
                    break;
                }
            }
            if text.len() > READ || thought > READ_THOUGHTS {
                return Err(JobError::passing("the model does not come to an end"));
            }
        }
        clean::clean(&text).ok_or_else(|| JobError::passing("what the model says is no title"))
    }
}

/// What a title is made of.
struct Said {
    /// The title of now.
    words: String,
    question: String,
    answer: String,
    /// Who answered.
    model: String,
}

fn failed(error: &ProviderError) -> JobError {
    // Its message has no word of the provider's.
    let why = format!("{}: {}", error.code.as_str(), error.message);
    let too_long = error.retry_after.is_some_and(|pause| pause > LONGEST_PAUSE);
    if error.retryable && !too_long {
        JobError::Passing { why, after: error.retry_after }
    } else {
        JobError::Lasting { why }
    }
}

impl Handler for Titles {
    fn kind(&self) -> &'static str {
        TITLE
    }

    fn attempts(&self) -> u32 {
        ATTEMPTS
    }

    fn time(&self) -> Duration {
        TIME
    }

    fn run<'a>(&'a self, job: &'a Job, _: &'a Progress) -> BoxFuture<'a, Result<(), JobError>> {
        Box::pin(self.make(job))
    }
}

impl FollowUp for Titles {
    fn after(&self, answer: &EndingAnswer<'_>) -> Vec<NewJob> {
        if !answer.is_first || is_blank(answer.text) {
            return Vec::new();
        }
        match self.model_for(answer.model) {
            Ok(Some(_)) => {}
            Ok(None) => return Vec::new(),
            Err(error) => {
                tracing::warn!("conversation {} gets no title from a model: {error}", answer.conversation);
                return Vec::new();
            }
        }
        let Ok(payload) = serde_json::to_string(&Payload { answer: answer.message }) else { return Vec::new() };
        vec![NewJob {
            id: JobId::new(answer.now),
            owner: answer.owner,
            conversation: Some(answer.conversation),
            kind: TITLE,
            key: answer.conversation.to_string(),
            payload,
            now: answer.now,
        }]
    }
}
