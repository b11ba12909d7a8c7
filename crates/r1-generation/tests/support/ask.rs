//! Asking an engine, and reading what it says.

use r1_generation::{Question, Reader};

pub(crate) fn question(text: &str) -> Question {
    Question {
        text: text.to_owned(),
        conversation_id: None,
        parent_id: None,
        model: None,
        temperature: None,
        max_tokens: None,
        use_invalid_key: false,
        request_id: None,
        shows_details: false,
        idempotency: None,
    }
}

/// All bytes to the end of the body.
pub(crate) async fn read(mut reader: Reader) -> String {
    let mut bytes = Vec::new();
    while let Some(frames) = std::future::poll_fn(|context| reader.poll_frames(context)).await {
        bytes.extend_from_slice(&frames);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
