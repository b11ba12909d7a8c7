//! Which names this server goes by: a defence against DNS rebinding.
//!
//! A web page of `evil.example` may have its name resolve to 127.0.0.1 a moment after it was
//! loaded. To the browser its requests then are same-origin, so neither CORS nor the cookie's site
//! keep it from registering and using a server that was meant for this machine alone. But they say
//! which name they are for, and a page can't change that.
//!
//! A server that listens for other machines may go by names that we can't know, so there nothing is
//! checked: who may use it is a matter of its network and of `auth.registration`.
//!
//! **Invariant:** on a loopback address nothing, be it page, API or metrics, is answered for a foreign name.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{extract::Request, response::Response};
use http::{Uri, Version, header, uri::Authority};
use tower::{Layer, Service};

use crate::{
    client::Arrival,
    error::{ApiError, ApiResult},
    origin::{self, Host},
    problem,
};

/// Wraps everything that a listener answers.
#[derive(Clone)]
pub struct HostLayer(Arc<Option<Uri>>);

impl HostLayer {
    /// `public_url` is one more name that the server goes by.
    #[must_use]
    pub fn new(public_url: Option<Uri>) -> Self {
        Self(Arc::new(public_url))
    }
}

impl<S> Layer<S> for HostLayer {
    type Service = HostCheck<S>;

    fn layer(&self, inner: S) -> HostCheck<S> {
        HostCheck { inner, public_url: self.0.clone() }
    }
}

/// What is wrapped.
#[derive(Clone)]
pub struct HostCheck<S> {
    inner: S,
    public_url: Arc<Option<Uri>>,
}

impl<S> Service<Request> for HostCheck<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Checked<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match checked(&request, (*self.public_url).as_ref()) {
            Ok(()) => Checked::Passed { answer: self.inner.call(request) },
            Err(error) => Checked::Refused { answer: Some(problem::refuse(&request, &error)) },
        }
    }
}

pin_project_lite::pin_project! {
    /// The answer, or the refusal.
    #[project = CheckedProjection]
    pub enum Checked<F> {
        Passed { #[pin] answer: F },
        Refused { answer: Option<Response> },
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for Checked<F> {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            CheckedProjection::Passed { answer } => answer.poll(context),
            // Once, as futures are.
            CheckedProjection::Refused { answer } => {
                answer.take().map_or(Poll::Pending, |answer| Poll::Ready(Ok(answer)))
            }
        }
    }
}

fn checked<B>(request: &http::Request<B>, public_url: Option<&Uri>) -> ApiResult<()> {
    let Some(authority) = authority(request)? else { return Ok(()) };
    let on_loopback = request.extensions().get::<Arrival>().is_some_and(|arrival| arrival.on_loopback);
    if on_loopback && !is_own(authority.host(), public_url) {
        return Err(ApiError::unknown_host(authority.host()));
    }
    Ok(())
}

/// Whom the request is for. A whole URL as its target beats `Host` (RFC 9112 §3.2.2). None in
/// HTTP/1.0, which no browser speaks and health checks do.
fn authority<B>(request: &http::Request<B>) -> ApiResult<Option<Authority>> {
    if let Some(authority) = request.uri().authority() {
        return Ok(Some(authority.clone()));
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if request.version() < Version::HTTP_11 => Ok(None),
        // RFC 9112 §3.2: exactly one, and a valid one.
        (Some(host), None) => origin::authority(host.as_bytes())
            .map(Some)
            .ok_or_else(|| ApiError::malformed("The Host header is not valid.")),
        _ => Err(ApiError::malformed("An HTTP/1.1 request has exactly one Host header.")),
    }
}

/// With any port: a rebound name keeps its name, and proxies and tunnels change the port.
fn is_own(host: &str, public_url: Option<&Uri>) -> bool {
    let host = Host::of(host);
    host.is_loopback() || public_url.and_then(Uri::host).is_some_and(|own| Host::of(own) == host)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn status(hosts: &[&str], target: &str, version: Version, on_loopback: bool) -> u16 {
        let mut request = http::Request::get(target).version(version);
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        let arrival = Arrival { peer: IpAddr::V4(Ipv4Addr::LOCALHOST), on_loopback };
        let request = request.extension(arrival).body(()).unwrap();
        let public_url = Uri::from_static("https://chat.example.com");
        checked(&request, Some(&public_url)).map_or_else(|error| error.document("r").status, |()| 200)
    }

    #[test]
    fn a_loopback_server_goes_by_its_own_names() {
        for (host, expected) in [
            ("localhost", 200),
            ("LocalHost:3000", 200),
            ("127.0.0.1:8000", 200),
            ("127.9.9.9", 200),
            ("[::1]:3000", 200),
            ("chat.example.com", 200),
            ("CHAT.example.com:8443", 200),
            ("chat.example.com.", 200),
            ("localhost.:3000", 200),
            ("[0:0:0:0:0:0:0:1]:3000", 200),
            ("[::ffff:127.0.0.1]", 200),
            ("evil.example", 421),
            ("chat.example.com..", 421),
            ("localhost..", 421),
            ("evil.example:3000", 421),
            ("localhost.evil.example", 421),
            ("127.0.0.1.evil.example", 421),
            ("192.0.2.1", 421),
            ("[2001:db8::1]:80", 421),
            ("", 400),
            ("localhost@evil.example", 400),
            ("a b", 400),
        ] {
            assert_eq!(status(&[host], "/", Version::HTTP_11, true), expected, "{host}");
        }
    }

    #[test]
    fn a_server_that_others_reach_has_any_name() {
        assert_eq!(status(&["evil.example"], "/", Version::HTTP_11, false), 200);
        assert_eq!(status(&[""], "/", Version::HTTP_11, false), 400);
    }

    #[test]
    fn there_is_one_host() {
        for on_loopback in [true, false] {
            assert_eq!(status(&[], "/", Version::HTTP_11, on_loopback), 400);
            assert_eq!(status(&["localhost", "localhost"], "/", Version::HTTP_11, on_loopback), 400);
            assert_eq!(status(&[], "/", Version::HTTP_10, on_loopback), 200);
        }
        assert_eq!(status(&["localhost"], "http://evil.example/", Version::HTTP_11, true), 421);
        assert_eq!(status(&["evil.example"], "http://localhost:8000/", Version::HTTP_11, true), 200);
    }
}
