//! A TCP proxy that cuts connections, at any byte and at the worst ones.
//!
//! It stands before a server like a reverse proxy or a bad network: its address stays while the
//! server behind it goes, comes back and listens elsewhere ([`Proxy::lead_to`]). Each connection is
//! told by the test where it ends ([`Proxy::cut_with`]): a [`Cut`].
//!
//! **Invariant:** what goes through is unchanged up to the cut, and all that the server had sent
//! before it died still reaches the client; at most [`BUFFER`] bytes wait in either direction.

mod place;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use place::Place;
use place::Scanner;

/// Read at once, and asked of the operating system as well: a server does not run far ahead of a cut.
const BUFFER: usize = 16 * 1024;

/// Where a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// After this many bytes of the request, in place of the response.
    pub in_request: bool,
    /// Not before this many bytes have gone through.
    pub after: u64,
    /// At the next place of this kind; none: right there. If none comes, the connection is not cut.
    pub place: Option<Place>,
    /// By a reset, which may cost the client bytes that it had not read, not by a FIN.
    pub reset: bool,
}

type Plan = Arc<dyn Fn(u64) -> Option<Cut> + Send + Sync>;

struct Shared {
    servers: Mutex<Vec<SocketAddr>>,
    plan: Mutex<Option<Plan>>,
    frozen: watch::Sender<bool>,
    connections: AtomicU64,
    cuts: Mutex<BTreeMap<Place, u64>>,
    closing: CancellationToken,
}

impl Shared {
    async fn thawed(&self) {
        // It is never dropped while somebody waits.
        let _ = self.frozen.subscribe().wait_for(|frozen| !frozen).await;
    }
}

/// The running proxy. Dropping it closes everything.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Starts one on a free port of 127.0.0.1 that leads nowhere yet: connections are closed at once.
    ///
    /// # Errors
    /// The operating system's, when there is no port.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let shared = Arc::new(Shared {
            servers: Mutex::default(),
            plan: Mutex::default(),
            frozen: watch::Sender::new(false),
            connections: AtomicU64::new(0),
            cuts: Mutex::default(),
            closing: CancellationToken::new(),
        });
        let proxy = Self { address: listener.local_addr()?, shared: shared.clone() };
        let tasks = TaskTracker::new();
        tasks.clone().spawn(async move {
            while let Some(accepted) = shared.closing.run_until_cancelled(listener.accept()).await {
                match accepted {
                    Ok((client, _)) => {
                        tasks.spawn(serve(client, shared.clone()));
                    }
                    // Out of descriptors, say: others will close.
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        });
        Ok(proxy)
    }

    /// `http://127.0.0.1:PORT`
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on connections lead there, to several in turns, each to the next one that takes it; none:
    /// they are closed at once. Those that are open stay.
    pub fn lead_to(&self, servers: impl IntoIterator<Item = SocketAddr>) {
        *self.shared.servers.lock() = servers.into_iter().collect();
    }

    /// While it is frozen nothing goes through in either direction, and nobody is told: a network that is
    /// gone. Connections are still taken.
    pub fn freeze(&self, frozen: bool) {
        self.shared.frozen.send_replace(frozen);
    }

    /// From now on this says where the n-th connection, from 1, is cut. Must not block.
    pub fn cut_with(&self, plan: impl Fn(u64) -> Option<Cut> + Send + Sync + 'static) {
        *self.shared.plan.lock() = Some(Arc::new(plan));
    }

    /// How often it has cut, by what the cut went through. Those in requests are not among them.
    #[must_use]
    pub fn cuts(&self) -> BTreeMap<Place, u64> {
        self.shared.cuts.lock().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closing.cancel();
    }
}

async fn serve(client: TcpStream, shared: Arc<Shared>) {
    let number = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
    let servers = shared.servers.lock().clone();
    let plan = shared.plan.lock().clone();
    let cut = plan.and_then(|plan| plan(number));
    let first = usize::try_from(number).unwrap_or(0);
    let Some(Ok(server)) = shared.closing.run_until_cancelled(connect(&servers, first)).await else { return };
    let _ = client.set_nodelay(true);
    if cut.is_some_and(|cut| cut.reset) {
        let _ = socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO));
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let request = cut.filter(|cut| cut.in_request);
    let response = cut.filter(|cut| !cut.in_request);
    // Whichever ends, both sockets close: neither side of HTTP goes on after the other has gone.
    tokio::select! {
        () = requests(from_client, to_server, request, &shared) => {}
        () = responses(from_server, to_client, response, &shared) => {}
        () = shared.closing.cancelled() => {}
    }
}

/// To the `first` of the servers, counted round and round, or else to one after it.
async fn connect(servers: &[SocketAddr], first: usize) -> io::Result<TcpStream> {
    let mut refused = io::ErrorKind::NotConnected.into();
    for at in 0..servers.len() {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(BUFFER as u32)?;
        socket.set_nodelay(true)?;
        match socket.connect(servers[(first + at) % servers.len()]).await {
            Ok(server) => return Ok(server),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, cut: Option<Cut>, shared: &Shared) {
    let mut left = cut.map_or(u64::MAX, |cut| cut.after);
    let mut buffer = vec![0; BUFFER];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let through = read.min(usize::try_from(left).unwrap_or(usize::MAX));
        shared.thawed().await;
        if to.write_all(&buffer[..through]).await.is_err() || through < read {
            return;
        }
        left -= through as u64;
    }
}

async fn responses(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, cut: Option<Cut>, shared: &Shared) {
    let mut scanner = Scanner::new();
    let mut buffer = vec![0; BUFFER];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let found = cut.and_then(|cut| scanner.find(&buffer[..read], cut.after, cut.place));
        let through = found.map_or(read, |(through, _)| through);
        shared.thawed().await;
        if to.write_all(&buffer[..through]).await.is_err() {
            return;
        }
        if let Some((_, place)) = found {
            *shared.cuts.lock().entry(place).or_default() += 1;
            return;
        }
    }
}
