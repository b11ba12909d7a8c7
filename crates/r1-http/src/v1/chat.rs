//! Questions, their answers, and following, stopping, continuing and retrying them.

mod accept;
pub(crate) mod attach_stream;
pub(crate) mod continue_generation;
pub(crate) mod create_answer;
pub(crate) mod create_stream;
mod faults;
pub(crate) mod get_generation;
pub(crate) mod idempotency;
mod question;
pub(crate) mod retry_generation;
pub(crate) mod stop_generation;
