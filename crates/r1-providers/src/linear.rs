//! For tests: whether work grows with its input and no faster.
//!
//! **Invariant:** what is compared is one machine's time with its own, so its speed does not matter; and a busy moment
//! has to come three times in a row to count.

use std::time::{Duration, Instant};

/// How much larger the large input is.
const TIMES: u32 = 8;
/// How many times too long it may take, for all that disturbs. Work that grows by the square takes eight times.
const SLACK: u32 = 4;

/// What is quicker than this is measured as this: pages of memory, and the neighbours, would count for more.
const FLOOR: Duration = Duration::from_millis(10);

/// Panics if eight times the input takes far more than eight times as long.
///
/// `run` is given the size of the input; `most` is the larger one.
pub(crate) fn assert_linear(name: &str, most: usize, run: impl Fn(usize)) {
    let time = |size: usize| {
        let began = Instant::now();
        run(size);
        began.elapsed()
    };
    let small = (0..3).map(|_| time(most / TIMES as usize)).min().unwrap_or_default().max(FLOOR);
    let allowed = small * TIMES * SLACK;
    assert!((0..3).any(|_| time(most) <= allowed), "{name}: {small:?} became more than {allowed:?}");
}
