//! A person's own things.

pub(crate) mod change_password;
pub(crate) mod get_usage;
