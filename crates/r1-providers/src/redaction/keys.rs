//! Where in a reading there is a piece of a key.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    ops::Range,
};

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

use super::view::{self, Glyph, is_invisible};

/// Characters of a key that are a piece of it.
const PIECE: usize = 8;
/// As many of them as a piece of a key fills whole in base64, wherever in the encoded bytes it stands.
const BASE64_PIECE: usize = 9;
/// Digits of a piece in hexadecimal.
const HEX_PIECE: usize = 2 * PIECE;
/// The longest spelling of a key that is shorter than a piece: in hexadecimal.
const LONGEST_SHORT: usize = 2 * (PIECE - 1);

/// Fingerprints of all pieces of all keys, by the spelling that they are found in, without regard to capitals.
#[derive(Default)]
pub(super) struct Keys {
    hasher: RandomState,
    plain: HashSet<u64>,
    base64: HashSet<u64>,
    hex: HashSet<u64>,
    /// Whole keys that are shorter than a piece, found as words of their own.
    short: HashSet<u64>,
}

impl Keys {
    /// Hides this one from now on, as it stands and with its escapes undone.
    pub(super) fn add(&mut self, secret: &str) {
        let glyphs = view::of(secret);
        let unescaped = view::unescaped(&glyphs);
        for glyphs in [Some(glyphs), unescaped].into_iter().flatten() {
            let key: String = glyphs.iter().map(|glyph| glyph.char).filter(|c| is_seen(*c)).collect();
            if !key.is_empty() {
                self.add_key(&key);
            }
        }
    }

    fn add_key(&mut self, key: &str) {
        let spellings = [key.to_owned(), key.to_lowercase(), key.to_uppercase()];
        if key.chars().count() < PIECE {
            self.add_short(key, &spellings);
            return;
        }
        let plain: Vec<char> = folded(key).collect();
        let reversed: Vec<char> = plain.iter().rev().copied().collect();
        for spelling in [plain, reversed] {
            insert(&self.hasher, &mut self.plain, &spelling, PIECE);
        }
        for spelling in spellings {
            self.add_hex(&hex(spelling.as_bytes()));
            // What stands before it in the encoded bytes moves it by none, one or two bytes.
            for moved in 0..3 {
                let bytes = [&[0; 2][..moved], spelling.as_bytes()].concat();
                let (whole, from) = (bytes.len() * 8 / 6, (moved * 8).div_ceil(6));
                let encoded: Vec<char> = folded(&STANDARD_NO_PAD.encode(&bytes)).collect();
                insert(&self.hasher, &mut self.base64, encoded.get(from..whole).unwrap_or_default(), BASE64_PIECE);
            }
        }
    }

    /// By whole bytes: a letter before it in the text may look like half of one.
    fn add_hex(&mut self, digits: &[char]) {
        self.hex.extend(digits.windows(HEX_PIECE).step_by(2).map(|piece| self.hasher.hash_one(piece)));
    }

    fn add_short(&mut self, key: &str, spellings: &[String]) {
        let encoded =
            spellings.iter().flat_map(|key| [STANDARD_NO_PAD.encode(key), hex(key.as_bytes()).iter().collect()]);
        // Encoded, a key of one or two letters looks like any word.
        let encoded = encoded.filter(|_| key.len() > 2).collect::<Vec<String>>();
        for word in encoded.iter().map(String::as_str).chain([key]) {
            let word: Vec<char> = folded(word).collect();
            self.short.insert(self.hasher.hash_one(&word[..]));
        }
    }

    /// Adds all places where there is a piece of a key.
    pub(super) fn find(&self, glyphs: &[Glyph], spans: &mut Vec<Range<usize>>) {
        let seen: Vec<Glyph> = glyphs.iter().copied().filter(|glyph| is_seen(glyph.char)).map(fold).collect();
        self.pieces(&seen, &self.plain, PIECE, spans);
        let base64: Vec<Glyph> = seen.iter().copied().map(standard).collect();
        let known = spans.len();
        self.pieces(&base64, &self.base64, BASE64_PIECE, spans);
        // Half of what a letter says stands in the one beside it.
        for place in &mut spans[known..] {
            *place = encoded_word(&base64, place);
        }
        self.pieces(&hex_digits(&seen), &self.hex, HEX_PIECE, spans);
        if !self.short.is_empty() {
            let words: Vec<Glyph> = glyphs.iter().copied().map(fold).collect();
            self.words(&words, spans);
        }
    }

    fn pieces(&self, glyphs: &[Glyph], known: &HashSet<u64>, size: usize, spans: &mut Vec<Range<usize>>) {
        let chars: Vec<char> = glyphs.iter().map(|glyph| glyph.char).collect();
        for (piece, place) in chars.windows(size).zip(glyphs.windows(size)) {
            if known.contains(&self.hasher.hash_one(piece)) {
                spans.extend(span(place));
            }
        }
    }

    fn words(&self, glyphs: &[Glyph], spans: &mut Vec<Range<usize>>) {
        let is_inner =
            |at: Option<usize>| at.and_then(|at| glyphs.get(at)).is_some_and(|glyph| glyph.char.is_alphanumeric());
        let chars: Vec<char> = glyphs.iter().map(|glyph| glyph.char).collect();
        for from in 0..glyphs.len() {
            if is_inner(from.checked_sub(1)) {
                continue;
            }
            for to in from + 1..=(from + LONGEST_SHORT).min(glyphs.len()) {
                if !is_inner(Some(to)) && self.short.contains(&self.hasher.hash_one(&chars[from..to])) {
                    spans.extend(span(&glyphs[from..to]));
                }
            }
        }
    }
}

fn insert(hasher: &RandomState, into: &mut HashSet<u64>, spelling: &[char], size: usize) {
    into.extend(spelling.windows(size).map(|piece| hasher.hash_one(piece)));
}

fn span(glyphs: &[Glyph]) -> Option<Range<usize>> {
    let start = glyphs.iter().map(|glyph| glyph.from).min()?;
    let end = glyphs.iter().map(|glyph| glyph.to).max()?;
    Some(start..end)
}

/// White space breaks no key: lines are wrapped anywhere.
fn is_seen(c: char) -> bool {
    !c.is_whitespace() && !is_invisible(c)
}

fn folded(text: &str) -> impl Iterator<Item = char> {
    text.chars().map(|c| c.to_lowercase().next().unwrap_or(c))
}

fn fold(glyph: Glyph) -> Glyph {
    Glyph { char: glyph.char.to_lowercase().next().unwrap_or(glyph.char), ..glyph }
}

/// All that is encoded without a break around this place.
fn encoded_word(glyphs: &[Glyph], place: &Range<usize>) -> Range<usize> {
    let is_letter = |glyph: &Glyph| glyph.char.is_ascii_alphanumeric() || matches!(glyph.char, '+' | '/');
    let mut whole = place.clone();
    let first = glyphs.partition_point(|glyph| glyph.from < place.start);
    for glyph in glyphs[..first].iter().rev().take_while(|glyph| is_letter(glyph)) {
        if glyph.to != whole.start {
            break;
        }
        whole.start = glyph.from;
    }
    let after = glyphs.partition_point(|glyph| glyph.from < place.end);
    for glyph in glyphs[after..].iter().take_while(|glyph| is_letter(glyph) || glyph.char == '=') {
        if glyph.from != whole.end {
            break;
        }
        whole.end = glyph.to;
    }
    whole
}

/// The alphabet of base64 for URLs as the other one.
fn standard(glyph: Glyph) -> Glyph {
    let char = match glyph.char {
        '-' => '+',
        '_' => '/',
        char => char,
    };
    Glyph { char, ..glyph }
}

/// Hexadecimal digits alone, whatever separates them: `73 6b`, `73:6b`, `0x73, 0x6b`.
fn hex_digits(glyphs: &[Glyph]) -> Vec<Glyph> {
    let next = glyphs.get(1..).unwrap_or_default().iter().map(|glyph| glyph.char).chain(['\0']);
    let digits = glyphs.iter().zip(next).filter(|(glyph, next)| glyph.char.is_ascii_hexdigit() && *next != 'x');
    digits.map(|(glyph, _)| *glyph).collect()
}

fn hex(bytes: &[u8]) -> Vec<char> {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}
