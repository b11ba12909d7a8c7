//! What the operating system shall do for a client's connection.

use std::{io, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// A connection on which nothing is said is asked for a sign of life after this time, and then at this interval.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// The kernel gives a client up by this time later than the server does: it says nothing to the client, where
/// the server's [`reset`] tells one that still listens to come back.
#[cfg(any(target_os = "android", target_os = "linux"))]
const GRACE: Duration = Duration::from_secs(5);

/// Bytes that may wait in the kernel without being on their way to the client.
///
/// Without this bound a client that reads nothing costs megabytes of the kernel's memory, and one
/// that reads slowly looks silent: room is reported only when a third of those is free.
#[cfg(any(target_os = "android", target_os = "linux"))]
const UNSENT: u32 = 32 * 1024;

/// Closes with a reset: what waits for a client that reads nothing is dropped at once, and it learns of it
/// when it next looks.
pub(super) fn reset(stream: &TcpStream) {
    // A socket that is gone needs none.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Prepares an accepted connection. A client that takes nothing, or gives no sign of life, for
/// `patience` and a little is given up by the kernel too: it may have lost its network without a word.
pub(super) fn prepare(stream: &TcpStream, patience: Duration) -> io::Result<()> {
    // Without it a chunk may wait 40 ms for the acknowledgement of the one before.
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let (time, interval) = KEEPALIVE;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(time).with_interval(interval))?;
    #[cfg(any(target_os = "android", target_os = "linux"))]
    {
        socket.set_tcp_notsent_lowat(UNSENT)?;
        socket.set_tcp_user_timeout(Some(patience + GRACE))?;
    }
    Ok(())
}

#[cfg(test)]
#[cfg(any(target_os = "android", target_os = "linux"))]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpSocket},
        time::timeout,
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let client = TcpSocket::new_v4().unwrap();
        client.set_recv_buffer_size(2048).unwrap();
        let client = client.connect(listener.local_addr().unwrap()).await.unwrap();
        (listener.accept().await.unwrap().0, client)
    }

    #[tokio::test]
    async fn the_kernel_holds_little_for_a_silent_client() {
        let (server, _client) = pair().await;
        prepare(&server, Duration::from_secs(3600)).unwrap();
        let mut held = 0;
        let block = [0; 16 * 1024];
        // What has room is taken at once; a writable socket that takes nothing is full.
        while let Ok(taken) = server.try_write(&block) {
            held += taken;
        }
        assert!(held >= UNSENT as usize, "{held}");
        assert!(held <= 8 * UNSENT as usize, "{held}");
    }

    #[tokio::test]
    async fn the_kernel_gives_up_a_silent_client() {
        let (mut server, client) = pair().await;
        prepare(&server, Duration::from_secs(1)).unwrap();
        while server.try_write(&[0; 16 * 1024]).is_ok() {}
        // Nobody writes any more; this learns of it by itself.
        let gone = timeout(PATIENCE, server.read(&mut [0; 1])).await.unwrap();
        assert_eq!(gone.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(client);
    }

    #[tokio::test]
    async fn a_client_on_which_nothing_waits_stays() {
        let (mut server, mut client) = pair().await;
        prepare(&server, Duration::from_secs(1)).unwrap();
        assert!(timeout(Duration::from_secs(3), server.read(&mut [0; 1])).await.is_err());
        server.write_all(b"x").await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'x');
        assert!(SockRef::from(&server).keepalive().unwrap());
    }
}
