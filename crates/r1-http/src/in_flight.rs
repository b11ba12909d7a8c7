//! Request bodies in flight: how many bytes of them there may be, altogether and of one sender.
//!
//! A body is held from its first byte until the request that it belongs to has been carried out, and its sender
//! says how long that takes. Room for it is taken before it is read. Where there is none, the request waits with
//! its body unread, for a moment; then it is refused.
//!
//! **Invariant:** the bodies in flight never exceed the total, nor one sender's its share. Large ones leave a
//! quarter of the total to small ones: whoever only asks something gets in beside any number of uploads.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use parking_lot::Mutex;
use r1_domain::id::UserId;
use tokio::{sync::Notify, time::timeout};

use crate::error::ApiError;

/// Longest wait for room.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is larger leaves room to what is not: the largest form, and a long question.
const SMALL: usize = 64 * 1024;

/// Whose body it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Sender {
    /// A signed-in user's.
    User(UserId),
    /// A stranger's from this network.
    Stranger(Option<IpAddr>),
}

/// All bodies in flight.
#[derive(Debug)]
pub(crate) struct Bodies {
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct State {
    total: usize,
    share: Option<usize>,
    used: usize,
    by: HashMap<Sender, usize>,
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Full {
    Share,
    Total,
}

impl Bodies {
    /// Room for `total` bytes, of which one sender may have `share`; none: any part.
    pub(crate) fn new(total: usize, share: Option<usize>) -> Self {
        Self { state: Mutex::new(State { total, share, ..State::default() }), freed: Notify::new() }
    }

    /// Changes how much room there is. Bodies that are in flight stay.
    pub(crate) fn resize(&self, total: usize, share: Option<usize>) {
        let mut state = self.state.lock();
        (state.total, state.share) = (total, share);
        drop(state);
        self.freed.notify_waiters();
    }

    /// Bytes that are taken.
    pub(crate) fn used(&self) -> usize {
        self.state.lock().used
    }

    /// Room for the first `bytes` of a body.
    ///
    /// # Errors
    /// There is none, and there was none for a while.
    pub(crate) async fn reserve(self: &Arc<Self>, sender: Sender, bytes: usize) -> Result<Held, ApiError> {
        let mut held = Held { bodies: self.clone(), sender, bytes: 0 };
        held.grow(bytes).await?;
        Ok(held)
    }

    fn try_take(&self, sender: Sender, before: usize, more: usize) -> Result<(), Full> {
        let mut state = self.state.lock();
        let most = if before.saturating_add(more) > SMALL { state.total / 4 * 3 } else { state.total };
        let of_sender = state.by.get(&sender).copied().unwrap_or(0).saturating_add(more);
        if state.share.is_some_and(|share| of_sender > share) {
            return Err(Full::Share);
        }
        if state.used.saturating_add(more) > most {
            return Err(Full::Total);
        }
        state.used += more;
        state.by.insert(sender, of_sender);
        Ok(())
    }

    fn give_back(&self, sender: Sender, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let mut state = self.state.lock();
        state.used -= bytes;
        if let Some(of_sender) = state.by.get_mut(&sender) {
            *of_sender -= bytes;
            if *of_sender == 0 {
                state.by.remove(&sender);
            }
        }
        drop(state);
        // Whoever fits goes first: a small body does not stand behind a large one.
        self.freed.notify_waiters();
    }
}

/// Room that one body has. Given back on drop.
#[derive(Debug)]
pub(crate) struct Held {
    bodies: Arc<Bodies>,
    sender: Sender,
    bytes: usize,
}

impl Held {
    /// How many bytes of the body there is room for.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Room for `more` bytes of the same body.
    ///
    /// # Errors
    /// There is none, and there was none for a while.
    pub(crate) async fn grow(&mut self, more: usize) -> Result<(), ApiError> {
        if more == 0 {
            return Ok(());
        }
        let bodies = self.bodies.clone();
        let mut full = Full::Total;
        let waiting = async {
            loop {
                let mut freed = std::pin::pin!(bodies.freed.notified());
                // From here on nothing that is given back is missed.
                freed.as_mut().enable();
                match bodies.try_take(self.sender, self.bytes, more) {
                    Ok(()) => return,
                    Err(why) => full = why,
                }
                freed.await;
            }
        };
        match timeout(PATIENCE, waiting).await {
            Ok(()) => {
                self.bytes += more;
                Ok(())
            }
            Err(_) => Err(match full {
                Full::Share => ApiError::too_many_bodies(),
                Full::Total => ApiError::bodies_full(),
            }),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.bodies.give_back(self.sender, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use r1_domain::time::Timestamp;
    use tokio::time::Instant;

    use super::*;

    const KIB: usize = 1024;

    fn user(number: i64) -> Sender {
        Sender::User(UserId::new(Timestamp::from_micros(number)))
    }

    fn status(error: &ApiError) -> u16 {
        error.document("r").status
    }

    #[tokio::test(start_paused = true)]
    async fn one_sender_has_a_share_and_all_a_total() {
        let bodies = Arc::new(Bodies::new(400 * KIB, Some(100 * KIB)));
        let (ada, bob) = (user(1), user(2));
        let first = bodies.reserve(ada, 60 * KIB).await.unwrap();
        let mut second = bodies.reserve(ada, 40 * KIB).await.unwrap();
        let started = Instant::now();
        assert_eq!(status(&bodies.reserve(ada, 1).await.unwrap_err()), 429);
        assert_eq!(status(&second.grow(1).await.unwrap_err()), 429);
        assert_eq!(started.elapsed(), PATIENCE * 2);
        assert_eq!(second.bytes(), 40 * KIB);
        let others = [
            bodies.reserve(bob, 100 * KIB).await.unwrap(),
            bodies.reserve(Sender::Stranger(None), 100 * KIB).await.unwrap(),
        ];
        assert_eq!(
            status(&bodies.reserve(user(3), 65 * KIB).await.unwrap_err()),
            503,
            "large ones have three quarters"
        );
        let small = bodies.reserve(user(3), 64 * KIB).await.unwrap();
        let last = bodies.reserve(user(4), 36 * KIB).await.unwrap();
        assert_eq!(status(&bodies.reserve(user(5), 1).await.unwrap_err()), 503);
        assert_eq!(bodies.used(), 400 * KIB);
        drop((first, second, others, small, last));
        assert_eq!(bodies.used(), 0);
        assert!(bodies.state.lock().by.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_gets_what_is_given_back() {
        let bodies = Arc::new(Bodies::new(100 * KIB, None));
        let first = bodies.reserve(user(1), 60 * KIB).await.unwrap();
        let (large, small, ()) =
            tokio::join!(bodies.reserve(user(2), 70 * KIB), bodies.reserve(user(3), 41 * KIB), async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                drop(first);
            });
        // There is room for one of them, and neither stands in the way of the other.
        assert_eq!([large, small].iter().filter(|held| Result::is_ok(held)).count(), 1);
    }
}
