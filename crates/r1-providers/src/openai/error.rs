//! What becomes of a provider's failures: our codes, our sentences.
//!
//! **Invariant:** a sentence is made of fixed words, the provider's configured name and the name of
//! the model that was asked for. What the provider wrote is only looked at to tell kinds apart.

use std::{error::Error, io, time::Duration};

use http::{HeaderMap, StatusCode, header};
use r1_domain::{
    provider::{ProviderError, ProviderErrorCode as Code},
    time::Timestamp,
};
use serde_json::Value;

#[cfg(test)]
mod tests;

/// Longest wait that a provider can ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// A failure in our words.
pub(crate) fn fault(code: Code, retryable: bool, message: String) -> ProviderError {
    ProviderError { code, message, retryable, retry_after: None }
}

pub(crate) fn key_rejected(name: &str) -> ProviderError {
    fault(Code::Auth, false, format!("The provider '{name}' rejected the API key."))
}

pub(crate) fn no_continuation(name: &str) -> ProviderError {
    fault(Code::Rejected, false, format!("The provider '{name}' cannot go on from a partial answer."))
}

pub(crate) fn model_not_found(name: &str, model: &str) -> ProviderError {
    fault(Code::ModelNotFound, false, format!("The provider '{name}' does not have the model '{model}'."))
}

pub(crate) fn truncated(name: &str) -> ProviderError {
    fault(Code::Truncated, true, format!("The answer of the provider '{name}' broke off before its end."))
}

pub(crate) fn silent(name: &str, silence: Duration) -> ProviderError {
    fault(Code::Timeout, true, format!("The provider '{name}' sent nothing for {silence:?}."))
}

pub(crate) fn invalid(name: &str, what: &str) -> ProviderError {
    fault(Code::InvalidResponse, false, format!("The provider '{name}' {what}."))
}

fn context_too_long() -> ProviderError {
    fault(Code::ContextTooLong, false, "The conversation is too long for the model's context.".to_owned())
}

fn no_credit(name: &str) -> ProviderError {
    fault(Code::RateLimited, false, format!("The account at the provider '{name}' has no credit left."))
}

/// The few words of an upstream error that tell kinds apart, in lower case. Never shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ErrorWords {
    /// `code`, `type` and `status`, joined by spaces.
    kinds: String,
    message: String,
}

impl ErrorWords {
    /// Reads an error as JSON: a string, an object, one inside `error`, or the first of a list.
    /// What is no such thing has no words.
    pub(crate) fn from_json(json: &str) -> Self {
        serde_json::from_str(json).map(|value| Self::from_value(&value)).unwrap_or_default()
    }

    fn from_value(value: &Value) -> Self {
        match value {
            Value::String(message) => Self { kinds: String::new(), message: message.to_lowercase() },
            Value::Array(list) => list.first().map(Self::from_value).unwrap_or_default(),
            Value::Object(object) => match object.get("error") {
                Some(inner) if !inner.is_null() => Self::from_value(inner),
                _ => {
                    let mut kinds = String::new();
                    for value in ["code", "type", "status"].iter().filter_map(|field| object.get(*field)) {
                        match value {
                            Value::String(word) => kinds.push_str(&word.to_lowercase()),
                            Value::Number(number) => kinds.push_str(&number.to_string()),
                            _ => continue,
                        }
                        kinds.push(' ');
                    }
                    let message = object.get("message").or_else(|| object.get("detail"));
                    let message = message.and_then(Value::as_str).unwrap_or_default().to_lowercase();
                    Self { kinds, message }
                }
            },
            _ => Self::default(),
        }
    }

    fn is_kind(&self, kinds: &[&str]) -> bool {
        self.kinds.split(' ').any(|kind| kinds.contains(&kind))
    }

    fn says(&self, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| self.message.contains(phrase))
    }

    /// OpenAI, llama.cpp · vLLM, OpenRouter · Anthropic · llama.cpp · Gemini.
    fn is_context(&self) -> bool {
        self.is_kind(&["context_length_exceeded", "exceed_context_size_error", "context_too_long"])
            || self.says(&[
                "maximum context length",
                "prompt is too long",
                "exceeds the available context",
                "input token count",
            ])
    }

    /// OpenAI · Mistral · OpenRouter.
    fn is_unknown_model(&self) -> bool {
        self.is_kind(&["model_not_found", "invalid_model"])
            || self.says(&["is not a valid model", "model not found", "invalid model"])
    }

    fn is_no_credit(&self) -> bool {
        self.is_kind(&["insufficient_quota", "billing_error", "402"])
    }

    fn is_rate_limit(&self) -> bool {
        self.is_kind(&["rate_limit_exceeded", "rate_limit_error", "rate_limited", "resource_exhausted", "429"])
    }

    /// Gemini answers a bad key with 400.
    fn is_key(&self) -> bool {
        self.is_kind(&["invalid_api_key", "authentication_error", "unauthenticated", "401"])
            || self.says(&["api key not valid", "invalid api key"])
    }

    fn is_passing(&self) -> bool {
        self.is_kind(&["server_error", "internal_server_error", "internalservererror", "internal_error", "api_error"])
            || self.is_kind(&["overloaded_error", "overloaded", "unavailable", "service_unavailable", "timeout"])
            || self.is_kind(&["timeout_error", "500", "502", "503", "504", "529"])
            || self.says(&["overloaded", "try again"])
    }
}

/// The failure behind an error in mid-answer.
pub(crate) fn of_words(name: &str, words: &ErrorWords) -> ProviderError {
    if words.is_context() {
        return context_too_long();
    }
    let (why, retryable) = if words.is_key() {
        ("rejected the API key in mid-answer", false)
    } else if words.is_no_credit() {
        ("ran out of credit in mid-answer", false)
    } else if words.is_rate_limit() {
        ("reached a rate limit in mid-answer", true)
    } else if words.is_passing() {
        ("failed in mid-answer and may recover", true)
    } else {
        ("failed in mid-answer", false)
    };
    fault(Code::Failed, retryable, format!("The provider '{name}' {why}."))
}

/// The failure behind a status other than success. `body` is as much of it as was read.
pub(crate) fn of_status(
    name: &str,
    model: &str,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> ProviderError {
    let words = ErrorWords::from_json(&String::from_utf8_lossy(body));
    let mut error = match status.as_u16() {
        401 => key_rejected(name),
        403 => fault(Code::Auth, false, format!("The provider '{name}' does not let this API key do that.")),
        402 => no_credit(name),
        429 if words.is_no_credit() => no_credit(name),
        429 => fault(Code::RateLimited, true, format!("The provider '{name}' is asked too often; try again later.")),
        408 => fault(Code::Unavailable, true, format!("The provider '{name}' gave up waiting for the request.")),
        500.. => fault(
            Code::Unavailable,
            true,
            format!("The provider '{name}' is failing (status {status}).", status = status.as_u16()),
        ),
        ..400 => invalid(name, "answered with a redirect; its base URL is probably wrong"),
        _ if words.is_context() => context_too_long(),
        404 => model_not_found(name, model),
        _ if words.is_unknown_model() => model_not_found(name, model),
        400 if words.is_key() => key_rejected(name),
        status => fault(Code::Rejected, false, format!("The provider '{name}' refused the request (status {status}).")),
    };
    if error.retryable {
        error.retry_after = retry_after(headers, now);
    }
    error
}

/// Reads `Retry-After` (RFC 9110, 10.2.3): seconds, or a date, which is set against the response's
/// own `Date` where it has one, so that two clocks need not agree.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if let Ok(seconds) = value.parse::<f64>() {
        Duration::try_from_secs_f64(seconds).ok()?
    } else {
        let until = httpdate::parse_http_date(value).ok()?;
        let date = headers.get(header::DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        let micros = u64::try_from(now.as_micros()).unwrap_or(0);
        let from = date.unwrap_or(std::time::UNIX_EPOCH + Duration::from_micros(micros));
        until.duration_since(from).unwrap_or_default()
    };
    Some(wait.min(LONGEST_RETRY_AFTER))
}

/// The failure behind a request that got no response.
pub(crate) fn of_no_response(name: &str, error: &reqwest::Error) -> ProviderError {
    if !error.is_connect() {
        let message = format!("The provider '{name}' closed the connection without an answer.");
        return fault(Code::Unavailable, true, message);
    }
    let what = if error.is_timeout() {
        "did not take a connection in time"
    } else if causes(error).any(|cause| cause.to_string().starts_with("dns error")) {
        "has a host name that cannot be found"
    } else if causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).any(is_refused) {
        "refuses connections: is it running?"
    } else if causes(error).any(is_tls) {
        "could not prove its identity (TLS)"
    } else {
        "cannot be reached"
    };
    let end = if what.ends_with('?') { "" } else { "." };
    fault(Code::Unreachable, true, format!("The provider '{name}' {what}{end}"))
}

/// `NotFound` is a Unix socket that is not there.
fn is_refused(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
}

/// rustls' errors arrive inside an `io::Error` of this kind.
fn is_tls(cause: &(dyn Error + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::InvalidData)
}

/// An error and what is behind it. An `io::Error`'s own `source` leaves out what it wraps.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(Some(error as &(dyn Error + 'static)), |&error| {
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        }
    })
}
