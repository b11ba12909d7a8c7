//! What can go wrong with a request, as OpenAI's error objects.

use http::StatusCode;
use serde::Serialize;

use crate::scheduler::SubmitError;

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    status: StatusCode,
    kind: &'static str,
    code: &'static str,
    message: String,
}

/// `{"error": {...}}`
#[derive(Debug, Serialize)]
pub(super) struct ErrorBody<'a> {
    error: ErrorObject<'a>,
}

#[derive(Debug, Serialize)]
struct ErrorObject<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    code: &'static str,
}

const REQUEST: &str = "invalid_request_error";
const SERVER: &str = "server_error";

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, code, message: message.into() }
    }

    /// The request makes no sense.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, REQUEST, "invalid_request", message)
    }

    /// The question does not fit into the model's context.
    pub(super) fn context(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, REQUEST, "context_length_exceeded", message)
    }

    pub(super) fn body_too_large(limit: usize) -> Self {
        let message = format!("the request could not be read, or is larger than {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, REQUEST, "request_too_large", message)
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, REQUEST, "not_found", "there is nothing here")
    }

    pub(super) fn method() -> Self {
        let code = "method_not_allowed";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, REQUEST, code, "wrong method")
    }

    pub(super) fn loading() -> Self {
        let message = "the local model is still loading";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, SERVER, "model_loading", message)
    }

    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, SERVER, "internal", message)
    }

    /// The process is ending; the answer is not complete.
    pub(super) fn interrupted() -> Self {
        let message = "the local model was stopped before the answer was complete";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, SERVER, "interrupted", message)
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn body(&self) -> ErrorBody<'_> {
        let (message, kind, code) = (self.message.as_str(), self.kind, self.code);
        ErrorBody { error: ErrorObject { message, kind, code } }
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        let message = error.to_string();
        match error {
            SubmitError::Overloaded => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", "overloaded", message)
            }
            SubmitError::Closed => Self::new(StatusCode::SERVICE_UNAVAILABLE, SERVER, "stopping", message),
            SubmitError::Empty => Self::invalid(message),
        }
    }
}
