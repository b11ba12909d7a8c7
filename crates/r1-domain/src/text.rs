//! Text as people type it: what is the same, what is nothing at all, and where it may be cut.
//!
//! Keyboards and systems write one word with different characters: an é is one of them or two, a
//! Japanese keyboard types wide Latin letters, an old system knows its own signs for Å and K. Here is
//! which of them count as the same. Names follow Unicode's compatibility caseless match, passwords the
//! mappings of PRECIS' `OpaqueString`.
//!
//! **Invariant:** each of these forms is its own form, and which form a text has depends on the text alone.

use std::borrow::Cow;

use icu_casemap::CaseMapper;
use icu_normalizer::{ComposingNormalizer, DecomposingNormalizer};
use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{DefaultIgnorableCodePoint, GeneralCategory},
};
use unicode_segmentation::UnicodeSegmentation;

/// What marks that something was cut off.
pub const ELLIPSIS: char = '…';

/// Normalization Form C: the same characters, in one spelling.
#[must_use]
pub fn nfc(text: &str) -> Cow<'_, str> {
    ComposingNormalizer::new_nfc().normalize(text)
}

/// Normalization Form KC: wide, narrow and ligated letters become the plain ones too.
#[must_use]
pub fn nfkc(text: &str) -> Cow<'_, str> {
    ComposingNormalizer::new_nfkc().normalize(text)
}

/// The form in which names and addresses are the same for everybody: without regard to case, spelling
/// and invisible characters (Unicode, D146: a compatibility caseless match; UAX #31, 5.3). Of an
/// address, the domain has its own rules (UTS #46): some browsers write `exämple.com` as
/// `xn--exmple-cua.com`.
///
/// `fold_login(text)` equals `fold_login(&text.to_lowercase())`.
#[must_use]
pub fn fold_login(login: &str) -> String {
    // Lower case first: what is compared may have been stored in it.
    let lower = login.trim().to_lowercase();
    if lower.is_ascii() && !lower.contains("xn--") {
        return lower;
    }
    let folded = fold(&lower);
    let Some((local, _)) = folded.rsplit_once('@') else { return folded };
    // Not the folded one: a domain with ß is another than that with ss.
    let plain = nfkc(&lower);
    let domain = plain.rsplit_once('@').map_or("", |(_, domain)| domain);
    match idna::domain_to_unicode(domain) {
        (domain, Ok(())) => format!("{local}@{domain}"),
        (_, Err(_)) => folded,
    }
}

fn fold(lower: &str) -> String {
    let case = CaseMapper::new();
    let decomposed = DecomposingNormalizer::new_nfd().normalize(lower);
    let once = case.fold_string(&decomposed);
    let once = nfkc(&once);
    let twice = case.fold_string(&once);
    let visible: String = twice.chars().filter(|c| !is_default_ignorable(*c)).collect();
    nfkc(&visible).trim().to_owned()
}

/// The form in which a password is hashed: RFC 8265, 4.2.2, the mappings. Every kind of space is the
/// plain one, and the spelling is Form C. Nothing else is changed and nothing refused: case, width and
/// invisible characters are the person's own.
#[must_use]
pub fn prepare_password(password: &str) -> Cow<'_, str> {
    if password.is_ascii() {
        return Cow::Borrowed(password);
    }
    let category = CodePointMapData::<GeneralCategory>::new();
    let is_other_space = |c: char| c != ' ' && category.get(c) == GeneralCategory::SpaceSeparator;
    if password.contains(is_other_space) {
        Cow::Owned(nfc(&password.replace(is_other_space, " ")).into_owned())
    } else {
        nfc(password)
    }
}

/// What becomes of a letter that stands before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It is written above, below or within the letter.
    Nonspacing,
    /// It takes a place of its own.
    Spacing,
}

/// Whether this is a combining mark of a script: a vowel sign, an accent, a point.
#[must_use]
pub fn mark(c: char) -> Option<Mark> {
    match CodePointMapData::<GeneralCategory>::new().get(c) {
        GeneralCategory::NonspacingMark => Some(Mark::Nonspacing),
        GeneralCategory::SpacingMark => Some(Mark::Spacing),
        _ => None,
    }
}

fn is_default_ignorable(c: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

/// Whether a character leaves nothing to be seen: white space, control and format characters, fillers.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    match c {
        // The common case first.
        '!'..='~' => false,
        // Drawn as nothing, though Unicode does not call them ignorable: an empty cell of Braille, an empty
        // head of a note, a filler of Khitan, annotation marks.
        '\u{2800}' | '\u{1d159}' | '\u{16fe4}' | '\u{fff9}'..='\u{fffb}' => true,
        c => c.is_whitespace() || c.is_control() || is_default_ignorable(c),
    }
}

/// Whether there is nothing in a text that could be seen.
#[must_use]
pub fn is_blank(text: &str) -> bool {
    text.chars().all(is_invisible)
}

/// The beginning of a text that has at most this many characters, cut between two characters as people
/// see them (grapheme clusters). One that is longer than that all by itself is cut within.
#[must_use]
pub fn prefix(text: &str, most_chars: usize) -> &str {
    let (mut chars, mut end) = (0, 0);
    for cluster in text.graphemes(true) {
        chars += cluster.chars().count();
        if chars > most_chars {
            break;
        }
        end += cluster.len();
    }
    if end == 0 && most_chars > 0 {
        end = text.char_indices().nth(most_chars).map_or(text.len(), |(at, _)| at);
    }
    &text[..end]
}

#[cfg(test)]
mod tests;
