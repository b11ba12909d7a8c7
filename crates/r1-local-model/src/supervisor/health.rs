//! Whether a child answers `GET /health` with 200.

use std::{io, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use super::engine::Address;

/// First and longest pause between two questions: a small model is ready in tens of milliseconds,
/// a large one in minutes.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));
/// A child that is busy loading may not answer at all.
const ANSWER: Duration = Duration::from_secs(1);

/// Asks until the answer is 200.
pub(super) async fn ready(address: &Address) {
    let mut pause = PAUSE.0;
    loop {
        if matches!(tokio::time::timeout(ANSWER, ask(address)).await, Ok(Ok(StatusCode::OK))) {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(PAUSE.1);
    }
}

async fn ask(address: &Address) -> io::Result<StatusCode> {
    match address {
        Address::Unix(path) => get_health(UnixStream::connect(path).await?).await,
        Address::Tcp(port) => get_health(TcpStream::connect(("127.0.0.1", *port)).await?).await,
    }
    .map_err(io::Error::other)
}

type Fault = Box<dyn std::error::Error + Send + Sync>;

async fn get_health(stream: impl AsyncRead + AsyncWrite + Unpin + Send) -> Result<StatusCode, Fault> {
    let (mut sender, connection) = http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await?;
    let request = Request::get("/health").header(header::HOST, "localhost").body(Empty::new())?;
    let answer = async move {
        sender.ready().await?;
        // With the body and the sender dropped here, a connection that is kept alive ends too.
        Ok::<_, hyper::Error>(sender.send_request(request).await?.status())
    };
    // A server that closes at once ends the connection in the step that hands the answer over, so
    // both are seen to their end.
    let (status, _ended) = tokio::join!(answer, connection);
    Ok(status?)
}
