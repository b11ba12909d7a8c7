//! Whether a name is what it looks like.
//!
//! Some characters can't be seen, some turn the text around them about, and letters of different scripts look alike:
//! with them somebody can take a name that people read as another one's. Unicode's security mechanisms (UTS #39) say
//! which those are.
//!
//! The rule for new names and addresses: nothing invisible, only characters that are recommended for identifiers, and
//! letters of one script, or of those that Japanese, Chinese or Korean are written in, Latin ones beside them. What it
//! does not see is a name written wholly in another script's look-alikes.

use std::borrow::Cow;

use unicode_security::{RestrictionLevel, RestrictionLevelDetection};

use crate::text::{Mark, is_invisible, mark};

/// Says what in a name can deceive, if anything.
///
/// # Errors
/// The sentence to show beside the field.
pub fn check_spelling(name: &str) -> Result<(), String> {
    if name.is_ascii() {
        return Ok(());
    }
    if name.chars().any(is_unseen) {
        return Err("must not contain invisible characters".to_owned());
    }
    // Which of ASCII's marks may stand in it, and how many points and accents a letter may have, is another rule's
    // business; they belong to the script of what they stand with.
    let counts = |c: &char| if c.is_ascii() { c.is_ascii_alphabetic() } else { mark(*c) != Some(Mark::Nonspacing) };
    let letters: String = name.chars().filter(counts).collect();
    if letters.as_str().check_restriction_level(RestrictionLevel::HighlyRestrictive) {
        Ok(())
    } else {
        Err("must be written in one script: others have letters that look the same".to_owned())
    }
}

/// The same for each part of an e-mail address by itself: what stands before the `@`, and each name of the domain.
///
/// # Errors
/// The sentence to show beside the field.
pub fn check_address_spelling(address: &str) -> Result<(), String> {
    let (local, domain) = address.rsplit_once('@').unwrap_or(("", address));
    std::iter::once(local).chain(domain.split('.')).try_for_each(check_spelling)
}

/// A text to be shown where somebody looks at names: what can't be seen, or would turn the line about, is spelled
/// out as `\u{…}`.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unseen) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unseen(c) { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

/// What leaves nothing to be seen but a space, and what is private: every program shows that otherwise.
fn is_unseen(c: char) -> bool {
    (c != ' ' && is_invisible(c)) || matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_worlds_scripts_are_fine() {
        for name in [
            "demo_user",
            "a+b.c",
            "Jörg",
            "Zoë",
            "José",
            "Łukasz",
            "Nguyễn",
            "İpek",
            "Анна",
            "Олексій",
            "Ελένη",
            "田中",
            "田中taro",
            "さくら_カナ",
            "김철수",
            "abc김",
            "王小明",
            "שרה",
            "فاطمة",
            "राम",
            "สมชาย",
            "Հայկ",
            "ანა",
        ] {
            assert_eq!(check_spelling(name), Ok(()), "{name}");
        }
        for address in ["demo@example.com", "почта@example.com", "用户@例子.广告", "o'brien+x@bücher.example"]
        {
            assert_eq!(check_address_spelling(address), Ok(()), "{address}");
        }
    }

    #[test]
    fn names_that_deceive_are_not() {
        for (name, why) in [
            ("ad\u{430}min", "one script"),
            ("\u{440}aypal", "one script"),
            ("\u{3b1}dmin", "one script"),
            ("Αdmin", "one script"),
            ("王а", "one script"),
            ("ﬁnn", "one script"),
            ("𝐚𝐝𝐦𝐢𝐧", "one script"),
            ("ad\u{200b}min", "invisible"),
            ("ad\u{200d}min", "invisible"),
            ("admin\u{202e}", "invisible"),
            ("\u{2066}admin", "invisible"),
            ("ad\u{ad}min", "invisible"),
            ("\u{3164}\u{3164}\u{3164}", "invisible"),
            ("admin\u{fe0f}", "invisible"),
            ("admin\u{e0041}", "invisible"),
            ("\u{feff}admin", "invisible"),
            ("ad\u{e000}min", "invisible"),
        ] {
            let message = check_spelling(name).unwrap_err();
            assert!(message.contains(why), "{name}: {message}");
        }
        for address in ["a@ex\u{430}mple.com", "\u{430}b@example.com", "a\u{200b}@example.com", "a@b.c\u{2060}om"] {
            assert!(check_address_spelling(address).is_err(), "{address}");
        }
    }

    #[test]
    fn what_is_shown_can_be_seen() {
        assert!(matches!(visible("Jörg 田中"), Cow::Borrowed(_)));
        assert_eq!(visible("ad\u{200b}min\u{202e}\n"), "ad\\u{200b}min\\u{202e}\\u{a}");
    }
}
