//! The client for the OpenAI chat-completions wire format, and so for everybody who imitates it.
//!
//! A request's life: `request` writes the body; `transport` carries it; a refusal goes through
//! `error`; an accepted one becomes an `answer`, whose bytes go through the SSE decoder, whose events
//! through `events`. A whole JSON answer, from a server that does not stream, is taken as well.
//!
//! **Invariant:** the key is in one header value that prints as `Sensitive`, and nowhere else.
//! Dropping the future of a request, or its stream, closes its connection.

mod answer;
mod config;
mod error;
mod events;
mod model_list;
mod models;
mod parameters;
mod proxy;
mod proxy_error;
mod request;
mod text;
mod tls;
mod transport;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{future::BoxFuture, stream};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::Body;
use r1_domain::{
    provider::{CompletionRequest, CompletionStream, Delta, Provider, ProviderError},
    time::{Clock, SystemClock},
};
use reqwest::{Client, RequestBuilder, Response, Url};

pub(crate) use config::is_model_name;
pub use config::{ConfigFault, Continues, OpenAiConfig};
pub use parameters::{MaxTokensField, OPTIONAL_PARAMETERS, Parameters, SystemRole};
pub use proxy::Proxy;
pub use tls::{Authorities, ClientCertificate, ClientCertificateFault};
use transport::Key;
pub use transport::{Headers, is_own_header, key_header};

use crate::{continuation::Seam, health::Health};
use answer::{Answer, Answerer};
use events::Finish;
use model_list::ModelList;
use text::Halves;

/// The model of a provider that neither lists models in its configuration nor has a default: the
/// first that it lists itself.
pub const FIRST_MODEL: &str = "default";

/// How much of a refusal is read.
const REFUSAL_LIMIT: usize = 16 * 1024;
/// How long a refusal may take to read.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);
/// How much of a whole answer is read.
const WHOLE_LIMIT: usize = 4 * 1024 * 1024;

/// One provider. Cheap to clone.
#[derive(Clone)]
pub struct OpenAi {
    inner: Arc<Inner>,
}

struct Inner {
    config: OpenAiConfig,
    name: Arc<str>,
    client: Client,
    completions: Url,
    models: Url,
    key: Option<Key>,
    health: Arc<Health>,
    list: Arc<ModelList>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for OpenAi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAi").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

impl OpenAi {
    /// Makes a client. Nothing is asked of the provider yet.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration, at once.
    pub fn new(config: OpenAiConfig) -> Result<Self, Vec<ConfigFault>> {
        Self::with_clock(config, Arc::new(SystemClock))
    }

    /// As [`Self::new`], with the clock against which a `Retry-After` date is read.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_clock(mut config: OpenAiConfig, clock: Arc<dyn Clock>) -> Result<Self, Vec<ConfigFault>> {
        let faults = config.faults();
        if !faults.is_empty() {
            return Err(faults);
        }
        let fault = |what| vec![ConfigFault { provider: config.name.clone(), what }];
        let base_url = Url::parse(&config.base_url).map_err(|_| fault("base_url is not a URL"))?;
        let client = transport::client(&config, &base_url)
            .map_err(|_| fault("no HTTP client can be made: are the system's certificates installed?"))?;
        let key = Key::configured(&config).map_err(|_| fault("api_key cannot be sent in a header"))?;
        config.api_key = None;
        Ok(Self {
            inner: Arc::new(Inner {
                name: config.name.as_str().into(),
                completions: transport::below(&config, &base_url, "chat/completions"),
                models: transport::below(&config, &base_url, "models"),
                client,
                key,
                health: Arc::default(),
                list: Arc::default(),
                clock,
                config,
            }),
        })
    }

    /// The provider's name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The models that its configuration lists; may be empty.
    #[must_use]
    pub fn configured_models(&self) -> &[String] {
        &self.inner.config.models
    }
}

impl Provider for OpenAi {
    fn complete(&self, request: CompletionRequest) -> BoxFuture<'static, Result<CompletionStream, ProviderError>> {
        let inner = self.inner.clone();
        Box::pin(async move {
            let health = (!request.use_invalid_key).then(|| inner.health.clone());
            let answerer = Answerer { name: inner.name.clone(), health };
            match inner.complete(request, answerer.clone()).await {
                Ok(stream) => Ok(stream),
                Err(error) => Err(answerer.failed(error)),
            }
        })
    }

    fn can_continue(&self) -> bool {
        self.inner.config.continues != Continues::None
    }
}

impl Inner {
    async fn complete(
        self: &Arc<Self>,
        mut request: CompletionRequest,
        answerer: Answerer,
    ) -> Result<CompletionStream, ProviderError> {
        let name = &*self.name;
        if request.use_invalid_key && self.key.is_none() {
            return Err(error::key_rejected(name));
        }
        let goes_on = request.partial_answer.as_ref().is_some_and(|partial| !partial.is_empty());
        if goes_on && self.config.continues == Continues::None {
            return Err(error::no_continuation(name));
        }
        if request.model == FIRST_MODEL
            && !request.use_invalid_key
            && let Some(first) = self.first_model().await
        {
            request.model = first;
        }
        let (body, seam) = request::encode(&self.config, &request.model, &request);
        let post = self.client.post(self.completions.clone()).json(&body);
        let post = post.header(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        let post = match &request.request_id {
            Some(id) => post.header("x-request-id", id),
            None => post,
        };
        let post = self.with_key(post, request.use_invalid_key);
        let timeout = self.config.headers_timeout;
        let response = match tokio::time::timeout(timeout, post.send()).await {
            Err(_) => return Err(error::silent(name, timeout)),
            Ok(Err(cause)) => {
                let by_proxy = proxy_error::of_no_response(&self.config, &self.completions, &cause);
                let error = by_proxy.unwrap_or_else(|| error::of_no_response(name, &cause));
                tracing::debug!(provider = name, code = error.code.as_str(), cause = %Causes(cause.without_url()), "no response from the provider");
                return Err(error);
            }
            Ok(Ok(response)) => response,
        };
        if response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED && self.config.proxy.is_some() {
            return Err(proxy_error::wants_password(name));
        }
        if !response.status().is_success() {
            return Err(self.refused(&request.model, response).await);
        }
        if matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT) {
            return Err(error::invalid(name, "answered without an answer (status 204 or 205)"));
        }
        if is_encoded(response.headers()) {
            return Err(error::invalid(name, "compressed its answer, which was not asked for"));
        }
        match kind_of(response.headers()) {
            Kind::Events => {
                let body = reqwest::Body::from(response);
                let answer = Answer::new(answerer, body, seam, self.config.idle_timeout);
                Ok(Box::pin(answer.with_token_ids(self.config.token_ids)))
            }
            Kind::Json => self.whole(response, seam, &answerer).await,
            Kind::Html => Err(error::invalid(name, "answered with a web page; its base URL is probably wrong")),
            Kind::Other => Err(error::invalid(name, "answered with something that is no event stream")),
        }
    }

    /// With the key, or with one that the provider rejects; where there is none, as it is.
    fn with_key(&self, request: RequestBuilder, invalid: bool) -> RequestBuilder {
        let Some(key) = &self.key else { return request };
        let (name, value) = if invalid { key.invalid().header() } else { key.header() };
        request.header(name, value)
    }

    /// What to make of a status other than success.
    async fn refused(&self, model: &str, mut response: Response) -> ProviderError {
        let mut body = Vec::new();
        let reading = read_up_to(&mut response, REFUSAL_LIMIT, &mut body);
        // Cut off, late or broken: what has come must do.
        let _ = tokio::time::timeout(REFUSAL_TIMEOUT, reading).await;
        let status = response.status();
        let error = error::of_status(&self.name, model, status, response.headers(), &body, self.clock.now());
        tracing::debug!(
            provider = &*self.name,
            status = status.as_u16(),
            code = error.code.as_str(),
            "the provider refused"
        );
        error
    }

    /// An answer that came as one JSON document.
    async fn whole(
        &self,
        mut response: Response,
        mut seam: Option<Seam>,
        answerer: &Answerer,
    ) -> Result<CompletionStream, ProviderError> {
        let (name, timeout) = (&*self.name, self.config.idle_timeout);
        let mut body = Vec::new();
        match tokio::time::timeout(timeout, read_up_to(&mut response, WHOLE_LIMIT, &mut body)).await {
            Err(_) => return Err(error::silent(name, timeout)),
            Ok(Err(ReadError::Broken)) => return Err(error::truncated(name)),
            Ok(Err(ReadError::TooLong)) => return Err(error::invalid(name, "sent an answer of more than 4 MiB")),
            Ok(Ok(())) => {}
        }
        let said = events::parse(&body).map_err(|_| error::invalid(name, "sent JSON that is no answer"))?;
        if let Some(words) = &said.error {
            return Err(error::of_words(name, words));
        }
        let mut halves = Halves::default();
        let mut text = halves.join(said.text);
        text.push_str(&halves.finish().unwrap_or_default());
        let finish_reason = match said.finish {
            Some(Finish::Reason(reason)) => reason.to_owned(),
            Some(Finish::Failed) => return Err(error::of_words(name, &error::ErrorWords::default())),
            None if text.is_empty() => return Err(error::invalid(name, "sent JSON that is no answer")),
            None => return Err(error::truncated(name)),
        };
        // It is here whole or not at all: there are no tokens of it to go on from.
        let text = match &mut seam {
            None => Some(text),
            Some(seam) => seam.push(text).or_else(|| seam.finish()),
        };
        answerer.succeeded();
        let text = text.filter(|text| !text.is_empty()).map(Delta::text);
        let done = Delta::Done { finish_reason, usage: said.usage };
        Ok(Box::pin(stream::iter(text.into_iter().chain([done]).map(Ok))))
    }
}

/// A body without a request: see [`crate::bench`].
pub(crate) fn read_body(body: impl Body<Data = Bytes> + Send + Unpin + 'static, idle: Duration) -> CompletionStream {
    let answerer = Answerer { name: "bench".into(), health: None };
    Box::pin(Answer::new(answerer, body, None, idle))
}

/// An error and what is behind it, for the log. The address has been taken out before.
struct Causes(reqwest::Error);

impl fmt::Display for Causes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = std::error::Error::source(&self.0);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

enum ReadError {
    Broken,
    TooLong,
}

/// Reads a body, of which no more than `limit` bytes are kept.
async fn read_up_to(response: &mut Response, limit: usize, body: &mut Vec<u8>) -> Result<(), ReadError> {
    while let Some(chunk) = response.chunk().await.map_err(|_| ReadError::Broken)? {
        let room = limit - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            return Err(ReadError::TooLong);
        }
    }
    Ok(())
}

/// We ask for no encoding, and decoding one that comes all the same would open the door to bombs.
fn is_encoded(headers: &HeaderMap) -> bool {
    let encoding = headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes);
    encoding.is_some_and(|encoding| !encoding.is_empty() && !encoding.eq_ignore_ascii_case(b"identity"))
}

/// What an answer comes as.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// `text/event-stream`, or no word about it.
    Events,
    Json,
    Html,
    Other,
}

fn kind_of(headers: &HeaderMap) -> Kind {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Kind::Events };
    let value = value.to_str().unwrap_or("?").split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match value.as_str() {
        "text/event-stream" => Kind::Events,
        "text/html" | "application/xhtml+xml" => Kind::Html,
        json if json == "application/json" || json.ends_with("+json") => Kind::Json,
        _ => Kind::Other,
    }
}
