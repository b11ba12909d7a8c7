//! A clock that stands still until a test turns it.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::Duration,
};

use r1_domain::time::{Clock, Timestamp};

/// The hand-turned clock. Share it as `Arc<ManualClock>`.
#[derive(Debug)]
pub struct ManualClock {
    now: AtomicI64,
    /// Microseconds that it was turned on.
    passed: AtomicU64,
}

impl ManualClock {
    /// Stands at `now`.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self { now: AtomicI64::new(now.as_micros()), passed: AtomicU64::new(0) }
    }

    /// Turns it on by `duration`.
    pub fn advance(&self, duration: Duration) {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        self.now.fetch_add(micros, Ordering::SeqCst);
        self.passed.fetch_add(micros.unsigned_abs(), Ordering::SeqCst);
    }

    /// Sets it to `now`, backwards too: no time passes.
    pub fn set(&self, now: Timestamp) {
        self.now.store(now.as_micros(), Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    /// Stands at 2026-01-01T00:00:00Z.
    fn default() -> Self {
        Self::new(Timestamp::from_micros(1_767_225_600_000_000))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.now.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.passed.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_moves_only_by_hand() {
        let clock = ManualClock::default();
        let before = clock.now();
        assert_eq!(clock.now(), before);
        clock.advance(Duration::from_millis(3));
        assert_eq!(clock.now().as_micros() - before.as_micros(), 3_000);
        clock.set(Timestamp::from_micros(5));
        assert_eq!(clock.now(), Timestamp::from_micros(5));
        assert_eq!(clock.monotonic(), Duration::from_millis(3));
    }
}
