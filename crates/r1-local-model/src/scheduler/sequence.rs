//! One answer: its tokens, its text on the way out, and when it is over.

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::{Event, Finish, Request, Usage};
use crate::model::KvCache;
use crate::tokenizer::{Decoder, Tokenizer};

#[derive(Debug)]
pub(super) struct Sequence {
    pub(super) request: Request,
    events: mpsc::Sender<Event>,
    pub(super) cache: KvCache,
    cached: usize,
    /// Prompt and answer.
    pub(super) tokens: Vec<u32>,
    answer_at: usize,
    /// Longest that `tokens` may get.
    limit: usize,
    decoder: Decoder,
    /// Text that may turn out to be the beginning of a stop text.
    held: String,
    /// Text that belongs to the answer, but whose last token has more, which is held back: it goes out
    /// with the rest, so that what was sent is always the text of whole tokens.
    ready: String,
    /// Tokens whose text has not been sent.
    unsent: Vec<u32>,
    /// What the reader has had no room for, in order; two at most.
    outbox: Vec<Event>,
    finished: bool,
    /// Whether the reader is gone.
    pub(super) closed: bool,
}

/// Where a sequence is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// This many tokens of the prompt have to be read.
    Prefill(usize),
    /// The next token is due.
    Decode,
    /// The reader has no room.
    Paused,
    /// Over: said all there was to say, or nobody listens.
    Over,
}

impl Sequence {
    /// `context` bounds prompt and answer together.
    pub(super) fn new(
        request: Request,
        events: mpsc::Sender<Event>,
        cache: KvCache,
        context: usize,
        tokenizer: &Tokenizer,
    ) -> Self {
        let answer_at = request.prompt.len();
        let mut tokens = request.prompt.clone();
        tokens.extend_from_slice(&request.answer);
        let limit = tokens.len().saturating_add(request.max_tokens).min(context);
        let mut sequence = Self {
            events,
            cached: cache.len(),
            cache,
            tokens,
            answer_at,
            limit,
            decoder: Decoder::default(),
            held: String::new(),
            ready: String::new(),
            unsent: Vec::new(),
            outbox: Vec::new(),
            finished: false,
            closed: false,
            request,
        };
        sequence.replay(tokenizer);
        sequence
    }

    /// Brings the text side to where the run that wrote the first part of the answer had it.
    fn replay(&mut self, tokenizer: &Tokenizer) {
        for i in self.answer_at..self.tokens.len() {
            if ends(tokenizer, self.tokens[i]) {
                // All was said, and what was held back sent: see `finish_with_rest`.
                self.finish(Finish::Stop);
                return;
            }
            let text = self.decoder.push(tokenizer, self.tokens[i]);
            if self.release(&text).1 {
                self.finish(Finish::Stop);
                return;
            }
        }
        if self.tokens.len() >= self.limit {
            self.finish(Finish::Length);
        }
    }

    pub(super) fn phase(&self) -> Phase {
        let unread = self.tokens.len() - self.cache.len().min(self.tokens.len());
        match () {
            () if self.closed || (self.finished && self.outbox.is_empty()) => Phase::Over,
            () if !self.outbox.is_empty() => Phase::Paused,
            () if unread > 1 => Phase::Prefill(unread),
            () => Phase::Decode,
        }
    }

    /// The next `count` tokens to read, and whether logits are wanted after them.
    pub(super) fn next(&self, count: usize) -> (std::ops::Range<usize>, bool) {
        let start = self.cache.len();
        let end = (start + count).min(self.tokens.len());
        (start..end, end == self.tokens.len())
    }

    /// Chooses the next token and passes its text on.
    pub(super) fn step(&mut self, logits: &mut [f32], tokenizer: &Tokenizer) {
        let id = self.request.sampling.choose(logits, &self.tokens[self.answer_at..]);
        if ends(tokenizer, id) {
            self.finish_with_rest(Finish::Stop, Some(id));
            return;
        }
        self.tokens.push(id);
        self.unsent.push(id);
        let decoded = self.decoder.push(tokenizer, id);
        let (text, stopped) = self.release(&decoded);
        self.ready.push_str(&text);
        if stopped {
            self.send_ready();
            self.finish(Finish::Stop);
        } else if self.tokens.len() >= self.limit {
            self.finish_with_rest(Finish::Length, None);
        } else {
            if self.held.is_empty() && self.decoder.is_whole() {
                self.send_ready();
            }
            self.flush();
        }
    }

    fn send_ready(&mut self) {
        if !self.ready.is_empty() {
            let (text, tokens) = (std::mem::take(&mut self.ready), std::mem::take(&mut self.unsent));
            self.outbox.push(Event::Text { text, tokens });
        }
    }

    /// Adds text; returns what is now certain to belong to the answer, and whether a stop text
    /// ended it.
    fn release(&mut self, text: &str) -> (String, bool) {
        self.held.push_str(text);
        let stops = || self.request.stop.iter().filter(|stop| !stop.is_empty());
        if let Some(at) = stops().filter_map(|stop| self.held.find(stop.as_str())).min() {
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), true);
        }
        let open = stops().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - open);
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// Ends an answer whose held-back text turned out to be its own. It goes out with the token `end`
    /// that brought it: whoever goes on from there must not be given it again.
    fn finish_with_rest(&mut self, finish: Finish, end: Option<u32>) {
        let rest = [std::mem::take(&mut self.held), self.decoder.finish()].concat();
        if !rest.is_empty() {
            self.unsent.extend(end);
        }
        self.ready.push_str(&rest);
        if !self.ready.is_empty() || !self.unsent.is_empty() {
            let (text, tokens) = (std::mem::take(&mut self.ready), std::mem::take(&mut self.unsent));
            self.outbox.push(Event::Text { text, tokens });
        }
        self.finish(finish);
    }

    fn finish(&mut self, finish: Finish) {
        let prompt_tokens = self.request.prompt.len() + self.request.answer.len();
        let usage =
            Usage { prompt_tokens, cached_tokens: self.cached, completion_tokens: self.tokens.len() - prompt_tokens };
        self.outbox.push(Event::Done { finish, usage });
        self.finished = true;
        self.flush();
    }

    /// Hands over what the reader has room for.
    pub(super) fn flush(&mut self) {
        self.closed = self.closed || self.events.is_closed();
        let mut left = Vec::new();
        for event in self.outbox.drain(..) {
            if !left.is_empty() {
                left.push(event);
                continue;
            }
            match self.events.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Full(event)) => left.push(event),
                Err(TrySendError::Closed(_)) => self.closed = true,
            }
        }
        self.outbox = left;
    }
}

/// Whether the answer ends at this token.
fn ends(tokenizer: &Tokenizer, id: u32) -> bool {
    tokenizer.is_end(id) || tokenizer.is_control(id)
}

/// Bytes at the end of `text` that are the beginning of `stop`.
fn overlap(text: &str, stop: &str) -> usize {
    let ends = stop.char_indices().map(|(at, _)| at).skip(1);
    ends.filter(|at| text.ends_with(&stop[..*at])).max().unwrap_or(0)
}
