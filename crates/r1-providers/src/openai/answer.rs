//! An answer on its way: body bytes in, deltas out.
//!
//! An answer is whole when the provider has said so, by a finish word that is known, by `[DONE]` or by the last bracket
//! of a document, **and** nothing came that may have held words and could not be read. What ends otherwise broke off.
//!
//! After a finish word the count of tokens, `[DONE]` or the end of the body may still come, so from then on silence
//! and a broken connection are an end like any other, and what is not of the model breaks no silence. Some servers say
//! a finish word with every chunk: where the model goes on after one, that server's words end nothing by themselves any
//! more. Before a finish, whatever comes breaks the silence, comments included: by them a provider says that it is
//! still at work. One that says no more than that is ended by the limit on the whole answer's time, which is the
//! caller's.
//!
//! **Invariant:** exactly one terminal item, after which there is nothing; no more of the body is
//! read than was polled for (one chunk of the transport and one event at most); and however much
//! comes at once, other tasks have their turn in between.

mod silence;
mod spoken;

use std::{
    collections::VecDeque,
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
    provider::{Delta, ProviderError, Skipped},
};
use tokio::task::coop;

use super::{
    error::{self, ErrorWords},
    events::{self, Finish, Said, Template},
    fit::Fits,
};
use crate::{
    continuation::Seam,
    document,
    health::Health,
    redaction::Redactor,
    sse::{Decoder, Piece, Source, Unreadable},
};
use silence::Silence;
use spoken::Speech;

#[cfg(test)]
mod tests;

/// How long the count of tokens, `[DONE]`, or more of the answer, may come after a finish word.
const GRACE: Duration = Duration::from_secs(2);
/// The same after a finish word that came with words: it may stand on each chunk.
const LONG_GRACE: Duration = Duration::from_secs(10);
/// How long the end of the body may come after `[DONE]`. It comes in the same packet nearly always,
/// and only once it was seen can the connection serve the next request.
const LINGER: Duration = Duration::from_millis(20);
/// This much counts as one step towards other tasks' turn, as an event does: a packet can hold a
/// hundred thousand lines that come to nothing.
const SLICE: usize = 1024;

/// Who answers, and what is told about how it went.
#[derive(Debug, Clone)]
pub(super) struct Answerer {
    /// The provider's name.
    pub(super) name: Arc<str>,
    /// Where outcomes go; none for a request that was made to fail.
    pub(super) health: Option<Arc<Health>>,
    /// What is known of the model, and is learned.
    pub(super) fits: Arc<Fits>,
    /// The model.
    pub(super) model: Arc<str>,
    /// What makes its words fit to be shown.
    pub(super) redactor: Arc<Redactor>,
}

impl Answerer {
    pub(super) fn succeeded(&self) {
        if let Some(health) = &self.health {
            health.succeeded();
        }
    }

    /// The failure behind these words, with what of them can be shown.
    fn fault(&self, words: &ErrorWords) -> ProviderError {
        ProviderError { detail: words.shown(&self.redactor), ..error::of_words(&self.name, words) }
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
    /// Documents that came as one event, and have not been read.
    several: Bytes,
    decoder: Decoder,
    template: Template,
    speech: Speech,
    silence: Silence,
    finish: Option<Finish>,
    /// The model went on after a finish word.
    finish_was_early: bool,
    usage: Option<Usage>,
    /// `[DONE]` has come.
    done: bool,
    /// The body is at its end, and what was left of it is being read.
    body_ended: bool,
    /// A whole answer has come, in this many events with words.
    whole: bool,
    events_with_words: u64,
    /// Something came that is known.
    has_read: bool,
    /// Something came that is JSON, and nothing that we know.
    has_unknown: bool,
    skipped: Skipped,
    /// The terminal item, while others go before it.
    terminal: Option<Item>,
    /// What goes before anything that is still to be read.
    queue: VecDeque<Delta>,
    ended: bool,
}

/// How it came that nothing more comes.
enum End {
    /// `[DONE]`, or the end that a body of this form has.
    AsDue,
    /// It broke off, or nothing came for too long: this is the failure unless a finish was said before.
    Else(ProviderError),
}

impl<B> Answer<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    pub(super) fn new(answerer: Answerer, body: B, seam: Option<Seam>, idle_timeout: Duration) -> Self {
        let expects_closing = answerer.fits.closes_thinking(&answerer.model);
        Self {
            speech: Speech::new(seam, expects_closing),
            answerer,
            body,
            slice: Bytes::new(),
            rest: Bytes::new(),
            several: Bytes::new(),
            decoder: Decoder::default(),
            template: Template::default(),
            silence: Silence::new(idle_timeout),
            finish: None,
            finish_was_early: false,
            usage: None,
            done: false,
            body_ended: false,
            whole: false,
            events_with_words: 0,
            has_read: false,
            has_unknown: false,
            skipped: Skipped::default(),
            terminal: None,
            queue: VecDeque::new(),
            ended: false,
        }
    }

    /// From now on text comes with its token ids, where they are said.
    pub(super) fn with_token_ids(mut self, wanted: bool) -> Self {
        self.speech.with_token_ids(wanted);
        self
    }

    /// With an item before all others.
    pub(super) fn after(mut self, first: Option<Delta>) -> Self {
        self.queue.extend(first);
        self
    }

    /// Reads one event; gives its text, if it has some.
    fn read(&mut self, said: Said) -> Option<Delta> {
        self.usage = said.usage.or(self.usage);
        self.skipped.tool_calls += u64::from(said.tool_call);
        self.skipped.unread += u64::from(said.unread);
        self.has_read |= said.is_known && !said.unread;
        self.has_unknown |= !said.is_known;
        if let Some(words) = &said.error {
            self.terminal = Some(Err(self.answerer.fault(words)));
        }
        if said.has_choice {
            let has_words = !said.text.is_empty();
            self.events_with_words += u64::from(has_words);
            self.whole |= said.is_whole;
            if has_words || !said.reasoning.is_empty() || said.tool_call {
                // Whoever goes on after a finish did not mean it.
                if self.finish.is_some() {
                    self.finish_was_early = true;
                    self.silence.end_in(self.silence.idle());
                }
                self.silence.spoken();
            } else {
                self.silence.stirred();
            }
            if let Some(finish) = said.finish {
                self.finish = Some(finish);
                let grace = match self.finish_was_early {
                    true => self.silence.idle(),
                    // Who says it before the first word may say it with each.
                    false if self.events_with_words == 0 => self.silence.idle(),
                    false if has_words || !said.reasoning.is_empty() || said.tool_call => LONG_GRACE,
                    false => GRACE,
                };
                self.silence.end_in(grace);
            }
        }
        self.speech.hear(said, &mut self.queue)
    }

    /// Reads a piece of what came; gives its first delta, if it has some.
    fn take(&mut self, event: Event) -> Option<Delta> {
        match event {
            Event::Empty => None,
            Event::Done => {
                self.done = true;
                self.silence.end_in(LINGER);
                None
            }
            Event::Said(said) => self.read(said),
            Event::Failed(words) => {
                self.terminal = Some(Err(self.answerer.fault(&words)));
                None
            }
            Event::Several(documents) => {
                self.several = documents;
                None
            }
            Event::Unread => {
                if self.skipped.unread == 0 {
                    tracing::debug!(provider = %self.answerer.name, "data from the provider could not be read");
                }
                self.skipped.unread += 1;
                None
            }
        }
    }

    /// Reads events out of what is at hand until there is a delta or a terminal item.
    fn read_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delta>> {
        while self.terminal.is_none() && !self.done {
            let turn = ready!(coop::poll_proceed(cx));
            if !self.several.is_empty() {
                turn.made_progress();
                if let Some(delta) = self.read_one_of_several() {
                    return Poll::Ready(Some(delta));
                }
                continue;
            }
            if self.slice.is_empty() {
                if self.rest.is_empty() {
                    break;
                }
                self.slice = self.rest.split_to(self.rest.len().min(SLICE));
            }
            turn.made_progress();
            let event = match self.decoder.next(&mut self.slice) {
                Ok(Some(piece)) => event_of(piece, &mut self.template),
                Ok(None) => continue,
                Err(why) => {
                    self.terminal = Some(Err(self.unreadable(why)));
                    break;
                }
            };
            if let Some(delta) = self.take(event) {
                return Poll::Ready(Some(delta));
            }
        }
        Poll::Ready(None)
    }

    fn read_one_of_several(&mut self) -> Option<Delta> {
        let document = document::next(&mut self.several)?;
        let event = match event_of(Piece { data: &document, source: Source::Document }, &mut self.template) {
            // It is one already.
            Event::Several(_) => Event::Unread,
            event => event,
        };
        self.take(event)
    }

    fn unreadable(&self, why: Unreadable) -> ProviderError {
        let what = match why {
            Unreadable::LongEvent => "sent a line of more than 1 MiB",
            Unreadable::LongDocument => "sent an answer of more than 4 MiB",
            Unreadable::Markup => error::WEB_PAGE,
        };
        error::invalid(&self.answerer.name, what)
    }

    /// Nothing more comes: reads what is left, and decides what the answer is.
    fn end(&mut self, end: End) {
        self.body_ended = true;
        self.skipped.unread += self.decoder.lost_lines();
        let unread = self.skipped.unread;
        while self.terminal.is_none() && !self.done {
            let event = if self.several.is_empty() {
                let Some(piece) = self.decoder.finish() else { break };
                event_of(piece, &mut self.template)
            } else {
                let delta = self.read_one_of_several();
                self.queue.extend(delta);
                continue;
            };
            let delta = self.take(event);
            self.queue.extend(delta);
        }
        // The last event broke off. Behind a finish that was the count of tokens; else it is as if it had not begun.
        let is_torn = self.skipped.unread > unread;
        self.skipped.unread = unread;
        let is_finished = matches!(self.finish, Some(Finish::Reason(_))) && !self.finish_was_early;
        let end = match end {
            End::AsDue if is_torn => End::Else(error::truncated(&self.answerer.name)),
            end => end,
        };
        if is_torn && !is_finished {
            (self.finish, self.whole) = (None, false);
        }
        if self.terminal.is_none() {
            self.terminal = Some(self.verdict(end));
        }
    }

    /// What the answer is, now that all of it has come.
    fn verdict(&self, end: End) -> Item {
        let name = &*self.answerer.name;
        let is_due = self.done || matches!(end, End::AsDue);
        let is_whole = self.whole && self.events_with_words <= 1;
        let done = |reason: &str| Ok(Delta::Done { finish_reason: reason.to_owned(), usage: self.usage });
        if self.skipped.unread > 0 {
            return Err(if self.has_read { error::incomplete(name) } else { error::unreadable(name) });
        }
        match (self.finish, end) {
            (Some(Finish::Reason(reason)), _) => done(reason),
            (Some(Finish::BrokenOff), _) => Err(error::broken_off(name)),
            (Some(Finish::Failed { may_pass }), _) => Err(error::failed(name, may_pass)),
            (Some(Finish::Other), _) if self.done || is_whole => done("other"),
            (None, _) if self.done && !self.has_read && self.has_unknown => Err(error::unreadable(name)),
            (None, _) if self.done || is_whole => done("stop"),
            (_, _) if is_due && !self.has_read && (self.has_unknown || self.decoder.has_strange_lines()) => {
                Err(error::unreadable(name))
            }
            (_, End::AsDue) => Err(error::truncated(name)),
            (_, End::Else(error)) => Err(error),
        }
    }

    /// Gives the terminal item, after what was held back, and what is to be said of what was skipped.
    fn last(&mut self) -> Option<Item> {
        let terminal = self.terminal.take()?;
        self.queue.extend(self.speech.finish());
        if !self.skipped.is_empty() {
            self.queue.push_back(Delta::Skipped(std::mem::take(&mut self.skipped)));
        }
        if let Some(delta) = self.queue.pop_front() {
            self.terminal = Some(terminal);
            return Some(Ok(delta));
        }
        self.ended = true;
        if let Some(closes) = self.speech.lone_tag().filter(|closes| *closes || terminal.is_ok()) {
            self.answerer.fits.learn_thinking(&self.answerer.model, closes);
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

/// What a piece of the body is.
enum Event {
    /// Nothing: a sign of life.
    Empty,
    Done,
    Said(Said),
    /// It calls itself an error.
    Failed(ErrorWords),
    /// More than one document.
    Several(Bytes),
    /// It may have been words.
    Unread,
}

fn event_of(piece: Piece<'_>, template: &mut Template) -> Event {
    let data = piece.data.trim_ascii();
    let said = match piece.source {
        Source::Error => return Event::Failed(ErrorWords::read(data)),
        _ if data.is_empty() => return Event::Empty,
        _ if is_done(data) => return Event::Done,
        Source::Data => template.parse(data),
        Source::Document => events::parse(data),
    };
    if let Ok(mut said) = said {
        // Only a document has its end where its last bracket is; an event of a stream may be one of many.
        said.is_whole &= piece.source == Source::Document || !said.text.is_empty();
        return Event::Said(said);
    }
    let mut rest = Bytes::copy_from_slice(data);
    match document::next(&mut rest) {
        Some(first) if first.len() < data.len() => Event::Several(Bytes::copy_from_slice(data)),
        _ if events::is_silence(data) => Event::Empty,
        _ => Event::Unread,
    }
}

/// The word that ends a stream, however it is written.
fn is_done(data: &[u8]) -> bool {
    let word = data.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(data);
    word.eq_ignore_ascii_case(b"[DONE]") || word.eq_ignore_ascii_case(b"DONE")
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
            if let Some(delta) = this.queue.pop_front() {
                return Poll::Ready(Some(Ok(delta)));
            }
            if !this.body_ended
                && let Some(delta) = ready!(this.read_chunk(cx))
            {
                return Poll::Ready(Some(Ok(delta)));
            }
            if let Some(item) = this.last() {
                return Poll::Ready(Some(item));
            }
            if this.silence.is_over_at_the_end() {
                this.end(End::Else(error::truncated(&this.answerer.name)));
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
                Poll::Ready(Some(Err(_))) => this.end(End::Else(error::truncated(&this.answerer.name))),
                Poll::Ready(None) => this.end(End::AsDue),
                Poll::Pending => {
                    ready!(this.silence.poll(cx));
                    let silent = error::silent(&this.answerer.name, this.silence.allowed());
                    this.end(End::Else(silent));
                }
            }
        }
    }
}
