//! A run's talk with its model: the question, what comes, and another try where nothing came.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures::StreamExt;
use r1_domain::{
    event::Failure,
    history::History,
    message::{Role, Turn},
    overlap::Overlap,
    provider::{CompletionRequest, CompletionStream, Delta, ProviderError, ProviderErrorCode, Skipped},
    store::HistoryRead,
};
use rand::RngExt;
use tokio::time::Instant;
use tracing::{Span, field::Empty};

use super::{
    Ending, Run,
    calls::Voice,
    history::{Past, room},
};
use crate::{log::Refused, observer::SkippedKind};

/// A request that failed in a way that may pass is sent again this often, if nothing came.
const RETRIES: u32 = 2;
/// The pause before the first of them, doubled for each further one, give or take half. Where the
/// provider says how long, that, and up to this much more: all who were sent away come back then.
const RETRY_PAUSE: Duration = Duration::from_millis(400);
/// A provider that asks for a longer pause than this gets no second request.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(10);
/// At most this many bytes wait for storage; then the provider waits.
const READ_AHEAD: usize = 1024 * 1024;

/// Asks a model to go on that can't be given the beginning of its own answer. Nobody but it reads this.
const GO_ON: &str = "Your answer above was cut off. Write the rest of it. Begin exactly where it stops, in the \
middle of a sentence or a word if need be. Repeat nothing, and say nothing about going on.";

/// What is left of an answer, and when it came last.
struct Flow<'a> {
    /// What the model is given, and from which turn on.
    past: &'a Arc<Past>,
    first: usize,
    /// Bytes that may come.
    room: usize,
    newest: Option<Instant>,
    /// What was heard last.
    voice: Option<Voice>,
    /// Bytes that the model has thought.
    thought: usize,
}

/// A piece of what a model gives.
enum Said {
    /// Of the answer, with the tokens that it stands for, where they are known.
    Text(String, Vec<u32>),
    /// Of its reasoning.
    Thought(String),
}

impl Said {
    fn text(&self) -> &str {
        match self {
            Self::Text(text, _) | Self::Thought(text) => text,
        }
    }

    const fn voice(&self) -> Voice {
        match self {
            Self::Text(..) => Voice::Speaks,
            Self::Thought(_) => Voice::Thinks,
        }
    }
}

impl Run {
    /// Asks until the answer ends, or nothing more is to be had.
    pub(super) async fn answer(&self, history: Option<HistoryRead>) -> Ending {
        let history = match history {
            Some(history) => history.await,
            None => self.store.history(self.owner, self.message_id, self.options.history_bytes).await,
        };
        let history = match history {
            Ok(history) => history,
            Err(error) => {
                tracing::error!(source = ?std::error::Error::source(&error), "the history of generation {} can't be read: {error}", self.generation_id);
                let message = "The conversation could not be read. Try again in a moment.";
                return Ending::Failed(Failure::new("storage_unavailable", message, true));
            }
        };
        self.is_first.store(is_first(&history), Ordering::Relaxed);
        let provider = &self.model.provider;
        let mut partial_answer = self.partial_answer.clone();
        let (mut overlap, mut tail) = (None, Vec::new());
        if !provider.can_continue()
            && let Some(content) = partial_answer.take()
        {
            let said = Turn { role: Role::Assistant, content };
            // Of an answer that is white space so far there is nothing to be shown: it is asked for anew.
            if !said.is_blank() {
                overlap = Some(Overlap::new(&said.content));
                tail = vec![said, Turn { role: Role::User, content: GO_ON.to_owned() }];
            }
        }
        let past = Arc::new(Past::new(history, tail, partial_answer.as_deref()));
        let mut first = room(&self.model, self.request.max_tokens).map_or(0, |room| past.first_within(room, 0));
        let request = CompletionRequest {
            model: self.model.upstream_name.clone(),
            turns: Vec::new(),
            partial_ids: self.partial_ids.clone().filter(|_| partial_answer.is_some()),
            partial_answer,
            temperature: self.request.temperature,
            max_tokens: self.request.max_tokens,
            seed: self.request.seed,
            user_key: self.owner.to_string(),
            request_id: self.request.request_id.clone(),
            use_invalid_key: self.request.use_invalid_key,
        };
        let (mut failures, mut halved) = (0, false);
        loop {
            let before = self.log.head();
            // Who fits a history itself says what it left out once it has.
            if !provider.fits_history() {
                *self.remembers_from.lock() = past.remembers_from(first);
            }
            let request = CompletionRequest { turns: past.given(first), ..request.clone() };
            let room = self.options.answer_bytes.saturating_sub(self.written);
            let mut flow = Flow { past: &past, first, room, newest: None, voice: None, thought: 0 };
            let error = match self.attempt(request, overlap.clone(), &mut flow).await {
                Ok(ending) => return ending,
                Err(error) => error,
            };
            // Once a word is in the log, or a thought, there is no second try: it would be there twice. What was
            // thought is paid for, too.
            let nothing_said = self.log.head() == before && flow.thought == 0;
            if error.code == ProviderErrorCode::ContextTooLong && nothing_said && !halved && !provider.fits_history() {
                halved = true;
                let less = past.first_within(past.tokens(first) / 2, first);
                if less > first {
                    self.observer.provider_failed(self.model.provider_name(), error.code, true);
                    tracing::info!("generation {} is tried again with half of its history", self.generation_id);
                    first = less;
                    continue;
                }
            }
            let too_long = error.retry_after.is_some_and(|wait| wait > LONGEST_RETRY_AFTER);
            let may_retry = error.retryable && failures < RETRIES && nothing_said && !too_long;
            self.observer.provider_failed(self.model.provider_name(), error.code, may_retry);
            if !may_retry {
                self.say(&error, failures, None);
                return Ending::Failed(Failure {
                    retry_after: error.retry_after.map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0)),
                    detail: error.detail.filter(|_| self.request.shows_details),
                    ..Failure::new(error.code.as_str(), error.message, error.retryable)
                });
            }
            failures += 1;
            let pause = pause_before(failures, error.retry_after);
            self.say(&error, failures, Some(pause));
            tokio::time::sleep(pause).await;
        }
    }

    /// Says in the log that a request failed, with all by which an administrator finds provider, model and user; and
    /// after which pause it is sent again, if it is. As an error where nobody but the administrator can mend it.
    fn say(&self, error: &ProviderError, failures: u32, again: Option<Duration>) {
        let ProviderError { code, message: cause, status, .. } = error;
        let (provider, model, code) = (self.model.provider_name(), &*self.model.upstream_name, code.as_str());
        let id = self.generation_id;
        let answered = status.map(|status| format!(" answered {status}")).unwrap_or_default();
        let place = self.model.provider.key_place().filter(|_| error.code == ProviderErrorCode::Auth);
        let place = place.map(|place| format!(" ({place})")).unwrap_or_default();
        let what = format!("{code}: {provider} (model {model}){answered}: {cause}{place}");
        // An invalid key that was asked for is nobody's fault.
        let must_act = matches!(error.code, ProviderErrorCode::Auth | ProviderErrorCode::NoCredit)
            && !self.request.use_invalid_key;
        match again {
            Some(pause) => tracing::info!(
                provider,
                model,
                status,
                code,
                failures,
                "generation {id} is tried again in {pause:.1?}: {what}"
            ),
            None if must_act => {
                tracing::error!(provider, model, status, code, failures, "generation {id} failed: {what}");
            }
            None => tracing::warn!(provider, model, status, code, failures, "generation {id} failed: {what}"),
        }
    }

    /// One request, as a span.
    async fn attempt(
        &self,
        request: CompletionRequest,
        overlap: Option<Overlap>,
        flow: &mut Flow<'_>,
    ) -> Result<Ending, ProviderError> {
        // Field names of OpenTelemetry, where it has any: its semantic conventions for generative AI. The span is
        // never entered, which would cost something for each chunk.
        let span = tracing::info_span!(
            "chat",
            otel.kind = "client",
            gen_ai.operation.name = "chat",
            gen_ai.provider.name = self.model.provider_name(),
            gen_ai.request.model = request.model,
            gen_ai.usage.input_tokens = Empty,
            gen_ai.usage.output_tokens = Empty,
            first_chunk_ms = Empty,
            reasoning_bytes = Empty,
            skipped_events = Empty,
            error.type = Empty,
            otel.status_code = Empty,
        );
        self.calls.lock().begin(&self.model.name, (flow.past.clone(), flow.first), Instant::now());
        let ended = self.take_in(request, overlap, &span, flow).await;
        self.calls.lock().end(Instant::now());
        if flow.thought > 0 {
            span.record("reasoning_bytes", flow.thought);
            if !self.keeps_reasoning {
                self.observer.skipped(self.model.provider_name(), SkippedKind::Reasoning, 1);
                tracing::debug!(
                    bytes = flow.thought,
                    "what the model thought for generation {} is not kept: a node of an older version runs",
                    self.generation_id
                );
            }
        }
        if let Err(error) = &ended {
            span.record("error.type", error.code.as_str()).record("otel.status_code", "ERROR");
        }
        ended
    }

    /// Asks, and appends what comes. With `overlap` a repetition of the answer so far is dropped; of a request
    /// that fails while it is not clear whether it only repeats, nothing was said.
    async fn take_in(
        &self,
        request: CompletionRequest,
        mut overlap: Option<Overlap>,
        span: &Span,
        flow: &mut Flow<'_>,
    ) -> Result<Ending, ProviderError> {
        let asked = Instant::now();
        let mut stream: CompletionStream = self.model.provider.complete(request).await?;
        self.calls.lock().accept();
        while let Some(delta) = stream.next().await {
            let (said, done) = match (delta?, &mut overlap) {
                (Delta::Text { text, ids }, None) => (Said::Text(text, ids), None),
                (Delta::Text { text, .. }, Some(overlap)) => (Said::Text(overlap.push(text), Vec::new()), None),
                (Delta::LeftOut(turns), _) => {
                    let first = flow.past.first_after(turns, flow.first);
                    *self.remembers_from.lock() = flow.past.remembers_from(first);
                    continue;
                }
                (Delta::Reasoning(thought), _) => {
                    flow.thought += thought.len();
                    if !self.keeps_reasoning {
                        self.hear(Voice::Thinks, flow);
                        continue;
                    }
                    (Said::Thought(thought), None)
                }
                (Delta::Skipped(skipped), _) => {
                    self.count_skipped(skipped, span);
                    continue;
                }
                (Delta::Done { finish_reason, usage }, _) => {
                    self.observer.provider_answered(self.model.provider_name(), &self.model.upstream_name, usage);
                    if let Some(usage) = usage {
                        span.record("gen_ai.usage.input_tokens", usage.prompt_tokens)
                            .record("gen_ai.usage.output_tokens", usage.completion_tokens);
                    }
                    self.calls.lock().finish(&finish_reason, usage);
                    let held = overlap.take().map(Overlap::finish).unwrap_or_default();
                    (Said::Text(held, Vec::new()), Some(Ending::Completed { finish_reason }))
                }
            };
            if flow.newest.is_none() && !said.text().is_empty() {
                span.record("first_chunk_ms", u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX));
            }
            if let Some(ending) = self.append(&said, flow).await.or(done) {
                return Ok(ending);
            }
        }
        Err(ProviderError {
            code: ProviderErrorCode::Truncated,
            message: "The provider's answer broke off.".to_owned(),
            detail: None,
            retryable: true,
            retry_after: None,
            status: None,
        })
    }

    /// Says once, and counts, what came and went no further.
    fn count_skipped(&self, skipped: Skipped, span: &Span) {
        let provider = self.model.provider_name();
        span.record("skipped_events", skipped.unread + skipped.tool_calls);
        self.observer.skipped(provider, SkippedKind::Unread, skipped.unread);
        self.observer.skipped(provider, SkippedKind::ToolCall, skipped.tool_calls);
        tracing::warn!(
            provider,
            unread = skipped.unread,
            tool_calls = skipped.tool_calls,
            "of what the provider sent for generation {}, not everything could be used",
            self.generation_id
        );
    }

    /// Appends what was said or thought, as far as there is room; gives back how the answer ends where
    /// there is none left.
    async fn append(&self, said: &Said, flow: &mut Flow<'_>) -> Option<Ending> {
        let text = said.text();
        let fits = &text[..text.floor_char_boundary(flow.room)];
        flow.room -= fits.len();
        if !fits.is_empty() {
            self.observe(flow);
            self.hear(said.voice(), flow);
            let appended = match said {
                Said::Thought(_) => self.log.append_reasoning(fits),
                // What is cut is no longer what its tokens say.
                Said::Text(_, ids) => self.log.append_tokens(fits, if fits.len() == text.len() { ids } else { &[] }),
            };
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
        full.then(|| Ending::Completed { finish_reason: "length".to_owned() })
    }

    fn hear(&self, voice: Voice, flow: &mut Flow<'_>) {
        if flow.voice.replace(voice) != Some(voice) {
            self.calls.lock().hear(voice, Instant::now());
        }
    }

    fn observe(&self, flow: &mut Flow<'_>) {
        let now = Instant::now();
        match flow.newest.replace(now) {
            Some(before) => self.observer.gap(now - before),
            None => self.observer.first_chunk(self.model.provider_name(), now - self.begun),
        }
    }
}

/// Whether nothing was answered before the question.
fn is_first(history: &History) -> bool {
    history.whole && history.turns.iter().all(|past| past.turn.role != Role::Assistant || past.turn.is_blank())
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
