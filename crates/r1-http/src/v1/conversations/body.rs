//! Conversations and messages on the wire.

use r1_domain::{
    conversation::{Conversation, DEFAULT_TITLE},
    cursor::EventId,
    id::MessageId,
    message::Message,
    part::Content,
};
use serde::Serialize;

use crate::{
    text::rfc3339,
    v1::{
        failure::FailureBody,
        part::{self, PartBody},
    },
};

/// A conversation.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Conversation)]
pub(crate) struct ConversationBody {
    /// Identifier.
    id: String,
    /// Title; `New conversation` until somebody gives one or the first question does.
    title: String,
    /// The last message of the branch that is shown: the one that was written to last, or chosen since.
    head_message_id: Option<String>,
    /// The generation that runs in it; null when none does.
    generation_id: Option<String>,
    /// When it was made.
    created_at: String,
    /// When a message last changed, or a person the title; lists are sorted by it.
    updated_at: String,
    /// A model is about to give it a better title than the first words of its question. Look again in a moment.
    title_pending: bool,
}

impl From<Conversation> for ConversationBody {
    fn from(conversation: Conversation) -> Self {
        Self {
            id: conversation.id.to_string(),
            title: conversation.title.unwrap_or_else(|| DEFAULT_TITLE.to_owned()),
            head_message_id: conversation.head.map(|id| id.to_string()),
            generation_id: conversation.running.map(|id| id.to_string()),
            created_at: rfc3339(conversation.created_at),
            updated_at: rfc3339(conversation.updated_at),
            title_pending: conversation.title_pending,
        }
    }
}

/// A message.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Message)]
pub(crate) struct MessageBody {
    /// Identifier.
    id: String,
    /// The message that this one follows; null for a first one. Siblings are branches.
    parent_id: Option<String>,
    /// `user`, `assistant` or `system`.
    role: &'static str,
    /// The text; of a running answer, the text so far. An answer that was continued has one message.
    content: String,
    /// `queued`, `running`, `completed`, `stopped`, `failed` or `interrupted`.
    status: &'static str,
    /// The model that wrote it, as `provider/model`.
    model: Option<String>,
    /// The newest generation of an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    generation_id: Option<String>,
    /// Of a running answer: the event up to which `content` and `parts` go. Follow on from here.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_event_id: Option<String>,
    /// Why the model ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_reason: Option<String>,
    /// Code of the error that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<String>,
    /// That error, as the `error` event of its stream had it.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<FailureBody>,
    /// Of an answer that has ended: the oldest message that the model was given. Absent where it was given all
    /// that was said before.
    #[serde(skip_serializing_if = "Option::is_none")]
    remembers_from: Option<String>,
    /// When it was made.
    created_at: String,
    /// All its parts in order, where there are others than text. `content` is the text of them, joined.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<PartBody>,
    /// Where one branch was asked for: its versions, oldest first. They are the messages of the same role that follow
    /// the same one, itself among them; of more than 200 the newest, and itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    siblings: Option<Vec<String>>,
}

impl MessageBody {
    /// A message of a branch.
    pub(crate) fn of_branch(message: Message, siblings: &[MessageId]) -> Self {
        let siblings = siblings.iter().map(ToString::to_string).collect();
        Self { siblings: Some(siblings), ..message.into() }
    }
}

impl From<Message> for MessageBody {
    fn from(message: Message) -> Self {
        let last_event = message.generation_id.zip(message.last_event);
        let (content, parts) = part::of(Content { text: message.content, parts: message.parts });
        Self {
            id: message.id.to_string(),
            parent_id: message.parent_id.map(|id| id.to_string()),
            role: message.role.as_str(),
            content,
            status: message.state.as_str(),
            model: message.model,
            generation_id: message.generation_id.map(|id| id.to_string()),
            last_event_id: last_event.map(|(generation_id, cursor)| EventId { generation_id, cursor }.to_string()),
            finish_reason: message.finish_reason,
            error_code: message.error_code,
            error: message.failure.map(FailureBody::from),
            remembers_from: message.remembers_from.map(|id| id.to_string()),
            created_at: rfc3339(message.created_at),
            siblings: None,
            parts,
        }
    }
}
