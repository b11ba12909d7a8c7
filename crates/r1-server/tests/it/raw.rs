//! A client made of bytes, for what no well-behaved one would do.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::support::{Client, PATIENCE, Server};

/// The receive buffer of a client that reads nothing: what the kernel gives at least.
const SMALL_BUFFER: u32 = 2048;

/// One connection.
pub(crate) struct Raw {
    stream: TcpStream,
    /// Read beyond what was asked for.
    rest: Vec<u8>,
}

impl Raw {
    pub(crate) async fn connect(server: &Server) -> Result<Self> {
        let stream = timeout(PATIENCE, TcpStream::connect(address(server)?)).await??;
        Ok(Self { stream, rest: Vec::new() })
    }

    /// With as small a receive buffer as there is.
    pub(crate) async fn connect_small(server: &Server) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(SMALL_BUFFER)?;
        let stream = timeout(PATIENCE, socket.connect(address(server)?)).await??;
        Ok(Self { stream, rest: Vec::new() })
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        Ok(timeout(PATIENCE, self.stream.write_all(bytes.as_ref())).await.context("nobody reads")??)
    }

    /// Sends one byte at each interval until the other side closes.
    pub(crate) async fn trickle(&mut self, bytes: &[u8], every: Duration) {
        for byte in bytes {
            tokio::time::sleep(every).await;
            if self.stream.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    }

    /// Reads up to the end of these words.
    pub(crate) async fn read_until(&mut self, words: &str) -> Result<String> {
        let mut got = std::mem::take(&mut self.rest);
        loop {
            if let Some(at) = got.windows(words.len()).position(|window| window == words.as_bytes()) {
                self.rest = got.split_off(at + words.len());
                return Ok(String::from_utf8(got)?);
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut got)).await;
            let read = read.with_context(|| format!("{words:?} did not come"))??;
            anyhow::ensure!(read > 0, "closed before {words:?}: {}", String::from_utf8_lossy(&got));
        }
    }

    /// Reads one byte; none if there will be no more.
    pub(crate) async fn read_byte(&mut self) -> Option<u8> {
        self.stream.read_u8().await.ok()
    }

    /// Reads all that there is until the other side closes, in whichever way.
    pub(crate) async fn read_to_close(&mut self) -> Result<Vec<u8>> {
        let mut got = std::mem::take(&mut self.rest);
        let reading = async { while self.stream.read_buf(&mut got).await.is_ok_and(|read| read > 0) {} };
        timeout(PATIENCE, reading).await.context("the connection stays open")?;
        Ok(got)
    }

    /// One answer with a `Content-Length`, or without a body, as text.
    pub(crate) async fn read_answer(&mut self) -> Result<String> {
        let head = self.read_until("\r\n\r\n").await?;
        anyhow::ensure!(header(&head, "transfer-encoding").is_none(), "{head}");
        let length = header(&head, "content-length").unwrap_or("0").parse()?;
        while self.rest.len() < length {
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.rest)).await??;
            anyhow::ensure!(read > 0, "closed in mid-answer");
        }
        let rest = self.rest.split_off(length);
        Ok(head + &String::from_utf8(std::mem::replace(&mut self.rest, rest))?)
    }

    /// Closes with a RST.
    pub(crate) fn reset(self) -> Result<()> {
        Ok(socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))?)
    }

    /// Says that it will send no more.
    pub(crate) async fn half_close(&mut self) {
        // The other side may have closed already.
        let _ = self.stream.shutdown().await;
    }
}

fn address(server: &Server) -> Result<SocketAddr> {
    Ok(server.api.trim_start_matches("http://").parse()?)
}

/// The value of a header in an answer's head.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// A request's head, up to and without the empty line.
pub(crate) fn head(method: &str, path: &str, client: &Client) -> String {
    let token = client.token.as_deref().unwrap_or_default();
    format!("{method} /api/v1{path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n")
}

pub(crate) fn get(path: &str, client: &Client) -> String {
    head("GET", path, client) + "\r\n"
}

pub(crate) fn post(path: &str, client: &Client, body: &Value) -> String {
    let body = body.to_string();
    let head = head("POST", path, client);
    format!("{head}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// What a chunked body says, as far as it has come.
pub(crate) fn dechunk(mut body: &[u8]) -> Result<Vec<u8>> {
    let mut whole = Vec::new();
    while let Some(line) = body.windows(2).position(|pair| pair == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&body[..line])?, 16)?;
        let rest = &body[line + 2..];
        whole.extend_from_slice(&rest[..size.min(rest.len())]);
        if rest.len() < size + 2 {
            break;
        }
        body = &rest[size + 2..];
    }
    Ok(whole)
}
