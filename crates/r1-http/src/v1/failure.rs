//! What ended an answer, on the wire.

use r1_domain::event::Failure;
use serde::Serialize;

/// What ended an answer.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = AnswerError)]
pub(crate) struct FailureBody {
    /// For programs. Stable.
    code: String,
    /// For people.
    message: String,
    /// Whether asking again may help.
    retryable: bool,
    /// Seconds after which it may, where the provider has said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    /// Names the request that asked in the server's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    /// The provider's own message: one line of at most 500 characters, without keys and addresses. For administrators,
    /// and for everybody where `generation.show_details` is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl From<Failure> for FailureBody {
    fn from(failure: Failure) -> Self {
        let Failure { code, message, retryable, retry_after, request_id, detail } = failure;
        Self { code, message, retryable, retry_after, request_id, detail }
    }
}
