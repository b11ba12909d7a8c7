//! The heart of GPT.R1: generations, their logs, and everybody who follows them.
//!
//! ```text
//!  send ──► run ──append──► Log ──take──► writer ──commit──► Store
//!            ▲               ▲ │                               │
//!   provider ┘          stop ┘ └──publish◄─────── stored ──────┘
//!                              │
//!                              └──► Reader, Reader, Reader …
//! ```
//!
//! [`Engine::send`] (or [`Engine::go_on`], [`Engine::retry`]) commits question, answer row and generation, then a task of its own runs the
//! model. The run appends to the generation's [`log::Log`]; one [`writer`] per process commits what
//! has gathered in all logs; only then does a log show the new part to its [`Reader`]s, which are
//! cursors that pull.
//!
//! Where several processes share a database, each is a [`node`] with a lease; logs of other nodes are
//! read on from storage for the readers here ([`following`]), who can't tell the difference.
//!
//! **Invariants:** durable, then visible; readers pull; one writer gives a log its order; detach
//! is not stop; the log is the truth. Each is named again where the code keeps it.

mod accept;
mod again;
mod engine;
mod error;
mod following;
mod log;
mod node;
mod observer;
mod options;
mod reader;
mod recovery;
mod registry;
mod run;
mod send;
mod start;
mod turnstile;
mod writer;

pub use accept::Accepted;
pub use again::{Continuation, Retry};
pub use engine::{Engine, Target};
pub use error::EngineError;
pub use observer::{Commit, Observer, SkippedKind};
pub use options::Options;
pub use reader::Reader;
pub use send::Question;
