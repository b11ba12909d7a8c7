//! Listeners and the accept loop.
//!
//! One router on the listeners of an acceptor. Each connection has TCP_NODELAY, a bound on the time
//! until its request's header is there, a bound on the time that a write may wait, and a seat among
//! a bounded number ([`room`]). A client that goes away is noticed: by its FIN or RST at once, without them by
//! what it does not acknowledge.

mod arriving;
mod capacity;
mod connection;
mod head;
mod room;
mod socket;
mod write_timeout;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use parking_lot::RwLock;
use r1_http::Arrival;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{net::TcpListener, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::{
    capacity::{Capacity, capacity, raise_open_files},
    room::Room,
};
use self::{connection::Host, head::SILENT};
use crate::config::Listen;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;
/// After accepting failed (too many open files, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Between two lines of the log about that.
const WARN_PAUSE: Duration = Duration::from_secs(10);

/// An address to listen at that can't be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    #[error("port {} on {} is in use; stop the other program, or choose another with {flag} ADDRESS:PORT", .addr.port(), .addr.ip())]
    InUse { addr: SocketAddr, flag: &'static str },
    #[error(
        "can't listen at {addr}: ports below 1024 need CAP_NET_BIND_SERVICE (systemd: \
         AmbientCapabilities=CAP_NET_BIND_SERVICE, and the same in CapabilityBoundingSet); or choose another with \
         {flag} ADDRESS:PORT"
    )]
    Privileged { addr: SocketAddr, flag: &'static str },
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
            Err(ListenError::Other { .. } | ListenError::Privileged { .. }) => {}
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
        io::ErrorKind::PermissionDenied if addr.port() < 1024 => ListenError::Privileged { addr, flag },
        _ => ListenError::Other { addr, flag, source },
    })
}

/// What clients may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Connections at the same time, and what those without a request may hold; further ones wait in the
    /// kernel's queue until one of those has left.
    pub(crate) capacity: Capacity,
    /// From accepting a connection, or from the answer before, until a request's header is whole.
    pub(crate) header_time: Duration,
    /// How long a client may take nothing of what waits for it, or give no sign of life.
    pub(crate) write_timeout: Duration,
}

/// Accepts and serves connections.
#[derive(Clone)]
pub(crate) struct Acceptor {
    served: Arc<RwLock<Router>>,
    bounds: Bounds,
    room: Arc<Room>,
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
            served: Arc::new(RwLock::new(router)),
            bounds,
            room: Arc::new(Room::new(bounds.capacity)),
            listeners: TaskTracker::new(),
            connections: TaskTracker::new(),
            closing: CancellationToken::new(),
            cutting: CancellationToken::new(),
        }
    }

    /// Answers all further requests with this router, on connections that are open too.
    pub(crate) fn serve(&self, router: Router) {
        *self.served.write() = router;
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

    /// Who has a place.
    pub(crate) fn room(&self) -> &Room {
        &self.room
    }

    async fn accept_all(&self, listener: &TcpListener) {
        // A listener that can't say where it is gets the stricter rules.
        let on_loopback = listener.local_addr().map_or(true, |addr| addr.ip().to_canonical().is_loopback());
        let mut warned: Option<Instant> = None;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let seat = self.room.enter(SILENT).await;
                    let (served, closing) = (self.served.clone(), self.closing.clone());
                    let host = Host { served, bounds: self.bounds, closing };
                    let arrival = Arrival { peer: peer.ip(), on_loopback };
                    let connection = connection::serve(stream, arrival, seat, host);
                    let cutting = self.cutting.clone();
                    self.connections.spawn(async move {
                        cutting.run_until_cancelled(connection).await;
                    });
                }
                Err(error) => {
                    // Out of files, most likely: an idle connection's will do.
                    self.room.make_room();
                    if warned.is_none_or(|at| at.elapsed() >= WARN_PAUSE) {
                        warned = Some(Instant::now());
                        tracing::warn!("a connection can't be accepted: {error}");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
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
