//! Listeners and the accept loop.
//!
//! One router on the listeners of an acceptor. Each connection has TCP_NODELAY, a bound on the time
//! until its request's header is there, a bound on the time that a write may wait, and a place among
//! a bounded number. A client that goes away is noticed: by its FIN or RST at once, without them by
//! what it does not acknowledge.

mod socket;
mod write_timeout;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use r1_http::Arrival;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;

use self::{
    socket::{prepare, reset},
    write_timeout::WriteTimeout,
};
use crate::config::Listen;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;
/// Most bytes of a request's header, and of what is buffered for one connection.
const BUFFER: usize = 64 * 1024;
/// After accepting failed (too many open files, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// An address to listen at that can't be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    #[error("port {} on {} is in use; stop the other program, or choose another with {flag} ADDRESS:PORT", .addr.port(), .addr.ip())]
    InUse { addr: SocketAddr, flag: &'static str },
    #[error("can't listen at {addr}; choose another with {flag} ADDRESS:PORT")]
    Other {
        addr: SocketAddr,
        flag: &'static str,
        #[source]
        source: io::Error,
    },
}

/// Binds one port. `flag` is named in errors.
pub(crate) fn bind(listen: &Listen, flag: &'static str) -> Result<Vec<TcpListener>, ListenError> {
    let mut listeners = Vec::with_capacity(2);
    if let Some(addr) = listen.required {
        listeners.push(bind_one(addr, flag)?);
    }
    if let Some(addr) = listen.optional {
        match bind_one(addr, flag) {
            Ok(listener) => listeners.push(listener),
            // Somebody else would answer to half of all `localhost`s.
            Err(error @ ListenError::InUse { .. }) => return Err(error),
            // A machine without IPv6.
            Err(ListenError::Other { .. }) => {}
        }
    }
    Ok(listeners)
}

fn bind_one(addr: SocketAddr, flag: &'static str) -> Result<TcpListener, ListenError> {
    let listen = || {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        // A restart must not wait for the connections of the life before.
        socket.set_reuse_address(true)?;
        if addr.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    listen().map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse { addr, flag },
        _ => ListenError::Other { addr, flag, source },
    })
}

/// What clients may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Connections at the same time; further ones wait in the kernel's queue.
    pub(crate) connections: usize,
    /// From accepting a connection, or from the answer before, until a request's header is whole.
    pub(crate) header_time: Duration,
    /// How long a client may take nothing of what waits for it, or give no sign of life.
    pub(crate) write_timeout: Duration,
}

/// Accepts and serves connections.
#[derive(Clone)]
pub(crate) struct Acceptor {
    router: Router,
    bounds: Bounds,
    places: Arc<Semaphore>,
    listeners: TaskTracker,
    connections: TaskTracker,
    /// Cancelled = idle connections close, busy ones after their answer.
    closing: CancellationToken,
    /// Cancelled = all of them close now.
    cutting: CancellationToken,
}

impl Acceptor {
    pub(crate) fn new(router: Router, bounds: Bounds) -> Self {
        Self {
            router,
            bounds,
            places: Arc::new(Semaphore::new(bounds.connections)),
            listeners: TaskTracker::new(),
            connections: TaskTracker::new(),
            closing: CancellationToken::new(),
            cutting: CancellationToken::new(),
        }
    }

    /// Accepts from `listener` until [`Acceptor::close`].
    pub(crate) fn listen(&self, listener: TcpListener) {
        let acceptor = self.clone();
        self.listeners.spawn(async move {
            tokio::select! {
                () = acceptor.closing.cancelled() => {}
                () = acceptor.accept_all(&listener) => {}
            }
        });
    }

    /// How many connections are open.
    pub(crate) fn open_connections(&self) -> usize {
        self.connections.len()
    }

    async fn accept_all(&self, listener: &TcpListener) {
        // A listener that can't say where it is gets the stricter rules.
        let on_loopback = listener.local_addr().map_or(true, |addr| addr.ip().to_canonical().is_loopback());
        loop {
            let Ok(place) = self.places.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let connection = self.clone().connection(stream, Arrival { peer: peer.ip(), on_loopback });
                    let cutting = self.cutting.clone();
                    self.connections.spawn(async move {
                        cutting.run_until_cancelled(connection).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!("a connection can't be accepted: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn connection(self, stream: TcpStream, arrival: Arrival) {
        if let Err(error) = prepare(&stream, self.bounds.write_timeout) {
            // It has gone already, or the system knows less than Linux does: it is served all the same.
            tracing::debug!("a connection can't be prepared: {error}");
        }
        let io = TokioIo::new(WriteTimeout::new(stream, self.bounds.write_timeout, reset));
        let router = self.router;
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(arrival);
            router.clone().call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.bounds.header_time)
            // A FIN is all that says that a tab was closed: who half-closes has gone.
            .half_close(false)
            .max_buf_size(BUFFER)
            .serve_connection(io, service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        // A client that goes away is nothing to report.
        if let Err(error) = ended {
            tracing::trace!("a connection ended: {error}");
        }
    }

    /// Accepts nothing more and closes idle connections. Gives busy ones until `deadline` to finish,
    /// then cuts them: afterwards none is left.
    pub(crate) async fn close(self, deadline: Instant) {
        self.closing.cancel();
        self.listeners.close();
        self.listeners.wait().await;
        self.connections.close();
        if tokio::time::timeout_at(deadline, self.connections.wait()).await.is_err() {
            tracing::info!(connections = self.connections.len(), "cutting connections that do not close");
            self.cutting.cancel();
            self.connections.wait().await;
        }
    }
}
