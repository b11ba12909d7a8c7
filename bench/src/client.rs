//! A client with one connection.

use std::net::SocketAddr;

use anyhow::Context;
use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

/// One connection, kept. Dropping it closes it.
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    /// Connects.
    pub(crate) async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("no connection to {address}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends with the client and the body; one that breaks is told to whoever reads from it.
        TaskTracker::new().spawn(connection);
        Ok(Self { sender })
    }

    /// Sends a request; gives the answer's head, and its body as it comes.
    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<Response<Incoming>> {
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }

    /// Sends a request and reads the answer to its end. Anything but a success is an error.
    pub(crate) async fn call(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<Bytes> {
        let asked = format!("{} {}", request.method(), request.uri());
        let response = self.send(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        anyhow::ensure!(status.is_success(), "{asked}: {status}: {}", String::from_utf8_lossy(&body));
        Ok(body)
    }

    /// The same, as JSON.
    pub(crate) async fn json(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<Value> {
        Ok(serde_json::from_slice(&self.call(request).await?)?)
    }
}

/// A request; with a body it is a POST.
pub(crate) fn request(path: &str, token: Option<&str>, body: Option<&Value>) -> anyhow::Result<Request<Full<Bytes>>> {
    let mut builder = Request::builder().uri(path).header(header::HOST, "127.0.0.1");
    if let Some(token) = token {
        builder = builder.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    if body.is_some() {
        builder = builder.method(Method::POST).header(header::CONTENT_TYPE, "application/json");
    }
    Ok(builder.body(Full::from(body.map(ToString::to_string).unwrap_or_default()))?)
}
