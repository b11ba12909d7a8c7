//! Work in the background: removing what has served its time.

use std::{path::PathBuf, sync::Arc, time::Duration};

use r1_auth::{Auth, key::KeySet};
use r1_domain::{
    accounts::Erased,
    store::{Store, StoreResult},
    time::{Clock, Timestamp},
};
use tokio_util::sync::CancellationToken;

use crate::SIGNING_KEY;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(60);
/// Rows in one transaction: few enough that no commit of a chunk waits for it.
const SLICE: usize = 200;
/// An ended or expired session is kept for this long, to recognise its refresh token.
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
            match purge_slice(store.as_ref(), now, kept).await {
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

/// One slice of everything. What deletions of accounts left that were begun and not ended goes too.
async fn purge_slice(store: &dyn Store, now: Timestamp, kept: Kept) -> StoreResult<usize> {
    let old = store.purge(now.minus(kept.logs), now.minus(kept.keys), now.minus(SESSIONS_KEPT), SLICE).await?;
    match store.account_erase(None, SLICE).await? {
        Erased::Rows(rows) => Ok(old + rows),
        // Its answers are stopped; the next round finds their end.
        Erased::Waits(_) | Erased::Done => Ok(old),
    }
}

/// Removes the key before the present one from the data directory, once no token of its can live any more: this
/// process has signed none with it.
pub(crate) async fn forget_key(auth: Arc<Auth>, data_dir: PathBuf, longest: Duration, closing: CancellationToken) {
    if closing.run_until_cancelled(tokio::time::sleep(longest)).await.is_none() {
        return;
    }
    auth.forget_other_key();
    if let Err(error) = KeySet::forget(&data_dir.join(SIGNING_KEY)) {
        tracing::warn!(error = &error as &dyn std::error::Error, "the signing key before this one can't be removed");
    }
}
