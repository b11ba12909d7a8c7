//! Who is asking: passwords, tokens and sessions.
//!
//! A person proves a [`password`] and gets a session; the session is proved from then on by an
//! access [`token`] (API clients) or by a cookie's [`secret`] (the page). Tokens and cookies only
//! point at the session, so ending it ends both. [`auth`] is the one door to all of it; [`cache`]
//! keeps a request from asking the database each time, [`attempts`] keeps guessing slow, and
//! [`setup`] and [`key`] are what a first start needs.
//!
//! **Invariant:** no password, token, cookie, key or code reaches a log line, an error or a
//! `Debug` text: they travel as [`secrecy::SecretString`], and only digests are stored.

pub mod attempts;
pub mod auth;
pub mod cache;
pub mod error;
pub mod key;
mod observer;
pub mod password;
pub mod secret;
pub mod setup;
pub mod token;
mod watch;

pub use auth::{Auth, AuthConfig, Grant, Login, Registration};
pub use error::{AuthError, FieldError};
pub use observer::{Observer, SignInFailure};
pub use watch::Watch;

#[cfg(test)]
mod fake;
