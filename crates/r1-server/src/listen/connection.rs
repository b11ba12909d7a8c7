//! One client's connection, from the moment it is accepted to its last byte.
//!
//! First its request's head is collected ([`head`](super::head)), at the price of that head. Only then is HTTP
//! spoken with it. Between two requests it is without one again, and counts as such.
//!
//! **Invariant:** whatever a connection holds while it is without a whole request is told to its [`Seat`].

use std::{
    convert::Infallible,
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{Router, body::Body, response::Response};
use bytes::{Buf, Bytes};
use http::{HeaderValue, header};
use http_body::{Body as _, Frame, SizeHint};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::RwLock;
use r1_http::Arrival;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, Take},
    net::TcpStream,
    time::{Sleep, sleep},
};
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::{
    Bounds,
    arriving::Arriving,
    head::read_head,
    room::{Exchange, Seat},
    socket::{prepare, reset},
    write_timeout::WriteTimeout,
};

/// Most bytes of a request's header, and of what is buffered for one connection.
const BUFFER: usize = 64 * 1024;
/// Read at a time: the buffers of a connection stay as small as they begin.
const PIECE: usize = 8 * 1024;
/// What a connection costs with which HTTP is spoken, while it is without a request.
pub(super) const HTTP: usize = 16 * 1024;
/// To send the rest of an answer to one that is to make room.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// A client that is refused before it has sent its whole body is listened to for this time, and these bytes: closed
/// at once, it would hear of a lost connection and not of the refusal.
const LINGER: (Duration, usize) = (Duration::from_secs(2), 4 * 1024 * 1024);
/// These are answered however full it is.
const HEALTH: &str = "/api/v1/health";

/// What a connection is served with.
#[derive(Clone)]
pub(super) struct Host {
    pub(super) served: Arc<RwLock<Router>>,
    pub(super) bounds: Bounds,
    /// Cancelled = idle connections close, busy ones after their answer.
    pub(super) closing: CancellationToken,
}

/// Serves a connection to its end.
pub(super) async fn serve(mut stream: TcpStream, arrival: Arrival, seat: Seat, host: Host) {
    if let Err(error) = prepare(&stream, host.bounds.write_timeout) {
        // It has gone already, or the system knows less than Linux does: it is served all the same.
        tracing::debug!("a connection can't be prepared: {error}");
    }
    let read = tokio::select! {
        biased;
        () = seat.asked_to_leave() => return,
        () = host.closing.cancelled() => return,
        read = tokio::time::timeout(host.bounds.header_time, read_head(&mut stream, BUFFER, &seat)) => read,
    };
    // In time, whole, and from somebody who is still there: else there is nobody to answer to.
    let Ok(Ok(Some(head))) = read else { return };
    seat.holds(HTTP + head.len());
    // Apart, so that one that never gets here does not pay for it.
    Box::pin(speak_http(stream, head.into(), arrival, Arc::new(seat), host)).await;
}

async fn speak_http(stream: TcpStream, head: Bytes, arrival: Arrival, seat: Arc<Seat>, host: Host) {
    let Host { served, bounds, closing } = host;
    let stream = WriteTimeout::new(stream, bounds.write_timeout, reset);
    let io = TokioIo::new(Counted { stream: stream.take(0), head, seat: seat.clone(), read: 0, lingering: None });
    let seated = seat.clone();
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let exchange = seated.begin(request.uri().path().starts_with(HEALTH)).map(Arc::new);
        // To read on would ask for the body.
        let waits_to_be_asked = request.headers().contains_key(header::EXPECT);
        let mut rest = None;
        let mut request = request.map(|body| match &exchange {
            Some(exchange) if !body.is_end_stream() => {
                let (body, unread) = Arriving::new(body, exchange.clone());
                rest = (!waits_to_be_asked).then_some(unread);
                Body::new(body)
            }
            _ => Body::empty(),
        });
        request.extensions_mut().insert(arrival);
        let mut router = served.read().clone();
        async move {
            let Some(exchange) = exchange else {
                return Ok(r1_http::too_full(&request).map(|body| Given { body, _exchange: None }));
            };
            if request.body().is_end_stream() {
                exchange.is_whole();
            }
            let mut answer: Response = router.call(request).await?;
            if let Some(rest) = rest {
                rest.drain(&exchange).await;
            }
            if exchange.has_body_left() {
                // The connection ends with this answer. A client that is not told may send its next request into it.
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            exchange.is_whole();
            Ok::<_, Infallible>(answer.map(|body| Given { body, _exchange: Some(exchange) }))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.header_time)
        // A FIN is all that says that a tab was closed: who half-closes has gone.
        .half_close(false)
        .max_buf_size(BUFFER)
        .serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = seat.asked_to_leave() => {
            connection.as_mut().graceful_shutdown();
            // It may have the end of its answer to send, or a new request in the same moment.
            tokio::time::timeout(LAST_WORDS, connection).await.unwrap_or(Ok(()))
        }
    };
    // A client that goes away is nothing to report.
    if let Err(error) = ended {
        tracing::trace!("a connection ended: {error}");
    }
}

/// A connection whose bytes are counted while it is without a request. Begins with a head that was read before.
struct Counted<S> {
    stream: Take<S>,
    head: Bytes,
    seat: Arc<Seat>,
    /// Since the last head was whole.
    read: usize,
    /// While the rest of a body is dropped that nobody reads: for how long, and how many bytes at most.
    lingering: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.head.is_empty() {
            let piece = self.head.len().min(into.remaining()).min(PIECE);
            into.put_slice(&self.head[..piece]);
            self.head.advance(piece);
            if self.head.is_empty() {
                // What it is a part of is kept for as long as any of it.
                self.head = Bytes::new();
            }
            return Poll::Ready(Ok(()));
        }
        self.stream.set_limit(PIECE as u64);
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        if self.seat.has_head() {
            self.read = 0;
        } else {
            self.read += into.filled().len() - before;
            self.seat.holds(HTTP + self.read);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self.stream.get_mut()).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.stream.get_mut()).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.get_ref().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream.get_mut()).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(self.stream.get_mut()).poll_shutdown(context))?;
        if !self.seat.has_body_left() {
            return Poll::Ready(Ok(()));
        }
        let this = &mut *self;
        let (timer, left) = this.lingering.get_or_insert_with(|| (Box::pin(sleep(LINGER.0)), LINGER.1));
        let mut dropped = [MaybeUninit::uninit(); PIECE];
        while *left > 0 && timer.as_mut().poll(context).is_pending() {
            let mut into = ReadBuf::uninit(&mut dropped);
            this.stream.set_limit(PIECE as u64);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut into))?;
            if into.filled().is_empty() {
                break;
            }
            *left = left.saturating_sub(into.filled().len());
        }
        Poll::Ready(Ok(()))
    }
}

pin_project_lite::pin_project! {
    /// An answer's body. Its exchange lasts as long as this is there.
    struct Given {
        #[pin]
        body: Body,
        _exchange: Option<Arc<Exchange>>,
    }
}

impl http_body::Body for Given {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.project().body.poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
