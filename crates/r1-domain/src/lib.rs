//! The nouns and rules of GPT.R1, and the ports through which the rest is reached.
//!
//! Nothing here knows a runtime, a web framework, a database or an HTTP client. A message's life
//! in this crate's words: a [`user`] sends a question into a [`conversation`]; a [`generation`]
//! writes the answer as [`event`]s; the events stand in a [`log`] in a compact form and leave as
//! [`frame`]s; a [`cursor`] says how far a reader has come; [`fold`] turns the log back into a message's [`part`]s.
//!
//! **Invariant:** every encoding here is a pure function of its arguments, so a frame made during
//! a replay equals the frame that a live reader got, byte for byte.

pub mod access;
pub mod accounts;
pub mod branch;
pub mod call;
pub mod conversation;
pub mod cursor;
pub mod event;
pub mod fold;
pub mod frame;
pub mod generation;
pub mod history;
pub mod id;
pub mod instance;
pub mod jobs;
pub mod leb128;
pub mod log;
pub mod message;
pub mod near;
pub mod nodes;
pub mod overlap;
pub mod page;
pub mod part;
pub mod provider;
pub mod session;
pub mod spelling;
pub mod store;
pub mod text;
pub mod time;
pub mod token_ids;
pub mod transfer;
pub mod user;
