//! The page's session cookie, and the check that a request with it comes from the page.
//!
//! Cookies ignore ports, so the name carries the instance's word: two servers on one host do not
//! sign each other out. `__Host-` (with Secure) where the public address is https.

use std::time::Duration;

use axum_extra::extract::cookie::{Cookie, SameSite};
use http::{HeaderMap, HeaderValue, header, request::Parts};
use secrecy::{ExposeSecret, SecretString};

use crate::{app::Settings, error::ApiError};

impl Settings {
    fn is_https(&self) -> bool {
        self.public_url.as_ref().and_then(http::Uri::scheme_str) == Some("https")
    }

    fn cookie_name(&self) -> String {
        let prefix = if self.is_https() { "__Host-" } else { "" };
        format!("{prefix}gpt-r1-{}", self.instance)
    }

    fn cookie(&self, value: &str, max_age: Duration) -> HeaderValue {
        let cookie = Cookie::build((self.cookie_name(), value))
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(self.is_https())
            .max_age(max_age.try_into().unwrap_or_default())
            .build();
        // A name and a base64url value: nothing in it that a header does not take.
        let mut value = HeaderValue::from_str(&cookie.to_string()).unwrap_or(HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }

    /// `Set-Cookie` for a new session.
    pub(crate) fn session_cookie(&self, secret: &SecretString, max_age: Duration) -> HeaderValue {
        self.cookie(secret.expose_secret(), max_age)
    }

    /// `Set-Cookie` that takes the cookie back.
    pub(crate) fn ended_cookie(&self) -> HeaderValue {
        self.cookie("", Duration::ZERO)
    }

    /// The cookie's value in a request.
    pub(crate) fn session_secret(&self, headers: &HeaderMap) -> Option<String> {
        let name = self.cookie_name();
        headers
            .get_all(header::COOKIE)
            .into_iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(Cookie::split_parse)
            .filter_map(Result::ok)
            .find(|cookie| cookie.name() == name)
            .map(|cookie| cookie.value().to_owned())
    }
}

/// Where a request says it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Site {
    /// A page of this very origin.
    Same,
    /// A page of another origin.
    Other,
    /// Not a page's request, as far as it says.
    Unsaid,
}

/// Reads `Sec-Fetch-Site`, which pages can't set, or compares `Origin` with `Host`.
pub(crate) fn site(headers: &HeaderMap) -> Site {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if let Some(site) = text(header::HeaderName::from_static("sec-fetch-site")) {
        return if site == "same-origin" { Site::Same } else { Site::Other };
    }
    match (text(header::ORIGIN), text(header::HOST)) {
        (None, _) => Site::Unsaid,
        (Some(origin), Some(host)) => {
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            if authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host)) {
                Site::Same
            } else {
                Site::Other
            }
        }
        (Some(_), None) => Site::Other,
    }
}

/// A request that changes something by the cookie's right must come from the page.
pub(crate) fn check_site(parts: &Parts) -> Result<(), ApiError> {
    if parts.method.is_safe() || site(&parts.headers) == Site::Same { Ok(()) } else { Err(ApiError::cross_site()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_browsers_own_word_comes_first() {
        let host = ("host", "localhost:3000");
        let cases: [(&[(&'static str, &str)], Site); 7] = [
            (&[host], Site::Unsaid),
            (&[host, ("sec-fetch-site", "same-origin")], Site::Same),
            (&[host, ("sec-fetch-site", "same-site"), ("origin", "http://localhost:3000")], Site::Other),
            (&[host, ("sec-fetch-site", "cross-site")], Site::Other),
            (&[host, ("origin", "http://localhost:3000")], Site::Same),
            (&[host, ("origin", "http://localhost:8000")], Site::Other),
            (&[host, ("origin", "null")], Site::Other),
        ];
        for (pairs, expected) in cases {
            assert_eq!(site(&headers(pairs)), expected, "{pairs:?}");
        }
    }
}
