//! The child's HTTP server: OpenAI's chat-completions format over a Unix socket.
//!
//! `POST /v1/chat/completions`, `GET /v1/models`, `GET /health`. Its one client is the parent
//! process, which already knows users and limits; here are only the bounds that keep a mistake
//! from taking the process down.
//!
//! **Invariant:** every chosen token is its own Server-Sent Event, written as soon as its text is
//! whole. A response body that is dropped cancels its answer.

mod body;
mod error;
mod wire;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::prompt::{self, Partial, PromptError, TokenPrompt};
use crate::sampler::Sampling;
use crate::scheduler::{self, Scheduler};
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;
use body::Head;
use error::ApiError;
use wire::ChatRequest;

/// Largest request: the history, and an answer so far, with its tokens, that fills the context of a large model.
const MAX_BODY: usize = 4 << 20;
/// How many of a request's oldest messages the model was not given, since its context is smaller; system messages are
/// given always and do not count. A header, so that it is known before the first token and whether the answer is
/// streamed or not, and the body stays what any client of the format reads.
const LEFT_OUT: &str = "x-messages-left-out";
/// Connections at a time.
const MAX_CONNECTIONS: usize = 256;

type ResponseBody = UnsyncBoxBody<Bytes, Infallible>;

/// Everything that a loaded model consists of.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) scheduler: Scheduler,
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) template: ChatTemplate,
    pub(crate) context: usize,
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Server {
    name: String,
    loaded: OnceLock<Arc<Loaded>>,
    /// Seconds since 1970 when `started` was, for the `created` fields.
    epoch: u64,
    started: Instant,
    ids: RandomState,
    next_id: AtomicU64,
}

impl Server {
    /// `epoch` is the time now, in seconds since 1970.
    pub(crate) fn new(name: String, epoch: u64) -> Self {
        Self {
            name,
            loaded: OnceLock::new(),
            epoch,
            started: Instant::now(),
            ids: RandomState::new(),
            next_id: AtomicU64::new(0),
        }
    }

    /// From now on the server is healthy and answers.
    pub(crate) fn set_loaded(&self, loaded: Loaded) {
        if self.loaded.set(Arc::new(loaded)).is_err() {
            tracing::error!("the local model was loaded twice");
        }
    }

    pub(crate) fn loaded(&self) -> Option<&Arc<Loaded>> {
        self.loaded.get()
    }

    /// Serves connections until `stop`, then lets the ones under way end on `tracker`.
    pub(crate) async fn serve(self: Arc<Self>, listener: UnixListener, tracker: TaskTracker, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let accepted = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, listener.accept().await)
            };
            let (place, stream) = tokio::select! {
                () = stop.cancelled() => return,
                accepted = accepted => accepted,
            };
            match stream {
                Ok((stream, _)) => {
                    let server = Arc::clone(&self);
                    let stop = stop.clone();
                    tracker.spawn(async move {
                        server.connection(stream, stop).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    // Out of file descriptors, most likely: others have to end first.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: UnixStream, stop: CancellationToken) {
        let service = hyper::service::service_fn(|request| {
            let server = Arc::clone(&self);
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let result = tokio::select! {
            result = &mut connection => result,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            // A client that went away in mid-answer.
            tracing::debug!(%error, "connection ended");
        }
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<ResponseBody> {
        let method = request.method().clone();
        let response = match (request.uri().path(), method) {
            ("/v1/chat/completions", Method::POST) => self.chat_completion(request).await,
            ("/v1/models", Method::GET) => Ok(self.models()),
            ("/health", Method::GET) => Ok(self.health()),
            ("/v1/chat/completions" | "/v1/models" | "/health", _) => Err(ApiError::method()),
            _ => Err(ApiError::not_found()),
        };
        response.unwrap_or_else(|error| json(error.status(), &error.body()))
    }

    fn health(&self) -> Response<ResponseBody> {
        match self.loaded.get() {
            Some(loaded) if !loaded.scheduler.closed().is_cancelled() => {
                let body = wire::Health { status: "ok", context: Some(loaded.context) };
                json(StatusCode::OK, &body)
            }
            Some(_) => {
                let body = wire::Health { status: "stopping", context: None };
                json(StatusCode::SERVICE_UNAVAILABLE, &body)
            }
            None => {
                let body = wire::Health { status: "loading", context: None };
                json(StatusCode::SERVICE_UNAVAILABLE, &body)
            }
        }
    }

    fn models(&self) -> Response<ResponseBody> {
        json(StatusCode::OK, &wire::models(&self.name, self.epoch))
    }

    async fn chat_completion(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<ResponseBody>, ApiError> {
        let loaded = self.loaded.get().ok_or_else(ApiError::loading)?;
        let body = Limited::new(request.into_body(), MAX_BODY).collect().await;
        let body = body.map_err(|_| ApiError::body_too_large(MAX_BODY))?.to_bytes();

        // Parsing, templating and tokenising a long conversation takes milliseconds, in which
        // other answers' tokens would wait.
        let prepared = tokio::task::spawn_blocking({
            let (loaded, seed) = (Arc::clone(loaded), self.random());
            move || prepare(&loaded, &body, seed)
        });
        let Prepared { chat, request, left_out } =
            prepared.await.map_err(|_| ApiError::internal("preparing the prompt failed"))??;
        let answer = loaded.scheduler.submit(request)?;
        let head = Head {
            id: format!("chatcmpl-{:016x}", self.random()),
            created: self.epoch + self.started.elapsed().as_secs(),
            model: self.name.clone(),
            usage_wanted: chat.wants_usage(),
            ids_wanted: chat.return_token_ids,
        };
        let mut response = if chat.stream {
            Response::builder()
                .header(header::CONTENT_TYPE, "text/event-stream")
                .header(header::CACHE_CONTROL, "no-cache")
                .body(BodyExt::boxed_unsync(body::events(head, answer)))
                .map_err(|_| ApiError::internal("building the response failed"))?
        } else {
            json(StatusCode::OK, &body::whole(head, answer).await?)
        };
        response.headers_mut().insert(LEFT_OUT, left_out.into());
        Ok(response)
    }

    /// A number that does not repeat and cannot be guessed.
    fn random(&self) -> u64 {
        self.ids.hash_one(self.next_id.fetch_add(1, Ordering::Relaxed))
    }
}

/// A request that the scheduler can take.
struct Prepared {
    chat: ChatRequest,
    request: scheduler::Request,
    /// See [`LEFT_OUT`].
    left_out: usize,
}

/// From the request's bytes to what the scheduler takes.
fn prepare(loaded: &Loaded, body: &[u8], random_seed: u64) -> Result<Prepared, ApiError> {
    let chat = ChatRequest::parse(body)?;
    let conversation = chat.conversation()?;
    let (messages, partial_text) = match conversation.split_last() {
        Some((last, before)) if chat.continue_final_message => (before, Some(&last.content)),
        _ => (conversation.as_slice(), None),
    };
    let partial = match (&chat.continue_token_ids, partial_text) {
        (Some(ids), Some(text)) => Partial::Tokens { text, ids },
        (None, Some(text)) => Partial::Text(text),
        (_, None) => Partial::None,
    };
    let max_tokens = chat.max_tokens().unwrap_or(loaded.context);
    let fitted = prompt::fit(&loaded.tokenizer, &loaded.template, messages, partial, max_tokens, loaded.context);
    let TokenPrompt { prompt, answer, left_out } = fitted.map_err(|error| match error {
        PromptError::ContextTooLong { .. } => ApiError::context(error.to_string()),
        PromptError::NoQuestion => ApiError::invalid(error.to_string()),
        PromptError::Template(_) => ApiError::invalid(error.to_string()),
    })?;
    let defaults = Sampling::default();
    let sampling = Sampling {
        temperature: chat.temperature.unwrap_or(defaults.temperature),
        top_p: chat.top_p.unwrap_or(defaults.top_p),
        seed: chat.seed.map_or(random_seed, i64::cast_unsigned),
        ..defaults
    };
    let request = scheduler::Request {
        user: chat.user.clone().unwrap_or_default(),
        prompt,
        answer,
        max_tokens,
        stop: chat.stop_texts(),
        sampling,
    };
    Ok(Prepared { chat, request, left_out })
}

fn json(status: StatusCode, value: &impl serde::Serialize) -> Response<ResponseBody> {
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::from(bytes)).boxed_unsync());
    *response.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
