//! An answer as a response body: events as they come, or all of it at the end.

use std::convert::Infallible;

use bytes::{BufMut, Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};
use http_body::Frame;
use http_body_util::StreamBody;

use super::error::ApiError;
use super::wire::{AnswerMessage, CachedTokens, Choice, Chunk, ChunkChoice, Completion, Delta, UsageObject};
use crate::scheduler::{Answer, Event, Finish, Usage};

/// What all events of a response have in common.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) id: String,
    pub(super) created: u64,
    pub(super) model: String,
    pub(super) usage_wanted: bool,
    pub(super) ids_wanted: bool,
}

impl Head {
    fn chunk<'a>(&'a self, choices: Vec<ChunkChoice<'a>>, usage: Option<UsageObject>) -> Bytes {
        event(&Chunk {
            id: &self.id,
            object: "chat.completion.chunk",
            created: self.created,
            model: &self.model,
            choices,
            usage,
        })
    }

    fn text(&self, first: bool, text: &str, tokens: &[u32]) -> Bytes {
        let delta = Delta { role: first.then_some("assistant"), content: Some(text) };
        let token_ids = self.ids_wanted.then_some(tokens);
        self.chunk(vec![ChunkChoice { index: 0, delta, finish_reason: None, token_ids }], None)
    }

    /// The end: the reason, the usage if wanted, and the marker.
    fn end(&self, first: bool, finish: Finish, usage: Usage) -> Bytes {
        let delta = Delta { role: first.then_some("assistant"), content: None };
        let finish_reason = Some(reason(finish));
        let choice = ChunkChoice { index: 0, delta, finish_reason, token_ids: None };
        let mut bytes = BytesMut::from(self.chunk(vec![choice], None).as_ref());
        if self.usage_wanted {
            bytes.put(self.chunk(Vec::new(), Some(usage_object(usage))));
        }
        bytes.put_slice(b"data: [DONE]\n\n");
        bytes.freeze()
    }
}

/// A body that sends every event of `answer` as a frame of its own.
pub(super) fn events(head: Head, answer: Answer) -> StreamBody<impl Stream<Item = Result<Frame<Bytes>, Infallible>>> {
    struct State {
        head: Head,
        answer: Answer,
        first: bool,
        over: bool,
    }
    let state = State { head, answer, first: true, over: false };
    StreamBody::new(stream::unfold(state, |mut state| async move {
        if state.over {
            return None;
        }
        let bytes = match state.answer.next().await {
            Some(Event::Text { text, tokens }) => state.head.text(state.first, &text, &tokens),
            Some(Event::Done { finish, usage }) => {
                state.over = true;
                state.head.end(state.first, finish, usage)
            }
            None => {
                state.over = true;
                event(&ApiError::interrupted().body())
            }
        };
        state.first = false;
        Some((Ok(Frame::data(bytes)), state))
    }))
}

/// The whole answer.
pub(super) async fn whole(head: Head, mut answer: Answer) -> Result<Completion, ApiError> {
    let mut content = String::new();
    let mut ids = Vec::new();
    while let Some(event) = answer.next().await {
        match event {
            Event::Text { text, tokens } => {
                content.push_str(&text);
                ids.extend(tokens);
            }
            Event::Done { finish, usage } => {
                let message = AnswerMessage { role: "assistant", content };
                return Ok(Completion {
                    id: head.id,
                    object: "chat.completion",
                    created: head.created,
                    model: head.model,
                    choices: [Choice {
                        index: 0,
                        message,
                        finish_reason: reason(finish),
                        token_ids: head.ids_wanted.then_some(ids),
                    }],
                    usage: usage_object(usage),
                });
            }
        }
    }
    Err(ApiError::interrupted())
}

fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
    }
}

fn usage_object(usage: Usage) -> UsageObject {
    UsageObject {
        prompt_tokens: usage.prompt_tokens,
        completion_tokens: usage.completion_tokens,
        total_tokens: usage.prompt_tokens + usage.completion_tokens,
        prompt_tokens_details: CachedTokens { cached_tokens: usage.cached_tokens },
    }
}

fn event(payload: &impl serde::Serialize) -> Bytes {
    let mut bytes = BytesMut::with_capacity(256).writer();
    let written = serde_json::to_writer(&mut bytes, payload);
    debug_assert!(written.is_ok(), "plain structures always serialise");
    let json = bytes.into_inner();
    let mut event = BytesMut::with_capacity(json.len() + 8);
    event.put_slice(b"data: ");
    event.put(json);
    event.put_slice(b"\n\n");
    event.freeze()
}
