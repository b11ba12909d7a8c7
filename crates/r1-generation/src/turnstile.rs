//! One request at a time begins to cost something, so that words come first.
//!
//! A question is accepted, stored, answered and passed on in many small steps, and tokio's tasks have their turns in
//! the order in which they are woken. A thousand questions that come at once would all be in that row, and every chunk
//! of a running answer behind them. Here each waits for the one before it to have passed, and passes once all that was
//! ready to run has had a turn: so the row is as long as a few questions are, and whatever time is left goes into
//! questions.
//!
//! The row is first come, first served. It is bounded in length and time: who finds no place, or waits too long, is
//! told to come later, and nothing of the request has been done.

use std::time::Duration;

use tokio::{
    sync::{Mutex, Semaphore},
    time::timeout,
};

use crate::error::EngineError;

/// Requests that may wait.
const PLACES: usize = 4096;
/// Longest wait. Clients and proxies wait for half a minute and more.
const PATIENCE: Duration = Duration::from_secs(10);

/// What each request that begins an answer passes through.
pub(crate) struct Turnstile {
    places: Semaphore,
    turn: Mutex<()>,
}

impl Default for Turnstile {
    fn default() -> Self {
        Self { places: Semaphore::new(PLACES), turn: Mutex::new(()) }
    }
}

impl Turnstile {
    /// Waits for its turn. Going away while waiting is free.
    ///
    /// # Errors
    /// `Crowded`.
    pub(crate) async fn pass(&self) -> Result<(), EngineError> {
        let _place = self.places.try_acquire().map_err(|_| EngineError::Crowded)?;
        let _turn = timeout(PATIENCE, self.turn.lock()).await.map_err(|_| EngineError::Crowded)?;
        tokio::task::yield_now().await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use futures::future::join_all;
    use parking_lot::Mutex;
    use tokio::task::{JoinSet, yield_now};

    use super::*;

    /// Steps that a question takes after it has passed.
    const STEPS: usize = 20;
    const QUESTIONS: usize = 300;

    #[tokio::test]
    async fn what_runs_has_its_turns_however_many_questions_come() {
        let turnstile = Arc::new(Turnstile::default());
        let steps = Arc::new(AtomicUsize::new(0));
        let mut questions = JoinSet::new();
        for _ in 0..QUESTIONS {
            let (turnstile, steps) = (turnstile.clone(), steps.clone());
            questions.spawn(async move {
                turnstile.pass().await.unwrap();
                for _ in 0..STEPS {
                    steps.fetch_add(1, Ordering::Relaxed);
                    yield_now().await;
                }
            });
        }
        let (mut longest, mut before) = (0, 0);
        while !questions.is_empty() {
            yield_now().await;
            let now = steps.load(Ordering::Relaxed);
            longest = longest.max(now - before);
            before = now;
            while questions.try_join_next().is_some() {}
        }
        assert_eq!(before, STEPS * QUESTIONS);
        // Without it this would be one step of each of them.
        assert!(longest <= 2 * STEPS, "{longest} steps of questions between two turns of what runs");
    }

    #[tokio::test]
    async fn first_come_first_served() {
        let turnstile = Turnstile::default();
        let order = Mutex::new(Vec::new());
        let pass = async |number| {
            turnstile.pass().await.unwrap();
            order.lock().push(number);
        };
        join_all((0..100).map(pass)).await;
        assert_eq!(order.into_inner(), (0..100).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_or_finds_no_place_is_told_so() {
        let turnstile = Turnstile::default();
        let held = turnstile.turn.lock().await;
        let all = join_all((0..PLACES + 3).map(|_| turnstile.pass())).await;
        assert!(all.iter().all(|passed| matches!(passed, Err(EngineError::Crowded))));
        drop(held);
        turnstile.pass().await.unwrap();
        assert_eq!(turnstile.places.available_permits(), PLACES, "places are free again");
    }
}
