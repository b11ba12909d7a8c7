//! The floor: what a relay costs that does nothing but relay. hyper on both sides, TCP_NODELAY, a
//! kept upstream connection; no sign-in, no storage, no look at the bytes.

use std::{
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::{
    body::{Bytes, Incoming},
    client::conn::http1::{SendRequest, handshake},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::task::TaskTracker;

use crate::process;

type Body = Either<Relayed, Full<Bytes>>;

/// Connections to the upstream that are free.
#[derive(Default)]
struct Pool {
    free: Mutex<Vec<SendRequest<Incoming>>>,
    tasks: TaskTracker,
}

/// Serves until it is killed.
pub(crate) async fn serve(upstream: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    process::announce(listener.local_addr()?)?;
    let pool = Arc::new(Pool::default());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                let pool = pool.clone();
                let service = service_fn(move |request| {
                    let pool = pool.clone();
                    async move { Ok::<_, hyper::Error>(relay(request, upstream, pool).await) }
                });
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn relay(request: Request<Incoming>, upstream: SocketAddr, pool: Arc<Pool>) -> Response<Body> {
    match forward(request, upstream, pool).await {
        Ok(response) => response,
        Err(error) => {
            let mut response = Response::new(Either::Right(Full::from(error.to_string())));
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response
        }
    }
}

async fn forward(request: Request<Incoming>, upstream: SocketAddr, pool: Arc<Pool>) -> anyhow::Result<Response<Body>> {
    let free = pool.free.lock().pop();
    let mut sender = match free.filter(|sender| !sender.is_closed()) {
        Some(sender) => sender,
        None => {
            let stream = TcpStream::connect(upstream).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await?;
            pool.tasks.spawn(connection);
            sender
        }
    };
    let response = sender.send_request(request).await?;
    Ok(response.map(|body| Either::Left(Relayed { body, sender: Some(sender), pool })))
}

/// The upstream's body; at its end the connection is free again.
struct Relayed {
    body: Incoming,
    sender: Option<SendRequest<Incoming>>,
    pool: Arc<Pool>,
}

impl http_body::Body for Relayed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(None) = frame
            && let Some(sender) = self.sender.take()
        {
            self.pool.free.lock().push(sender);
        }
        frame
    }
}
