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

type Routes = OpenApiRouter<App>;

fn api() -> (Router<App>, utoipa::openapi::OpenApi) {
    let routes = OpenApiRouter::with_openapi(ApiDocument::openapi());
    let routes = [people, conversations, answers, this_server].into_iter().fold(routes, |routes, more| more(routes));
    let (router, mut document) = routes.split_for_parts();
    complete(&mut document);
    (router, document)
}

fn people(routes: Routes) -> Routes {
    routes
        .routes(v1(routes!(auth::register::register))) // POST /auth/register
        .routes(v1(routes!(auth::login::login))) // POST /auth/login
        .routes(v1(routes!(auth::refresh::refresh))) // POST /auth/refresh
        .routes(v1(routes!(auth::logout::logout))) // POST /auth/logout
        .routes(v1(routes!(auth::get_me::get_me))) // GET /auth/me
        .routes(v1(routes!(auth::get_session::get_session))) // GET /auth/session
        .routes(v1(routes!(me::change_password::change_password))) // POST /me/password
        .routes(v1(routes!(me::get_usage::get_usage))) // GET /me/usage
}

fn conversations(routes: Routes) -> Routes {
    routes
        .routes(v1(routes!(
            conversations::create_conversation::create_conversation, // POST /conversations
            conversations::list_conversations::list_conversations,   // GET /conversations
        )))
        .routes(v1(routes!(
            conversations::get_conversation::get_conversation, // GET /conversations/{id}
            conversations::update_conversation::update_conversation, // PATCH /conversations/{id}
            conversations::delete_conversation::delete_conversation, // DELETE /conversations/{id}
        )))
        .routes(v1(routes!(conversations::list_messages::list_messages))) // GET /conversations/{id}/messages
}

fn answers(routes: Routes) -> Routes {
    routes
        .routes(v1(routes!(
            chat::create_stream::create_stream, // POST /chat/stream
            chat::attach_stream::attach_stream, // GET /chat/stream
        )))
        .routes(v1(routes!(chat::create_answer::create_answer))) // POST /chat
        .routes(v1(routes!(chat::get_generation::get_generation))) // GET /chat/generations/{id}
        .routes(v1(routes!(chat::stop_generation::stop_generation))) // POST /chat/generations/{id}/stop
        .routes(v1(routes!(chat::continue_generation::continue_generation))) // POST /chat/generations/{id}/continue
        .routes(v1(routes!(chat::retry_generation::retry_generation))) // POST /chat/generations/{id}/retry
}

fn this_server(routes: Routes) -> Routes {
    routes
        .routes(v1(routes!(list_models::list_models))) // GET /models
        .routes(v1(routes!(health::get_health))) // GET /health
        .routes(v1(routes!(health::get_liveness))) // GET /health/live
        .routes(v1(routes!(health::get_readiness))) // GET /health/ready
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beside_each_handler_stand_its_method_and_path() {
        let document = serde_json::to_value(openapi()).unwrap();
        let mut operations = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let Some(handler) = operation["operationId"].as_str() else { continue };
                let route = format!("// {} {}", method.to_uppercase(), path.trim_start_matches("/api/v1"));
                let stands = include_str!("router.rs")
                    .lines()
                    .any(|line| line.contains(&format!("::{handler}")) && line.ends_with(&route));
                assert!(stands, "router.rs has no line of {handler} that ends with {route}");
                operations += 1;
            }
        }
        assert!(operations > 20, "{operations}");
    }
}
