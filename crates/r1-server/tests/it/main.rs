//! GPT.R1 from outside: the real binary, a real database, real sockets, and a scripted upstream in
//! place of a provider.

mod accounts;
mod again;
mod backup;
mod bad_input;
mod chat;
mod cli;
mod conversations;
mod crash;
mod database_lock;
mod documents;
mod idempotency;
mod leavers;
mod local_model;
mod local_servers;
mod metrics;
mod migrate;
mod models;
mod nodes;
mod operations;
mod ownership;
mod raw;
mod resume;
mod same_bytes;
mod seed;
mod shutdown;
mod silent;
mod slow_requests;
mod soak;
mod stop;
mod storage;
mod streams;
mod support;
#[cfg(feature = "otel")]
mod traces;
mod upstream_faults;
mod ways;
