//! A bare axum handler: what a small authenticated request costs where nothing is looked up.

use std::net::Ipv4Addr;

use axum::{Json, Router, routing::get};
use serde::Serialize;
use tokio::net::TcpListener;

use crate::process;

/// As `GET /api/v1/auth/me` answers.
#[derive(Serialize)]
struct Me {
    id: &'static str,
    username: &'static str,
    email: &'static str,
    is_admin: bool,
    created_at: &'static str,
}

async fn me() -> Json<Me> {
    Json(Me {
        id: "0198f1c2-7c1e-7d3a-9a5e-3f1b2c4d5e6f",
        username: "bench-0",
        email: "bench-0@example.com",
        is_admin: false,
        created_at: "2026-01-01T00:00:00.000000Z",
    })
}

/// Serves until it is killed.
pub(crate) async fn serve() -> anyhow::Result<()> {
    use axum::serve::ListenerExt;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    process::announce(listener.local_addr()?)?;
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, Router::new().route("/api/v1/auth/me", get(me))).await?)
}
