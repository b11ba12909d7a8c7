//! Another user, who tries all the time: to him nothing of it exists, in whatever state it is.

use std::time::Duration;

use anyhow::{Result, ensure};
use rand::{Rng, RngExt, seq::IndexedRandom};
use reqwest::{Method, StatusCode};
use tokio_util::sync::CancellationToken;

use super::world::{ASKING, World};

/// Tries until the round is over.
pub(super) async fn pry(world: &World, chance: &mut impl Rng, over: &CancellationToken) -> Result<()> {
    let mut tried = 0;
    while !over.is_cancelled() || tried == 0 {
        let pause = Duration::from_millis(chance.random_range(5..80));
        let _ = tokio::time::timeout(pause, over.cancelled()).await;
        let some = world.generations.lock().choose(chance).cloned();
        let Some((generation, conversation)) = some else { continue };
        let (method, path) = match chance.random_range(0..8) {
            0 => (Method::GET, format!("/chat/stream?generation_id={generation}")),
            1 => (Method::GET, format!("/chat/stream?generation_id={generation}&after=1.2")),
            2 => (Method::GET, format!("/chat/stream?conversation_id={conversation}")),
            3 => (Method::POST, format!("/chat/generations/{generation}/stop")),
            4 => (Method::POST, format!("/chat/generations/{generation}/continue")),
            5 => (Method::GET, format!("/conversations/{conversation}/messages")),
            6 => (Method::DELETE, format!("/conversations/{conversation}")),
            _ => (Method::GET, "/chat/stream".to_owned()),
        };
        let mut request = world.request(ASKING, method, &path);
        if path == "/chat/stream" {
            request = request.header("last-event-id", format!("{generation}:1.1"));
        }
        // The server may be away.
        let Ok(response) = request.send().await else { continue };
        let status = response.status();
        let Ok(text) = response.text().await else { continue };
        // New work is refused while it goes down, whoever asks for it.
        let draining = path.ends_with("/continue") && status == StatusCode::SERVICE_UNAVAILABLE;
        ensure!(status == StatusCode::NOT_FOUND || draining, "a stranger got {status} for {path}: {text}");
        tried += 1;
    }
    Ok(())
}
