//! An upstream below HTTP: each connection plays its own bytes, right or wrong, with or without TLS.
//!
//! What an HTTP server would never say is said here: half a header, two answers at once, a lie about
//! a length, nothing at all.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::tls::Identity;

/// Largest head of a request that is taken.
const HEAD_LIMIT: usize = 64 * 1024;

/// One thing that a connection does. After the last it is closed.
#[derive(Debug, Clone)]
pub enum Act {
    /// Reads one whole request; its head is recorded. A client that leaves ends the connection.
    Read,
    /// Reads the head of a request and leaves the body where it is.
    ReadHead,
    /// Says this.
    Send(Bytes),
    /// Says this again and again, at this interval, until the client has gone.
    Repeat(Bytes, Duration),
    /// Nothing until the client has gone.
    Hang,
    /// Ends with a reset (RST); with TLS, or where the client is gone, like any other end.
    Reset,
}

impl Act {
    /// [`Act::Send`].
    pub fn send(bytes: impl Into<Bytes>) -> Self {
        Self::Send(bytes.into())
    }
}

#[derive(Default)]
struct Seen {
    connections: usize,
    requests: Vec<String>,
}

/// The running upstream. Dropping it closes the listener and every connection.
pub struct RawUpstream {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    tasks: TaskTracker,
    closing: CancellationToken,
}

impl RawUpstream {
    /// Starts one on a free port of 127.0.0.1. The first connection plays the first list, and so
    /// on; all further ones play the last.
    ///
    /// # Errors
    /// The operating system's, when there is no port.
    pub async fn start(connections: Vec<Vec<Act>>) -> io::Result<Self> {
        Self::serve(connections, None).await
    }

    /// The same over TLS, with this certificate.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_tls(connections: Vec<Vec<Act>>, identity: &Identity) -> io::Result<Self> {
        Self::serve(connections, Some(identity.acceptor())).await
    }

    async fn serve(connections: Vec<Vec<Act>>, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let upstream = Self {
            address: listener.local_addr()?,
            seen: Arc::default(),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        };
        let (seen, tasks, closing) = (upstream.seen.clone(), upstream.tasks.clone(), upstream.closing.clone());
        upstream.tasks.spawn(async move {
            while let Some(accepted) = closing.run_until_cancelled(listener.accept()).await {
                let Ok((stream, _)) = accepted else { continue };
                let _ = stream.set_nodelay(true);
                let number = {
                    let mut seen = seen.lock();
                    seen.connections += 1;
                    seen.connections - 1
                };
                let acts = connections.get(number).or(connections.last()).cloned().unwrap_or_default();
                let (seen, closing, tls) = (seen.clone(), closing.clone(), tls.clone());
                tasks.spawn(async move {
                    let socket = socket2::SockRef::from(&stream).try_clone();
                    let playing = async {
                        let reset = match tls {
                            None => play(stream, acts, &seen).await,
                            Some(tls) => match tls.accept(stream).await {
                                Ok(stream) => play(stream, acts, &seen).await,
                                // The client did not like the certificate.
                                Err(_) => return,
                            },
                        };
                        if let (true, Ok(socket)) = (reset.unwrap_or(false), socket) {
                            let _ = socket.set_linger(Some(Duration::ZERO));
                        }
                    };
                    closing.run_until_cancelled(playing).await;
                });
            }
        });
        Ok(upstream)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a client is configured with: `http://127.0.0.1:PORT/v1`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The heads of the requests so far, as they came.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.seen.lock().requests.clone()
    }

    /// Connections so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.seen.lock().connections
    }
}

impl Drop for RawUpstream {
    fn drop(&mut self) {
        self.closing.cancel();
        self.tasks.close();
    }
}

/// An address that takes no connection: its backlog is full, and what more comes gets no word.
#[derive(Debug)]
pub struct Deaf {
    address: SocketAddr,
    _listener: socket2::Socket,
    _waiting: Vec<std::net::TcpStream>,
}

impl Deaf {
    /// Fills a backlog.
    ///
    /// # Errors
    /// The operating system's, or that it takes whatever comes.
    pub fn new() -> io::Result<Self> {
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        listener.listen(0)?;
        let address = listener.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        let mut waiting = Vec::new();
        while waiting.len() < 64 {
            match std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
                Ok(stream) => waiting.push(stream),
                Err(_) => return Ok(Self { address, _listener: listener, _waiting: waiting }),
            }
        }
        Err(io::Error::other("the backlog takes everything"))
    }

    /// What a client is configured with.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }
}

/// Plays to the end, or to the client's leaving; true where the end is to be a reset. The socket
/// lives on until the caller has seen to that: it goes with `stream`, after this returns.
async fn play<S>(mut stream: S, acts: Vec<Act>, seen: &Mutex<Seen>) -> io::Result<bool>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // What came behind a request belongs to the next.
    let mut read = Vec::new();
    for act in acts {
        match act {
            Act::Read => {
                let length = head(&mut stream, &mut read, seen).await?;
                while read.len() < length {
                    if stream.read_buf(&mut read).await? == 0 {
                        return Ok(false);
                    }
                }
                read.drain(..length);
            }
            Act::ReadHead => {
                head(&mut stream, &mut read, seen).await?;
            }
            Act::Send(bytes) => stream.write_all(&bytes).await?,
            Act::Repeat(bytes, every) => loop {
                stream.write_all(&bytes).await?;
                tokio::time::sleep(every).await;
            },
            Act::Hang => while stream.read(&mut [0; 1024]).await? > 0 {},
            Act::Reset => return Ok(true),
        }
    }
    stream.shutdown().await?;
    Ok(false)
}

/// Reads a head, records it, takes it out of `read`, and gives the length of the body behind it.
async fn head<S: AsyncRead + Unpin>(stream: &mut S, read: &mut Vec<u8>, seen: &Mutex<Seen>) -> io::Result<usize> {
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).into_owned();
            read.drain(..end + 4);
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
            });
            seen.lock().requests.push(head);
            return Ok(length.unwrap_or(0));
        }
        if read.len() > HEAD_LIMIT || stream.read_buf(read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
