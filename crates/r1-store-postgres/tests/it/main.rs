//! The store on a real server.

mod bus;
mod contract;
mod folding;
mod history;
mod nodes;
mod opening;
mod schema;
mod support;
