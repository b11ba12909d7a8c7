//! The page, embedded: what `web/` builds to is in the binary, compressed in advance.
//!
//! One place says how a browser may keep each file and what the page may do: files under `assets/`
//! carry their hash in their name and are kept for ever; everything else is asked for again and
//! mostly answered by 304. Which path is which is decided by [`page`] alone.
//!
//! **Invariant:** a missing file under `assets/` or `api/` is a 404 and never the page's HTML: a
//! tab that is older than the server must notice that its script is gone, and a client must not
//! take HTML for an answer of the API.

mod asset;
mod content;
mod headers;
mod negotiation;
#[cfg(test)]
mod tests;

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header, uri::Authority};
use http_body::Body as _;

use asset::{Asset, Site};
use content::Content;

/// Whether the page is only a placeholder: this binary was built without `web/`.
pub const PLACEHOLDER: bool = asset::PLACEHOLDER;

/// The router's fallback: whatever no route takes is the page's.
///
/// `GET` and `HEAD` only (405). A path that no file has is the page's own (`/c/<id>`, `/login`, …)
/// and gets `index.html`, but for `assets/` and `api/` (404). Compressed as the client likes best;
/// `If-None-Match` is honoured (304). A body costs at most a few dozen KiB: it is a view of the
/// binary, or made of one while it is read.
pub async fn page(request: Request<Body>) -> Response<Body> {
    Site::EMBEDDED.serve(request.method(), request.uri(), request.headers()).map(Body::new)
}

impl Site {
    fn serve(&self, method: &Method, target: &Uri, request: &HeaderMap) -> Response<Content> {
        let Some(asset) = self.resolve(target.path().trim_start_matches('/')) else {
            return refusal(StatusCode::NOT_FOUND, "not found\n", method);
        };
        if method != Method::GET && method != Method::HEAD {
            let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n", method);
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        answer(asset, method, host_of(target, request), request)
    }

    fn resolve(&self, name: &str) -> Option<&'static Asset> {
        match self.find(name) {
            Some(asset) => Some(asset),
            None if name == "api" || name.starts_with("api/") || name.starts_with("assets/") => None,
            None => self.find("index.html"),
        }
    }
}

/// Whom the request is for, as it says: a whole URL as its target (HTTP/2 has no other) beats `Host`.
fn host_of<'a>(target: &'a Uri, request: &'a HeaderMap) -> Option<&'a str> {
    target.authority().map(Authority::as_str).or_else(|| request.get(header::HOST)?.to_str().ok())
}

fn answer(asset: &'static Asset, method: &Method, host: Option<&str>, request: &HeaderMap) -> Response<Content> {
    let (encoding, content) = negotiation::choose(asset, request);
    let etag = negotiation::etag(asset, encoding);
    let mut response = Response::new(Content::Empty);
    let fresh = negotiation::is_fresh(request, &etag);
    headers::describe(response.headers_mut(), asset, host);
    let headers = response.headers_mut();
    // The tag is made of hexadecimal digits and a word: always a valid value.
    if let Ok(etag) = HeaderValue::try_from(etag) {
        headers.insert(header::ETAG, etag);
    }
    if fresh {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.mime));
    if let Some(length) = content.size_hint().exact() {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    if let Some(word) = encoding.word() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(word));
    }
    if method == Method::GET {
        *response.body_mut() = content;
    }
    response
}

fn refusal(status: StatusCode, text: &'static str, method: &Method) -> Response<Content> {
    let body = if method == Method::HEAD { Content::Empty } else { Content::Whole(text.as_bytes()) };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
