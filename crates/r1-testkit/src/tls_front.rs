//! TLS before a server that speaks none: how a scripted upstream becomes an `https` provider.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::tls::Identity;

/// The running front. Dropping it closes everything.
pub struct TlsFront {
    address: SocketAddr,
    closing: CancellationToken,
}

impl TlsFront {
    /// Starts one on a free port of 127.0.0.1 that shows this identity and leads to this server.
    ///
    /// # Errors
    /// The operating system's, when there is no port.
    pub async fn start(identity: &Identity, server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let front = Self { address: listener.local_addr()?, closing: CancellationToken::new() };
        let (acceptor, closing, tasks) = (identity.acceptor(), front.closing.clone(), TaskTracker::new());
        tasks.clone().spawn(async move {
            while let Some(accepted) = closing.run_until_cancelled(listener.accept()).await {
                let Ok((client, _)) = accepted else { continue };
                let _ = client.set_nodelay(true);
                let (acceptor, closing) = (acceptor.clone(), closing.clone());
                tasks.spawn(async move {
                    let joined = async {
                        // A client that does not like the certificate, or has none to show, is gone here.
                        let mut client = acceptor.accept(client).await?;
                        let mut server = TcpStream::connect(server).await?;
                        server.set_nodelay(true)?;
                        tokio::io::copy_bidirectional(&mut client, &mut server).await
                    };
                    closing.run_until_cancelled(joined).await
                });
            }
        });
        Ok(front)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}
