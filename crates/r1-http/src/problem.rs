//! Around every request: its id, its line in the log, and the problem document of a refused one.

use std::time::Instant;

use axum::{
    body::Body,
    extract::{MatchedPath, Request},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use tracing::Instrument;

use crate::error::ApiError;

/// Names a request in the log: taken over from a proxy, and told to the client.
pub(crate) static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken over from a proxy.
const REQUEST_ID_LENGTH: usize = 64;

/// Wraps the whole API.
pub(crate) async fn around(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let request_id = request_id(&request);
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_owned();
    let path = request.uri().path().to_owned();

    let span = tracing::info_span!("request", request_id);
    let mut response = next.run(request).instrument(span.clone()).await;
    if let Some(error) = refused(&response, &path) {
        response = document(response, &error, &request_id);
    }
    let status = response.status();
    let elapsed_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    span.in_scope(
        || tracing::debug!(%method, route, status = status.as_u16(), elapsed_us, "{method} {route} {status}"),
    );
    tell_request_id(&mut response, &request_id);
    response
}

/// Answers a request that gets no further.
pub(crate) fn refuse(request: &Request, error: &ApiError) -> Response {
    let request_id = request_id(request);
    let refused = error.clone().into_response();
    let mut response = document(refused, error, &request_id);
    let status = response.status().as_u16();
    tracing::debug!(request_id, status, "{} {} refused", request.method(), request.uri().path());
    tell_request_id(&mut response, &request_id);
    response
}

/// Says under which id the response's request is found in the log.
fn tell_request_id(response: &mut Response, request_id: &str) {
    if let Ok(value) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(REQUEST_ID.clone(), value);
    }
}

/// The proxy's id for the request, or one of our own.
fn request_id(request: &Request) -> String {
    request
        .headers()
        .get(&REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| {
            (1..=REQUEST_ID_LENGTH).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        })
        .map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned)
}

/// The error behind a response, if it is one: a handler's, or one that the framework made.
fn refused(response: &Response, path: &str) -> Option<ApiError> {
    if let Some(error) = response.extensions().get::<ApiError>() {
        return Some(error.clone());
    }
    match response.status() {
        StatusCode::NOT_FOUND => Some(ApiError::no_route(path)),
        StatusCode::METHOD_NOT_ALLOWED => Some(ApiError::method_not_allowed()),
        _ => None,
    }
}

fn document(response: Response, error: &ApiError, request_id: &str) -> Response {
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    parts.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let body = serde_json::to_vec(&error.document(request_id)).unwrap_or_default();
    Response::from_parts(parts, Body::from(body))
}

/// What a panic in a handler becomes. That there was one is a defect: it is logged as one.
#[expect(clippy::needless_pass_by_value, reason = "the signature that CatchPanicLayer asks for")]
pub(crate) fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(panic = text, "a handler panicked");
    ApiError::panicked().into_response()
}
