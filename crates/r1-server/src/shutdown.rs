//! How the time between a signal and the end of the process is divided.
//!
//! What remains after the last part is for closing the database.

use std::time::Duration;

use tokio::time::Instant;

/// At most this much of the time is kept back from the running answers.
const REST: Duration = Duration::from_secs(5);
/// Connections get at most this long to take their last bytes, and the local model to end.
const CLOSE_TIME: Duration = Duration::from_secs(2);

/// By when what must have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// Running answers may finish.
    pub(crate) runs_for: Duration,
    /// Their ends, and those of the interrupted ones, are stored.
    pub(crate) stored_until: Instant,
    /// Last bytes are sent, connections closed, the local model ended.
    pub(crate) closed_until: Instant,
}

impl Schedule {
    /// From `now` to the `deadline`.
    pub(crate) fn new(now: Instant, deadline: Duration) -> Self {
        let rest = REST.min(deadline / 2);
        let runs_for = deadline - rest;
        Self { runs_for, stored_until: now + runs_for + rest / 2, closed_until: now + runs_for + rest / 4 * 3 }
    }

    /// When connections that are still open are cut, if the last answer has ended `now`.
    pub(crate) fn close_by(&self, now: Instant) -> Instant {
        self.closed_until.min(now + CLOSE_TIME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_its_time_within_the_deadline() {
        let now = Instant::now();
        for seconds in [1, 2, 8, 10, 20, 3600] {
            let deadline = Duration::from_secs(seconds);
            let schedule = Schedule::new(now, deadline);
            let (runs, end) = (now + schedule.runs_for, now + deadline);
            let parts = [now, runs, schedule.stored_until, schedule.closed_until, end];
            for pair in parts.windows(2) {
                assert!(pair[1] - pair[0] >= deadline.min(Duration::from_secs(10)) / 8, "{deadline:?}: {schedule:?}");
            }
        }
        assert_eq!(Schedule::new(now, Duration::from_secs(20)).runs_for, Duration::from_secs(15));
    }

    #[test]
    fn connections_are_cut_soon_after_the_last_answer_but_in_time() {
        let now = Instant::now();
        let schedule = Schedule::new(now, Duration::from_secs(20));
        assert_eq!(schedule.close_by(now), now + CLOSE_TIME);
        assert_eq!(schedule.close_by(schedule.stored_until), schedule.closed_until);
    }
}
