//! The body of a refusal, as far as it is needed.

use std::time::Duration;

use reqwest::Response;

use super::error::ErrorWords;

/// How much of a refusal is read.
const LIMIT: usize = 16 * 1024;
/// How long a refusal may take to read.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What a refusal says. Cut off, late or broken: what has come must do.
pub(super) async fn words(response: &mut Response) -> ErrorWords {
    let mut body = Vec::new();
    let _ = tokio::time::timeout(TIMEOUT, async {
        while let Ok(Some(chunk)) = response.chunk().await {
            let room = LIMIT - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                break;
            }
        }
    })
    .await;
    ErrorWords::read(&body)
}
