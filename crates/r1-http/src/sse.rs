//! An event stream as a response body.
//!
//! The body asks its [`Reader`] whenever the connection has room, so a slow client costs no
//! buffer, and gives what is ready at once. When nothing has come for a while it sends a comment.
//!
//! **Invariant:** once its session has ended, its user is disabled or its conversation is gone, a stream gives no
//! more events: it ends without a terminal one, and who comes back is told why.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body::Frame;
use r1_auth::Watch;
use r1_domain::frame::{HEARTBEAT, encode_retry};
use r1_generation::Reader;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::limits::AttachPermit;

/// A reader that may not go on comes back after this time, and is told why.
const SIGN_IN_AFTER: Duration = Duration::from_secs(1);

/// The right to follow an answer, for as long as it lasts.
pub(crate) struct Following {
    /// A place among those of its user.
    pub(crate) _permit: AttachPermit,
    /// When it ends.
    pub(crate) watch: Watch,
}

pin_project_lite::pin_project! {
    /// Frames of one generation, heartbeats in between.
    pub(crate) struct EventStream {
        reader: Reader,
        heartbeat: Duration,
        // Moved forward only when it fires: a busy stream does not touch the timer.
        #[pin]
        timer: Sleep,
        quiet_since: Instant,
        following: Following,
        done: bool,
    }
}

impl EventStream {
    pub(crate) fn new(reader: Reader, heartbeat: Duration, following: Following) -> Self {
        let quiet_since = Instant::now();
        let timer = sleep_until(quiet_since + heartbeat);
        Self { reader, heartbeat, timer, quiet_since, following, done: false }
    }
}

impl http_body::Body for EventStream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut this = self.project();
        if *this.done {
            return Poll::Ready(None);
        }
        if this.following.watch.poll_over(context).is_ready() {
            *this.done = true;
            let mut retry = Vec::with_capacity(32);
            encode_retry(&mut retry, SIGN_IN_AFTER);
            return Poll::Ready(Some(Ok(Frame::data(retry.into()))));
        }
        if let Poll::Ready(frames) = this.reader.poll_frames(context) {
            *this.quiet_since = Instant::now();
            return Poll::Ready(frames.map(|frames| Ok(Frame::data(frames))));
        }
        while this.timer.as_mut().poll(context).is_ready() {
            let due = *this.quiet_since + *this.heartbeat;
            let now = Instant::now();
            if due > now {
                this.timer.as_mut().reset(due);
                continue;
            }
            *this.quiet_since = now;
            this.timer.as_mut().reset(now + *this.heartbeat);
            // The new deadline must be registered before this task sleeps again.
            context.waker().wake_by_ref();
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(HEARTBEAT)))));
        }
        Poll::Pending
    }
}

impl IntoResponse for EventStream {
    fn into_response(self) -> Response {
        (stream_headers(), Body::new(self)).into_response()
    }
}

/// Headers that keep every hop from holding the stream back.
pub(crate) fn stream_headers() -> HeaderMap {
    HeaderMap::from_iter([
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform")),
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ])
}
