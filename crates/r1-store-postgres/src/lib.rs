//! [`r1_domain::store::Store`] on PostgreSQL.
//!
//! Requests share a few connections ([`pool`]); the chunks of all running answers go over one of their
//! own, a statement per commit ([`log`]). Who may write for a generation is a row that every such write
//! holds ([`nodes`]); hints go from node to node over the server, too ([`bus`]). What is torn is not guessed at: where a commit's answer was lost,
//! the server's process that had it is ended and the database asked. Everything else is one file per
//! noun, the same as SQLite's, in its own SQL.
//!
//! **Invariant:** what a method has acknowledged survives a crash of this process, of the database
//! server, and of its machine. (The server's `fsync` must be on, as it is by default.)

mod access;
mod account;
mod address;
mod branch;
mod bus;
mod column;
mod connection;
mod conversation;
mod erase;
mod error;
mod folding;
mod generation;
mod idempotency;
pub mod import;
mod job;
mod key;
mod log;
mod message;
mod migration;
mod nodes;
mod open;
mod ping;
mod pool;
mod purge;
mod readable;
mod recovery;
mod search;
mod session;
mod store;
mod tls;
mod turn;
mod usage;

pub use address::{AddressError, describe};
pub use key::{Fingerprint, KeyFingerprints, RotatedKey};
pub use open::{OpenError, PostgresOptions};
pub use store::PostgresStore;
