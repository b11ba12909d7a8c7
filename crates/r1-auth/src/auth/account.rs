//! Accounts: made by a registration or by the administrator, disabled and enabled.

use std::net::IpAddr;

use r1_domain::{
    id::UserId,
    text::prepare_password,
    user::{NewUser, User, check_email, check_password, check_username, prepare_email, prepare_username},
};
use secrecy::{ExposeSecret, SecretString};

use super::Auth;
use crate::{
    error::{AuthError, FieldError},
    setup,
};

/// A form for a new account, as it was filled in.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Sign-in name.
    pub username: String,
    /// E-mail address.
    pub email: String,
    /// Password.
    pub password: SecretString,
}

impl Registration {
    /// In the forms in which an account is kept, whatever the system that it was typed on; or all faulty
    /// fields at once.
    fn prepared(self) -> Result<Self, AuthError> {
        let (username, email) = (prepare_username(&self.username), prepare_email(&self.email));
        let checks = [
            ("username", check_username(&username)),
            ("email", check_email(&email)),
            ("password", check_password(self.password.expose_secret())),
        ];
        let faults: Vec<FieldError> = checks
            .into_iter()
            .filter_map(|(field, check)| check.err().map(|message| FieldError { field, message }))
            .collect();
        if !faults.is_empty() {
            return Err(AuthError::Invalid(faults));
        }
        let password = SecretString::from(prepare_password(self.password.expose_secret()).as_ref());
        Ok(Self { username, email, password })
    }
}

impl Auth {
    /// Makes an account for whoever filled in the form; with the setup code, the first
    /// administrator's.
    ///
    /// # Errors
    /// [`AuthError::Invalid`], [`AuthError::RegistrationClosed`], [`AuthError::SetupCode`],
    /// [`AuthError::Taken`], [`AuthError::Limited`], [`AuthError::Overloaded`],
    /// [`AuthError::Store`], [`AuthError::Internal`].
    pub async fn register(
        &self,
        registration: Registration,
        setup_code: Option<&str>,
        address: Option<IpAddr>,
    ) -> Result<User, AuthError> {
        let registration = registration.prepared()?;
        let setup_code = match setup_code.map(str::trim).filter(|code| !code.is_empty()) {
            Some(code) => Some(setup::hash(code).ok_or(AuthError::SetupCode)?),
            None => None,
        };
        if setup_code.is_none() && !self.config.registration_open {
            return Err(AuthError::RegistrationClosed);
        }
        if let Some(attempts) = self.attempts() {
            attempts
                .registration(address, self.clock.monotonic())
                .map_err(|retry_after| AuthError::Limited { retry_after })?;
        }
        let is_admin = setup_code.is_some();
        let user = self.new_user(registration, is_admin).await?;
        Ok(self.store.user_create(user, setup_code).await?)
    }

    /// Makes an account by the administrator's word: for the command line, past closed
    /// registration and limits.
    ///
    /// # Errors
    /// [`AuthError::Invalid`], [`AuthError::Taken`], [`AuthError::Store`],
    /// [`AuthError::Internal`].
    pub async fn add_user(&self, registration: Registration, is_admin: bool) -> Result<User, AuthError> {
        let registration = registration.prepared()?;
        let user = self.new_user(registration, is_admin).await?;
        Ok(self.store.user_create(user, None).await?)
    }

    async fn new_user(&self, registration: Registration, is_admin: bool) -> Result<NewUser, AuthError> {
        let Registration { username, email, password } = registration;
        // Before the work of hashing, and again by the store's unique index.
        for (field, value) in [("username", &username), ("email", &email)] {
            if self.store.user_by_login(value).await?.is_some() {
                return Err(AuthError::Taken { field });
            }
        }
        let password_hash = self.passwords.hash(password).await?;
        let now = self.clock.now();
        Ok(NewUser { id: UserId::new(now), username, email, password_hash, is_admin, created_at: now })
    }

    /// Disables an account and ends its sessions (here at once, on other nodes within five
    /// seconds), or enables it.
    ///
    /// # Errors
    /// [`AuthError::Store`], with `NotFound` for an unknown name.
    pub async fn set_disabled(&self, login: &str, disabled: bool) -> Result<User, AuthError> {
        let now = self.clock.now();
        let user = self.store.user_set_disabled(login, disabled, now).await?;
        self.cache.end_all(user.id);
        if disabled {
            self.watches.end_user(user.id);
        }
        Ok(user)
    }
}
