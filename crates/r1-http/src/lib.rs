//! The outside over HTTP: routes, problem documents, event streams.
//!
//! A request passes [`host`] (is it meant for this server), [`around`] (request id, log line, error
//! bodies), then a handler under `v1/`, one file per operation, which extracts, calls and encodes.
//! Every route is in [`router`]. The status codes of errors are in [`error`], those of the probes in `v1/health`.

mod api_document;
mod app;
mod around;
mod body;
mod client;
mod cookie;
mod docs;
mod error;
mod host;
mod in_flight;
mod limits;
mod listing;
mod origin;
mod problem;
mod retry_body;
mod router;
mod session;
mod sse;
mod strict;
mod surrogates;
mod text;
mod v1;

pub use app::{App, Settings};
pub use around::Observer;
pub use client::Arrival;
pub use host::HostLayer;
pub use problem::too_full;
pub use router::{openapi, router};
pub use v1::health::full_health;
