//! Health: is it alive, is it ready, and what is wrong with its parts.

use std::time::Duration;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Serialize;

use crate::{app::App, session::IsAdmin};

/// The database has this long to answer.
const PING_TIME: Duration = Duration::from_secs(2);

/// How the server is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Health)]
pub(crate) struct HealthBody {
    /// `ok`, `draining` or `failed`. Providers don't count: history and sign-in work without them.
    status: &'static str,
    /// To administrators alone.
    #[serde(flatten)]
    parts: Option<Parts>,
}

/// What is nobody's business but an administrator's.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = HealthParts)]
pub(crate) struct Parts {
    /// Version of the server.
    version: &'static str,
    /// The database.
    database: Part,
    /// Each provider by name, the local model among them.
    providers: Vec<NamedPart>,
}

/// How one part is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Part {
    /// `ok` or `failed`.
    status: &'static str,
}

/// How one provider is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct NamedPart {
    /// Its name in the configuration.
    name: String,
    /// `ok`, `degraded`, or `unknown` until it was asked for something; the local model: `idle`, `fetching`, `starting`, `ready`, `failed`.
    status: &'static str,
    /// What a person should know.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

async fn database_works(app: &App) -> bool {
    match tokio::time::timeout(PING_TIME, app.store.ping()).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::error!("the database fails its health check: {error}");
            false
        }
        Err(_) => {
            tracing::error!("the database did not answer its health check in time");
            false
        }
    }
}

/// How the server is; to a signed-in administrator how its parts are, too.
#[utoipa::path(
    get, path = "/health", tag = "health", security((), ("bearer" = []), ("cookie" = [])),
    responses(
        (status = 200, description = "Process and database work.", body = HealthBody),
        (status = 503, description = "The database does not.", body = HealthBody),
    )
)]
pub(crate) async fn get_health(State(app): State<App>, IsAdmin(is_admin): IsAdmin) -> Response {
    health_of(&app, is_admin).await
}

/// How the server and its parts are, for a listener that asks nobody who they are.
pub async fn full_health(app: App) -> Response {
    health_of(&app, true).await
}

async fn health_of(app: &App, in_full: bool) -> Response {
    let works = database_works(app).await;
    let (code, status) = match (works, app.engine.is_draining()) {
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "failed"),
        (true, true) => (StatusCode::OK, "draining"),
        (true, false) => (StatusCode::OK, "ok"),
    };
    let parts = in_full.then(|| Parts {
        version: env!("CARGO_PKG_VERSION"),
        database: Part { status: if works { "ok" } else { "failed" } },
        providers: app
            .models
            .health()
            .into_iter()
            .map(|part| NamedPart { name: part.name, status: part.status, detail: part.detail })
            .collect(),
    });
    (code, axum::Json(HealthBody { status, parts })).into_response()
}

/// The process runs.
#[utoipa::path(
    get, path = "/health/live", tag = "health", security(()),
    responses((status = 204, description = "It runs."))
)]
pub(crate) async fn get_liveness() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// The server takes new work.
#[utoipa::path(
    get, path = "/health/ready", tag = "health", security(()),
    responses(
        (status = 204, description = "Send requests here."),
        (status = 503, description = "It is shutting down, or its database does not work."),
    )
)]
pub(crate) async fn get_readiness(State(app): State<App>) -> StatusCode {
    if app.engine.is_draining() || !app.engine.has_lease() || !database_works(&app).await {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::NO_CONTENT
    }
}
