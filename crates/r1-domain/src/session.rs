//! Sign-ins. A session is what can be ended; access tokens and cookies only point at it.

use crate::{
    id::{SessionId, UserId},
    time::Timestamp,
    user::User,
};

/// SHA-256 of a secret that the client holds. Secrets have 256 bits of entropy, so a plain digest
/// is as good as a password hash and fast.
pub type TokenHash = [u8; 32];

/// How the client proves the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionKind {
    /// Access token plus rotating refresh token.
    Bearer,
    /// The page's HttpOnly cookie.
    Cookie,
}

impl SessionKind {
    /// The stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Cookie => "cookie",
        }
    }
}

/// A session to be stored.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Identifier.
    pub id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// How it is proved.
    pub kind: SessionKind,
    /// Digest of the refresh token or of the cookie's secret.
    pub token_hash: TokenHash,
    /// Now.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// A live session with its user: neither ended nor expired, the user not disabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Identifier.
    pub id: SessionId,
    /// Whose.
    pub user: User,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// What came of presenting a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// The token was the current one; it has been replaced.
    Rotated(Session),
    /// The token had been replaced before: somebody else holds a copy. The session has been ended.
    Reused(SessionId),
    /// No live session has or had this token.
    Unknown,
}
