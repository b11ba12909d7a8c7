//! One accepted connection: serve it, and end it the way the script wants.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::Socket;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use super::{RecordedRequest, Script, Shared, body::Playing};

/// Largest request body that is taken.
const BODY_LIMIT: usize = 32 * 1024 * 1024;

/// How a script ends its own connection.
#[derive(Clone)]
pub(super) struct Fate {
    cut: CancellationToken,
    reset: CancellationToken,
}

impl Fate {
    fn new() -> Self {
        Self { cut: CancellationToken::new(), reset: CancellationToken::new() }
    }

    pub(super) fn cut(&self) {
        self.cut.cancel();
    }

    pub(super) fn reset(&self) {
        self.reset.cancel();
    }
}

/// Counts the connection as closed when its task ends, in whichever way.
struct Counted(Arc<Shared>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.count(|counters| counters.connections_closed += 1);
    }
}

/// Serves a connection to its end. `socket` is a second handle to it, for its options.
pub(super) async fn serve<I>(io: I, socket: Option<Socket>, shared: Arc<Shared>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let number = shared.count(|counters| {
        counters.connections_opened += 1;
        counters.connections_opened
    });
    // Dropped last, after the socket: who sees the count sees a closed socket.
    let _counted = Counted(shared.clone());
    let socket = socket;
    let fate = Fate::new();
    let service = {
        let (shared, fate) = (shared.clone(), fate.clone());
        service_fn(move |request| answer(request, number, shared.clone(), fate.clone()))
    };
    let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(io), service);
    tokio::select! {
        // Its error is the client's leaving: what the tests are about, and counted.
        _ = connection => {}
        () = fate.cut.cancelled() => {}
        () = fate.reset.cancelled() => {
            if let Some(socket) = &socket {
                let _ = socket.set_linger(Some(Duration::ZERO));
            }
        }
        () = shared.closing.cancelled() => {}
    }
}

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

async fn answer(
    request: http::Request<Incoming>,
    connection: u64,
    shared: Arc<Shared>,
    fate: Fate,
) -> Result<Answer, Infallible> {
    let (parts, body) = request.into_parts();
    let body = match http_body_util::Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Ok(play(Script::error(StatusCode::BAD_REQUEST, "body", "unreadable"), "", &shared, fate)),
    };
    let request = RecordedRequest {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: serde_json::from_slice(&body).unwrap_or_default(),
        connection,
    };
    let model = request.body["model"].as_str().unwrap_or("scripted").to_owned();
    let script = shared.choose(request);
    Ok(play(script, &model, &shared, fate))
}

fn play(script: Script, model: &str, shared: &Arc<Shared>, fate: Fate) -> Answer {
    let playing = Playing {
        shared: shared.clone(),
        fate,
        model: model.to_owned(),
        steps: script.steps.into(),
        chunks: 0,
        pace: None,
        finished: false,
    };
    let body = StreamBody::new(playing.into_body()).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = script.status;
    *response.headers_mut() = script.headers;
    response
}
