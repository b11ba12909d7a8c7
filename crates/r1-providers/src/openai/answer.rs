//! An answer on its way: body bytes in, deltas out.
//!
//! An answer is finished when the provider has said so, by a finish reason or by `[DONE]`; what
//! ends otherwise broke off. After the first word of a finish only the count of tokens may still
//! come, so from then on silence and a broken connection are an end like any other, and what is no
//! text breaks no silence. Before it, whatever comes does, comments included: by them a provider
//! says that it is still at work. One that says no more than that is ended by the limit on the
//! whole answer's time, which is the caller's.
//!
//! **Invariant:** exactly one terminal item, after which there is nothing; no more of the body is
//! read than was polled for (one chunk of the transport and one event at most); and however much
//! comes at once, other tasks have their turn in between.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures::Stream;
use http_body::Body;
use r1_domain::{
    event::Usage,
    provider::{Delta, ProviderError},
};
use tokio::{
    task::coop,
    time::{Instant, Sleep},
};

use super::{
    error,
    events::{Finish, NotJson, Said, Template},
    text::Halves,
};
use crate::{continuation::Seam, health::Health, sse::Decoder};

#[cfg(test)]
mod tests;

/// How long the count of tokens, or `[DONE]`, may come after the finish reason.
const GRACE: Duration = Duration::from_secs(2);
/// How long the end of the body may come after `[DONE]`. It comes in the same packet nearly always,
/// and only once it was seen can the connection serve the next request.
const LINGER: Duration = Duration::from_millis(20);
/// So much counts as one step towards other tasks' turn, as an event does: a packet can hold a
/// hundred thousand lines that come to nothing.
const SLICE: usize = 1024;

/// Who answers, and what is told about how it went.
#[derive(Debug, Clone)]
pub(super) struct Answerer {
    /// The provider's name.
    pub(super) name: Arc<str>,
    /// Where outcomes go; none for a request that was made to fail.
    pub(super) health: Option<Arc<Health>>,
}

impl Answerer {
    pub(super) fn succeeded(&self) {
        if let Some(health) = &self.health {
            health.succeeded();
        }
    }

    pub(super) fn failed(&self, error: ProviderError) -> ProviderError {
        if let Some(health) = &self.health {
            health.failed(error.code);
        }
        error
    }
}

type Item = Result<Delta, ProviderError>;

/// The stream of an answer.
pub(super) struct Answer<B> {
    answerer: Answerer,
    body: B,
    /// What came of the body and has not been read: the slice at hand, and what is behind it.
    slice: Bytes,
    rest: Bytes,
    decoder: Decoder,
    template: Template,
    halves: Halves,
    seam: Option<Seam>,
    /// Whether token ids are read, and none was lost so far.
    token_ids: bool,
    silence: Silence,
    finish_reason: Option<&'static str>,
    usage: Option<Usage>,
    /// `[DONE]` has come.
    done: bool,
    /// The terminal item, while text goes before it.
    terminal: Option<Item>,
    ended: bool,
    /// Data that was no JSON.
    skipped: u64,
}

impl<B> Answer<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    pub(super) fn new(answerer: Answerer, body: B, seam: Option<Seam>, idle_timeout: Duration) -> Self {
        Self {
            answerer,
            body,
            slice: Bytes::new(),
            rest: Bytes::new(),
            decoder: Decoder::default(),
            template: Template::default(),
            halves: Halves::default(),
            seam,
            token_ids: false,
            silence: Silence::new(idle_timeout),
            finish_reason: None,
            usage: None,
            done: false,
            terminal: None,
            ended: false,
            skipped: 0,
        }
    }

    /// From now on text comes with its token ids, where they are said.
    pub(super) fn with_token_ids(mut self, wanted: bool) -> Self {
        self.token_ids = wanted;
        self
    }

    /// Reads one event; gives its text, if it has some.
    fn read(&mut self, said: Result<Said, NotJson>) -> Option<Delta> {
        let Ok(said) = said else {
            if self.skipped == 0 {
                tracing::warn!(provider = %self.answerer.name, "data from the provider was not json and is skipped");
            }
            self.skipped += 1;
            return None;
        };
        if said.usage.is_some() {
            self.usage = said.usage;
        }
        let failure = match (&said.error, said.finish) {
            (Some(words), _) => Some(error::of_words(&self.answerer.name, words)),
            (None, Some(Finish::Failed)) => Some(error::of_words(&self.answerer.name, &error::ErrorWords::default())),
            _ => None,
        };
        if let Some(failure) = failure {
            self.terminal = Some(Err(failure));
        } else if let Some(Finish::Reason(reason)) = said.finish {
            self.finish_reason = Some(reason);
            self.silence.allow(GRACE);
        }
        let text = self.halves.join(said.text);
        if text.is_empty() {
            // Tokens whose text would come later: none of the later ones can be gone on from.
            self.token_ids &= said.ids.is_empty();
            return None;
        }
        self.silence.spoken();
        match &mut self.seam {
            None => {
                let ids = if self.token_ids { said.ids } else { Vec::new() };
                Some(Delta::Text { text, ids })
            }
            Some(seam) => seam.push(text).map(Delta::text),
        }
    }

    /// At the end: text that was held back in vain.
    fn held(&mut self) -> Option<String> {
        let half = self.halves.finish();
        match &mut self.seam {
            None => half,
            Some(seam) => half.and_then(|half| seam.push(half)).or_else(|| seam.finish()),
        }
    }

    /// The end of the body, or of patience: a finish if there was a word of one, else this.
    fn end(&mut self, otherwise: impl FnOnce(&str) -> ProviderError) {
        let reason = self.finish_reason.or(self.done.then_some("stop"));
        self.terminal = Some(match reason {
            Some(reason) => Ok(Delta::Done { finish_reason: reason.to_owned(), usage: self.usage }),
            None => Err(otherwise(&self.answerer.name)),
        });
    }

    /// Reads events out of what is at hand until there is text or a terminal item.
    fn read_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delta>> {
        while self.terminal.is_none() && !self.done {
            let turn = ready!(coop::poll_proceed(cx));
            if self.slice.is_empty() {
                if self.rest.is_empty() {
                    break;
                }
                self.slice = self.rest.split_to(self.rest.len().min(SLICE));
            }
            turn.made_progress();
            let event = match self.decoder.next(&mut self.slice) {
                Ok(Some(data)) => event_of(data, &mut self.template),
                Ok(None) => continue,
                Err(_) => {
                    self.terminal = Some(Err(error::invalid(&self.answerer.name, "sent a line of more than 1 MiB")));
                    break;
                }
            };
            if let Some(text) = self.read_event(event) {
                return Poll::Ready(Some(text));
            }
        }
        Poll::Ready(None)
    }

    fn read_event(&mut self, event: Event) -> Option<Delta> {
        match event {
            Event::Empty => None,
            Event::Done => {
                self.done = true;
                self.silence.allow(LINGER);
                None
            }
            Event::Said(said) => self.read(said),
        }
    }

    /// Gives the terminal item, after text that was held back.
    fn last(&mut self) -> Option<Item> {
        let terminal = self.terminal.take()?;
        if let Some(held) = self.held() {
            self.terminal = Some(terminal);
            return Some(Ok(Delta::text(held)));
        }
        self.ended = true;
        if self.skipped > 1 {
            tracing::debug!(provider = %self.answerer.name, skipped = self.skipped, "data that was not json, in all");
        }
        Some(match terminal {
            Ok(done) => {
                self.answerer.succeeded();
                Ok(done)
            }
            Err(error) => Err(self.answerer.failed(error)),
        })
    }
}

/// What an event's data is.
enum Event {
    Empty,
    Done,
    Said(Result<Said, NotJson>),
}

fn event_of(data: &[u8], template: &mut Template) -> Event {
    match data.trim_ascii() {
        b"" => Event::Empty,
        b"[DONE]" => Event::Done,
        data => Event::Said(template.parse(data)),
    }
}

impl<B> Stream for Answer<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        let this = &mut *self;
        loop {
            if this.ended {
                return Poll::Ready(None);
            }
            if let Some(text) = ready!(this.read_chunk(cx)) {
                return Poll::Ready(Some(Ok(text)));
            }
            if let Some(item) = this.last() {
                return Poll::Ready(Some(item));
            }
            if this.silence.is_over_at_the_end() {
                this.end(error::truncated);
                continue;
            }
            match Pin::new(&mut this.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    // Anything else is trailers.
                    if let Ok(chunk) = frame.into_data() {
                        this.rest = chunk;
                        this.silence.broken();
                    }
                }
                Poll::Ready(Some(Err(_))) => this.end(error::truncated),
                Poll::Ready(None) => {
                    let left = this.decoder.finish().map(|data| event_of(data, &mut this.template));
                    let text = left.and_then(|event| this.read_event(event));
                    if this.terminal.is_none() {
                        this.end(error::truncated);
                    }
                    if let Some(text) = text {
                        return Poll::Ready(Some(Ok(text)));
                    }
                }
                Poll::Pending => {
                    ready!(this.silence.poll(cx));
                    let allowed = this.silence.allowed;
                    this.end(|name| error::silent(name, allowed));
                }
            }
        }
    }
}

/// How long nothing has come. Costs a look at the clock per chunk: the timer itself is only moved
/// when it goes off too early.
struct Silence {
    allowed: Duration,
    /// The answer was said to be at its end: only text counts from then on.
    at_the_end: bool,
    since: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Silence {
    fn new(allowed: Duration) -> Self {
        let timer = Box::pin(tokio::time::sleep(allowed));
        Self { allowed, at_the_end: false, since: Instant::now(), timer }
    }

    /// Something came.
    fn broken(&mut self) {
        if !self.at_the_end {
            self.since = Instant::now();
        }
    }

    /// Text came.
    fn spoken(&mut self) {
        self.since = Instant::now();
    }

    /// The answer is said to be at its end: from here on so much is enough, if it is less.
    fn allow(&mut self, allowed: Duration) {
        if !self.at_the_end || allowed < self.allowed {
            self.at_the_end = true;
            self.allowed = self.allowed.min(allowed);
            self.since = Instant::now();
            self.timer.as_mut().reset(self.since + self.allowed);
        }
    }

    /// Whether the end has taken long enough, whatever still comes.
    fn is_over_at_the_end(&self) -> bool {
        self.at_the_end && self.since.elapsed() >= self.allowed
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            let end = self.since + self.allowed;
            if Instant::now() >= end {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(end);
        }
    }
}
