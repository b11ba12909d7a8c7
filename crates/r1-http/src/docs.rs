//! The API document as JSON, and as a page that needs no script and nothing from elsewhere: it is
//! rendered here, once.

mod page;

use axum::{
    Router,
    extract::Request,
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use bytes::Bytes;
use http::{HeaderValue, header};
use utoipa::openapi::OpenApi;

use crate::{app::App, error::ApiError};

static CSS: &str = include_str!("docs/docs.css");

/// The document's routes, and an answer for all that is no route under `/api`.
pub(crate) fn routes(document: &OpenApi) -> Router<App> {
    let json = document.to_pretty_json().unwrap_or_default();
    let html = serde_json::from_str(&json).map(|document| page::render(&document)).unwrap_or_default();
    Router::new()
        .route("/api/openapi.json", file("application/json", json.into()))
        .route("/api/docs", file("text/html; charset=utf-8", html.into()))
        .route("/api/docs.css", file("text/css", Bytes::from_static(CSS.as_bytes())))
        .route("/api", get(async || Redirect::temporary("/api/docs")))
        .route("/api/{*rest}", axum::routing::any(async |request: Request| ApiError::no_route(request.uri().path())))
}

fn file(media_type: &'static str, content: Bytes) -> axum::routing::MethodRouter<App> {
    get(move || std::future::ready(respond(media_type, content.clone())))
}

fn respond(media_type: &'static str, content: Bytes) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'"),
        ),
    ];
    (headers, content).into_response()
}
