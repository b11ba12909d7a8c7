//! Looks again, every second, whether those who follow or write an answer still may.
//!
//! Another process may have ended a session or disabled an account: another node, or `gpt-r1 user disable`, which
//! has no way to tell anybody.
//!
//! **Invariant:** within five seconds of that a stream has ended, and the answers of a disabled user are stopped: a
//! session is believed for at most [`TTL`](r1_auth::cache::TTL), and what was let in by then is found here.

use std::{sync::Arc, time::Duration};

use r1_auth::Auth;
use r1_generation::Engine;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How often it looks.
const EVERY: Duration = Duration::from_secs(1);

/// Looks until `closing`. While the database does not answer, nothing is known to have ended, and nothing new is
/// shown to anybody either.
pub(crate) async fn watch(auth: Arc<Auth>, engine: Arc<Engine>, closing: CancellationToken) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut answers = true;
    let watching = async {
        loop {
            ticks.tick().await;
            match auth.look_again(&engine.owners()).await {
                Ok(gone) => {
                    answers = true;
                    for user in gone {
                        engine.stop_all_of(user);
                    }
                }
                Err(error) => {
                    if answers {
                        tracing::warn!("whether open streams may go on is not known now: {error}");
                    }
                    answers = false;
                }
            }
        }
    };
    closing.run_until_cancelled(watching).await;
}
