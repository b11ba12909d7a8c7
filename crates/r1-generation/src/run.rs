//! A run: asks the model and appends what comes, until the answer ends one way or another.
//!
//! **Invariant (detach is not stop):** a run knows no reader. It ends by the model, the user's
//! stop, a limit or the server's shutdown.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt};
use r1_domain::{
    cursor::Cursor,
    event::{End, Event, Failure, INTERRUPTED, Outcome, Usage},
    generation::GenerationRequest,
    id::{ConversationId, GenerationId, MessageId, UserId},
    message::{Role, Turn},
    overlap::Overlap,
    provider::{CompletionRequest, CompletionStream, Delta, ProviderError, ResolvedModel},
    store::{HistoryRead, Store, Terminal},
    time::Clock,
};
use rand::RngExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, field::Empty};

use crate::{
    log::{Refused, SharedLog},
    node::{Life, Node},
    observer::Observer,
    options::Options,
    registry::Registry,
    writer::Queue,
};

/// A request that failed in a way that may pass is sent again so often, if nothing came.
const RETRIES: u32 = 2;
/// The pause before the first of them, doubled for each further one, give or take half. Where the
/// provider says how long, that, and up to this much more: all who were sent away come back then.
const RETRY_PAUSE: Duration = Duration::from_millis(400);
/// A provider that asks for a longer pause than this gets no second request.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(10);
/// At most so many bytes wait for storage; then the provider waits.
const READ_AHEAD: usize = 1024 * 1024;

/// Asks a model to go on that can't be given the beginning of its own answer. Nobody but it reads this.
const GO_ON: &str = "Your answer above was cut off. Write the rest of it. Begin exactly where it stops, in the \
middle of a sentence or a word if need be. Repeat nothing, and say nothing about going on.";

/// All that a run needs.
pub(crate) struct Run {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) node: Arc<Node>,
    pub(crate) observer: Arc<dyn Observer>,
    /// Under which it was begun.
    pub(crate) life: Life,
    pub(crate) registry: Arc<Registry>,
    pub(crate) options: Options,
    pub(crate) log: SharedLog,
    pub(crate) model: ResolvedModel,
    pub(crate) request: GenerationRequest,
    pub(crate) owner: UserId,
    pub(crate) generation_id: GenerationId,
    pub(crate) conversation_id: ConversationId,
    pub(crate) message_id: MessageId,
    /// The log's newest event before the run.
    pub(crate) before: Cursor,
    /// The answer so far, of a run that is taken over or goes on with a message.
    pub(crate) partial_answer: Option<String>,
    /// The tokens of its end, of a run that is taken over, where the log has them all.
    pub(crate) partial_ids: Option<Arc<[u32]>>,
    /// Cancelled = stopped by the user.
    pub(crate) stop: CancellationToken,
    /// Cancelled = the server goes down and will wait no longer.
    pub(crate) abort: CancellationToken,
    pub(crate) begun: Instant,
}

/// What is left of an answer, and when it came last.
struct Flow {
    /// Bytes that may come.
    room: usize,
    newest: Option<Instant>,
}

/// How a run ended.
enum Ending {
    Completed {
        finish_reason: String,
        usage: Option<Usage>,
    },
    Stopped,
    Failed(Failure),
    /// The log is another process's, now or after the next start: nothing more is to be written.
    LeftBehind,
    /// The log has its end already: the storage failed.
    Ended,
}

impl Run {
    /// In which it is to run: on every line of the log about it.
    pub(crate) fn span(&self) -> Span {
        tracing::info_span!(
            "generation",
            generation_id = %self.generation_id,
            request_id = Empty,
            state = Empty,
            otel.status_code = Empty,
            otel.status_description = Empty,
        )
    }

    /// Runs to the end and appends the terminal event. The writer makes it visible. What the model gets to
    /// read is in `history`, where it is read already.
    pub(crate) async fn run(self, history: Option<HistoryRead>) {
        let deadline = Instant::now() + self.options.answer_time;
        // A panic on the way, in a provider's code say, must not leave an answer that runs for ever.
        let answer = AssertUnwindSafe(self.answer(history)).catch_unwind();
        let ending = tokio::select! {
            biased;
            () = self.life.over.cancelled() => Ending::LeftBehind,
            () = self.stop.cancelled() => Ending::Stopped,
            () = self.abort.cancelled() => self.aborted(),
            () = self.handed_over() => Ending::LeftBehind,
            () = tokio::time::sleep_until(deadline) => Ending::Failed(Failure {
                code: "generation_timeout".to_owned(),
                message: format!("The answer took longer than {:?}.", self.options.answer_time),
                retryable: true,
                retry_after: None,
            }),
            ending = answer => ending.unwrap_or_else(|_| {
                tracing::error!("generation {} panicked", self.generation_id);
                Ending::Failed(Failure {
                    code: "internal".to_owned(),
                    message: "Something went wrong on the server while it wrote this answer.".to_owned(),
                    retryable: true,
                    retry_after: None,
                })
            }),
        };
        // The future that held the provider's connection is gone by now: it is closed.
        self.finish(ending).await;
    }

    /// The server goes down. What the next one can go on with is left to it, without an end; what
    /// it can't is interrupted now.
    fn aborted(&self) -> Ending {
        if self.others_can_go_on() {
            Ending::LeftBehind
        } else {
            Ending::Failed(interrupted("The server was stopped while it wrote this answer."))
        }
    }

    fn others_can_go_on(&self) -> bool {
        let nothing_said = self.log.head() == self.before;
        nothing_said || self.model.provider.can_continue()
    }

    /// Ready when other nodes shall go on with it, and can.
    async fn handed_over(&self) {
        self.node.handing_over.cancelled().await;
        if !self.others_can_go_on() {
            std::future::pending::<()>().await;
        }
    }

    async fn answer(&self, history: Option<HistoryRead>) -> Ending {
        let history = match history {
            Some(history) => history.await,
            None => self.store.history(self.owner, self.message_id, self.options.history_bytes).await,
        };
        let mut turns = match history {
            // An answer that failed before its first word is no turn: some providers refuse empty ones.
            Ok(turns) => turns.into_iter().filter(|turn| !turn.content.is_empty()).collect::<Vec<_>>(),
            Err(error) => {
                tracing::error!(source = ?std::error::Error::source(&error), "the history of generation {} can't be read: {error}", self.generation_id);
                return Ending::Failed(Failure {
                    code: "storage_unavailable".to_owned(),
                    message: "The conversation could not be read. Try again in a moment.".to_owned(),
                    retryable: true,
                    retry_after: None,
                });
            }
        };
        let mut partial_answer = self.partial_answer.clone();
        let mut overlap = None;
        if !self.model.provider.can_continue()
            && let Some(content) = partial_answer.take()
        {
            overlap = Some(Overlap::new(&content));
            turns.push(Turn { role: Role::Assistant, content });
            turns.push(Turn { role: Role::User, content: GO_ON.to_owned() });
        }
        let request = CompletionRequest {
            model: self.model.upstream_name.clone(),
            turns,
            partial_ids: self.partial_ids.clone().filter(|_| partial_answer.is_some()),
            partial_answer,
            temperature: self.request.temperature,
            max_tokens: self.request.max_tokens,
            seed: self.request.seed,
            user_key: self.owner.to_string(),
            request_id: self.request.request_id.clone(),
            use_invalid_key: self.request.use_invalid_key,
        };
        let mut failures = 0;
        loop {
            let before = self.log.head();
            // Field names of OpenTelemetry, where it has any: its semantic conventions for generative AI.
            let span = tracing::info_span!(
                "chat",
                otel.kind = "client",
                gen_ai.operation.name = "chat",
                gen_ai.provider.name = self.model.provider_name(),
                gen_ai.request.model = request.model,
                gen_ai.usage.input_tokens = Empty,
                gen_ai.usage.output_tokens = Empty,
                first_chunk_ms = Empty,
                error.type = Empty,
                otel.status_code = Empty,
            );
            let attempt = self.attempt(request.clone(), overlap.clone());
            let error = match attempt.instrument(span.clone()).await {
                Ok(ending) => return ending,
                Err(error) => error,
            };
            span.record("error.type", error.code.as_str()).record("otel.status_code", "ERROR");
            // Once a word is in the log there is no second try: it would be said twice.
            let too_long = error.retry_after.is_some_and(|wait| wait > LONGEST_RETRY_AFTER);
            let may_retry = error.retryable && failures < RETRIES && self.log.head() == before && !too_long;
            self.observer.provider_failed(self.model.provider_name(), error.code, may_retry);
            if !may_retry {
                tracing::warn!(
                    code = error.code.as_str(),
                    failures,
                    "generation {} failed: {}",
                    self.generation_id,
                    error.code.as_str()
                );
                return Ending::Failed(Failure {
                    code: error.code.as_str().to_owned(),
                    message: error.message,
                    retryable: error.retryable,
                    retry_after: error.retry_after.map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0)),
                });
            }
            failures += 1;
            tracing::info!(code = error.code.as_str(), failures, "generation {} is tried again", self.generation_id);
            tokio::time::sleep(pause_before(failures, error.retry_after)).await;
        }
    }

    /// One request. With `overlap` a repetition of the answer so far is dropped; of a request that
    /// fails while it is not clear whether it only repeats, nothing was said.
    async fn attempt(&self, request: CompletionRequest, mut overlap: Option<Overlap>) -> Result<Ending, ProviderError> {
        let mut stream: CompletionStream = self.model.provider.complete(request).await?;
        let given = self.partial_answer.as_ref().map_or(0, String::len);
        let mut flow = Flow { room: self.options.answer_bytes.saturating_sub(given), newest: None };
        while let Some(delta) = stream.next().await {
            let (text, ids, done) = match (delta?, &mut overlap) {
                (Delta::Text { text, ids }, None) => (text, ids, None),
                (Delta::Text { text, .. }, Some(overlap)) => (overlap.push(text), Vec::new(), None),
                (Delta::Done { finish_reason, usage }, _) => {
                    if let Some(usage) = usage {
                        Span::current()
                            .record("gen_ai.usage.input_tokens", usage.prompt_tokens)
                            .record("gen_ai.usage.output_tokens", usage.completion_tokens);
                    }
                    let held = overlap.take().map(Overlap::finish).unwrap_or_default();
                    (held, Vec::new(), Some(Ending::Completed { finish_reason, usage }))
                }
            };
            if let Some(ending) = self.append(&text, &ids, &mut flow).await.or(done) {
                return Ok(ending);
            }
        }
        Err(ProviderError {
            code: r1_domain::provider::ProviderErrorCode::Truncated,
            message: "The provider's answer broke off.".to_owned(),
            retryable: true,
            retry_after: None,
        })
    }

    /// Appends text, as far as there is room, with its tokens; gives back how the answer ends where
    /// there is none left.
    async fn append(&self, text: &str, ids: &[u32], flow: &mut Flow) -> Option<Ending> {
        let fits = &text[..text.floor_char_boundary(flow.room)];
        flow.room -= fits.len();
        if !fits.is_empty() {
            self.observe(flow);
            // What is cut is no longer what its tokens say.
            let appended = self.log.append_tokens(fits, if fits.len() == text.len() { ids } else { &[] });
            match appended.refused {
                Some(Refused::Fenced) => return Some(Ending::LeftBehind),
                Some(Refused::Ended) => return Some(Ending::Ended),
                None => {}
            }
            if appended.tell_writer {
                self.queue.push(&self.log);
            }
            if appended.backlog > READ_AHEAD {
                self.log.backlog_below(READ_AHEAD / 2).await;
            }
        }
        let full = flow.room == 0 || fits.len() < text.len();
        full.then(|| Ending::Completed { finish_reason: "length".to_owned(), usage: None })
    }

    fn observe(&self, flow: &mut Flow) {
        let now = Instant::now();
        match flow.newest.replace(now) {
            Some(before) => self.observer.gap(now - before),
            None => {
                let after = now - self.begun;
                Span::current().record("first_chunk_ms", u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
                self.observer.first_chunk(self.model.provider_name(), after);
            }
        }
    }

    async fn finish(&self, ending: Ending) {
        let text = match self.log.text().await {
            Ok(text) => text,
            Err(error) => {
                tracing::error!("generation {} has an unreadable log: {error}", self.generation_id);
                String::new()
            }
        };
        let (event, finish_reason, failure, usage) = match ending {
            Ending::LeftBehind => {
                self.log.abandon();
                self.registry.remove(&self.log);
                if self.node.handing_over.is_cancelled()
                    && !self.life.over.is_cancelled()
                    && let Some(nodes) = self.store.nodes()
                {
                    self.node.release(nodes, &self.life, self.generation_id).await;
                }
                return;
            }
            Ending::Ended => return,
            Ending::Completed { finish_reason, usage } => {
                let outcome = Outcome::Completed { finish_reason: finish_reason.clone() };
                (self.end(outcome, usage), Some(finish_reason), None, usage)
            }
            Ending::Stopped => (self.end(Outcome::Stopped, None), None, None, None),
            Ending::Failed(failure) => (Event::Error(failure.clone()), None, Some(failure), None),
        };
        let span = Span::current();
        span.record("state", event.state().as_str());
        if let Some(failure) = &failure {
            span.record("otel.status_code", "ERROR").record("otel.status_description", &failure.code);
        }
        let terminal = Terminal {
            state: event.state(),
            payload: event.payload(),
            text,
            finish_reason,
            failure,
            usage,
            ended_at: self.clock.now(),
        };
        if self.log.append_terminal(&event, terminal) {
            self.queue.push(&self.log);
        }
    }

    fn end(&self, outcome: Outcome, usage: Option<Usage>) -> Event {
        Event::End(End { conversation_id: self.conversation_id, message_id: self.message_id, outcome, usage })
    }
}

/// The failure of a run that died with its process.
pub(crate) fn interrupted(message: &str) -> Failure {
    Failure { code: INTERRUPTED.to_owned(), message: message.to_owned(), retryable: true, retry_after: None }
}

/// The pause before the retry with this number, from 1.
fn pause_before(retry: u32, asked_for: Option<Duration>) -> Duration {
    let mut rng = rand::rng();
    match asked_for {
        Some(wait) => wait + RETRY_PAUSE.mul_f64(rng.random_range(0.0..1.0)),
        None => (RETRY_PAUSE * 2u32.pow(retry - 1)).mul_f64(rng.random_range(0.5..1.5)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_differ_and_are_never_shorter_than_asked_for() {
        let asked = Duration::from_secs(3);
        for (retry, wait, from, to) in [(1, None, 200, 600), (2, None, 400, 1200), (2, Some(asked), 3000, 3400)] {
            let pauses: Vec<_> = (0..200).map(|_| pause_before(retry, wait).as_millis()).collect();
            assert!(pauses.iter().all(|pause| (from..=to).contains(pause)), "{pauses:?}");
            let (least, most) = (pauses.iter().min().unwrap(), pauses.iter().max().unwrap());
            assert!(most - least > (to - from) / 2, "spread over the whole range: {pauses:?}");
        }
    }
}
