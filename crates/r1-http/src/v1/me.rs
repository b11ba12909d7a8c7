//! A person's own things.

pub(crate) mod change_password;
