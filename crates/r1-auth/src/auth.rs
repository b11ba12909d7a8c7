//! The one door: who sends a request, and how people come by an account and a session.
//!
//! [`sign_in`](self) trades a password for a session, [`account`](self) makes and disables
//! accounts, [`password_change`](self) changes passwords; here a request is matched with its session. Of two clients with the same session the
//! store knows one row: ending it is what ends both.
//!
//! **Invariant:** every request is checked against a session that lived at most three seconds ago;
//! a signature alone opens nothing.

use std::{sync::Arc, time::Duration};

use parking_lot::RwLock;
use r1_domain::{
    id::{GenerationId, SessionId, UserId},
    nodes::{Bus, Signal},
    session::{Session, SessionKind},
    store::Store,
    time::{Clock, Timestamp},
    user::User,
};
use secrecy::SecretString;

use crate::{
    attempts::{AttemptLimits, Attempts},
    cache::{SessionCache, SessionKey},
    error::AuthError,
    key::KeySet,
    observer::{Observer, SignInFailure},
    password::{PasswordConfig, PasswordSetupError, Passwords},
    secret,
    token::{self, AccessTokens},
    watch::{Watch, Watches},
};

mod account;
mod password_change;
mod sign_in;

pub use account::Registration;

/// Sessions in each half of the cache: about 4 MB when both are full.
const CACHE_CAPACITY: usize = 5_000;

/// What an operator decides.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// How long an access token is good.
    pub access_token_ttl: Duration,
    /// How long a refresh token is good; each use gives a new one.
    pub refresh_ttl: Duration,
    /// How long the page's cookie is good.
    pub cookie_ttl: Duration,
    /// Whether anybody may register. The setup code works either way.
    pub registration_open: bool,
    /// How passwords are hashed.
    pub passwords: PasswordConfig,
    /// How often somebody may try; none for no limit.
    pub attempts: Option<AttemptLimits>,
}

/// A sign-in that succeeded.
#[derive(Debug, Clone)]
pub struct Login {
    /// The user.
    pub user: User,
    /// The session.
    pub session_id: SessionId,
    /// When the session ends by itself.
    pub expires_at: Timestamp,
    /// What the client proves it by.
    pub grant: Grant,
}

/// What a client proves its session by. Each secret is told once, here.
#[derive(Debug, Clone)]
pub enum Grant {
    /// To an API client.
    Bearer {
        /// The access token.
        access_token: SecretString,
        /// For how long it is good.
        expires_in: Duration,
        /// The token that gets the next one, once.
        refresh_token: SecretString,
    },
    /// To the page.
    Cookie {
        /// The cookie's value.
        secret: SecretString,
        /// For how long it is good.
        max_age: Duration,
    },
}

/// Sign-in, sessions and accounts.
pub struct Auth {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    config: AuthConfig,
    passwords: Passwords,
    tokens: AccessTokens,
    cache: SessionCache,
    attempts: RwLock<Option<Arc<Attempts>>>,
    watches: Arc<Watches>,
    /// To the other nodes, where there may be some.
    bus: Option<Arc<dyn Bus>>,
    observer: Arc<dyn Observer>,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Auth {
    /// Starts the threads that hash passwords; they end when this is dropped.
    ///
    /// # Errors
    /// [`PasswordSetupError`].
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        keys: &KeySet,
        config: AuthConfig,
    ) -> Result<Self, PasswordSetupError> {
        Ok(Self {
            store,
            clock,
            passwords: Passwords::new(&config.passwords)?,
            tokens: AccessTokens::new(keys, config.access_token_ttl),
            cache: SessionCache::new(CACHE_CAPACITY),
            attempts: RwLock::new(config.attempts.as_ref().map(|limits| Arc::new(Attempts::new(limits)))),
            config,
            watches: Arc::default(),
            bus: None,
            observer: Arc::new(()),
        })
    }

    /// How often somebody may try from now on; none for no limit. What was counted so far is forgotten, unless the
    /// limits are those of before.
    pub fn set_attempts(&self, limits: Option<&AttemptLimits>) {
        let mut attempts = self.attempts.write();
        if attempts.as_deref().map(Attempts::limits) != limits {
            *attempts = limits.map(|limits| Arc::new(Attempts::new(limits)));
        }
    }

    fn attempts(&self) -> Option<Arc<Attempts>> {
        self.attempts.read().clone()
    }

    /// Tells other nodes of sessions that are ended here.
    #[must_use]
    pub fn with_bus(self, bus: Option<Arc<dyn Bus>>) -> Self {
        Self { bus, ..self }
    }

    /// Tells whoever counts of sign-ins that fail.
    #[must_use]
    pub fn with_observer(self, observer: Arc<dyn Observer>) -> Self {
        Self { observer, ..self }
    }

    /// Tells of a try at a password that failed. Whether the account `is_known`, nobody else is told.
    fn count_failure(&self, error: &AuthError, is_known: bool) {
        self.observer.sign_in_failed(match error {
            AuthError::BadCredentials if is_known => SignInFailure::Password,
            AuthError::BadCredentials => SignInFailure::Unknown,
            AuthError::Disabled => SignInFailure::Disabled,
            AuthError::Limited { .. } => SignInFailure::Limited,
            _ => return,
        });
    }

    /// The key before the signing one is accepted no more: no token of its lives any longer.
    pub fn forget_other_key(&self) {
        self.tokens.forget_other_key();
    }

    /// A session was ended on another node.
    pub fn forget(&self, session: SessionId) {
        self.cache.end(session);
        self.watches.end_session(session);
    }

    /// How a stream of this generation, opened with this session, learns that it may not go on.
    #[must_use]
    pub fn watch(&self, session: SessionId, user: UserId, generation: GenerationId) -> Watch {
        self.watches.add(session, user, generation)
    }

    /// Asks the database what all open streams rest on, and tells those that may not go on. Gives back the
    /// users that are disabled or gone, of those that follow something and of `users`.
    ///
    /// # Errors
    /// [`AuthError::Store`]: what was asked before that was told.
    pub async fn look_again(&self, users: &[UserId]) -> Result<Vec<UserId>, AuthError> {
        let mut gone = Vec::new();
        for question in self.watches.questions(users) {
            let lost = self.store.access_lost(&question).await?;
            for session in lost.sessions {
                self.forget(session);
            }
            for generation in lost.generations {
                self.watches.end_generation(generation);
            }
            for user in lost.users {
                self.cache.end_all(user);
                self.watches.end_user(user);
                gone.push(user);
            }
        }
        Ok(gone)
    }

    /// A session was ended here.
    fn ended(&self, session: SessionId) {
        self.forget(session);
        if let Some(bus) = &self.bus {
            bus.tell(Signal::Session(session));
        }
    }

    /// The session of a request with this access token. The signature is checked whenever the
    /// database is asked; in between the token is known by its digest.
    ///
    /// # Errors
    /// [`AuthError::TokenInvalid`], [`AuthError::TokenExpired`], [`AuthError::SessionEnded`],
    /// [`AuthError::Store`].
    pub async fn authenticate_bearer(&self, token: &str) -> Result<Arc<Session>, AuthError> {
        if !token::is_plausible(token) {
            return Err(AuthError::TokenInvalid);
        }
        let now = self.clock.now();
        let key = SessionKey::Token(secret::hash(token));
        let ticket = match self.cache.get(key, now) {
            Ok(session) => return Ok(session),
            Err(ticket) => ticket,
        };
        let claims = self.tokens.verify(token, now)?;
        let found = self.store.session_get(claims.sid, now).await?;
        let session = Arc::new(found.ok_or(AuthError::SessionEnded)?);
        if session.user.id != claims.sub {
            return Err(AuthError::TokenInvalid);
        }
        self.cache.insert(key, Arc::clone(&session), claims.ends_at(), ticket);
        Ok(session)
    }

    /// The session of a request with this cookie.
    ///
    /// # Errors
    /// [`AuthError::SessionEnded`] for a cookie that names no live session, [`AuthError::Store`].
    pub async fn authenticate_cookie(&self, cookie: &str) -> Result<Arc<Session>, AuthError> {
        if !secret::is_plausible(cookie) {
            return Err(AuthError::SessionEnded);
        }
        let now = self.clock.now();
        let hash = secret::hash(cookie);
        let key = SessionKey::Cookie(hash);
        let ticket = match self.cache.get(key, now) {
            Ok(session) => return Ok(session),
            Err(ticket) => ticket,
        };
        let found = self.store.session_by_cookie(hash, now).await?;
        let session = Arc::new(found.ok_or(AuthError::SessionEnded)?);
        self.cache.insert(key, Arc::clone(&session), session.expires_at, ticket);
        Ok(session)
    }

    /// How long a new session of this kind lives.
    fn session_ttl(&self, kind: SessionKind) -> Duration {
        match kind {
            SessionKind::Bearer => self.config.refresh_ttl,
            SessionKind::Cookie => self.config.cookie_ttl,
        }
    }
}

#[cfg(test)]
mod tests;
