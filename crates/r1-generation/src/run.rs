//! A run: has the model asked, and ends the answer one way or another.
//!
//! **Invariant (detach is not stop):** a run knows no reader. It ends by the model, the user's
//! stop, a limit or the server's shutdown.

mod asking;
mod calls;
mod history;
pub(crate) mod tokens;

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::FutureExt;
use parking_lot::Mutex;
use r1_domain::{
    call::Call,
    event::{End, Event, Failure, INTERRUPTED, Outcome, Usage},
    fold::Folded,
    generation::{Generation, GenerationRequest},
    id::{ConversationId, GenerationId, MessageId, UserId},
    jobs::{EndingAnswer, FollowUp, NewJob},
    part::{Content, Part, Reasoning},
    provider::ResolvedModel,
    store::{HistoryRead, Store, Terminal},
    time::{Clock, Timestamp},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Span, field::Empty};

use calls::{Calls, Made};
use tokens::about;

use crate::{
    log::SharedLog,
    node::{Life, Node},
    observer::Observer,
    options::Options,
    registry::Registry,
    writer::Queue,
};

/// All that a run needs.
pub(crate) struct Run {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) node: Arc<Node>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) follow_up: Arc<dyn FollowUp>,
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
    /// The answer so far, of a run that is taken over or goes on with a message.
    pub(crate) partial_answer: Option<String>,
    /// Bytes of text and reasoning that the log has before the run.
    pub(crate) written: usize,
    /// The tokens of its end, of a run that is taken over, where the log has them all.
    pub(crate) partial_ids: Option<Arc<[u32]>>,
    /// Whether what the model thinks goes into the log: where all who may go on with it know that.
    pub(crate) keeps_reasoning: bool,
    /// What calls for the same generation used whose processes are gone.
    pub(crate) lost: Lost,
    /// What it asks of the model.
    pub(crate) calls: Mutex<Calls>,
    /// The oldest message that the model was given, where that was not all of them.
    pub(crate) remembers_from: Mutex<Option<MessageId>>,
    /// Nothing was answered before it on its branch: known once the history is.
    pub(crate) is_first: AtomicBool,
    /// Cancelled = stopped by the user.
    pub(crate) stop: CancellationToken,
    /// Cancelled = the server goes down and will wait no longer.
    pub(crate) abort: CancellationToken,
    pub(crate) begun: Instant,
    /// When the generation was accepted.
    pub(crate) created_at: Timestamp,
}

/// Calls of a model that left no record, as their process was killed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    /// How many of them were heard.
    pub(crate) calls: u64,
    /// About how many tokens they gave.
    pub(crate) completion_tokens: u64,
}

impl Lost {
    /// As one call, where each was given this many tokens.
    pub(crate) fn call(self, model: &str, prompt_tokens: u64) -> Option<Call> {
        let usage = Usage::estimate(self.calls.saturating_mul(prompt_tokens), self.completion_tokens);
        (self.calls > 0).then(|| Call { model: model.to_owned(), usage: Some(usage), ..Call::default() })
    }
}

/// How a run ended.
enum Ending {
    Completed {
        finish_reason: String,
    },
    Stopped,
    Failed(Failure),
    /// The log is another process's, now or after the next start: nothing more is to be written.
    LeftBehind,
    /// The log has its end already: the storage failed.
    Ended,
}

/// In which a generation is run: on every line of the log about it, whatever level is logged.
pub(crate) fn span(generation: &Generation) -> Span {
    tracing::error_span!(
        "generation",
        generation_id = %generation.id,
        conversation_id = %generation.conversation_id,
        user_id = %generation.owner,
        request_id = generation.request.request_id,
        state = Empty,
        otel.status_code = Empty,
        otel.status_description = Empty,
    )
}

/// How it ended, on its span.
pub(crate) fn record_end(span: &Span, event: &Event) {
    span.record("state", event.state().as_str());
    if let Event::Error(failure) = event {
        span.record("otel.status_code", "ERROR").record("otel.status_description", &failure.code);
    }
}

impl Run {
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
            () = tokio::time::sleep_until(deadline) => {
                let message = format!("The answer took longer than {:?}.", self.options.answer_time);
                Ending::Failed(Failure::new("generation_timeout", message, true))
            }
            ending = answer => ending.unwrap_or_else(|_| {
                tracing::error!("generation {} panicked", self.generation_id);
                let message = "Something went wrong on the server while it wrote this answer.";
                Ending::Failed(Failure::new("internal", message, true))
            }),
        };
        // The future that held the provider's connection is gone by now: it is closed.
        self.finish(ending).await;
    }

    /// The server goes down. What the next one can go on with is left to it, without an end; what
    /// it can't is interrupted now.
    fn aborted(&self) -> Ending {
        let id = self.generation_id;
        if self.others_can_go_on() {
            tracing::info!("the shutdown leaves generation {id} to the next start");
            Ending::LeftBehind
        } else {
            tracing::info!("the shutdown interrupts generation {id}");
            Ending::Failed(interrupted("The server was stopped while it wrote this answer."))
        }
    }

    fn others_can_go_on(&self) -> bool {
        // What was only thought is thought again.
        !self.calls.lock().has_spoken() || self.model.provider.can_continue()
    }

    /// Ready when other nodes shall go on with it, and can.
    async fn handed_over(&self) {
        self.node.handing_over.cancelled().await;
        if !self.others_can_go_on() {
            std::future::pending::<()>().await;
        }
    }

    async fn finish(&self, ending: Ending) {
        let outcome = match ending {
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
            Ending::Completed { finish_reason } => Ok(Outcome::Completed { finish_reason }),
            Ending::Stopped => Ok(Outcome::Stopped),
            Ending::Failed(failure) => Err(failure),
        };
        let (content, calls, usage) = self.sum_up().await;
        let (conversation_id, message_id) = (self.conversation_id, self.message_id);
        let event = match outcome {
            Ok(outcome) => Event::End(End { conversation_id, message_id, outcome, usage }),
            Err(failure) => Event::Error(Failure { request_id: self.request.request_id.clone(), ..failure }),
        };
        record_end(&Span::current(), &event);
        let now = self.clock.now();
        let also = self.what_follows(&event, &content.text, now);
        let remembers_from = *self.remembers_from.lock();
        let first_token_ms = self.first_token_ms(now);
        let terminal = Terminal { usage, first_token_ms, remembers_from, also, ..Terminal::new(event, content, now) };
        if self.log.append_terminal(terminal, &calls) {
            self.queue.push(&self.log);
        }
    }

    fn what_follows(&self, event: &Event, text: &str, now: Timestamp) -> Vec<NewJob> {
        if !matches!(event, Event::End(_)) {
            return Vec::new();
        }
        self.follow_up.after(&EndingAnswer {
            owner: self.owner,
            conversation: self.conversation_id,
            message: self.message_id,
            model: &self.request.model,
            is_first: self.is_first.load(Ordering::Relaxed),
            text,
            now,
        })
    }

    /// What the message says, what is kept of the calls of this run, and what all calls for the generation used. What
    /// no provider counted is estimated: of a call that was cut, too, once the provider had begun to answer.
    async fn sum_up(&self) -> (Content, Vec<Call>, Option<Usage>) {
        let mut made = self.calls.lock().take(Instant::now());
        let mut folded = self.log.fold_whole().await.unwrap_or_else(|error| {
            tracing::error!("generation {} has an unreadable log: {error}", self.generation_id);
            Folded::default()
        });
        let before = folded.calls.len();
        if let Some(lost) = self.lost.call(&self.model.name, made.first().map_or(0, Made::prompt_tokens)) {
            folded.end_call(lost);
        }
        // No call is made again once a word came: all are the last one's.
        if let Some(last) = made.last_mut().filter(|last| last.is_uncounted()) {
            last.call.usage = Some(Usage::estimate(last.prompt_tokens(), self.words(&folded.content)));
        }
        for mut made in made {
            if made.is_uncounted() {
                made.call.usage = Some(Usage::estimate(made.prompt_tokens(), 0));
            }
            folded.end_call(made.call);
        }
        let usage = folded.usage();
        (folded.content, folded.calls.split_off(before), usage)
    }

    /// None where a process that was killed has heard the first one.
    fn first_token_ms(&self, now: Timestamp) -> Option<u64> {
        let heard = self.calls.lock().first_heard().filter(|_| self.lost.calls == 0)?;
        Some(calls::millis(now.since(self.created_at).saturating_sub(heard.elapsed())))
    }

    /// About how many tokens the model has given in this run.
    fn words(&self, content: &Content) -> u64 {
        let given = self.partial_answer.as_ref().map_or(0, String::len);
        let mut thought_before = self.written.saturating_sub(given);
        let text = about(content.text.get(given..).unwrap_or_default());
        let thoughts = content.parts.iter().map(|part| {
            let Part::Reasoning(Reasoning { text, .. }) = part else { return 0 };
            let before = thought_before.min(text.len());
            thought_before -= before;
            about(text.get(before..).unwrap_or_default())
        });
        text + thoughts.sum::<u64>()
    }
}

/// The failure of a run that died with its process.
pub(crate) fn interrupted(message: &str) -> Failure {
    Failure::new(INTERRUPTED, message, true)
}
