//! What a generation's log is made of, and the JSON by which readers see it.
//!
//! A log is `start chunk* (resumed chunk*)* (end | error)` in the first grammar; in the second there may be reasoning
//! wherever there may be a chunk. Other events may stand anywhere before its end. The payloads carry a space after `:`
//! and `,` and name `type` first: the published examples of the stream look so, and clients compare.

use serde::Serialize;

use crate::{
    generation::State,
    id::{ConversationId, GenerationId, MessageId},
    log::{Kind, OpenKind, split_arguments},
};

/// Tokens counted for a generation, over all its upstream calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, serde::Deserialize)]
pub struct Usage {
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
    /// Both together.
    pub total_tokens: u64,
    /// True where a provider did not count and the numbers are ours.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}

impl Usage {
    /// About what nobody counted.
    #[must_use]
    pub const fn estimate(prompt_tokens: u64, completion_tokens: u64) -> Self {
        let total_tokens = prompt_tokens.saturating_add(completion_tokens);
        Self { prompt_tokens, completion_tokens, total_tokens, estimated: true }
    }

    /// Both together: an estimate where one of them is.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            prompt_tokens: self.prompt_tokens.saturating_add(other.prompt_tokens),
            completion_tokens: self.completion_tokens.saturating_add(other.completion_tokens),
            total_tokens: self.total_tokens.saturating_add(other.total_tokens),
            estimated: self.estimated || other.estimated,
        }
    }
}

/// The first event.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Start {
    /// The conversation that the message belongs to.
    pub conversation_id: ConversationId,
    /// The generation.
    pub generation_id: GenerationId,
    /// The assistant message that it writes.
    pub message_id: MessageId,
    /// The model, as `provider/model`.
    pub model: String,
}

/// The last event of a generation that ended by the model's or the user's will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The conversation that the message belongs to.
    pub conversation_id: ConversationId,
    /// The assistant message.
    pub message_id: MessageId,
    /// Completed or stopped.
    pub outcome: Outcome,
    /// Tokens used, over all calls of the model; none where none was answered.
    pub usage: Option<Usage>,
}

/// How a generation ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The model finished, for the reason that it gave: `stop`, `length`, `content_filter`, …
    Completed {
        /// The model's word for it.
        finish_reason: String,
    },
    /// The user stopped it.
    Stopped,
}

/// The last event of a generation that failed or was interrupted.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Failure {
    /// Stable word for programs, such as `provider_auth`.
    pub code: String,
    /// A sentence for people: no secret, no upstream body, no internal text.
    pub message: String,
    /// Whether asking again may help.
    pub retryable: bool,
    /// Seconds after which it may, where the provider has said so.
    pub retry_after: Option<u64>,
    /// By which the request that asked is found in the server's log, where it is known.
    pub request_id: Option<String>,
    /// The provider's own message, made fit to be shown ([`crate::provider::ProviderError::detail`]); only where the
    /// conversation's owner may read it.
    pub detail: Option<String>,
}

impl Failure {
    /// One of ours, of which no more is known.
    #[must_use]
    pub fn new(code: impl Into<String>, message: impl Into<String>, retryable: bool) -> Self {
        let (code, message) = (code.into(), message.into());
        Self { code, message, retryable, retry_after: None, request_id: None, detail: None }
    }

    /// Reads the payload of an `error` event; none where it is no such thing.
    #[must_use]
    pub fn read(payload: &str) -> Option<Self> {
        serde_json::from_str(payload).ok()
    }
}

/// The code of a [`Failure`] that says that the run died and its text is kept.
pub const INTERRUPTED: &str = "interrupted";

/// One entry of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The generation exists.
    Start(Start),
    /// More text.
    Chunk(String),
    /// Another process, or another life of this one, goes on.
    Resumed {
        /// The generation.
        generation_id: GenerationId,
        /// The lease under which it goes on.
        epoch: u32,
        /// The model is asked again: what was thought since the newest text counts no more.
        discards_reasoning: bool,
    },
    /// Terminal.
    End(End),
    /// Terminal.
    Error(Failure),
    /// More of what the model thinks.
    Reasoning(String),
    /// A piece of a call's arguments, as it comes.
    ToolArguments {
        /// The call.
        call_id: String,
        /// The tool that is called.
        tool: String,
        /// The piece.
        content: String,
    },
    /// An event that this build knows nothing of: its payload, one line of JSON that names its `type`.
    Other(OpenKind, String),
}

impl Event {
    /// Reads an event from what its record holds; none where that is no such event. Fields that a newer build has
    /// added are passed over.
    #[must_use]
    pub fn read(kind: Kind, content: &str) -> Option<Self> {
        Some(match kind {
            Kind::Chunk => Self::Chunk(content.to_owned()),
            Kind::Reasoning => Self::Reasoning(content.to_owned()),
            Kind::Start => Self::Start(serde_json::from_str(content).ok()?),
            Kind::Resumed => {
                let Resumed { generation_id, epoch, discard } = serde_json::from_str(content).ok()?;
                Self::Resumed {
                    generation_id,
                    epoch,
                    discards_reasoning: discard.is_some_and(|what| what == REASONING),
                }
            }
            Kind::End => Self::End(serde_json::from_str::<Ended>(content).ok()?.into()),
            Kind::Error => Self::Error(Failure::read(content)?),
            Kind::ToolArguments => {
                let (call_id, tool, content) = split_arguments(content)?;
                let [call_id, tool, content] = [call_id, tool, content].map(str::to_owned);
                Self::ToolArguments { call_id, tool, content }
            }
            Kind::Open(kind) => Self::Other(kind, content.to_owned()),
        })
    }

    /// What its record is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Start(_) => Kind::Start,
            Self::Chunk(_) => Kind::Chunk,
            Self::Resumed { .. } => Kind::Resumed,
            Self::End(_) => Kind::End,
            Self::Error(_) => Kind::Error,
            Self::Reasoning(_) => Kind::Reasoning,
            Self::ToolArguments { .. } => Kind::ToolArguments,
            Self::Other(kind, _) => Kind::Open(*kind),
        }
    }

    /// The state that a generation with this newest event is in.
    #[must_use]
    pub fn state(&self) -> State {
        match self {
            Self::Start(_)
            | Self::Chunk(_)
            | Self::Resumed { .. }
            | Self::Reasoning(_)
            | Self::ToolArguments { .. }
            | Self::Other(..) => State::Running,
            Self::End(End { outcome: Outcome::Completed { .. }, .. }) => State::Completed,
            Self::End(End { outcome: Outcome::Stopped, .. }) => State::Stopped,
            Self::Error(failure) if failure.code == INTERRUPTED => State::Interrupted,
            Self::Error(_) => State::Failed,
        }
    }

    /// The JSON of the frame's `data:` line.
    #[must_use]
    pub fn payload(&self) -> String {
        spaced(&match self {
            Self::Start(start) => Payload::Start {
                message: "Starting response generation...",
                conversation_id: start.conversation_id,
                generation_id: start.generation_id,
                message_id: start.message_id,
                model: &start.model,
            },
            Self::Chunk(content) => Payload::Chunk { content },
            Self::Reasoning(content) => Payload::Reasoning { content },
            Self::ToolArguments { call_id, tool, content } => Payload::ToolArguments { call_id, tool, content },
            Self::Other(_, payload) => return payload.clone(),
            Self::Resumed { generation_id, epoch, discards_reasoning } => Payload::Resumed {
                message: "Response resumed",
                generation_id: *generation_id,
                epoch: *epoch,
                discard: discards_reasoning.then_some(REASONING),
            },
            Self::End(end) => {
                let (message, finish_reason) = match &end.outcome {
                    Outcome::Completed { finish_reason } => ("Response completed", Some(finish_reason.as_str())),
                    Outcome::Stopped => ("Response stopped", None),
                };
                Payload::End {
                    message,
                    conversation_id: end.conversation_id,
                    message_id: end.message_id,
                    status: self.state().as_str(),
                    finish_reason,
                    usage: end.usage,
                }
            }
            Self::Error(failure) => {
                let Failure { code, message, retryable, retry_after, request_id, detail } = failure;
                Payload::Error {
                    code,
                    message,
                    retryable: *retryable,
                    retry_after: *retry_after,
                    request_id: request_id.as_deref(),
                    detail: detail.as_deref(),
                }
            }
        })
    }
}

/// The wire form: the order of fields here is the order on the wire.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Payload<'a> {
    Start {
        message: &'a str,
        conversation_id: ConversationId,
        generation_id: GenerationId,
        message_id: MessageId,
        model: &'a str,
    },
    Chunk {
        content: &'a str,
    },
    Reasoning {
        content: &'a str,
    },
    ToolArguments {
        call_id: &'a str,
        tool: &'a str,
        content: &'a str,
    },
    Resumed {
        message: &'a str,
        generation_id: GenerationId,
        epoch: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        discard: Option<&'a str>,
    },
    End {
        message: &'a str,
        conversation_id: ConversationId,
        message_id: MessageId,
        status: &'a str,
        finish_reason: Option<&'a str>,
        usage: Option<Usage>,
    },
    Error {
        code: &'a str,
        message: &'a str,
        retryable: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        request_id: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<&'a str>,
    },
}

/// What is read of a take-over.
#[derive(serde::Deserialize)]
struct Resumed {
    generation_id: GenerationId,
    epoch: u32,
    discard: Option<String>,
}

/// What a take-over discards.
const REASONING: &str = "reasoning";

/// What is read of an end.
#[derive(serde::Deserialize)]
struct Ended {
    conversation_id: ConversationId,
    message_id: MessageId,
    status: String,
    finish_reason: Option<String>,
    usage: Option<Usage>,
}

impl From<Ended> for End {
    fn from(ended: Ended) -> Self {
        let Ended { conversation_id, message_id, status, finish_reason, usage } = ended;
        let outcome = if status == State::Stopped.as_str() {
            Outcome::Stopped
        } else {
            Outcome::Completed { finish_reason: finish_reason.unwrap_or_default() }
        };
        Self { conversation_id, message_id, outcome, usage }
    }
}

/// Serialises with a space after `:` and `,`.
fn spaced(value: &impl Serialize) -> String {
    let mut out = Vec::with_capacity(256);
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, Spaced);
    // Writing plain structs into memory has no way to fail.
    match value.serialize(&mut serializer).map(|()| String::from_utf8(out)) {
        Ok(Ok(text)) => text,
        _ => String::new(),
    }
}

struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn payloads_look_like_the_published_examples() {
        let now = Timestamp::from_micros(1);
        let (conversation_id, generation_id, message_id) =
            (ConversationId::new(now), GenerationId::new(now), MessageId::new(now));
        let start = Event::Start(Start { conversation_id, generation_id, message_id, model: "local/m".to_owned() });
        assert_eq!(
            start.payload(),
            format!(
                r#"{{"type": "start", "message": "Starting response generation...", "conversation_id": "{conversation_id}", "generation_id": "{generation_id}", "message_id": "{message_id}", "model": "local/m"}}"#
            )
        );
        assert_eq!(Event::Chunk(" \"AI\"\n".to_owned()).payload(), r#"{"type": "chunk", "content": " \"AI\"\n"}"#);
        let usage = Some(Usage { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3, estimated: false });
        let outcome = Outcome::Completed { finish_reason: "stop".to_owned() };
        assert_eq!(
            Event::End(End { conversation_id, message_id, outcome, usage }).payload(),
            format!(
                r#"{{"type": "end", "message": "Response completed", "conversation_id": "{conversation_id}", "message_id": "{message_id}", "status": "completed", "finish_reason": "stop", "usage": {{"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}}}"#
            )
        );
        let resumed = |discards_reasoning| Event::Resumed { generation_id, epoch: 2, discards_reasoning }.payload();
        let plain = format!(
            r#"{{"type": "resumed", "message": "Response resumed", "generation_id": "{generation_id}", "epoch": 2"#
        );
        assert_eq!(resumed(false), format!("{plain}}}"));
        assert_eq!(resumed(true), format!(r#"{plain}, "discard": "reasoning"}}"#));
        let stopped = Event::End(End { conversation_id, message_id, outcome: Outcome::Stopped, usage: None });
        assert!(stopped.payload().contains(r#""message": "Response stopped""#));
        assert!(stopped.payload().ends_with(r#""status": "stopped", "finish_reason": null, "usage": null}"#));
        let failure = Failure::new("provider_auth", "no", false);
        assert_eq!(
            Event::Error(failure.clone()).payload(),
            r#"{"type": "error", "code": "provider_auth", "message": "no", "retryable": false}"#
        );
        let more = Failure {
            retryable: true,
            retry_after: Some(7),
            request_id: Some("r-1".to_owned()),
            detail: Some("It says \"no\".".to_owned()),
            ..failure.clone()
        };
        let payload = Event::Error(more.clone()).payload();
        assert!(
            payload
                .ends_with(r#""retryable": true, "retry_after": 7, "request_id": "r-1", "detail": "It says \"no\"."}"#),
            "{payload}"
        );
        assert_eq!(Failure::read(&payload), Some(more));
        assert_eq!(Failure::read(&Event::Error(failure.clone()).payload()), Some(failure));
        assert_eq!(Failure::read(&stopped.payload()), None);
    }

    #[test]
    fn what_is_written_is_read() {
        let now = Timestamp::from_micros(1);
        let (conversation_id, generation_id, message_id) =
            (ConversationId::new(now), GenerationId::new(now), MessageId::new(now));
        let usage = Some(Usage { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3, estimated: true });
        let completed = Outcome::Completed { finish_reason: "length".to_owned() };
        let events = [
            Event::Start(Start { conversation_id, generation_id, message_id, model: "local/\"m\"".to_owned() }),
            Event::Resumed { generation_id, epoch: 7, discards_reasoning: false },
            Event::Resumed { generation_id, epoch: 8, discards_reasoning: true },
            Event::End(End { conversation_id, message_id, outcome: completed, usage }),
            Event::End(End { conversation_id, message_id, outcome: Outcome::Stopped, usage: None }),
            Event::Error(Failure { retry_after: Some(7), ..Failure::new("provider_auth", "no", true) }),
            Event::Other(OpenKind::new(40).unwrap(), r#"{"type": "of tomorrow"}"#.to_owned()),
        ];
        for event in events {
            assert_eq!(Event::read(event.kind(), &event.payload()), Some(event));
        }
        assert_eq!(Event::read(Kind::Chunk, "{}"), Some(Event::Chunk("{}".to_owned())));
        assert_eq!(Event::read(Kind::Reasoning, "hm"), Some(Event::Reasoning("hm".to_owned())));
        let arguments = Event::read(Kind::ToolArguments, "c-1\0search\0{\"q\": \"\0");
        let Some(Event::ToolArguments { call_id, tool, content }) = arguments else { panic!("{arguments:?}") };
        assert_eq!((&*call_id, &*tool, &*content), ("c-1", "search", "{\"q\": \"\0"));
        // A newer build says more of an end than this one knows.
        let more = format!(
            r#"{{"type": "end", "conversation_id": "{conversation_id}", "message_id": "{message_id}", "status": "later", "calls": [1]}}"#
        );
        let Some(Event::End(end)) = Event::read(Kind::End, &more) else { panic!("{more}") };
        assert_eq!((end.outcome, end.usage), (Outcome::Completed { finish_reason: String::new() }, None));
        for kind in [Kind::Start, Kind::Resumed, Kind::End, Kind::Error, Kind::ToolArguments] {
            assert_eq!(Event::read(kind, "{}"), None, "{kind:?}");
        }
    }
}
