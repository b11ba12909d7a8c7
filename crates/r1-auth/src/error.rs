//! What a caller can do about a refused sign-in, registration or request.

use std::time::Duration;

use r1_domain::store::StoreError;

/// One field of a form and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The field's name on the wire.
    pub field: &'static str,
    /// The sentence to show beside it.
    pub message: String,
}

/// Why something was refused. No variant tells whether an account exists, `Taken` excepted: a
/// registration has to.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The form has faulty fields: all of them at once.
    #[error("some fields are not valid")]
    Invalid(Vec<FieldError>),
    /// No such account, or another password: which one is not told.
    #[error("the name or the password is wrong")]
    BadCredentials,
    /// The access token's time is over: refresh it.
    #[error("the access token has expired")]
    TokenExpired,
    /// This is no token of ours, or not for us: sign in.
    #[error("the token is not valid")]
    TokenInvalid,
    /// The token or cookie was good, but its session is over: sign in.
    #[error("the session has ended")]
    SessionEnded,
    /// The password is right, but the account has been disabled.
    #[error("the account is disabled")]
    Disabled,
    /// Too many attempts by this name or from this address.
    #[error("too many attempts")]
    Limited {
        /// When the next one will be looked at.
        retry_after: Duration,
    },
    /// More passwords are waiting to be checked than the queue holds.
    #[error("too many sign-ins at once")]
    Overloaded {
        /// When there should be room again.
        retry_after: Duration,
    },
    /// Another account has this value.
    #[error("the {field} is taken")]
    Taken {
        /// `username` or `email`.
        field: &'static str,
    },
    /// The code for the first administrator is wrong or was used.
    #[error("the setup code is wrong or was used already")]
    SetupCode,
    /// The configuration lets nobody register.
    #[error("registration is closed; ask the administrator for an account")]
    RegistrationClosed,
    /// The database refused, for a reason that is not the caller's.
    #[error("the account store failed")]
    Store(#[source] StoreError),
    /// A fault of ours: a stored hash that can't be read, a worker that died.
    #[error("authentication failed inside")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<StoreError> for AuthError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Taken { field } => Self::Taken { field },
            StoreError::SetupCode => Self::SetupCode,
            other => Self::Store(other),
        }
    }
}
