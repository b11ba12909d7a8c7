//! People with accounts, and the rules for their names.

use secrecy::SecretString;

use crate::{
    id::UserId,
    spelling::{check_address_spelling, check_spelling},
    text::{Mark, is_invisible, mark, nfc, nfkc, prepare_password},
    time::Timestamp,
};

/// A person with an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Identifier.
    pub id: UserId,
    /// Sign-in name as the person wrote it; no other has the same [`fold_login`](crate::text::fold_login).
    pub username: String,
    /// E-mail address; unique in the same way.
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
    /// Sign-in name, checked by [`check_username`], in the form of [`prepare_username`].
    pub username: String,
    /// E-mail address, checked by [`check_email`], in the form of [`prepare_email`].
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

/// Most marks on one letter: what no script needs is there to cover other people's text (UTS #39, 5.4).
const MARKS: usize = 4;

/// A name as it is kept: Form KC, whatever the keyboard made of it.
#[must_use]
pub fn prepare_username(typed: &str) -> String {
    nfkc(typed.trim()).trim().to_owned()
}

/// An address as it is kept: Form C. It is the mail system's to say which others are the same.
#[must_use]
pub fn prepare_email(typed: &str) -> String {
    nfc(typed.trim()).into_owned()
}

/// Says what is wrong with a sign-in name in the form of [`prepare_username`], if anything. Names are
/// letters of any script, with its marks, digits, `_`, `-` and `.`: an `@` is kept for e-mail
/// addresses, which serve as names at sign-in.
///
/// # Errors
/// The sentence to show beside the field.
pub fn check_username(name: &str) -> Result<(), String> {
    let (least, most) = USERNAME_LENGTH;
    let length = name.chars().count();
    if length < least || length > most {
        return Err(format!("must have {least} to {most} characters"));
    }
    // Marks that the letter before has; none where there is no letter.
    let mut marks = None;
    for c in name.chars() {
        // Some of these are called letters or marks, and nobody can see them.
        let is_allowed = !is_invisible(c)
            && match mark(c) {
                Some(kind) => match &mut marks {
                    Some(count) => {
                        *count += usize::from(kind == Mark::Nonspacing);
                        *count <= MARKS
                    }
                    None => false,
                },
                None => {
                    marks = c.is_alphanumeric().then_some(0);
                    marks.is_some() || matches!(c, '_' | '-' | '.')
                }
            };
        if !is_allowed {
            return Err("may contain letters, digits, '_', '-' and '.' only".to_owned());
        }
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
/// 3.1.1.2: no composition rules), that of the form which is hashed.
///
/// # Errors
/// The sentence to show beside the field.
pub fn check_password(password: &str) -> Result<(), String> {
    let (least, most) = PASSWORD_LENGTH;
    let length = prepare_password(password).chars().count();
    if length < least || length > most {
        return Err(format!("must have {least} to {most} characters"));
    }
    Ok(())
}

/// The spelling of a name or an address, without regard to case: what an account was found by before
/// names were compared by [`fold_login`](crate::text::fold_login), and still is before that. Of accounts
/// that have become the same, each is found by its own.
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
        for name in ["\u{301}ab", "_\u{301}ab", "ab\u{fe0f}", "a\u{3164}b", "a\u{200d}b", "ab\u{20dd}", "½ab", "ﷺ"] {
            assert!(check_username(&prepare_username(name)).is_err(), "{name:?}");
        }
        assert!(check_username(&format!("ab{}", "\u{5b0}".repeat(5))).is_err(), "too many marks");
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

    #[test]
    fn names_of_all_scripts_are_allowed() {
        for name in [
            "अनुष्का",                                              // Devanagari: vowel signs and a virama
            "สมชาย์ดี",                                             // Thai, with a thanthakhat
            "Nguye\u{302}\u{303}n",                               // Vietnamese, decomposed
            "דָּנִיֵּאל",                                              // Hebrew with points
            "مُحَمَّد",                                               // Arabic with vowels
            "தமிழ்செல்வன்",                                          // Tamil
            "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af}수", // Hangul, decomposed
            "Ａｄａ",                                             // a wide keyboard's
            "Жуковский",
            "小林さん",
        ] {
            assert_eq!(check_username(&prepare_username(name)), Ok(()), "{name}");
        }
        assert_eq!(prepare_username(" Ａｄａ\u{3000}"), "Ada");
        assert_eq!(prepare_username("Nguye\u{302}\u{303}n"), "Nguyễn");
        assert_eq!(prepare_email(" jose\u{301}@example.com "), "josé@example.com");
    }

    #[test]
    fn a_password_is_as_long_as_what_is_hashed() {
        assert!(check_password(&"e\u{301}".repeat(256)).is_ok(), "256 letters");
        assert!(check_password(&"e\u{301}".repeat(7)).is_err(), "7 letters");
    }
}
