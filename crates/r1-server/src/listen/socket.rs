//! What the operating system shall do for a client's connection.

use std::{io, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// A connection on which nothing is said is asked for a sign of life after so long, and then so often.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// Bytes that may wait in the kernel without being on their way to the client.
///
/// Without this bound a client that reads nothing costs megabytes of the kernel's memory, and one
/// that reads slowly looks silent: room is reported only when a third of those is free.
#[cfg(any(target_os = "android", target_os = "linux"))]
const UNSENT: u32 = 32 * 1024;

/// Prepares an accepted connection. A client that takes nothing, or gives no sign of life, for
/// `patience` is given up by the kernel too: it may have lost its network without a word.
pub(super) fn prepare(stream: &TcpStream, patience: Duration) -> io::Result<()> {
    // Without it a chunk may wait 40 ms for the acknowledgement of the one before.
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let (time, interval) = KEEPALIVE;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(time).with_interval(interval))?;
    #[cfg(any(target_os = "android", target_os = "linux"))]
    {
        socket.set_tcp_notsent_lowat(UNSENT)?;
        socket.set_tcp_user_timeout(Some(patience))?;
    }
    Ok(())
}
