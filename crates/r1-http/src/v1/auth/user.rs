//! An account on the wire.

use r1_domain::user::User;
use serde::Serialize;

use crate::text::rfc3339;

/// An account.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = User)]
pub(crate) struct UserBody {
    /// Identifier.
    id: String,
    /// Sign-in name.
    username: String,
    /// E-mail address.
    email: String,
    /// Whether the account is an administrator's. So far that gives no further rights by the API: administrators
    /// work with the `gpt-r1` command on the server.
    is_admin: bool,
    /// When it was made.
    created_at: String,
}

impl From<&User> for UserBody {
    fn from(user: &User) -> Self {
        Self {
            id: user.id.to_string(),
            username: user.username.clone(),
            email: user.email.clone(),
            is_admin: user.is_admin,
            created_at: rfc3339(user.created_at),
        }
    }
}
