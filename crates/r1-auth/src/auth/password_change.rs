//! Passwords that are changed: by their owner, who knows the present one, or by an administrator.
//!
//! **Invariant:** a changed password ends every session that was opened with the one before, but for that of
//! whoever changed it.

use std::net::IpAddr;

use r1_domain::{
    accounts::NewPassword,
    id::{SessionId, UserId},
    session::Session,
    text::prepare_password,
    user::check_password,
};
use secrecy::{ExposeSecret, SecretString};

use super::Auth;
use crate::{
    attempts::Target,
    error::{AuthError, FieldError},
};

/// How a form names the two passwords.
const PRESENT: &str = "current_password";
const NEW: &str = "new_password";

impl Auth {
    /// Changes the password of whoever has this session, which goes on; all their others end, here at once, on
    /// other nodes within five seconds. A wrong present password counts as a failed sign-in.
    ///
    /// # Errors
    /// [`AuthError::Invalid`], [`AuthError::Limited`], [`AuthError::SessionEnded`],
    /// [`AuthError::Overloaded`], [`AuthError::Store`], [`AuthError::Internal`].
    pub async fn change_password(
        &self,
        session: &Session,
        present: SecretString,
        new: SecretString,
        address: Option<IpAddr>,
    ) -> Result<(), AuthError> {
        check(&new)?;
        let user = &session.user;
        let change = self.counted_at(Target::Account(user.id), self.try_change(session, &present, new));
        match self.counted_from(address, change).await.inspect_err(|error| self.count_failure(error, true)) {
            Err(AuthError::BadCredentials) => Err(invalid(PRESENT, "is not your present password")),
            changed => changed,
        }
    }

    async fn try_change(&self, session: &Session, present: &SecretString, new: SecretString) -> Result<(), AuthError> {
        let found = self.store.user_by_login(&session.user.username).await?;
        let found = found.filter(|found| found.user.id == session.user.id).ok_or(AuthError::SessionEnded)?;
        if self.check(Some(&found.password_hash), present).await?.is_none() {
            return Err(AuthError::BadCredentials);
        }
        // The session may have ended while that was being found out.
        let is_live = self.store.session_get(session.id, self.clock.now()).await?.is_some();
        if !is_live {
            return Err(AuthError::SessionEnded);
        }
        let is_changed = self.replace(session.user.id, Some(found.password_hash), new, Some(session.id)).await?;
        // Of two changes at once the second knew a password that is none any more.
        if is_changed { Ok(()) } else { Err(AuthError::BadCredentials) }
    }

    /// Gives an account another password by the administrator's word, and ends all its sessions, here at once,
    /// on other nodes within five seconds.
    ///
    /// # Errors
    /// [`AuthError::Invalid`], [`AuthError::Store`], with `NotFound` for an unknown account,
    /// [`AuthError::Internal`].
    pub async fn set_password(&self, user: UserId, new: SecretString) -> Result<(), AuthError> {
        check(&new)?;
        self.replace(user, None, new, None).await.map(drop)
    }

    /// Ends all sessions of an account: the same way. Gives back how many there were.
    ///
    /// # Errors
    /// [`AuthError::Store`], with `NotFound` for an unknown account.
    pub async fn sign_out(&self, user: UserId) -> Result<usize, AuthError> {
        let ended = self.store.account_end_sessions(user, self.clock.now()).await?;
        ended.iter().for_each(|session| self.ended(*session));
        Ok(ended.len())
    }

    /// False where the present hash is another one than was expected.
    async fn replace(
        &self,
        user: UserId,
        expected: Option<SecretString>,
        new: SecretString,
        kept: Option<SessionId>,
    ) -> Result<bool, AuthError> {
        let prepared = SecretString::from(prepare_password(new.expose_secret()).as_ref());
        let hash = self.passwords.hash(prepared).await?;
        let password = NewPassword { user, expected, hash, kept, now: self.clock.now() };
        let Some(ended) = self.store.account_set_password(password).await? else { return Ok(false) };
        ended.iter().for_each(|session| self.ended(*session));
        Ok(true)
    }
}

fn check(new: &SecretString) -> Result<(), AuthError> {
    check_password(new.expose_secret()).map_err(|message| invalid(NEW, &message))
}

fn invalid(field: &'static str, message: &str) -> AuthError {
    AuthError::Invalid(vec![FieldError { field, message: message.to_owned() }])
}
