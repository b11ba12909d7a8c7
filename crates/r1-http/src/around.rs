//! Around every request of the API: its id, its line in the log, and what becomes of a refusal or a
//! panic.
//!
//! A service of its own and not a function: `axum::middleware` boxes a future, and copies all that it
//! wraps, for each request and layer.
//!
//! **Invariant:** every answer carries its request's id; no panic of a handler ends a connection.

use std::{
    any::Any,
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request},
    response::{IntoResponse, Response},
};
use http::{Method, StatusCode, Uri};
use ipnet::IpNet;
use tower::{Layer, Service};
use tracing::{Span, field::Empty};

use crate::{
    client::Forwarders,
    error::ApiError,
    problem::{self, RequestId},
};

/// Told of every request of the API: whoever counts or traces them.
pub trait Observer: Send + Sync + 'static {
    /// The span in which the request is handled, on the log lines of all that it brings about; of the highest
    /// level, so that it is there whatever level is logged. It has a field `user_id`, for whoever finds out who asks.
    fn span(&self, _request: &Request, request_id: &str) -> Span {
        tracing::error_span!("request", request_id, user_id = Empty)
    }

    /// Within the span, once the answer's headers are made.
    /// `route` is its pattern, "-" where there is none.
    fn answered(&self, method: &Method, route: &str, status: StatusCode, took: Duration);
}

/// Nobody counts.
impl Observer for () {
    fn answered(&self, _: &Method, _: &str, _: StatusCode, _: Duration) {}
}

/// Wraps the whole API.
#[derive(Clone)]
pub(crate) struct AroundLayer {
    pub(crate) observer: Arc<dyn Observer>,
    /// Whether every answer has a line at `info`, or only a refusal.
    pub(crate) log_access: bool,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) forwarders: Arc<Forwarders>,
}

impl<S> Layer<S> for AroundLayer {
    type Service = Around<S>;

    fn layer(&self, inner: S) -> Around<S> {
        Around { inner, layer: Arc::new(self.clone()) }
    }
}

/// What is wrapped.
#[derive(Clone)]
pub(crate) struct Around<S> {
    inner: S,
    layer: Arc<AroundLayer>,
}

impl<S> Service<Request> for Around<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let started = Instant::now();
        let id = RequestId::of(request.headers());
        id.tell(request.headers_mut());
        let AroundLayer { observer, trusted_proxies, forwarders, .. } = &*self.layer;
        forwarders.notice(request.extensions(), request.headers(), trusted_proxies);
        let span = observer.span(&request, id.as_str());
        let method = request.method().clone();
        let route = request.extensions().get::<MatchedPath>().cloned();
        let uri = request.uri().clone();
        // Handlers run when the future is polled, where a panic is caught.
        let inner = span.in_scope(|| self.inner.call(request));
        Answering { inner, span, asked: Asked { started, id, method, route, uri, layer: self.layer.clone() } }
    }
}

/// What is said of a request when it has its answer.
struct Asked {
    started: Instant,
    id: RequestId,
    method: Method,
    route: Option<MatchedPath>,
    uri: Uri,
    layer: Arc<AroundLayer>,
}

pin_project_lite::pin_project! {
    /// A request on its way to its answer.
    pub(crate) struct Answering<F> {
        #[pin]
        inner: F,
        span: Span,
        asked: Asked,
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for Answering<F> {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let _in_span = this.span.enter();
        // Nothing of the handler's is looked at again after a panic.
        let response = match catch_unwind(AssertUnwindSafe(|| this.inner.poll(context))) {
            Ok(polled) => ready!(polled)?,
            Err(panic) => panicked(&*panic),
        };
        Poll::Ready(Ok(this.asked.told(response)))
    }
}

impl Asked {
    /// Puts the id on the answer and a line into the log; a refusal becomes a problem document.
    fn told(&self, mut response: Response) -> Response {
        if let Some(error) = problem::refused(&response, self.uri.path()) {
            response = problem::document(response, &error, &self.id);
        }
        let (method, status) = (&self.method, response.status());
        let route = self.route.as_ref().map_or("-", MatchedPath::as_str);
        let elapsed = self.started.elapsed();
        self.layer.observer.answered(method, route, status, elapsed);
        say(method, route, status, elapsed, self.layer.log_access);
        self.id.tell(response.headers_mut());
        response
    }
}

/// The line of an answer: at `info` where the request was refused, or where all shall have one. Who asked, and the
/// request's id, are on its span.
pub(crate) fn say(method: &Method, route: &str, status: StatusCode, elapsed: Duration, all: bool) {
    let ms = elapsed.as_secs_f64() * 1000.0;
    // To the microsecond: what is behind that says nothing.
    let ms = (ms * 1000.0).round() / 1000.0;
    let code = status.as_u16();
    if all || status.is_client_error() || status.is_server_error() {
        tracing::info!(%method, route, status = code, ms, "{method} {route} {code}");
    } else {
        tracing::debug!(%method, route, status = code, ms, "{method} {route} {code}");
    }
}

/// What a panic in a handler becomes. That there was one is a defect: it is logged as one.
fn panicked(panic: &(dyn Any + Send)) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(panic = text, "a handler panicked");
    ApiError::panicked().into_response()
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, routing::get};
    use tower::ServiceExt;

    use super::*;

    fn layer() -> AroundLayer {
        let (observer, forwarders) = (Arc::new(()), Arc::default());
        AroundLayer { observer, log_access: false, trusted_proxies: Vec::new(), forwarders }
    }

    async fn answer(path: &str, id: Option<&str>) -> Response {
        async fn broken() -> &'static str {
            panic!("on purpose")
        }
        let router = Router::new().route("/broken", get(broken)).route("/fine", get(async || "fine"));
        let mut request = Request::get(path);
        if let Some(id) = id {
            request = request.header("x-request-id", id);
        }
        router.layer(layer()).oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    async fn text(response: Response) -> String {
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_document_without_its_text() {
        let response = answer("/broken", Some("proxy-1")).await;
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["x-request-id"], "proxy-1");
        let text = text(response).await;
        assert!(text.contains(r#""request_id":"proxy-1""#) && !text.contains("on purpose"), "{text}");
    }

    #[tokio::test]
    async fn every_answer_has_an_id_of_its_own_or_the_proxys() {
        let id = async |id| answer("/fine", id).await.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert_eq!(id(Some("a-B_c.1")).await, "a-B_c.1");
        let ours = [id(None).await, id(Some("")).await, id(Some("a b")).await, id(Some(&"x".repeat(65))).await];
        for (n, own) in ours.iter().enumerate() {
            assert_eq!(uuid::Uuid::parse_str(own).unwrap().get_version_num(), 4);
            assert!(!ours[..n].contains(own));
        }
    }

    #[tokio::test]
    async fn what_the_framework_refuses_is_a_problem_document_too() {
        assert!(text(answer("/none", None).await).await.contains("no_such_route"));
        let mut request = Request::new(Body::empty());
        *request.method_mut() = Method::DELETE;
        *request.uri_mut() = Uri::from_static("/fine");
        let router: Router = Router::new().route("/fine", get(async || "fine"));
        let response = router.layer(layer()).oneshot(request).await.unwrap();
        assert!(text(response).await.contains("method_not_allowed"));
    }
}
