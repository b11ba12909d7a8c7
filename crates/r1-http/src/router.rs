//! Every route on one screen. A route can't exist without its entry in the API document.

use axum::{Router, middleware};
use http::{Method, header};
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowOrigin, CorsLayer},
};
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api_document::{ApiDocument, complete},
    app::App,
    docs, host, problem,
    v1::{auth, chat, conversations, health, list_models},
};

fn api() -> (Router<App>, utoipa::openapi::OpenApi) {
    let v1 = OpenApiRouter::new()
        .routes(routes!(auth::register::register))
        .routes(routes!(auth::login::login))
        .routes(routes!(auth::refresh::refresh))
        .routes(routes!(auth::logout::logout))
        .routes(routes!(auth::get_me::get_me))
        .routes(routes!(
            conversations::create_conversation::create_conversation,
            conversations::list_conversations::list_conversations
        ))
        .routes(routes!(
            conversations::get_conversation::get_conversation,
            conversations::rename_conversation::rename_conversation,
            conversations::delete_conversation::delete_conversation
        ))
        .routes(routes!(conversations::list_messages::list_messages))
        .routes(routes!(chat::create_stream::create_stream, chat::attach_stream::attach_stream))
        .routes(routes!(chat::create_answer::create_answer))
        .routes(routes!(chat::stop_generation::stop_generation))
        .routes(routes!(chat::continue_generation::continue_generation))
        .routes(routes!(chat::retry_generation::retry_generation))
        .routes(routes!(list_models::list_models))
        .routes(routes!(health::get_health))
        .routes(routes!(health::get_liveness))
        .routes(routes!(health::get_readiness));
    let (router, mut document) =
        OpenApiRouter::with_openapi(ApiDocument::openapi()).nest("/api/v1", v1).split_for_parts();
    complete(&mut document);
    (router, document)
}

/// The API document.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    api().1
}

/// The API, its documentation and the page: the same on every listener.
pub fn router(app: App) -> Router {
    let (api, document) = api();
    let host = middleware::from_fn_with_state(app.clone(), host::check);
    let cors = cors(&app);
    let api = api
        .merge(docs::routes(&document))
        .layer(CatchPanicLayer::custom(problem::panicked))
        .layer(middleware::from_fn(problem::around))
        .with_state(app);
    let api = match cors {
        Some(cors) => api.layer(cors),
        None => api,
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
