//! Errors as the outside sees them. The only file that gives an error its status code.
//!
//! An [`ApiError`] becomes a problem document (RFC 9457) in [`crate::problem`]. What stands in
//! `detail` is written here or comes from a domain error that is meant for people; the text of an
//! inner fault goes to the log.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use r1_auth::AuthError;
use r1_domain::{id::GenerationId, store::StoreError};
use r1_generation::EngineError;
use serde::Serialize;

/// One faulty field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct FieldProblem {
    /// The field's name, dotted where nested.
    pub(crate) field: String,
    /// What is wrong with it.
    pub(crate) message: String,
}

/// A refused request.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    detail: String,
    errors: Vec<FieldProblem>,
    retry_after: Option<Duration>,
    generation_id: Option<GenerationId>,
}

/// Shorthand.
pub(crate) type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), errors: Vec::new(), retry_after: None, generation_id: None }
    }

    /// Its code, a fixed word.
    pub(crate) fn code(&self) -> &'static str {
        self.code
    }

    fn retry_after(mut self, pause: Duration) -> Self {
        self.retry_after = Some(pause);
        self
    }

    /// The same refusal, about this generation.
    pub(crate) fn about(self, id: GenerationId) -> Self {
        Self { generation_id: Some(id), ..self }
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "There is no such thing here, or it is not yours.")
    }

    pub(crate) fn no_route(path: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "no_such_route",
            format!("There is no route {path}; the routes are described at /api/docs."),
        )
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This route does not take this method.")
    }

    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    pub(crate) fn media_type(expected: &str) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            format!("Send the body as {expected}, and say so in Content-Type."),
        )
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", format!("The body may have at most {limit} bytes."))
    }

    pub(crate) fn too_many_bodies() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_bodies",
            "Too much that this account, or this address, has sent is still being read; send less at once.",
        )
        .retry_after(Duration::from_secs(5))
    }

    pub(crate) fn bodies_full() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "bodies_full",
            "The server has no room for this body now: too much is being sent to it. Try again in a moment.",
        )
        .retry_after(Duration::from_secs(5))
    }

    pub(crate) fn too_full() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_connections",
            "The server is giving as many answers as it has connections for. Try again in a moment.",
        )
        .retry_after(Duration::from_secs(5))
    }

    pub(crate) fn request_timeout() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", "The body did not arrive in time.")
    }

    pub(crate) fn invalid(errors: Vec<FieldProblem>) -> Self {
        let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
        let detail = format!("These fields are not valid: {}.", fields.join(", "));
        Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail) }
    }

    pub(crate) fn invalid_field(field: &str, message: impl Into<String>) -> Self {
        Self::invalid(vec![FieldProblem { field: field.to_owned(), message: message.into() }])
    }

    /// A query or header value that can't be read: the request itself is wrong.
    pub(crate) fn bad_parameter(field: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        let detail = format!("The parameter {field} {message}.");
        let errors = vec![FieldProblem { field: field.to_owned(), message }];
        Self { errors, ..Self::new(StatusCode::BAD_REQUEST, "bad_parameter", detail) }
    }

    /// Whether it says that nobody is signed in, for whatever reason.
    pub(crate) fn is_unauthenticated(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    pub(crate) fn unauthenticated() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthenticated",
            "Sign in first: send the access token as 'Authorization: Bearer …'.",
        )
    }

    pub(crate) fn session_ended() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "session_ended", "The session has ended: sign in again.")
    }

    pub(crate) fn cross_site() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "cross_site",
            "A request with the session cookie must come from this server's own pages.",
        )
    }

    pub(crate) fn unknown_host(host: &str) -> Self {
        Self::new(
            StatusCode::MISDIRECTED_REQUEST,
            "unknown_host",
            format!(
                "This server does not go by the name {host}. If it should, its administrator sets server.public_url."
            ),
        )
    }

    pub(crate) fn too_many_attaches(limit: usize) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_streams",
            format!("This account follows {limit} streams already; close one."),
        )
        .retry_after(Duration::from_secs(5))
    }

    pub(crate) fn rate_limited(pause: Duration) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", "Too many requests; wait a moment.").retry_after(pause)
    }

    pub(crate) fn panicked() -> Self {
        Self::internal()
    }

    fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something went wrong on the server; its log has the details under this request_id.",
        )
    }

    fn draining() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "draining", "The server is shutting down; try again in a moment.")
            .retry_after(Duration::from_secs(5))
    }

    fn storage_unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "storage_unavailable",
            "The server's database does not answer; nothing was changed. Try again in a moment.",
        )
        .retry_after(Duration::from_secs(5))
    }

    fn storage_unconfirmed() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "storage_unconfirmed",
            "The server's disk does not answer. Whether this was carried out is not known yet: look before you \
             send it again, or send it with the same Idempotency-Key.",
        )
        .retry_after(Duration::from_secs(5))
    }

    /// Whether the same request may succeed in a moment: an EventSource is told to come back.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(
            self.status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE | StatusCode::INSUFFICIENT_STORAGE
        )
    }

    /// The document for the client.
    pub(crate) fn document(&self, request_id: &str) -> Problem {
        Problem {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            code: self.code,
            request_id: request_id.to_owned(),
            errors: self.errors.clone(),
            generation_id: self.generation_id.map(|id| id.to_string()),
        }
    }
}

/// A problem document (RFC 9457).
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Problem {
    /// Always `about:blank`: the status says what kind it is, `code` which.
    pub(crate) r#type: &'static str,
    /// The status in words.
    pub(crate) title: &'static str,
    /// The status.
    pub(crate) status: u16,
    /// What happened and what to do, for people.
    pub(crate) detail: String,
    /// What happened, for programs. Stable.
    pub(crate) code: &'static str,
    /// Names this request in the server's log.
    pub(crate) request_id: String,
    /// The faulty fields, if any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) errors: Vec<FieldProblem>,
    /// The generation that runs in the conversation (code `generation_running`), that this request
    /// started before (code `too_many_streams`), or that is the newest of its message (code
    /// `generation_superseded`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) generation_id: Option<String>,
}

impl IntoResponse for ApiError {
    /// The response without its body: [`crate::problem`] writes it, with the request's id.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if let Some(pause) = self.retry_after {
            // Rounded up: half a second is not 0.
            let seconds = pause.as_millis().div_ceil(1000).max(1);
            if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let source = std::error::Error::source(&error).map(ToString::to_string);
        match error {
            StoreError::NotFound => Self::not_found(),
            StoreError::Taken { field } => Self {
                errors: vec![FieldProblem { field: field.to_owned(), message: "is taken".to_owned() }],
                ..Self::new(StatusCode::CONFLICT, "taken", format!("This {field} is taken."))
            },
            StoreError::SetupCode => Self::invalid_field("setup_code", error.to_string()),
            StoreError::Full(_) => {
                tracing::error!(source, "{error}");
                Self::new(
                    StatusCode::INSUFFICIENT_STORAGE,
                    "storage_full",
                    "The server's disk is full; nothing was changed. Ask its administrator for room.",
                )
                .retry_after(Duration::from_secs(30))
            }
            StoreError::Unconfirmed(_) => {
                tracing::error!(source, "{error}");
                Self::storage_unconfirmed()
            }
            StoreError::Unavailable(_) | StoreError::Unsynced(_) => {
                tracing::error!(source, "{error}");
                Self::storage_unavailable()
            }
            StoreError::Internal(_) => {
                tracing::error!(source, "{error}");
                Self::internal()
            }
        }
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::NotFound => Self::not_found(),
            EngineError::Busy { generation_id } => Self::new(
                StatusCode::CONFLICT,
                "generation_running",
                "An answer is being written in this conversation. Wait for it, or stop it.",
            )
            .about(generation_id),
            EngineError::Superseded { generation_id } => Self::new(
                StatusCode::CONFLICT,
                "generation_superseded",
                "This answer was continued since. Continue its newest generation, the one in generation_id.",
            )
            .about(generation_id),
            EngineError::NotContinuable(why) => Self::new(StatusCode::CONFLICT, "not_continuable", why.to_string()),
            EngineError::TooManyRuns { limit } => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_generations",
                format!("{limit} answers are being written for this account already. Wait for one, or stop it."),
            )
            .retry_after(Duration::from_secs(5)),
            EngineError::Crowded => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "crowded",
                "More questions are coming in than the server can accept. Ask again in a moment: nothing was stored.",
            )
            .retry_after(Duration::from_secs(5)),
            EngineError::KeyReused => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "This Idempotency-Key came with another request before. Use a new key for a new request.",
            ),
            EngineError::UnknownModel(_) => Self::invalid_field("model", error.to_string()),
            EngineError::StopNotStored => {
                tracing::error!("{error}");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "stop_not_stored",
                    "The answer is stopped, but the server's database does not take its end yet. Ask again in a moment.",
                )
                .retry_after(Duration::from_secs(5))
            }
            EngineError::NoLease | EngineError::RunsNowhere => {
                tracing::error!("{error}");
                Self::storage_unavailable()
            }
            EngineError::Undecided => {
                tracing::error!("{error}");
                Self::storage_unconfirmed()
            }
            EngineError::Draining => Self::draining(),
            EngineError::Damaged(_) => {
                tracing::error!("{error}");
                Self::internal()
            }
            EngineError::Store(error) => error.into(),
        }
    }
}

impl From<r1_domain::log::DamagedLog> for ApiError {
    fn from(error: r1_domain::log::DamagedLog) -> Self {
        EngineError::from(error).into()
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        let unauthorized = |code, detail: &str| Self::new(StatusCode::UNAUTHORIZED, code, detail);
        match error {
            AuthError::Invalid(fields) => Self::invalid(
                fields.into_iter().map(|f| FieldProblem { field: f.field.to_owned(), message: f.message }).collect(),
            ),
            AuthError::BadCredentials => unauthorized("bad_credentials", "The name or the password is wrong."),
            AuthError::TokenExpired => {
                unauthorized("token_expired", "The access token has expired: get a new one from /api/v1/auth/refresh.")
            }
            AuthError::TokenInvalid => unauthorized("token_invalid", "The token is not valid: sign in again."),
            AuthError::SessionEnded => Self::session_ended(),
            AuthError::Disabled => {
                Self::new(StatusCode::FORBIDDEN, "account_disabled", "This account has been disabled.")
            }
            AuthError::Limited { retry_after } => Self::rate_limited(retry_after),
            AuthError::Overloaded { retry_after } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "sign_in_overloaded",
                "Too many people are signing in at once; try again in a moment.",
            )
            .retry_after(retry_after),
            AuthError::Taken { field } => StoreError::Taken { field }.into(),
            AuthError::SetupCode => StoreError::SetupCode.into(),
            AuthError::RegistrationClosed => Self::new(
                StatusCode::FORBIDDEN,
                "registration_closed",
                "Registration is closed; ask the administrator for an account.",
            ),
            AuthError::Store(error) => error.into(),
            AuthError::Internal(source) => {
                tracing::error!(%source, "authentication failed inside");
                Self::internal()
            }
        }
    }
}
