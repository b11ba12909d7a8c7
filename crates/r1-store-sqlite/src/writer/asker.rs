//! Who waits for a job, and the one decision that is between them and the thread.

use std::sync::atomic::{AtomicU8, Ordering};

const WAITS: u8 = 0;
const COMMITS: u8 = 1;
const LEFT: u8 = 2;

/// **Invariant:** either the job commits or its asker leaves, never both; whoever is first decides.
#[derive(Debug, Default)]
pub(super) struct Asker(AtomicU8);

impl Asker {
    /// The job is about to commit. False: nobody waits, and it must not.
    pub(super) fn commit(&self) -> bool {
        self.0.compare_exchange(WAITS, COMMITS, Ordering::SeqCst, Ordering::SeqCst) != Err(LEFT)
    }

    /// The asker waits no longer. False: the job commits, and its outcome is not known yet.
    pub(super) fn leave(&self) -> bool {
        self.0.compare_exchange(WAITS, LEFT, Ordering::SeqCst, Ordering::SeqCst) != Err(COMMITS)
    }

    pub(super) fn has_left(&self) -> bool {
        self.0.load(Ordering::SeqCst) == LEFT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_first_decides() {
        let asker = Asker::default();
        assert!(asker.commit() && asker.commit(), "a job may have two transactions");
        assert!(!asker.leave());
        let asker = Asker::default();
        assert!(asker.leave() && asker.has_left());
        assert!(!asker.commit());
    }
}
