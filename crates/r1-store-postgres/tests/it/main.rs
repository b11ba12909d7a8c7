//! The store on a real server.

mod contract;
mod schema;
mod support;
