//! The store on a real server.

mod bus;
mod contract;
mod folding;
mod history;
mod key;
mod nodes;
mod opening;
mod schema;
mod support;
