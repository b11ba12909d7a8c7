//! What `benches/answer.rs` measures of this crate's inside. Nobody else is to use it.

use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use r1_domain::provider::CompletionStream;

use crate::{openai, sse::Decoder};

/// How many events a body holds.
#[must_use]
pub fn events(mut body: Bytes) -> usize {
    let mut decoder = Decoder::default();
    std::iter::from_fn(|| decoder.next(&mut body).ok()?.map(|piece| piece.data.len())).count()
}

/// The answer that a response with this body is. Needs a runtime's timer.
pub fn answer(body: impl Body<Data = Bytes> + Send + Unpin + 'static) -> CompletionStream {
    openai::read_body(body, Duration::from_secs(60))
}
