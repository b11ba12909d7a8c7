//! GPT.R1 from outside: the real binary, a real database, real sockets, and a scripted upstream in
//! place of a provider.

mod accounts;
mod again;
mod backup;
mod bad_input;
mod bounds;
mod chat;
mod cli;
mod conversations;
mod cookies;
mod crash;
mod database_lock;
mod documents;
mod first_look;
mod idempotency;
mod leavers;
mod local_model;
mod local_servers;
mod log;
mod manager;
mod memory;
mod metrics;
mod migrate;
mod models;
mod nodes;
mod operations;
mod ownership;
mod raw;
mod resume;
mod revoked;
mod same_bytes;
mod seed;
mod shutdown;
mod signals;
mod silent;
mod slow_requests;
mod soak;
mod stop;
mod storage;
mod streams;
mod support;
mod texts;
#[cfg(feature = "otel")]
mod traces;
mod upstream_faults;
mod ways;
