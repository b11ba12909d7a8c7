//! The client for the OpenAI chat-completions wire format, and so for everybody who imitates it.
//!
//! A request's life: `request` writes the body, as far as it is known to `fit`; `transport` carries it; a refusal is
//! corrected once, or goes through `error`; an accepted one becomes an `answer`, whose bytes go through the decoder,
//! whose events through `events`. The first bytes tell what comes, not its label: an event stream, documents line by
//! line, one whole document.
//!
//! **Invariant:** the key is in one header value that prints as `Sensitive`, and nowhere else; the [`Redactor`] has
//! fingerprints of its pieces.
//! Dropping the future of a request, or its stream, closes its connection.

mod answer;
mod config;
mod error;
mod events;
mod fit;
mod model_list;
mod models;
mod parameters;
mod proxy;
mod proxy_error;
mod refusal;
mod request;
mod text;
mod think;
mod tls;
mod transport;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
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

use crate::{health::Health, redaction::Redactor};
use answer::{Answer, Answerer};
use fit::{Asked, Fits};
use model_list::ModelList;

/// The model of a provider that neither lists models in its configuration nor has a default: the
/// first that it lists itself.
pub const FIRST_MODEL: &str = "default";

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
    fits: Arc<Fits>,
    list: Arc<ModelList>,
    clock: Arc<dyn Clock>,
    redactor: Arc<Redactor>,
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
        let redactor = config.redactor.take().unwrap_or_else(|| Arc::new(Redactor::of([&config])));
        config.api_key = None;
        Ok(Self {
            inner: Arc::new(Inner {
                name: config.name.as_str().into(),
                completions: transport::below(&config, &base_url, "chat/completions"),
                models: transport::below(&config, &base_url, "models"),
                client,
                key,
                health: Arc::default(),
                fits: Arc::default(),
                list: Arc::default(),
                clock,
                redactor,
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
            let (name, fits, model) = (inner.name.clone(), inner.fits.clone(), request.model.as_str().into());
            let answerer = Answerer { name, health, fits, model, redactor: inner.redactor.clone() };
            match inner.complete(request, answerer.clone()).await {
                Ok(stream) => Ok(stream),
                Err(error) => Err(answerer.failed(error)),
            }
        })
    }

    fn can_continue(&self) -> bool {
        self.inner.config.continues != Continues::None
    }

    fn key_place(&self) -> Option<&str> {
        self.inner.config.key_place.as_deref()
    }
}

impl Inner {
    async fn complete(
        self: &Arc<Self>,
        mut request: CompletionRequest,
        mut answerer: Answerer,
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
        let model: Arc<str> = request.model.as_str().into();
        answerer.model = model.clone();
        let mut fit = self.fits.of(&model);
        let (response, seam) = loop {
            let (body, seam) = request::encode(&self.config, &fit, &model, &request);
            let mut response = self.post(&body, &request).await?;
            if response.status().is_success() {
                break (response, seam);
            }
            let words = refusal::words(&mut response).await;
            let status = response.status();
            // What is wrong with the request may be mended; each correction is made once.
            let is_fault = matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY)
                || (status == StatusCode::INTERNAL_SERVER_ERROR && words.is_about_a_template());
            let asked = Asked { fit: &fit, parameters: &body.parameters(), system: body.system() };
            let correction = fit::correction(&words, asked).filter(|(made, _)| is_fault && !fit.has(*made));
            if let Some((correction, remember)) = correction {
                tracing::info!(
                    provider = name,
                    model = &*model,
                    ?correction,
                    "the provider refused a parameter; it is asked again, corrected"
                );
                fit.apply(correction);
                if remember {
                    self.fits.learn(&model, correction);
                }
                continue;
            }
            let error = error::of_status(name, &model, status, response.headers(), &words, self.clock.now());
            tracing::debug!(
                provider = name,
                status = status.as_u16(),
                code = error.code.as_str(),
                "the provider refused"
            );
            return Err(ProviderError { detail: words.shown(&self.redactor), ..error });
        };
        if matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT) {
            return Err(error::invalid(name, "answered without an answer (status 204 or 205)"));
        }
        if is_encoded(response.headers()) {
            return Err(error::invalid(name, "compressed its answer, which was not asked for"));
        }
        // Whatever else the label says, the first bytes tell what it is.
        if is_web_page(response.headers()) {
            return Err(error::invalid(name, error::WEB_PAGE));
        }
        let left_out = response.headers().get(config::LEFT_OUT).filter(|_| self.config.own_engine).and_then(number);
        let body = reqwest::Body::from(response);
        let answer = Answer::new(answerer, body, seam, self.config.idle_timeout);
        Ok(Box::pin(answer.with_token_ids(self.config.own_engine).after(left_out.map(Delta::LeftOut))))
    }

    /// Sends a request, as far as the response's headers.
    async fn post(&self, body: &request::Body<'_>, request: &CompletionRequest) -> Result<Response, ProviderError> {
        let name = &*self.name;
        let post = self.client.post(self.completions.clone()).json(body);
        let post = post.header(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        let post = match &request.request_id {
            Some(id) => post.header("x-request-id", id),
            None => post,
        };
        let post = self.with_key(post, request.use_invalid_key);
        let timeout = self.config.headers_timeout;
        match tokio::time::timeout(timeout, post.send()).await {
            Err(_) => Err(error::silent(name, timeout)),
            Ok(Err(cause)) => {
                let by_proxy = proxy_error::of_no_response(&self.config, &self.completions, &cause);
                let error = by_proxy.unwrap_or_else(|| error::of_no_response(name, &cause));
                tracing::debug!(provider = name, code = error.code.as_str(), cause = %Causes(cause.without_url()), "no response from the provider");
                Err(error)
            }
            Ok(Ok(response))
                if response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED && self.config.proxy.is_some() =>
            {
                Err(proxy_error::wants_password(name))
            }
            Ok(Ok(response)) => Ok(response),
        }
    }

    /// With the key, or with one that the provider rejects; where there is none, as it is.
    fn with_key(&self, request: RequestBuilder, invalid: bool) -> RequestBuilder {
        let Some(key) = &self.key else { return request };
        let (name, value) = if invalid { key.invalid().header() } else { key.header() };
        request.header(name, value)
    }
}

/// A body without a request: see [`crate::bench`].
pub(crate) fn read_body(body: impl Body<Data = Bytes> + Send + Unpin + 'static, idle: Duration) -> CompletionStream {
    let (fits, redactor) = (Arc::default(), Arc::default());
    let answerer = Answerer { name: "bench".into(), health: None, fits, model: "bench".into(), redactor };
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

/// We ask for no encoding, and decoding one that comes all the same would open the door to bombs.
fn is_encoded(headers: &HeaderMap) -> bool {
    let encoding = headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes);
    encoding.is_some_and(|encoding| !encoding.is_empty() && !encoding.eq_ignore_ascii_case(b"identity"))
}

/// A header's value as a number, if it is one.
fn number(value: &HeaderValue) -> Option<usize> {
    value.to_str().ok()?.parse().ok()
}

/// Whether this calls itself a web page.
fn is_web_page(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return false };
    let value = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    value.eq_ignore_ascii_case("text/html") || value.eq_ignore_ascii_case("application/xhtml+xml")
}
