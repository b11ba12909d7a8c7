//! What becomes of a proxy's failures: none of them is the provider's, and the sentence says so.
//!
//! | fault | retryable |
//! |---|---|
//! | it can't be reached, or did not answer in time | yes |
//! | it wants a name and password, or others (407; SOCKS) | no |
//! | it does not connect to the provider, for whatever reason (403, 502, …; SOCKS) | yes |
//!
//! All are `provider_unreachable` and count against the provider's health: whoever asks gets nowhere.
//!
//! **Invariant:** a sentence is made of fixed words and the provider's configured name.

use r1_domain::provider::{ProviderError, ProviderErrorCode as Code};

use reqwest::Url;

use super::{
    config::OpenAiConfig,
    error::{causes, fault},
};

/// What the client's libraries say where a proxy wants a password, or another. Their types are private:
/// their words are what there is. The tests hear them from real proxies.
const PASSWORD: [&str; 4] = [
    "tunnel error: proxy authorization required",
    "SOCKS error: credentials not accepted",
    "SOCKS error: server does not support user/pass authentication",
    "SOCKS error: server implements authentication incorrectly",
];
/// The same where a proxy did not connect.
const REFUSED: [&str; 7] = [
    "tunnel error: unsuccessful",
    "SOCKS error: general server failure",
    "SOCKS error: connection not allowed",
    "SOCKS error: network unreachable",
    "SOCKS error: host unreachable",
    "SOCKS error: connection refused",
    "SOCKS error: ttl expired",
];
/// The same where there is no connection to a proxy, or none by TLS.
const UNREACHABLE: [&str; 2] =
    ["tunnel error: failed to create underlying connection", "SOCKS error: failed to create underlying connection"];
/// What else begins so is no proxy's answer.
const OTHER: [&str; 2] = ["tunnel error: ", "SOCKS error: "];

/// The failure behind a request that got no response, if it is the proxy's.
pub(super) fn of_no_response(config: &OpenAiConfig, target: &Url, error: &reqwest::Error) -> Option<ProviderError> {
    let (name, proxy) = (&config.name, config.proxy.as_ref()?);
    if !error.is_connect() {
        return None;
    }
    let says = |words: &[&str]| {
        causes(error).any(|cause| {
            let said = cause.to_string();
            words.iter().any(|word| said.starts_with(word))
        })
    };
    if says(&PASSWORD) {
        return Some(wants_password(name));
    }
    let what = if error.is_timeout() {
        format!("There was no connection to the provider '{name}' through its proxy in time.")
    } else if says(&REFUSED) {
        format!(
            "The proxy on the way to the provider '{name}' does not connect to it: it does not allow it, can't reach \
             it, or does not accept the password."
        )
    } else if says(&UNREACHABLE) || proxy.forwards(target) {
        format!("The proxy on the way to the provider '{name}' can't be reached: is it running?")
    } else if says(&OTHER) {
        format!("What stands as the proxy on the way to the provider '{name}' does not work as one.")
    } else {
        // Behind the tunnel: the provider's own certificate, its own silence.
        return None;
    };
    Some(fault(Code::Unreachable, true, what))
}

/// It does not know us.
pub(super) fn wants_password(name: &str) -> ProviderError {
    let message = format!(
        "The proxy on the way to the provider '{name}' wants a name and password, or others than it was given: they \
         have to be corrected in the server's configuration."
    );
    ProviderError { status: Some(407), ..fault(Code::Unreachable, false, message) }
}
