//! [`r1_domain::store::Store`] on SQLite: the database of one process, in one directory.
//!
//! One operating-system thread owns the one connection that writes; whoever has something to write
//! hands it a job and waits for the answer ([`writer`]). Reads run beside it on a few connections
//! of their own, each in one short snapshot ([`reader`]); the write-ahead log is copied into the
//! database by a third party, so a commit never waits for that ([`checkpoint`]). The chunks of all
//! running answers share one append-only [`journal`], a row per commit, from which each log is
//! folded into its own row in time ([`log`], [`tail`]). What a damaged disk leaves of a log is still a
//! log ([`readable`], [`recovery`]). Everything else is one file per noun.
//!
//! **Invariant:** what a method has acknowledged survives a killed process; what it acknowledged
//! under [`writer::Synchronous::Full`] (accounts, sessions, conversations, accepted questions)
//! survives a power loss as well.

mod access;
mod account;
pub mod backup;
mod branch;
mod checkpoint;
mod column;
mod connection;
mod conversation;
mod erase;
mod error;
pub mod export;
mod files;
mod folding;
mod generation;
mod idempotency;
mod job;
mod journal;
mod leftover;
mod log;
mod message;
mod migration;
mod open;
mod ping;
mod purge;
mod readable;
mod reader;
mod recovery;
mod resync;
mod search;
mod session;
mod size;
mod store;
mod tail;
mod turn;
mod usage;
mod writer;

pub use open::{OpenError, SqliteOptions};
pub use store::SqliteStore;
