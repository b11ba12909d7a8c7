//! Sessions from their first to their last moment: sign-in, refresh, sign-out.

use std::net::IpAddr;

use r1_domain::{
    id::{SessionId, UserId},
    session::{NewSession, Rotation, SessionKind},
    store::Credentials,
    text::{fold_login, prepare_password},
    user::{EMAIL_LENGTH, PASSWORD_LENGTH},
};
use secrecy::{ExposeSecret, SecretString};

use super::{Auth, Grant, Login};
use crate::{attempts::Target, error::AuthError, password::Verdict, secret};

/// A form of a password that its hash may have been made of.
struct Form {
    password: SecretString,
    /// It is not the form of today.
    is_outdated: bool,
}

impl Form {
    /// The form of today, and, where that differs, what was typed: so it was hashed once. How many there
    /// are depends on nothing but what was typed, so the time that they take tells of no account.
    fn of(typed: &SecretString) -> impl Iterator<Item = Self> {
        let prepared = prepare_password(typed.expose_secret());
        let differs = prepared != typed.expose_secret();
        let forms = [Some((prepared, false)), differs.then(|| (typed.expose_secret().into(), true))];
        // No account has a longer one, so nothing is given away by not hashing it.
        forms
            .into_iter()
            .flatten()
            .filter(|(form, _)| is_possible(form))
            .map(|(form, is_outdated)| Self { password: SecretString::from(form.into_owned()), is_outdated })
    }
}

fn is_possible(password: &str) -> bool {
    password.chars().count() <= PASSWORD_LENGTH.1
}

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
        let mut is_known = false;
        let tried = self.counted_from(address, self.try_password(login, password, kind, &mut is_known)).await;
        tried.inspect_err(|error| self.count_failure(error, is_known))
    }

    /// Counts a try at a password at its address: one that is not wrong costs nothing.
    pub(super) async fn counted_from<T>(
        &self,
        address: Option<IpAddr>,
        trial: impl Future<Output = Result<T, AuthError>>,
    ) -> Result<T, AuthError> {
        if let Some(attempts) = self.attempts() {
            let counted = attempts.from(address, self.clock.monotonic());
            counted.map_err(|retry_after| AuthError::Limited { retry_after })?;
        }
        let result = trial.await;
        if let Some(attempts) = self.attempts()
            && !matches!(result, Err(AuthError::BadCredentials))
        {
            attempts.forgive_from(address);
        }
        result
    }

    /// The same at whose password it is.
    pub(super) async fn counted_at<T>(
        &self,
        target: Target<'_>,
        trial: impl Future<Output = Result<T, AuthError>>,
    ) -> Result<T, AuthError> {
        if let Some(attempts) = self.attempts() {
            let counted = attempts.at(target, self.clock.monotonic());
            counted.map_err(|retry_after| AuthError::Limited { retry_after })?;
        }
        let result = trial.await;
        if let Some(attempts) = self.attempts()
            && !matches!(result, Err(AuthError::BadCredentials))
        {
            attempts.forgive_at(target);
        }
        result
    }

    /// Counts the try at its account, which has one count whatever it is called by. Says whether there is one.
    async fn try_password(
        &self,
        login: &str,
        password: SecretString,
        kind: SessionKind,
        is_known: &mut bool,
    ) -> Result<Login, AuthError> {
        // No account has such a name or password. That is no guess at any, so it is counted at none, and nothing
        // is given away by not hashing it.
        if login.chars().count() > EMAIL_LENGTH || Form::of(&password).next().is_none() {
            return Err(AuthError::BadCredentials);
        }
        let found = self.store.user_by_login(login).await?;
        *is_known = found.is_some();
        // One count for all the spellings of a name that nobody has.
        let folded = fold_login(login);
        let target = found.as_ref().map_or(Target::Nobody(&folded), |found| Target::Account(found.user.id));
        self.counted_at(target, self.check_and_open(found, login, password, kind)).await
    }

    /// Whether it is the password of this hash, and then whether the hash is outdated. Without a hash the same
    /// work is done.
    pub(super) async fn check(
        &self,
        stored: Option<&SecretString>,
        password: &SecretString,
    ) -> Result<Option<bool>, AuthError> {
        for form in Form::of(password) {
            if let Verdict::Right { outdated } = self.passwords.verify(form.password, stored.cloned()).await? {
                return Ok(Some(outdated || form.is_outdated));
            }
        }
        Ok(None)
    }

    async fn check_and_open(
        &self,
        credentials: Option<Credentials>,
        login: &str,
        password: SecretString,
        kind: SessionKind,
    ) -> Result<Login, AuthError> {
        let (user, stored) = credentials.map(|found| (found.user, found.password_hash)).unzip();
        let right = self.check(stored.as_ref(), &password).await?;
        let (Some(outdated), Some(user), Some(stored)) = (right, user, stored) else {
            return Err(AuthError::BadCredentials);
        };
        if user.disabled {
            return Err(AuthError::Disabled);
        }
        let prepared = prepare_password(password.expose_secret());
        let mut checked = stored;
        if outdated
            && is_possible(&prepared)
            && let Some(renewed) = self.rehash(user.id, &checked, SecretString::from(prepared.as_ref())).await
        {
            checked = renewed;
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
        if !self.is_still_right(login, user.id, &checked, &password).await? {
            self.logout(user.id, session_id).await?;
            return Err(AuthError::BadCredentials);
        }
        Ok(Login { user, session_id, expires_at, grant })
    }

    /// A password that was changed while it was being checked ends all sessions of before, and this one may
    /// have been made just after that.
    async fn is_still_right(
        &self,
        login: &str,
        user: UserId,
        checked: &SecretString,
        password: &SecretString,
    ) -> Result<bool, AuthError> {
        let Some(found) = self.store.user_by_login(login).await?.filter(|found| found.user.id == user) else {
            return Ok(false);
        };
        let is_same = found.password_hash.expose_secret() == checked.expose_secret();
        // Another hash may be of the same password: a sign-in renews one that is outdated.
        Ok(is_same || self.check(Some(&found.password_hash), password).await?.is_some())
    }

    /// Brings a stored hash up to today's parameters and form. A failure costs nothing: the old hash is
    /// still good, and the next sign-in tries again. Gives back the new one.
    async fn rehash(&self, user: UserId, stored: &SecretString, password: SecretString) -> Option<SecretString> {
        let renew = async {
            let hash = self.passwords.hash(password).await?;
            self.store.user_rehash(user, stored, hash.clone()).await?;
            Ok::<_, AuthError>(hash)
        };
        renew
            .await
            .inspect_err(|error| {
                let error = error as &dyn std::error::Error;
                tracing::warn!(%user, error, "password hash not renewed for user {user}");
            })
            .ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hashed_depends_on_what_was_typed_alone() {
        let long = "e\u{301}".repeat(PASSWORD_LENGTH.1);
        for (typed, forms) in [
            ("difference engine", vec![("difference engine", false)]),
            ("pässwörter", vec![("pässwörter", false)]),
            ("pa\u{308}sswort", vec![("pässwort", false), ("pa\u{308}sswort", true)]),
            ("a\u{a0}b", vec![("a b", false), ("a\u{a0}b", true)]),
            (&long, vec![("é".repeat(PASSWORD_LENGTH.1).as_str(), false)]),
            (&"x".repeat(PASSWORD_LENGTH.1 + 1), vec![]),
        ] {
            let of: Vec<_> = Form::of(&SecretString::from(typed))
                .map(|form| (form.password.expose_secret().to_owned(), form.is_outdated))
                .collect();
            let wanted: Vec<_> = forms.into_iter().map(|(form, is_outdated)| (form.to_owned(), is_outdated)).collect();
            assert_eq!(of, wanted, "{typed:?}");
        }
    }
}
