//! The request and response objects of the chat-completions format, as far as this server uses
//! them. Fields that it does not know are ignored, as OpenAI's servers do.

use serde::{Deserialize, Serialize};

use super::error::ApiError;
use crate::template::{Message, Role};

const MAX_STOPS: usize = 16;
const MAX_STOP_BYTES: usize = 256;

/// The body of `POST /v1/chat/completions`.
#[derive(Debug, Deserialize)]
pub(super) struct ChatRequest {
    messages: Vec<WireMessage>,
    #[serde(default)]
    pub(super) stream: bool,
    stream_options: Option<StreamOptions>,
    pub(super) temperature: Option<f32>,
    pub(super) top_p: Option<f32>,
    max_tokens: Option<usize>,
    /// The newer name of the same.
    max_completion_tokens: Option<usize>,
    stop: Option<Stop>,
    pub(super) user: Option<String>,
    pub(super) seed: Option<i64>,
    n: Option<u32>,
    /// The last message is the beginning of the answer (vLLM's name for it).
    #[serde(default)]
    pub(super) continue_final_message: bool,
    /// The tokens of that beginning's end, as `token_ids` gave them.
    pub(super) continue_token_ids: Option<Vec<u32>>,
    /// Chunks carry their tokens (vLLM's name for it).
    #[serde(default)]
    pub(super) return_token_ids: bool,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Stop {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Deserialize)]
struct WireMessage {
    role: String,
    content: Option<Content>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: String,
}

impl ChatRequest {
    /// Reads and checks everything but the messages.
    pub(super) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        let request: Self =
            serde_json::from_slice(body).map_err(|error| ApiError::invalid(format!("not a chat request: {error}")))?;
        let within = |value: Option<f32>, name: &str, most: f32| match value {
            Some(value) if !(0.0..=most).contains(&value) => {
                Err(ApiError::invalid(format!("{name} is not between 0 and {most}")))
            }
            _ => Ok(()),
        };
        within(request.temperature, "temperature", 2.0)?;
        within(request.top_p, "top_p", 1.0)?;
        // An answer may lack nothing but its end, if its tokens say so.
        if request.max_tokens() == Some(0) && request.continue_token_ids.is_none() {
            return Err(ApiError::invalid("max_tokens is 0"));
        }
        if request.n.is_some_and(|n| n != 1) {
            return Err(ApiError::invalid("n must be 1"));
        }
        let stops = request.stop_texts();
        if stops.len() > MAX_STOPS || stops.iter().any(|stop| stop.len() > MAX_STOP_BYTES) {
            return Err(ApiError::invalid("too many or too long stop texts"));
        }
        Ok(request)
    }

    pub(super) fn max_tokens(&self) -> Option<usize> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    pub(super) fn wants_usage(&self) -> bool {
        self.stream_options.as_ref().is_some_and(|options| options.include_usage)
    }

    pub(super) fn stop_texts(&self) -> Vec<String> {
        match &self.stop {
            None => Vec::new(),
            Some(Stop::One(text)) => vec![text.clone()],
            Some(Stop::Many(texts)) => texts.clone(),
        }
    }

    /// The messages in the model's terms.
    pub(super) fn conversation(&self) -> Result<Vec<Message>, ApiError> {
        let messages: Vec<Message> = self.messages.iter().map(WireMessage::read).collect::<Result<_, _>>()?;
        let partial = messages.last().is_some_and(|last| last.role == Role::Assistant);
        if self.continue_final_message && !partial {
            return Err(ApiError::invalid("continue_final_message needs a last message of the assistant"));
        }
        if self.continue_token_ids.is_some() && !self.continue_final_message {
            return Err(ApiError::invalid("continue_token_ids needs continue_final_message"));
        }
        Ok(messages)
    }
}

impl WireMessage {
    fn read(&self) -> Result<Message, ApiError> {
        let role = match self.role.as_str() {
            "system" | "developer" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            _ => return Err(ApiError::invalid("a message's role is unknown to this model")),
        };
        let content = match &self.content {
            None => String::new(),
            Some(Content::Text(text)) => text.clone(),
            Some(Content::Parts(parts)) if parts.iter().all(|part| part.kind == "text") => {
                parts.iter().map(|part| part.text.as_str()).collect()
            }
            Some(Content::Parts(_)) => return Err(ApiError::invalid("this model reads text only")),
        };
        Ok(Message { role, content })
    }
}

/// The body of `GET /health`.
#[derive(Debug, Serialize)]
pub(super) struct Health {
    pub(super) status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) context: Option<usize>,
}

#[derive(Debug, Serialize)]
pub(super) struct Models<'a> {
    object: &'static str,
    data: [ModelObject<'a>; 1],
}

#[derive(Debug, Serialize)]
struct ModelObject<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

pub(super) fn models(id: &str, created: u64) -> Models<'_> {
    Models { object: "list", data: [ModelObject { id, object: "model", created, owned_by: "local" }] }
}

/// One Server-Sent Event's payload.
#[derive(Debug, Serialize)]
pub(super) struct Chunk<'a> {
    pub(super) id: &'a str,
    pub(super) object: &'static str,
    pub(super) created: u64,
    pub(super) model: &'a str,
    pub(super) choices: Vec<ChunkChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<UsageObject>,
}

#[derive(Debug, Serialize)]
pub(super) struct ChunkChoice<'a> {
    pub(super) index: u32,
    pub(super) delta: Delta<'a>,
    pub(super) finish_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token_ids: Option<&'a [u32]>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<&'a str>,
}

/// The body of an answer that is not streamed.
#[derive(Debug, Serialize)]
pub(super) struct Completion {
    pub(super) id: String,
    pub(super) object: &'static str,
    pub(super) created: u64,
    pub(super) model: String,
    pub(super) choices: [Choice; 1],
    pub(super) usage: UsageObject,
}

#[derive(Debug, Serialize)]
pub(super) struct Choice {
    pub(super) index: u32,
    pub(super) message: AnswerMessage,
    pub(super) finish_reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token_ids: Option<Vec<u32>>,
}

#[derive(Debug, Serialize)]
pub(super) struct AnswerMessage {
    pub(super) role: &'static str,
    pub(super) content: String,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct UsageObject {
    pub(super) prompt_tokens: usize,
    pub(super) completion_tokens: usize,
    pub(super) total_tokens: usize,
    pub(super) prompt_tokens_details: CachedTokens,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct CachedTokens {
    pub(super) cached_tokens: usize,
}
