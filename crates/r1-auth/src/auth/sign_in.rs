//! Sessions from their first to their last moment: sign-in, refresh, sign-out.

use std::net::IpAddr;

use r1_domain::{
    id::{SessionId, UserId},
    session::{NewSession, Rotation, SessionKind},
    store::Credentials,
    user::{EMAIL_LENGTH, PASSWORD_LENGTH, normalise_login},
};
use secrecy::{ExposeSecret, SecretString};

use super::{Auth, Grant, Login};
use crate::{attempts::Target, error::AuthError, password::Verdict, secret};

impl Auth {
    /// Trades a name, or an e-mail address, and its password for a session. `address` is the
    /// client's, where there is one.
    ///
    /// # Errors
    /// [`AuthError::BadCredentials`], [`AuthError::Disabled`] (the password was right),
    /// [`AuthError::Limited`], [`AuthError::Overloaded`], [`AuthError::Store`],
    /// [`AuthError::Internal`].
    pub async fn login(
        &self,
        login: &str,
        password: SecretString,
        kind: SessionKind,
        address: Option<IpAddr>,
    ) -> Result<Login, AuthError> {
        let login = normalise_login(login);
        let limited = |retry_after| AuthError::Limited { retry_after };
        if let Some(attempts) = &self.attempts {
            attempts.from(address, self.clock.monotonic()).map_err(limited)?;
        }
        let result = self.try_password(&login, password, kind).await;
        if let Some(attempts) = &self.attempts
            && !matches!(result, Err(AuthError::BadCredentials))
        {
            attempts.forgive_from(address);
        }
        result
    }

    /// Counts the try at its account, which has one count whatever it is called by.
    async fn try_password(&self, login: &str, password: SecretString, kind: SessionKind) -> Result<Login, AuthError> {
        // No account has such a name or password. That is no guess at any, so it is counted at none, and nothing
        // is given away by not hashing it.
        if login.chars().count() > EMAIL_LENGTH || password.expose_secret().chars().count() > PASSWORD_LENGTH.1 {
            return Err(AuthError::BadCredentials);
        }
        let found = self.store.user_by_login(login).await?;
        let target = found.as_ref().map_or(Target::Nobody(login), |found| Target::Account(found.user.id));
        if let Some(attempts) = &self.attempts {
            let counted = attempts.at(target, self.clock.monotonic());
            counted.map_err(|retry_after| AuthError::Limited { retry_after })?;
        }
        let result = self.check_and_open(found, password, kind).await;
        if let Some(attempts) = &self.attempts
            && !matches!(result, Err(AuthError::BadCredentials))
        {
            attempts.forgive_at(target);
        }
        result
    }

    async fn check_and_open(
        &self,
        credentials: Option<Credentials>,
        password: SecretString,
        kind: SessionKind,
    ) -> Result<Login, AuthError> {
        let (user, stored) = credentials.map(|found| (found.user, found.password_hash)).unzip();
        let verdict = self.passwords.verify(password.clone(), stored.clone()).await?;
        let (Verdict::Right { outdated }, Some(user), Some(stored)) = (verdict, user, stored) else {
            return Err(AuthError::BadCredentials);
        };
        if user.disabled {
            return Err(AuthError::Disabled);
        }
        if outdated {
            self.rehash(user.id, &stored, password).await;
        }
        let now = self.clock.now();
        let (token, token_hash) = secret::generate();
        let ttl = self.session_ttl(kind);
        let session = NewSession {
            id: SessionId::new(now),
            user_id: user.id,
            kind,
            token_hash,
            created_at: now,
            expires_at: now.plus(ttl),
        };
        let (session_id, expires_at) = (session.id, session.expires_at);
        let grant = match kind {
            SessionKind::Bearer => {
                let (access_token, expires_in) = self.tokens.issue(user.id, session_id, expires_at, now)?;
                Grant::Bearer { access_token, expires_in, refresh_token: token }
            }
            SessionKind::Cookie => Grant::Cookie { secret: token, max_age: ttl },
        };
        self.store.session_create(session).await?;
        Ok(Login { user, session_id, expires_at, grant })
    }

    /// Brings a stored hash up to today's parameters. A failure costs nothing: the old hash is
    /// still good, and the next sign-in tries again.
    async fn rehash(&self, user: UserId, stored: &SecretString, password: SecretString) {
        let result = match self.passwords.hash(password).await {
            Ok(hash) => self.store.user_rehash(user, stored, hash).await.map_err(AuthError::from),
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            tracing::warn!(%user, error = &error as &dyn std::error::Error, "password hash not renewed for user {user}");
        }
    }

    /// Trades a refresh token for the next one and a new access token. A token works once: the
    /// second use ends its session, for one of the two users is a thief.
    ///
    /// # Errors
    /// [`AuthError::TokenInvalid`] for a token of no live session, [`AuthError::SessionEnded`] for
    /// one that was used before, [`AuthError::Store`], [`AuthError::Internal`].
    pub async fn refresh(&self, refresh_token: &str) -> Result<Login, AuthError> {
        if !secret::is_plausible(refresh_token) {
            return Err(AuthError::TokenInvalid);
        }
        let now = self.clock.now();
        let (token, token_hash) = secret::generate();
        let expires_at = now.plus(self.config.refresh_ttl);
        match self.store.session_rotate(secret::hash(refresh_token), token_hash, expires_at, now).await? {
            Rotation::Rotated(session) => {
                let (access_token, expires_in) = self.tokens.issue(session.user.id, session.id, expires_at, now)?;
                // The cached copy would end at its old time.
                self.cache.end(session.id);
                let grant = Grant::Bearer { access_token, expires_in, refresh_token: token };
                Ok(Login { user: session.user, session_id: session.id, expires_at, grant })
            }
            Rotation::Reused(session) => {
                self.ended(session);
                tracing::warn!(%session, "refresh token used twice: session {session} ended");
                Err(AuthError::SessionEnded)
            }
            Rotation::Unknown => Err(AuthError::TokenInvalid),
        }
    }

    /// Ends a session: on this node at once, on others within five seconds. Ending an ended one
    /// is fine.
    ///
    /// # Errors
    /// [`AuthError::Store`].
    pub async fn logout(&self, user: UserId, session: SessionId) -> Result<(), AuthError> {
        self.store.session_end(user, session, self.clock.now()).await?;
        self.ended(session);
        Ok(())
    }
}
