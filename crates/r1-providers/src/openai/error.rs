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
//! | 408, 500 to 599 whose words say no more | `provider_unavailable` | yes | yes |
//! | what comes is no HTTP, or has headers without end | `upstream_invalid` | no | yes |
//! | redirect (never followed), 204, 205, a web page, compression | `upstream_invalid` | no | yes |
//! | a line of more than 1 MiB, a whole answer of more than 4 MiB, JSON that is no answer | `upstream_invalid` | no | yes |
//! | 401, 403, 400 about the key | `provider_auth` | no | yes, unless asked for (`use_invalid_key`) |
//! | 403, or any other refusal, 500 to 599 among them, about content | `provider_rejected` | no | no |
//! | 429, any other about how often it is asked | `provider_rate_limited` | yes, with its `Retry-After` | yes |
//! | 402, any other about credit | `provider_no_credit` | no | yes |
//! | 404, 400, 403 about the model | `model_not_found` | no | no |
//! | 413, any other about the context's length | `context_too_long` | no | no |
//! | any other 4xx | `provider_rejected` | no | no |
//! | an error in the stream about content, key, credit, rate, length, model | as above | as above | as above |
//! | any other error in the stream, a finish word that is one | `provider_failed` | if it may pass | yes |
//! | cut, reset or clean end without a finish, a finish word that is none | `upstream_truncated` | yes | yes |
//! | data that may have been words and can't be read, among words | `upstream_truncated`, at the end | yes | yes |
//! | nothing that can be read | `upstream_invalid` | no | yes |
//! | bytes that are no UTF-8, half a character | none: U+FFFD in their place | | no |
//!
//! What is retryable is asked again by the run, twice at most and only while no text has come. The
//! limit on the whole answer's time (`generation_timeout`, retryable, counts against nobody) is the
//! run's as well.
//!
//! **Invariant:** a sentence is made of fixed words, the provider's configured name and the name of
//! the model that was asked for. What the provider wrote is looked at to tell kinds apart; its own message goes beside
//! the sentence, as `detail`, once the [`crate::redaction::Redactor`] has been over it.

mod connection;
mod own_message;
mod words;

use std::time::Duration;

pub(super) use connection::{causes, of_no_response};
use http::{HeaderMap, StatusCode, header};
use r1_domain::{
    provider::{ProviderError, ProviderErrorCode as Code},
    time::Timestamp,
};
pub(crate) use words::ErrorWords;

#[cfg(test)]
mod tests;

/// What is said of a web page in an answer's place.
pub(crate) const WEB_PAGE: &str = "answered with a web page; its base URL is probably wrong";

/// Longest wait that a provider can ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// A failure in our words.
pub(crate) fn fault(code: Code, retryable: bool, message: String) -> ProviderError {
    ProviderError { code, message, detail: None, retryable, retry_after: None, status: None }
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

fn content_refused(name: &str) -> ProviderError {
    fault(Code::Rejected, false, format!("The provider '{name}' refused the request because of its content."))
}

fn rate_limited(name: &str) -> ProviderError {
    fault(Code::RateLimited, true, format!("The provider '{name}' is asked too often; try again later."))
}

fn no_credit(name: &str) -> ProviderError {
    fault(Code::NoCredit, false, format!("The account at the provider '{name}' has no credit left."))
}

/// The failure behind an error that came in place of an answer, or in the middle of one.
pub(crate) fn of_words(name: &str, words: &ErrorWords) -> ProviderError {
    if let Some(error) = of_kind(name, words) {
        error
    } else if words.is_unknown_model() {
        fault(Code::ModelNotFound, false, format!("The provider '{name}' does not have this model."))
    } else if words.is_passing() {
        fault(Code::Failed, true, format!("The provider '{name}' failed while it answered; it may recover."))
    } else {
        fault(Code::Failed, false, format!("The provider '{name}' failed while it answered."))
    }
}

/// What an error is about, where its words say so, whatever status it came with.
fn of_kind(name: &str, words: &ErrorWords) -> Option<ProviderError> {
    Some(if words.is_content() {
        content_refused(name)
    } else if words.is_no_credit() {
        no_credit(name)
    } else if words.is_context() {
        context_too_long()
    } else if words.is_rate_limit() {
        rate_limited(name)
    } else if words.is_key() {
        key_rejected(name)
    } else {
        return None;
    })
}

/// The failure behind a finish word that says that the answer was given up.
pub(crate) fn broken_off(name: &str) -> ProviderError {
    fault(Code::Truncated, true, format!("The provider '{name}' gave the answer up before its end."))
}

/// The failure behind a finish word that is an error.
pub(crate) fn failed(name: &str, may_pass: bool) -> ProviderError {
    let words = if may_pass { ErrorWords::passing() } else { ErrorWords::default() };
    of_words(name, &words)
}

/// Nothing of an answer could be read.
pub(crate) fn unreadable(name: &str) -> ProviderError {
    invalid(name, "sent nothing that could be read as an answer; its base URL may be for another API")
}

/// Not all of an answer could be read.
pub(crate) fn incomplete(name: &str) -> ProviderError {
    let message = format!("Some of what the provider '{name}' sent could not be read: words may be missing.");
    fault(Code::Truncated, true, message)
}

/// The failure behind a status other than success. `words` are those of as much of its body as was read.
pub(crate) fn of_status(
    name: &str,
    model: &str,
    status: StatusCode,
    headers: &HeaderMap,
    words: &ErrorWords,
    now: Timestamp,
) -> ProviderError {
    let mut error = match (status.as_u16(), of_kind(name, words)) {
        (401, Some(error)) if error.code == Code::NoCredit => error,
        (401, _) => key_rejected(name),
        (402, _) => no_credit(name),
        (403, Some(error)) if error.code != Code::Auth => error,
        (403, _) if words.is_unknown_model() => model_not_found(name, model),
        (403, _) => fault(Code::Auth, false, format!("The provider '{name}' does not let this API key do that.")),
        (429, Some(error)) if matches!(error.code, Code::NoCredit | Code::ContextTooLong) => error,
        (429, _) => rate_limited(name),
        (408, _) => fault(Code::Unavailable, true, format!("The provider '{name}' gave up waiting for the request.")),
        (413, Some(error)) if error.code == Code::NoCredit => error,
        (413, _) => context_too_long(),
        // A proxy's status for another server's refusal.
        (500.., Some(error)) => error,
        (status @ 500.., _) => {
            fault(Code::Unavailable, true, format!("The provider '{name}' is failing (status {status})."))
        }
        (300..=399, _) => {
            invalid(name, "answered with a redirect, which is not followed; its base URL is probably wrong")
        }
        (..=299, _) => invalid(name, "switched to another protocol"),
        (404, Some(error)) if error.code != Code::Auth => error,
        (404, _) if words.is_unknown_model() => model_not_found(name, model),
        (404, _) => fault(
            Code::ModelNotFound,
            false,
            format!("The provider '{name}' does not have the model '{model}', or its base URL is wrong (status 404)."),
        ),
        (_, Some(error)) => error,
        _ if words.is_unknown_model() => model_not_found(name, model),
        (status, _) => {
            fault(Code::Rejected, false, format!("The provider '{name}' refused the request (status {status})."))
        }
    };
    error.status = Some(status.as_u16());
    if error.retryable {
        error.retry_after = retry_after(headers, now);
    }
    error
}

/// Reads `Retry-After` (RFC 9110, 10.2.3): seconds, or a date, which is set against the response's
/// own `Date` where it has one, so that two clocks need not agree. OpenAI says it in `retry-after-ms` as well.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let millis = headers.get("retry-after-ms").and_then(|value| value.to_str().ok()?.trim().parse::<f64>().ok());
    if let Some(wait) = millis.and_then(|millis| Duration::try_from_secs_f64(millis / 1000.0).ok()) {
        return Some(wait.min(LONGEST_RETRY_AFTER));
    }
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
