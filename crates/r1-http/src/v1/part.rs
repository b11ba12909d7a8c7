//! The parts of a message on the wire.

use r1_domain::part::{Content, Part, Reasoning};
use serde::Serialize;

/// A part of a message. There may be other types than these: pass over what you do not know.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = MessagePart)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum PartBody {
    /// What the model thought before it said what follows.
    Reasoning {
        /// Its words.
        content: String,
        /// How long it thought, where that is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        duration_ms: Option<u64>,
    },
    /// Text.
    Text {
        /// The next piece of the message's `content`.
        content: String,
    },
}

/// A message's text and, where it has other parts than that, all its parts in order.
pub(crate) fn of(content: Content) -> (String, Vec<PartBody>) {
    let Content { text, parts } = content;
    let body = |part| match part {
        Part::Text(span) => Some(PartBody::Text { content: text.get(span)?.to_owned() }),
        Part::Reasoning(Reasoning { text, duration_ms }) => Some(PartBody::Reasoning { content: text, duration_ms }),
        Part::Other(_) => None,
    };
    let parts = parts.into_iter().filter_map(body).collect();
    (text, parts)
}
