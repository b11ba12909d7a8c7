//! What tests, benches and the browser suite share.
//!
//! [`upstream`] is a whole OpenAI-compatible server that answers by script, over real sockets, with
//! every fault a network has; [`raw`] is one below HTTP, for what no server would say, and [`tls`]
//! makes its certificates, [`tls_front`] puts them before it; [`real_proxy`] starts proxy programs, which
//! [`program`] finds; [`provider`] is the same idea one layer up, in memory; [`store`] is a real
//! database whose calls are counted, and whose commits fail, wait or are the last; [`sse`] reads our own
//! streams and doubts every byte; [`follower`] comes back for the rest of them; [`proxy`] cuts connections
//! where it hurts; [`postgres`] gives each test a database of its own; [`clock`] is turned by hand.
//!
//! **Invariant:** nothing here waits by guessing a time. Whatever a test may wait for (a request, a
//! closed socket, a script that has come to a certain step) is an event that it can await.

pub mod clock;
pub mod follower;
pub mod namespace;
pub mod postgres;
pub mod program;
pub mod provider;
pub mod proxy;
pub mod raw;
pub mod real_proxy;
pub mod sse;
pub mod store;
pub mod store_contract;
pub mod tls;
pub mod tls_front;
pub mod upstream;
