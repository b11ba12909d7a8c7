//! Questions, their answers, and following and stopping them.

mod accept;
pub(crate) mod attach_stream;
pub(crate) mod create_answer;
pub(crate) mod create_stream;
pub(crate) mod idempotency;
mod question;
pub(crate) mod stop_generation;
