//! "Come back in a moment" for an EventSource, which gives up for good on any status but 200.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use r1_domain::frame::encode_retry;

use crate::{error::ApiError, sse::stream_headers};

/// A passing refusal: 200, a `retry:` line and nothing else. Any other error stays one.
pub(crate) fn come_back(error: ApiError) -> Response {
    if !error.is_passing() {
        return error.into_response();
    }
    let mut body = Vec::with_capacity(32);
    encode_retry(&mut body, Duration::from_secs(5));
    (stream_headers(), body).into_response()
}
