//! Numbers for a monitoring system, at an address of their own.
//!
//! [`Counted`] is told of what happens; [`Sources`] is where the rest is looked up when somebody asks.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, StatusCode, header};
use prometheus_client::{encoding::text::encode, metrics::info::Info, registry::Registry};
use r1_http::{App, HostLayer};

use crate::listen::{Acceptor, Bounds, Capacity};

mod counted;
mod formats;
mod sources;
mod storage;

pub(crate) use counted::Counted;
pub(crate) use sources::Sources;
pub(crate) use storage::Storage;

/// Connections at the same time: whoever asks here asks every some seconds.
const MOST_CONNECTIONS: usize = 16;
/// From accepting a connection until the request is there.
const HEADER_TIME: Duration = Duration::from_secs(10);

/// What a page is made of.
#[derive(Clone)]
struct Scraped {
    registry: Arc<Registry>,
    storage: Arc<Storage>,
}

/// An acceptor that answers `GET /metrics` with what is in a registry, and what is looked up, and `GET /health` with
/// how all parts are; both asked for by a name that `host` lets through.
pub(crate) fn acceptor(
    mut registry: Registry,
    sources: Sources,
    app: App,
    bounds: Bounds,
    host: HostLayer,
) -> Acceptor {
    registry.register("gpt_r1_build", "This program", Info::new([("version", env!("CARGO_PKG_VERSION"))].to_vec()));
    let storage = sources.storage();
    registry.register_collector(Box::new(sources));
    let scraped = Scraped { registry: Arc::new(registry), storage };
    let health = get(async || r1_http::full_health(app).await);
    let router = Router::new().route("/metrics", get(scrape)).with_state(scraped);
    let router = router.route("/health", health).layer(host);
    let capacity = Capacity { connections: MOST_CONNECTIONS, ..bounds.capacity };
    Acceptor::new(router, Bounds { capacity, header_time: HEADER_TIME, ..bounds })
}

async fn scrape(State(Scraped { registry, storage }): State<Scraped>, headers: HeaderMap) -> Response {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let newer = formats::wants_openmetrics(accepted.unwrap_or_default());
    storage.look().await;
    // Counting thousands of open files takes a while.
    let page = tokio::task::spawn_blocking(move || {
        let mut page = String::new();
        encode(&mut page, &registry).map(|()| if newer { page } else { formats::to_prometheus(&page) })
    });
    let Ok(Ok(page)) = page.await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let kind = if newer { formats::OPENMETRICS } else { formats::PROMETHEUS };
    ([(header::CONTENT_TYPE, kind)], page).into_response()
}
