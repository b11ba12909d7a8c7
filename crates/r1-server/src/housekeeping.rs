//! Work in the background: removing what has served its time.

use std::{sync::Arc, time::Duration};

use r1_domain::{store::Store, time::Clock};
use tokio_util::sync::CancellationToken;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(60);
/// Rows in one transaction: few enough that no commit of a chunk waits for it.
const SLICE: usize = 200;
/// An ended or expired session is kept for so long, to recognise its refresh token.
const SESSIONS_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long things are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    /// Logs of finished generations.
    pub(crate) logs: Duration,
    /// Idempotency keys.
    pub(crate) keys: Duration,
}

/// Purges until `closing`, at the start first: a server that never lives for long purges too. Each round is independent of the one before: what a failed one left, the
/// next one finds.
pub(crate) async fn purge(store: Arc<dyn Store>, clock: Arc<dyn Clock>, kept: Kept, closing: CancellationToken) {
    loop {
        let now = clock.now();
        let mut rows = 0;
        loop {
            let purged = store.purge(now.minus(kept.logs), now.minus(kept.keys), now.minus(SESSIONS_KEPT), SLICE).await;
            match purged {
                Ok(0) => break,
                Ok(purged) => rows += purged,
                Err(error) => {
                    tracing::warn!("old rows can't be removed now: {error}");
                    break;
                }
            }
            if closing.is_cancelled() {
                return;
            }
        }
        if rows > 0 {
            tracing::debug!(rows, "removed {rows} old rows");
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = closing.cancelled() => return,
        }
    }
}
