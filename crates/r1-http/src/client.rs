//! Who is at the other end: the peer of the connection, or the client behind a proxy.
//!
//! Behind a proxy all clients have one peer address, the proxy's: with limits per address, any of
//! them could lock out all the others. Where the peer is one of `server.trusted_proxies`, what the
//! proxies wrote into `X-Forwarded-For` counts.
//!
//! **Invariant:** no client chooses its own address. The header grows to the right, one address
//! for each proxy passed; it is read from the right, and only up to the first address that is no
//! trusted proxy's: what a client wrote stands further left.

use std::{
    collections::HashSet,
    convert::Infallible,
    net::{IpAddr, SocketAddr},
};

use axum::extract::FromRequestParts;
use http::{Extensions, HeaderMap, request::Parts};
use ipnet::IpNet;
use parking_lot::Mutex;

use crate::app::App;

/// How a request came in: put into each request's extensions by the accept loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// The address at the other end of the connection.
    pub peer: IpAddr,
    /// Whether it came to a loopback address, where the name that it asks for is checked.
    pub on_loopback: bool,
}

/// The client's address; none where nobody said how the request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientAddr(pub(crate) Option<IpAddr>);

impl FromRequestParts<App> for ClientAddr {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        Ok(Self(address(&parts.extensions, &parts.headers, &app.settings.trusted_proxies)))
    }
}

/// Most peers that are named in the log.
const MOST_NAMED: usize = 64;

/// Peers that sent `X-Forwarded-For` and are no trusted proxies: a proxy that the configuration forgets, most likely.
#[derive(Debug, Default)]
pub(crate) struct Forwarders(Mutex<HashSet<IpAddr>>);

impl Forwarders {
    /// Says in the log that a peer's `X-Forwarded-For` is not believed: once for each, and of [`MOST_NAMED`] at most.
    pub(crate) fn notice(&self, extensions: &Extensions, headers: &HeaderMap, trusted: &[IpNet]) {
        if !headers.contains_key("x-forwarded-for") {
            return;
        }
        let Some(peer) = extensions.get::<Arrival>().map(|arrival| arrival.peer.to_canonical()) else { return };
        if trusted.iter().any(|network| network.contains(&peer)) {
            return;
        }
        let mut named = self.0.lock();
        if named.len() < MOST_NAMED && named.insert(peer) {
            tracing::warn!(
                %peer,
                "{peer} sends X-Forwarded-For and is not in server.trusted_proxies: its clients count as one. If it is \
                 your proxy, add it"
            );
        }
    }
}

/// Where a request came from, as far as anybody said.
pub(crate) fn address(extensions: &Extensions, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    extensions.get::<Arrival>().map(|arrival| client(arrival.peer, headers, trusted))
}

/// The client of a request from `peer`. The peer itself where it is no trusted proxy, where there
/// is no `X-Forwarded-For`, and where that can't be read.
fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    let peer = peer.to_canonical();
    if !is_trusted(&peer) {
        return peer;
    }
    // Several lines are one list. Bytes, as what a client wrote at the left need not be text.
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    let mut client = peer;
    for hop in lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')) {
        let Some(address) = parse_hop(hop) else { return peer };
        client = address;
        if !is_trusted(&address) {
            break;
        }
    }
    client
}

/// An address as proxies write it: some with the port, some with IPv6 in brackets.
fn parse_hop(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse().map(|address: SocketAddr| address.ip())).ok()?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client_of(peer: &str, lines: &[&[u8]]) -> String {
        let trusted = ["127.0.0.1/32", "10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
        let lines = lines.iter().map(|line| HeaderValue::from_bytes(line).unwrap());
        let headers = lines.map(|line| (http::HeaderName::from_static("x-forwarded-for"), line)).collect();
        client(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        assert_eq!(client_of("192.0.2.1", &[b"203.0.113.7"]), "192.0.2.1");
        assert_eq!(client_of("127.0.0.1", &[b"203.0.113.7"]), "203.0.113.7");
        assert_eq!(client_of("::ffff:127.0.0.1", &[b"203.0.113.7"]), "203.0.113.7");
        assert_eq!(client_of("fd00::1", &[b"2001:db8::7"]), "2001:db8::7");
        assert_eq!(client_of("127.0.0.1", &[]), "127.0.0.1");
    }

    #[test]
    fn the_rightmost_address_that_is_no_proxy_is_the_client() {
        for (lines, expected) in [
            (&[&b"198.51.100.1, 203.0.113.7"[..]][..], "203.0.113.7"),
            (&[b"198.51.100.1, 203.0.113.7,10.1.2.3 , 10.0.0.1"], "203.0.113.7"),
            (&[b"198.51.100.1", b"203.0.113.7, 10.1.2.3"], "203.0.113.7"),
            (&[b"\xff junk, 203.0.113.7"], "203.0.113.7"),
            (&[b"10.9.9.9, 10.1.2.3"], "10.9.9.9"),
            (&[b"203.0.113.7:4711"], "203.0.113.7"),
            (&[b"[2001:db8::7]:4711"], "2001:db8::7"),
            (&[b"[2001:db8::7]"], "2001:db8::7"),
        ] {
            assert_eq!(client_of("127.0.0.1", lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn what_can_not_be_read_leaves_the_peer() {
        for line in [&b""[..], b"unknown", b"203.0.113.7,", b"203.0.113.7, junk, 10.0.0.1", b"\xff", b"999.1.1.1"] {
            assert_eq!(client_of("127.0.0.1", &[line]), "127.0.0.1", "{line:?}");
        }
    }
}
