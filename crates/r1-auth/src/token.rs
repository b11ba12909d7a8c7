//! Access tokens: JSON Web Tokens (RFC 7519) that point at a session for an hour.
//!
//! **Invariant:** a token is accepted if it was signed by HS256 with a key of ours, by its issuer, for
//! this audience, and its time is not over by the injected clock; nothing in its header chooses
//! how it is checked.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use r1_domain::{
    id::{SessionId, UserId},
    time::Timestamp,
};
use secrecy::SecretString;

use crate::{
    error::AuthError,
    key::{KeySet, SigningKey},
};

/// Who the tokens are for.
pub const AUDIENCE: &str = "gpt-r1-api";
/// Longer texts are no tokens of ours, and are not decoded.
const LENGTH_LIMIT: usize = 2048;

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Claims {
    /// Issuer: this instance.
    pub iss: String,
    /// Audience.
    pub aud: String,
    /// The user.
    pub sub: UserId,
    /// The session.
    pub sid: SessionId,
    /// When it was made, in seconds since the epoch.
    pub iat: i64,
    /// From when on it is not accepted, in seconds since the epoch.
    pub exp: i64,
}

impl Claims {
    /// When the token's time is over.
    pub(crate) fn ends_at(&self) -> Timestamp {
        Timestamp::from_micros(self.exp.saturating_mul(1_000_000))
    }
}

/// Whether a text can be one of our tokens at all; saves the work of looking at it.
#[must_use]
pub fn is_plausible(text: &str) -> bool {
    text.len() <= LENGTH_LIMIT
}

/// Makes and reads access tokens.
pub struct AccessTokens {
    issuer: String,
    lifetime: Duration,
    encoding: EncodingKey,
    /// The signing key's first.
    readers: Vec<(DecodingKey, Validation)>,
    /// Only the signing key's counts.
    forgets: AtomicBool,
}

impl std::fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessTokens").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl AccessTokens {
    /// Tokens of this instance, good for `lifetime`.
    #[must_use]
    pub fn new(keys: &KeySet, lifetime: Duration) -> Self {
        let readers = std::iter::once(&keys.signing).chain(&keys.accepted).map(reader).collect();
        let encoding = EncodingKey::from_secret(keys.signing.as_bytes());
        Self { issuer: issuer(&keys.signing), lifetime, encoding, readers, forgets: AtomicBool::new(false) }
    }

    /// From now on only tokens of the signing key are accepted.
    pub fn forget_other_key(&self) {
        self.forgets.store(true, Ordering::Relaxed);
    }

    /// A new token, and for how long it is good: never for longer than its session.
    ///
    /// # Errors
    /// [`AuthError::Internal`].
    pub fn issue(
        &self,
        user: UserId,
        session: SessionId,
        session_ends: Timestamp,
        now: Timestamp,
    ) -> Result<(SecretString, Duration), AuthError> {
        let iat = now.unix_seconds();
        let exp = now.plus(self.lifetime).min(session_ends).unix_seconds();
        let claims = Claims { iss: self.issuer.clone(), aud: AUDIENCE.to_owned(), sub: user, sid: session, iat, exp };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
            .map_err(|e| AuthError::Internal(e.into()))?;
        let lifetime = Duration::from_secs(u64::try_from(exp - iat).unwrap_or(0));
        Ok((SecretString::from(token), lifetime))
    }

    /// Reads a token.
    ///
    /// # Errors
    /// [`AuthError::TokenExpired`] for a good token whose time is over, [`AuthError::TokenInvalid`]
    /// for anything else.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, AuthError> {
        if !is_plausible(token) {
            return Err(AuthError::TokenInvalid);
        }
        let count = if self.forgets.load(Ordering::Relaxed) { 1 } else { self.readers.len() };
        let mut read = self
            .readers
            .iter()
            .take(count)
            .filter_map(|(key, validation)| jsonwebtoken::decode(token, key, validation).ok());
        let claims: Claims = read.next().ok_or(AuthError::TokenInvalid)?.claims;
        if claims.ends_at() <= now {
            return Err(AuthError::TokenExpired);
        }
        Ok(claims)
    }
}

fn issuer(key: &SigningKey) -> String {
    format!("gpt-r1:{}", key.instance())
}

/// What checks the tokens of a key.
fn reader(key: &SigningKey) -> (DecodingKey, Validation) {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_issuer(&[issuer(key)]);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // Expiry is checked by our clock.
    validation.validate_exp = false;
    (DecodingKey::from_secret(key.as_bytes()), validation)
}

#[cfg(test)]
mod tests;
