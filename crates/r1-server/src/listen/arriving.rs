//! A request's body as it arrives: who reads it to its end, or what becomes of the rest.
//!
//! A handler may answer without reading the body: one that takes none, or one that refuses. HTTP/1.1 can carry a
//! connection's next request only when the rest is out of the way ([RFC 9112, section
//! 9.3](https://www.rfc-editor.org/rfc/rfc9112#section-9.3)). A small rest that is there, or all but, is read and
//! dropped; any other ends the connection with its answer.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::{Error, body::Incoming};
use tokio::{sync::oneshot, time::timeout};

use super::room::Exchange;

/// Most bytes that are read to keep a connection.
const REST: usize = 16 * 1024;
/// Longest wait for them: they are sent together with the head, at most in a packet of their own.
const REST_TIME: Duration = Duration::from_millis(50);

/// A request's body, which says when it is whole.
pub(super) struct Arriving {
    /// None once it is dropped.
    body: Option<Incoming>,
    /// Read to its end: a body in pieces does not say so by itself.
    ended: bool,
    exchange: Arc<Exchange>,
    unread: Option<oneshot::Sender<Incoming>>,
}

/// What nobody has read of a request's body.
pub(super) struct Rest(oneshot::Receiver<Incoming>);

impl Arriving {
    pub(super) fn new(body: Incoming, exchange: Arc<Exchange>) -> (Self, Rest) {
        let (unread, rest) = oneshot::channel();
        (Self { body: Some(body), ended: false, exchange, unread: Some(unread) }, Rest(rest))
    }
}

impl Rest {
    /// Reads what is left of the body and drops it, if that is little and comes at once.
    pub(super) async fn drain(mut self, exchange: &Exchange) {
        let Ok(body) = self.0.try_recv() else { return };
        if !matches!(timeout(REST_TIME, ends_soon(body)).await, Ok(true)) {
            exchange.leaves_body();
        }
    }
}

/// Reads a body to its end. False: it is longer than is worth reading, or broke off.
async fn ends_soon(mut body: Incoming) -> bool {
    let mut read = 0;
    // The length that the client names is looked at first: what is too long is not even begun.
    while read + usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX) <= REST {
        match body.frame().await {
            None => return true,
            Some(Err(_)) => return false,
            Some(Ok(frame)) => read += frame.data_ref().map_or(0, Bytes::len),
        }
    }
    false
}

impl Drop for Arriving {
    fn drop(&mut self) {
        let (Some(body), Some(unread)) = (self.body.take(), self.unread.take()) else { return };
        // Whoever would read the rest is no longer there once the answer is made.
        if !self.ended && !body.is_end_stream() && unread.send(body).is_err() {
            self.exchange.leaves_body();
        }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(&mut *body).poll_frame(context));
        if frame.is_none() || body.is_end_stream() {
            self.ended = true;
            self.exchange.is_whole();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}
