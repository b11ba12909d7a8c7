//! Background work: what is to be done sometime soon, whatever becomes of who wanted it.
//!
//! A job is a row ([`r1_domain::jobs`]). The [`Runner`] of a node claims what is due under the node's lease, has the
//! kind's [`Handler`] do it, and gives it back with a pause where that failed. It is woken when work was handed in, here
//! or (where a node has more than it does at a time) elsewhere; what no hint tells of, it finds by looking from time
//! to time. A handler is a file: [`title`] is the first.
//!
//! **Invariant:** a job is done at least once, or given up after a bounded number of attempts; what a handler does
//! may be done again.

mod handler;
mod observer;
mod runner;
pub mod title;

pub use handler::{Handler, JobError, Progress};
pub use observer::{Ending, Observer};
pub use runner::{Held, Lease, Runner};
