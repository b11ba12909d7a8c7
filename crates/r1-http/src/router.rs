//! Every route on one screen. A route can't exist without its entry in the API document.

use std::sync::Arc;

use axum::Router;
use http::{Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};
use utoipa::OpenApi;
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouter},
    routes,
};

use crate::{
    api_document::{ApiDocument, complete},
    app::App,
    around::{AroundLayer, Observer},
    docs,
    host::HostLayer,
    problem,
    v1::{auth, chat, conversations, health, list_models, me},
};

fn api() -> (Router<App>, utoipa::openapi::OpenApi) {
    let (router, mut document) = OpenApiRouter::with_openapi(ApiDocument::openapi())
        .routes(v1(routes!(auth::register::register)))
        .routes(v1(routes!(auth::login::login)))
        .routes(v1(routes!(auth::refresh::refresh)))
        .routes(v1(routes!(auth::logout::logout)))
        .routes(v1(routes!(auth::get_me::get_me)))
        .routes(v1(routes!(auth::get_session::get_session)))
        .routes(v1(routes!(me::change_password::change_password)))
        .routes(v1(routes!(me::get_usage::get_usage)))
        .routes(v1(routes!(
            conversations::create_conversation::create_conversation,
            conversations::list_conversations::list_conversations
        )))
        .routes(v1(routes!(
            conversations::get_conversation::get_conversation,
            conversations::update_conversation::update_conversation,
            conversations::delete_conversation::delete_conversation
        )))
        .routes(v1(routes!(conversations::list_messages::list_messages)))
        .routes(v1(routes!(chat::create_stream::create_stream, chat::attach_stream::attach_stream)))
        .routes(v1(routes!(chat::create_answer::create_answer)))
        .routes(v1(routes!(chat::get_generation::get_generation)))
        .routes(v1(routes!(chat::stop_generation::stop_generation)))
        .routes(v1(routes!(chat::continue_generation::continue_generation)))
        .routes(v1(routes!(chat::retry_generation::retry_generation)))
        .routes(v1(routes!(list_models::list_models)))
        .routes(v1(routes!(health::get_health)))
        .routes(v1(routes!(health::get_liveness)))
        .routes(v1(routes!(health::get_readiness)))
        .split_for_parts();
    complete(&mut document);
    (router, document)
}

/// Puts a route below `/api/v1`. By its whole path: a nested router's would be cut off and kept aside
/// for each request.
fn v1((schemas, mut paths, methods): UtoipaMethodRouter<App>) -> UtoipaMethodRouter<App> {
    paths.paths = paths.paths.into_iter().map(|(path, item)| (format!("/api/v1{path}"), item)).collect();
    (schemas, paths, methods)
}

/// The API document.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    api().1
}

/// The API, its documentation and the page: the same on every listener. `observer` is told of every answer.
pub fn router(app: App, observer: Arc<dyn Observer>) -> Router {
    let (api, document) = api();
    let host = HostLayer::new(app.settings.public_url.clone());
    let cors = cors(&app);
    let around = AroundLayer {
        observer,
        log_access: app.settings.log_access,
        trusted_proxies: app.settings.trusted_proxies.clone(),
        forwarders: app.forwarders.clone(),
    };
    let api = api.merge(docs::routes(&document)).with_state(app);
    let api = match cors {
        Some(cors) => api.layer((cors, around)),
        None => api.layer(around),
    };
    api.fallback(r1_web::page).layer(host)
}

/// Off unless origins are configured; never with cookies, which are for this server's own page.
fn cors(app: &App) -> Option<CorsLayer> {
    let origins = &app.settings.cors_origins;
    (!origins.is_empty()).then(|| {
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins.iter().cloned()))
            .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
            .allow_headers([
                header::AUTHORIZATION,
                header::CONTENT_TYPE,
                header::HeaderName::from_static("idempotency-key"),
                header::HeaderName::from_static("last-event-id"),
            ])
            .expose_headers([header::RETRY_AFTER, problem::REQUEST_ID.clone()])
            .max_age(std::time::Duration::from_secs(600))
    })
}
