//! The page's session cookie.
//!
//! Cookies ignore ports, so the name carries the instance's word: two servers on one host do not
//! sign each other out. `__Host-` (with Secure) where the public address is https. They know no paths and
//! domains on their way back either: a request may have several of our name, and others' that are no text.
//!
//! **Invariant:** no cookie keeps ours from being found, but for [`MOST_SECRETS`] others that look like it.

use std::time::Duration;

use axum_extra::extract::cookie::{Cookie, SameSite};
use http::{HeaderMap, HeaderValue, header};
use r1_auth::secret;
use secrecy::{ExposeSecret, SecretString};

use crate::app::Settings;

/// Most cookies of a request that are looked up: each asks the database.
const MOST_SECRETS: usize = 8;

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

    /// The page's cookies in a request.
    pub(crate) fn session_cookies<'a>(&self, headers: &'a HeaderMap) -> SessionCookies<'a> {
        let name = self.cookie_name();
        let mut found = SessionCookies::default();
        for value in headers.get_all(header::COOKIE).into_iter().flat_map(|header| values_of(header.as_bytes(), &name))
        {
            found.is_some = true;
            // Letters, digits and two marks, if it is one of ours at all.
            if let Some(secret) = std::str::from_utf8(value).ok().filter(|value| secret::is_plausible(value))
                && found.secrets.len() < MOST_SECRETS
                && !found.secrets.contains(&secret)
            {
                found.secrets.push(secret);
            }
        }
        found
    }
}

/// What a request has under the name of the page's cookie.
#[derive(Debug, Default)]
pub(crate) struct SessionCookies<'a> {
    /// Whether there is any, whatever it is.
    pub(crate) is_some: bool,
    /// Those that may prove a session, as they stand in the request: the browser puts the narrower path and
    /// the older cookie first, so the right one may be any of them.
    pub(crate) secrets: Vec<&'a str>,
}

/// The values that a `Cookie` header has under a name, each without the spaces and quotes around it (RFC
/// 6265, 4.2.1 and 5.4). By bytes and pair by pair: what other programs on this host keep is none of our
/// business, whatever it is made of.
fn values_of<'a>(header: &'a [u8], name: &str) -> impl Iterator<Item = &'a [u8]> {
    header.split(|byte| *byte == b';').filter_map(move |pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (key, value) = (pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii());
        (key == name.as_bytes())
            .then(|| value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            public_url: None,
            cors_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            instance: "word".to_owned(),
            body_bytes: 1,
            bodies_in_flight: 1,
            bodies_in_flight_per_user: None,
            message_chars: 1,
            attaches_per_user: None,
            requests_per_minute: None,
            request_timeout: Duration::from_secs(1),
            heartbeat: Duration::from_secs(1),
            log_access: false,
            show_details: false,
        }
    }

    /// What is found in these headers: `(is_some, secrets)`.
    fn found(headers: &[&[u8]]) -> (bool, Vec<String>) {
        let values = headers.iter().map(|value| (header::COOKIE, HeaderValue::from_bytes(value).unwrap()));
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            headers.append(name, value);
        }
        let found = settings().session_cookies(&headers);
        (found.is_some, found.secrets.into_iter().map(str::to_owned).collect())
    }

    #[test]
    fn ours_is_found_whatever_stands_beside_it() {
        let (a, b) = ("a".repeat(43), "b".repeat(43));
        for beside in [
            &b"x=1"[..],
            b"x=\xfc",
            b"x=\xff\xfe\x80",
            b"\xe4=\xc3\xbc",
            b"x",
            b"=",
            b"=x",
            b"",
            b";",
            b"x=a=b",
            b"x={\"k\":\"v\", \"l\":[1,2]}",
            b"x=\"a b\"",
            b"x=\"",
            b"x=a\tb",
            b"$Version=1",
            b"gpt-r1-word",
            b"gpt-r1-word=",
            b"gpt-r1-word=\xfc",
            b"gpt-r1-word=stale",
            b"gpt-r1-word=\"\"",
            b"gpt-r1-other=cccccccccccccccccccccccccccccccccccccccccccc",
            b"GPT-R1-WORD=ccccccccccccccccccccccccccccccccccccccccccc",
            b"xgpt-r1-word=ccccccccccccccccccccccccccccccccccccccccccc",
            b"__Host-gpt-r1-word=ccccccccccccccccccccccccccccccccccccccccccc",
        ] {
            for ours in [format!("gpt-r1-word={a}"), format!(" gpt-r1-word = \"{a}\" ")] {
                let own = ours.as_bytes();
                for headers in [
                    vec![[beside, b"; ", own].concat()],
                    vec![[own, b"; ", beside].concat()],
                    vec![[own, b";", beside, b";"].concat()],
                    vec![beside.to_vec(), own.to_vec()],
                    vec![own.to_vec(), beside.to_vec()],
                ] {
                    let headers: Vec<&[u8]> = headers.iter().map(Vec::as_slice).collect();
                    let (is_some, secrets) = found(&headers);
                    assert!(is_some && secrets == [a.as_str()], "{headers:?}: {secrets:?}");
                }
            }
        }
        let both = format!("gpt-r1-word={a}; x=y; gpt-r1-word={b}; gpt-r1-word={a}");
        assert_eq!(found(&[both.as_bytes()]), (true, vec![a, b]), "in order, each once");
        assert_eq!(found(&[b"gpt-r1-word=stale"]), (true, vec![]));
        assert_eq!(found(&[b"x=gpt-r1-word; \"gpt-r1-word=x\""]), (false, vec![]));
        assert_eq!(found(&[]), (false, vec![]));
    }

    #[test]
    fn as_many_are_tried_as_may_be() {
        let many: Vec<String> = (0..100).map(|number| format!("gpt-r1-word={number:043}")).collect();
        assert_eq!(found(&[many.join("; ").as_bytes()]).1.len(), MOST_SECRETS);
    }
}
