//! Problem documents, and the id by which the request of one is found in the log.

use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use uuid::Uuid;

use crate::{error::ApiError, retry_body::come_back};

/// Names a request in the log: taken over from a proxy, and told to the client.
pub(crate) static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken over from a proxy.
const REQUEST_ID_LENGTH: usize = 64;
/// What an EventSource follows.
const STREAM: &str = "/api/v1/chat/stream";

/// The proxy's id for a request, or one of our own.
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(&REQUEST_ID).filter(|value| {
            (1..=REQUEST_ID_LENGTH).contains(&value.len())
                && value.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        });
        Self(given.cloned().unwrap_or_else(own_id))
    }

    pub(crate) fn as_str(&self) -> &str {
        // Letters, digits and three marks: always text.
        self.0.to_str().unwrap_or_default()
    }

    /// Puts it where [`RequestId::of`] finds it: whoever asks later is told the same one. In a response's
    /// headers it says under which id its request is found in the log.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        headers.insert(&REQUEST_ID, self.0.clone());
    }
}

impl From<RequestId> for String {
    fn from(id: RequestId) -> Self {
        id.as_str().to_owned()
    }
}

/// A random id (RFC 9562, version 4). From this thread's generator: the system's is a call each.
fn own_id() -> HeaderValue {
    let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
    let mut text = Uuid::encode_buffer();
    // Digits, letters and hyphens: always a value.
    HeaderValue::from_str(id.hyphenated().encode_lower(&mut text)).unwrap_or(HeaderValue::from_static("-"))
}

/// Answers a request that gets no further.
pub(crate) fn refuse(request: &Request, error: &ApiError) -> Response {
    let id = RequestId::of(request.headers());
    let refused = error.clone().into_response();
    let mut response = document(refused, error, &id);
    // Not its path: anybody may write anything there.
    let (request_id, status, method) = (id.as_str(), response.status().as_u16(), request.method());
    tracing::info!(request_id, %method, route = "-", status, "{method} refused: {status} {}", error.code());
    id.tell(response.headers_mut());
    response
}

/// Answers a request that would be one answer too many for the connections there are, and closes its connection.
pub fn too_full(request: &Request) -> Response {
    let error = ApiError::too_full();
    let follows = request.method() == Method::GET && request.uri().path() == STREAM;
    let mut response = if follows { come_back(error) } else { refuse(request, &error) };
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The error behind a response, if it is one: a handler's, or one that the framework made.
pub(crate) fn refused(response: &Response, path: &str) -> Option<ApiError> {
    if let Some(error) = response.extensions().get::<ApiError>() {
        return Some(error.clone());
    }
    match response.status() {
        StatusCode::NOT_FOUND => Some(ApiError::no_route(path)),
        StatusCode::METHOD_NOT_ALLOWED => Some(ApiError::method_not_allowed()),
        _ => None,
    }
}

/// The response with the document of its error as its body.
pub(crate) fn document(response: Response, error: &ApiError, id: &RequestId) -> Response {
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    parts.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let body = serde_json::to_vec(&error.document(id.as_str())).unwrap_or_default();
    Response::from_parts(parts, Body::from(body))
}
