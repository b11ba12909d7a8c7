//! The one clock of all processes of a run.

use r1_domain::time::{Clock, SystemClock};

/// Microseconds since the Unix epoch: comparable between processes.
pub(crate) fn now() -> i64 {
    SystemClock.now().as_micros()
}
