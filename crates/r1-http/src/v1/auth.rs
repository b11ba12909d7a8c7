//! Accounts and sessions.

use std::net::IpAddr;

use r1_auth::AuthError;

pub(crate) mod get_me;
pub(crate) mod get_session;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod refresh;
pub(crate) mod register;
pub(crate) mod user;

/// Says in the log that somebody did not get in, why, and from where, for whoever shuts such addresses out
/// (`deploy/fail2ban`); never by which name. Faults of the server's own have lines of their own.
fn say_failed(what: &str, address: Option<IpAddr>, error: &AuthError) {
    let why = match error {
        AuthError::BadCredentials => "wrong name or password",
        AuthError::Disabled => "the account is disabled",
        AuthError::Limited { .. } => "too many attempts",
        AuthError::SetupCode => "wrong setup code",
        _ => return,
    };
    let client = address.map_or_else(|| "unknown".to_owned(), |address| address.to_string());
    tracing::info!(client, "failed {what} from {client}: {why}");
}
