//! Accounts and sessions.

pub(crate) mod get_me;
pub(crate) mod get_session;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod refresh;
pub(crate) mod register;
pub(crate) mod user;
