//! What happens to jobs, told as it happens to whoever counts it.

use std::time::Duration;

use r1_domain::event::Usage;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The job is done.
    Done,
    /// It is tried again later.
    Retried,
    /// It is given up.
    Failed,
}

impl Ending {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Done, Self::Retried, Self::Failed];

    /// The word for it where it is counted.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Retried => "retried",
            Self::Failed => "failed",
        }
    }
}

/// Must be quick and wait for nothing. Does nothing about what it is not interested in.
pub trait Observer: Send + Sync + 'static {
    /// An attempt at a job of this kind ended so, after this much time.
    fn attempted(&self, _kind: &'static str, _ending: Ending, _took: Duration) {}

    /// A job of this kind had a model answer, which the provider counted so. `model` is the provider's own name for it.
    fn used(&self, _kind: &'static str, _provider: &str, _model: &str, _usage: Usage) {}
}

/// Nobody counts.
impl Observer for () {}
