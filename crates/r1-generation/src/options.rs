//! What the engine may use, and how much of it.

use std::time::Duration;

/// The engine's limits.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Running generations that one user may have; none: any number.
    pub runs_per_user: Option<usize>,
    /// Longest answer, in bytes; at it, it ends with the finish reason `length`.
    pub answer_bytes: usize,
    /// Longest time that an answer may take.
    pub answer_time: Duration,
    /// Tokens of an answer where the request names no limit: the administrator's word, if there is one.
    pub max_tokens: Option<u32>,
    /// Newest bytes of a conversation that go to the model.
    pub history_bytes: usize,
    /// Of a node among others: it renews its lease before this time has gone, or is taken for gone.
    pub lease: Duration,
    /// Readers are sent away when storage has failed for this long.
    pub stall_limit: Duration,
}
