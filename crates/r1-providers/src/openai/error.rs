//! What becomes of a provider's failures: our codes, our sentences.
//!
//! | fault | code | retryable | counts against health |
//! |---|---|---|---|
//! | connection refused, no socket, no route | `provider_unreachable` | yes | yes |
//! | host name not found | `provider_unreachable` | yes | yes |
//! | no connection in `connect_timeout` | `provider_unreachable` | yes | yes |
//! | no TLS at an `https` address | `provider_unreachable` | no | yes |
//! | TLS handshake fails otherwise | `provider_unreachable` | yes | yes |
//! | certificate expired, for another host, by an unknown authority | `provider_untrusted` | no | yes |
//! | silence before the headers, or in mid-answer (`idle_timeout`) | `provider_timeout` | yes | yes |
//! | closed or reset before the headers | `provider_unavailable` | yes | yes |
//! | 408, 500 to 599 | `provider_unavailable` | yes | yes |
//! | what comes is no HTTP, or has headers without end | `upstream_invalid` | no | yes |
//! | redirect (never followed), 204, 205, a web page, another type, compression | `upstream_invalid` | no | yes |
//! | a line of more than 1 MiB, a whole answer of more than 4 MiB, JSON that is no answer | `upstream_invalid` | no | yes |
//! | 401, 403, 400 about the key | `provider_auth` | no | yes, unless asked for (`use_invalid_key`) |
//! | 429 | `provider_rate_limited` | yes, with its `Retry-After` | yes |
//! | 402, 429 about credit | `provider_no_credit` | no | yes |
//! | 404, 400 about the model | `model_not_found` | no | no |
//! | 400 about the context's length | `context_too_long` | no | no |
//! | any other 4xx | `provider_rejected` | no | no |
//! | an error object in the stream about key, credit, rate or length | as above | as above | as above |
//! | an error object in the stream, `finish_reason` of `error` | `provider_failed` | if it may pass | yes |
//! | cut, reset or clean end without a finish | `upstream_truncated` | yes | yes |
//! | data that is no JSON | none: skipped, counted, the rest is delivered | | no |
//! | bytes that are no UTF-8, half a character | none: U+FFFD in their place | | no |
//!
//! What is retryable is asked again by the run, twice at most and only while no text has come. The
//! limit on the whole answer's time (`generation_timeout`, retryable, counts against nobody) is the
//! run's as well.
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
    fault(
        Code::Auth,
        false,
        format!("The provider '{name}' rejected the API key: it has to be corrected in the server's configuration."),
    )
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

fn rate_limited(name: &str) -> ProviderError {
    fault(Code::RateLimited, true, format!("The provider '{name}' is asked too often; try again later."))
}

fn no_credit(name: &str) -> ProviderError {
    fault(Code::NoCredit, false, format!("The account at the provider '{name}' has no credit left."))
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

/// The failure behind an error that came in place of an answer, or in the middle of one.
pub(crate) fn of_words(name: &str, words: &ErrorWords) -> ProviderError {
    if words.is_context() {
        context_too_long()
    } else if words.is_key() {
        key_rejected(name)
    } else if words.is_no_credit() {
        no_credit(name)
    } else if words.is_rate_limit() {
        rate_limited(name)
    } else if words.is_passing() {
        fault(Code::Failed, true, format!("The provider '{name}' failed while it answered; it may recover."))
    } else {
        fault(Code::Failed, false, format!("The provider '{name}' failed while it answered."))
    }
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
        429 => rate_limited(name),
        408 => fault(Code::Unavailable, true, format!("The provider '{name}' gave up waiting for the request.")),
        500.. => fault(
            Code::Unavailable,
            true,
            format!("The provider '{name}' is failing (status {status}).", status = status.as_u16()),
        ),
        300..400 => invalid(name, "answered with a redirect, which is not followed; its base URL is probably wrong"),
        ..300 => invalid(name, "switched to another protocol"),
        _ if words.is_context() => context_too_long(),
        _ if words.is_unknown_model() => model_not_found(name, model),
        404 => fault(
            Code::ModelNotFound,
            false,
            format!("The provider '{name}' does not have the model '{model}', or its base URL is wrong (status 404)."),
        ),
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
    let tls = causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>());
    // A record that is damaged later says nothing about the address.
    if let Some(tls) = tls.filter(|_| error.is_connect()) {
        return of_tls(name, tls);
    }
    if causes(error).filter_map(|cause| cause.downcast_ref::<hyper::Error>()).any(hyper::Error::is_parse) {
        return invalid(name, "answers with something that is no HTTP/1.1; its base URL is probably wrong");
    }
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
    } else {
        "cannot be reached"
    };
    let end = if what.ends_with('?') { "" } else { "." };
    fault(Code::Unreachable, true, format!("The provider '{name}' {what}{end}"))
}

/// A certificate that is not accepted is nothing that passes, nor are plain words where TLS is due.
fn of_tls(name: &str, error: &rustls::Error) -> ProviderError {
    use rustls::{CertificateError as Certificate, Error as Tls};
    let why = match error {
        Tls::InvalidCertificate(Certificate::Expired | Certificate::ExpiredContext { .. }) => "has expired",
        Tls::InvalidCertificate(Certificate::NotValidForName | Certificate::NotValidForNameContext { .. }) => {
            "is for another host name"
        }
        Tls::InvalidCertificate(Certificate::UnknownIssuer) => "is by no authority that this machine trusts",
        Tls::InvalidCertificate(_) | Tls::NoCertificatesPresented => "is not valid",
        Tls::InvalidMessage(_) => {
            let message = format!("The provider '{name}' does not speak TLS: does its base URL begin with http://?");
            return fault(Code::Unreachable, false, message);
        }
        _ => return fault(Code::Unreachable, true, format!("The TLS handshake with the provider '{name}' failed.")),
    };
    let message = format!("The provider '{name}' could not prove its identity: its certificate {why}.");
    fault(Code::Untrusted, false, message)
}

/// `NotFound` is a Unix socket that is not there.
fn is_refused(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
}

/// An error and what is behind it. An `io::Error`'s own `source` leaves out what it wraps.
pub(super) fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(Some(error as &(dyn Error + 'static)), |&error| {
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        }
    })
}
