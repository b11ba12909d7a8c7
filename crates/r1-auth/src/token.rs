//! Access tokens: JSON Web Tokens (RFC 7519) that point at a session for an hour.
//!
//! **Invariant:** a token is accepted if it was signed by HS256 with our key, by this issuer, for
//! this audience, and its time is not over by the injected clock; nothing in its header chooses
//! how it is checked.

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use r1_domain::{
    id::{SessionId, UserId},
    time::Timestamp,
};
use secrecy::SecretString;

use crate::{error::AuthError, key::SigningKey};

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
    decoding: DecodingKey,
    validation: Validation,
}

impl std::fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessTokens").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl AccessTokens {
    /// Tokens of this instance, signed with this key, good for `lifetime`.
    #[must_use]
    pub fn new(key: &SigningKey, lifetime: Duration) -> Self {
        let issuer = format!("gpt-r1:{}", key.instance());
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[&issuer]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Expiry is checked below, by our clock.
        validation.validate_exp = false;
        Self {
            issuer,
            lifetime,
            encoding: EncodingKey::from_secret(key.as_bytes()),
            decoding: DecodingKey::from_secret(key.as_bytes()),
            validation,
        }
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
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation)
            .map_err(|_| AuthError::TokenInvalid)?
            .claims;
        if claims.ends_at() <= now {
            return Err(AuthError::TokenExpired);
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests;
