//! People with accounts, and the rules for their names.

use secrecy::SecretString;

use crate::{
    id::UserId,
    spelling::{check_address_spelling, check_spelling},
    time::Timestamp,
};

/// A person with an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Identifier.
    pub id: UserId,
    /// Sign-in name as the person wrote it; unique without regard to case.
    pub username: String,
    /// E-mail address; unique without regard to case.
    pub email: String,
    /// Whether this person may administer the instance.
    pub is_admin: bool,
    /// A disabled user can't sign in, and has no sessions.
    pub disabled: bool,
    /// When the account was made.
    pub created_at: Timestamp,
}

/// What a new account is made from. The caller has hashed the password.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Identifier.
    pub id: UserId,
    /// Sign-in name, checked by [`check_username`].
    pub username: String,
    /// E-mail address, checked by [`check_email`].
    pub email: String,
    /// Argon2id hash in PHC string format.
    pub password_hash: SecretString,
    /// Whether the account administers the instance.
    pub is_admin: bool,
    /// Now.
    pub created_at: Timestamp,
}

/// Shortest and longest sign-in name, in characters.
pub const USERNAME_LENGTH: (usize, usize) = (3, 64);
/// Shortest and longest password, in characters. The upper bound keeps hashing bounded.
pub const PASSWORD_LENGTH: (usize, usize) = (8, 256);
/// Longest e-mail address, in characters (RFC 5321, 4.5.3.1.3, less the angle brackets).
pub const EMAIL_LENGTH: usize = 254;

/// Says what is wrong with a sign-in name, if anything. Names are letters, digits, `_`, `-` and
/// `.`: an `@` is kept for e-mail addresses, which serve as names at sign-in.
///
/// # Errors
/// The sentence to show beside the field.
pub fn check_username(name: &str) -> Result<(), String> {
    let (least, most) = USERNAME_LENGTH;
    let length = name.chars().count();
    if length < least || length > most {
        return Err(format!("must have {least} to {most} characters"));
    }
    if !name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.')) {
        return Err("may contain letters, digits, '_', '-' and '.' only".to_owned());
    }
    check_spelling(name)
}

/// Says what is wrong with an e-mail address, if anything. Only the shape is checked: whether it
/// can be reached is for a message to find out.
///
/// # Errors
/// The sentence to show beside the field.
pub fn check_email(email: &str) -> Result<(), String> {
    let wrong = || Err("must be an e-mail address such as name@example.com".to_owned());
    if email.len() > EMAIL_LENGTH || email.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return wrong();
    }
    match email.rsplit_once('@') {
        Some((local, domain)) if !local.is_empty() && !local.contains('@') && !domain.is_empty() => {
            check_address_spelling(email)
        }
        _ => wrong(),
    }
}

/// Says what is wrong with a new password, if anything: length is the only rule (NIST SP 800-63B,
/// 3.1.1.2: no composition rules).
///
/// # Errors
/// The sentence to show beside the field.
pub fn check_password(password: &str) -> Result<(), String> {
    let (least, most) = PASSWORD_LENGTH;
    let length = password.chars().count();
    if length < least || length > most {
        return Err(format!("must have {least} to {most} characters"));
    }
    Ok(())
}

/// The form in which names and addresses are compared.
#[must_use]
pub fn normalise_login(login: &str) -> String {
    login.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_account_is_accepted() {
        assert_eq!(check_username("demo_user"), Ok(()));
        assert_eq!(check_email("demo@example.com"), Ok(()));
        assert_eq!(check_password("demo123456"), Ok(()));
    }

    #[test]
    fn bad_names_are_refused() {
        for name in ["", "ab", "a b c", "a@b.c", "né\u{202e}x", "ad\u{430}min", "ab\u{3164}", &"x".repeat(65)] {
            assert!(check_username(name).is_err(), "{name}");
        }
        for email in [
            "",
            "a",
            "@b",
            "a@",
            "a b@c",
            "a@b@c",
            "a\u{200b}@b",
            "a@ex\u{430}mple.com",
            &format!("{}@b", "x".repeat(254)),
        ] {
            assert!(check_email(email).is_err(), "{email}");
        }
        for password in ["", "1234567", &"x".repeat(257)] {
            assert!(check_password(password).is_err(), "{password}");
        }
    }
}
