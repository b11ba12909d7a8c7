//! Limits per user that live in this process: followed streams and request rate.

use std::{collections::HashMap, num::NonZeroU32, sync::Arc, time::Duration};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock, clock::DefaultClock};
use parking_lot::Mutex;
use r1_domain::id::UserId;

use crate::error::ApiError;

/// Streams that a user follows at once.
#[derive(Clone)]
pub(crate) struct AttachPermits {
    limit: Option<usize>,
    held: Arc<Mutex<HashMap<UserId, usize>>>,
}

/// The right to follow one stream; given back on drop.
pub(crate) struct AttachPermit {
    held: Arc<Mutex<HashMap<UserId, usize>>>,
    user: UserId,
}

impl AttachPermits {
    pub(crate) fn new(limit: Option<usize>) -> Self {
        Self { limit, held: Arc::default() }
    }

    /// The same with another limit; what is followed counts on.
    pub(crate) fn limited_to(&self, limit: Option<usize>) -> Self {
        Self { limit, held: self.held.clone() }
    }

    pub(crate) fn acquire(&self, user: UserId) -> Result<AttachPermit, ApiError> {
        let mut held = self.held.lock();
        let count = held.entry(user).or_insert(0);
        if let Some(limit) = self.limit
            && *count >= limit
        {
            return Err(ApiError::too_many_attaches(limit));
        }
        *count += 1;
        Ok(AttachPermit { held: self.held.clone(), user })
    }
}

impl Drop for AttachPermit {
    fn drop(&mut self) {
        let mut held = self.held.lock();
        if let Some(count) = held.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.user);
            }
        }
    }
}

/// Requests per minute and user. A burst of a whole minute's worth is fine.
pub(crate) struct RequestRate {
    limiter: Option<DefaultKeyedRateLimiter<UserId>>,
    clock: DefaultClock,
}

impl RequestRate {
    /// Keys beyond this are swept when a new one comes.
    const MOST_KEYS: usize = 10_000;

    pub(crate) fn new(per_minute: Option<u32>) -> Self {
        let quota = per_minute.and_then(NonZeroU32::new).map(Quota::per_minute);
        Self { limiter: quota.map(RateLimiter::keyed), clock: DefaultClock::default() }
    }

    /// Counts a request.
    pub(crate) fn check(&self, user: UserId) -> Result<(), ApiError> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        let result = limiter.check_key(&user);
        if limiter.len() > Self::MOST_KEYS {
            limiter.retain_recent();
        }
        result.map_err(|not_until| {
            let pause = not_until.wait_time_from(self.clock.now());
            ApiError::rate_limited(pause.max(Duration::from_secs(1)))
        })
    }
}
