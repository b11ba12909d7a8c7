//! Where a request comes from, and whom it is for: origins and hosts, compared as what they name.
//!
//! Clients and proxies write one server in many ways: with the scheme's own port or without, in any
//! case, with the dot at the end that a whole name has, an address in its long or short form.
//!
//! **Invariant:** only a page of this very origin is [`Site::Same`]; what can't be read is another's.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, Uri, header, request::Parts, uri::Authority};

use crate::error::ApiError;

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

/// Reads `Sec-Fetch-Site`, which pages can't set, or compares `Origin` with the host that the request is for.
pub(crate) fn site(uri: &Uri, headers: &HeaderMap) -> Site {
    if let Some(site) = headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        return if site == b"same-origin" { Site::Same } else { Site::Other };
    }
    let mut origins = headers.get_all(header::ORIGIN).into_iter();
    let Some(origin) = origins.next() else { return Site::Unsaid };
    // A whole URL as the target beats Host (RFC 9112, 3.2.2).
    let host = uri.authority().cloned().or_else(|| authority(headers.get(header::HOST)?.as_bytes()));
    let is_same = match (parse(origin.as_bytes()), host) {
        (Some((origin, default)), Some(host)) => {
            Host::of(origin.host()) == Host::of(host.host())
                && port(&origin, default).is_some_and(|own| port(&host, default) == Some(own))
        }
        _ => false,
    };
    if is_same && origins.next().is_none() { Site::Same } else { Site::Other }
}

/// A request that changes something by the cookie's right must come from the page.
pub(crate) fn check_site(parts: &Parts) -> Result<(), ApiError> {
    let is_fine = parts.method.is_safe() || site(&parts.uri, &parts.headers) == Site::Same;
    if is_fine { Ok(()) } else { Err(ApiError::cross_site()) }
}

/// What `Host` says, where it is a host at all.
pub(crate) fn authority(host: &[u8]) -> Option<Authority> {
    Authority::try_from(host).ok().filter(|authority| !authority.as_str().contains('@'))
}

/// An origin's host and port, and the port that its scheme has by itself.
fn parse(origin: &[u8]) -> Option<(Authority, u16)> {
    let at = origin.windows(3).position(|three| three == b"://")?;
    let default = match &origin[..at] {
        scheme if scheme.eq_ignore_ascii_case(b"https") => 443,
        scheme if scheme.eq_ignore_ascii_case(b"http") => 80,
        // An extension's, or an application's, that is no page of a server.
        _ => return None,
    };
    Some((authority(&origin[at + 3..])?, default))
}

/// None for what is no port. (`Authority` says of a number that is too large that there is none.)
fn port(authority: &Authority, default: u16) -> Option<u16> {
    let port = authority.as_str().strip_prefix(authority.host())?;
    match port.strip_prefix(':').unwrap_or(port) {
        "" => Some(default),
        digits if digits.bytes().all(|digit| digit.is_ascii_digit()) => digits.parse().ok(),
        _ => None,
    }
}

/// A host, as what it names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// However it is written.
    Address(IpAddr),
    /// In small letters, without the dot at its end.
    Name(String),
}

impl Host {
    /// Of a host without its port; an IPv6 address is in brackets.
    pub(crate) fn of(host: &str) -> Self {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        match bare.parse::<IpAddr>() {
            Ok(address) => Self::Address(address.to_canonical()),
            Err(_) => Self::Name(host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()),
        }
    }

    /// Whether it is this machine to itself.
    pub(crate) fn is_loopback(&self) -> bool {
        match self {
            Self::Address(address) => address.is_loopback(),
            Self::Name(name) => name == "localhost",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&'static str, &str)]) -> Site {
        let pairs = pairs.iter().map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap()));
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value);
        }
        site(&Uri::from_static("/"), &headers)
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
            assert_eq!(of(pairs), expected, "{pairs:?}");
        }
    }

    #[test]
    fn an_origin_is_what_it_names() {
        for (origin, host) in [
            ("http://h", "h"),
            ("http://h", "h:80"),
            ("http://h:80", "h"),
            ("http://h:80", "h:80"),
            ("https://h", "h:443"),
            ("https://h:443", "h"),
            ("https://h", "h:"),
            ("http://h", "H"),
            ("HTTP://H", "h:80"),
            ("http://h.example.", "h.example"),
            ("https://h.example", "H.Example.:443"),
            ("http://h:8080", "h:8080"),
            ("http://[::1]", "[::1]:80"),
            ("http://[::1]:3000", "[0:0:0:0:0:0:0:1]:3000"),
            ("http://[::FFFF:10.0.0.1]", "10.0.0.1"),
            ("http://127.0.0.1:80", "127.0.0.1"),
        ] {
            assert_eq!(of(&[("host", host), ("origin", origin)]), Site::Same, "{origin} to {host}");
        }
        for (origin, host) in [
            ("http://h", "h:443"),
            ("https://h", "h:80"),
            ("https://h:80", "h"),
            ("http://h:443", "h"),
            ("http://h:8080", "h"),
            ("http://h", "h:8080"),
            ("http://evil.h", "h"),
            ("http://h.evil", "h"),
            ("http://h..", "h"),
            ("http://h@evil", "h"),
            ("http://evil@h", "h"),
            ("http://h/", "h"),
            ("http://h:99999", "h"),
            ("http://", "h"),
            ("http://[::1]", "[::2]"),
            ("http://[::1", "[::1]"),
            ("ftp://h", "h"),
            ("tauri://localhost", "localhost"),
            ("chrome-extension://h", "h"),
            ("h", "h"),
            ("", "h"),
            ("http://h, http://h", "h"),
            ("http://h http://evil", "h"),
            ("http://\u{e4}", "\u{e4}"),
        ] {
            assert_eq!(of(&[("host", host), ("origin", origin)]), Site::Other, "{origin} to {host}");
        }
        assert_eq!(of(&[("origin", "http://h")]), Site::Other, "to nobody");
        assert_eq!(of(&[("host", "h"), ("origin", "http://h"), ("origin", "http://evil")]), Site::Other);
        assert_eq!(of(&[("host", "h"), ("origin", "http://h"), ("origin", "http://h")]), Site::Other);
    }

    #[test]
    fn a_whole_url_as_the_target_says_whom_it_is_for() {
        let headers = HeaderMap::from_iter([
            (header::HOST, "other".parse().unwrap()),
            (header::ORIGIN, "http://h".parse().unwrap()),
        ]);
        assert_eq!(site(&Uri::from_static("http://h:80/x"), &headers), Site::Same);
        assert_eq!(site(&Uri::from_static("/x"), &headers), Site::Other);
    }
}
