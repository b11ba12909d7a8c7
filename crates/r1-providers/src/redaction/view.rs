//! Readings of a line: as it stands, and as whoever undoes its escapes would see it.

/// A character of a reading, and where in the line it comes from, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Glyph {
    pub(super) char: char,
    pub(super) from: usize,
    pub(super) to: usize,
}

/// Whether nobody sees it: format characters, the marks that join or turn others, variation selectors.
pub(super) const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// The line as it stands.
pub(super) fn of(line: &str) -> Vec<Glyph> {
    line.char_indices().map(|(from, char)| Glyph { char, from, to: from + char.len_utf8() }).collect()
}

/// One layer of escapes undone: percent signs, those of JSON, C and shells, of HTML. None where there was none.
pub(super) fn unescaped(glyphs: &[Glyph]) -> Option<Vec<Glyph>> {
    let mut read = Vec::with_capacity(glyphs.len());
    let mut rest = glyphs;
    while let Some(first) = rest.first() {
        let (char, taken) = escape(rest).unwrap_or((first.char, 1));
        let (these, after) = rest.split_at(taken);
        read.push(Glyph { char, from: first.from, to: these.last().map_or(first.to, |last| last.to) });
        rest = after;
    }
    (read.len() < glyphs.len()).then_some(read)
}

/// What an escape stands for that begins here, and how long it is.
fn escape(glyphs: &[Glyph]) -> Option<(char, usize)> {
    let at = |i: usize| glyphs.get(i).map(|glyph| glyph.char);
    match (at(0)?, at(1)?) {
        ('%', _) => number(glyphs, 1, 2, 16),
        ('\\', 'x') => number(glyphs, 2, 2, 16),
        ('\\', 'u') if at(2) == Some('{') => {
            let digits = glyphs.get(3..)?.iter().position(|glyph| glyph.char == '}').filter(|digits| *digits <= 6)?;
            number(glyphs, 3, digits, 16).map(|(char, taken)| (char, taken + 1))
        }
        ('\\', 'u') => number(glyphs, 2, 4, 16),
        ('\\', 'U') => number(glyphs, 2, 8, 16),
        ('\\', '0'..='3') => number(glyphs, 1, 3, 8),
        ('\\', 'n' | 'r' | 't') => Some((' ', 2)),
        ('\\', char) if char.is_ascii_punctuation() => Some((char, 2)),
        ('&', _) => entity(glyphs),
        _ => None,
    }
}

/// The character whose number stands in this many digits from `from` on.
fn number(glyphs: &[Glyph], from: usize, digits: usize, radix: u32) -> Option<(char, usize)> {
    let digits = glyphs.get(from..from + digits).filter(|digits| !digits.is_empty())?;
    let value = digits
        .iter()
        .try_fold(0u32, |value, glyph| value.checked_mul(radix)?.checked_add(glyph.char.to_digit(radix)?))?;
    Some((char::from_u32(value)?, from + digits.len()))
}

/// `&#107;`, `&#x6b;`, `&amp;`
fn entity(glyphs: &[Glyph]) -> Option<(char, usize)> {
    let end = glyphs.iter().take(10).position(|glyph| glyph.char == ';')?;
    let name: String = glyphs.get(1..end)?.iter().map(|glyph| glyph.char.to_ascii_lowercase()).collect();
    let char = match (name.as_str(), name.strip_prefix("#x"), name.strip_prefix('#')) {
        ("amp", ..) => '&',
        ("lt", ..) => '<',
        ("gt", ..) => '>',
        ("quot", ..) => '"',
        ("apos", ..) => '\'',
        (_, Some(hex), _) => char::from_u32(u32::from_str_radix(hex, 16).ok()?)?,
        (_, None, Some(decimal)) => char::from_u32(decimal.parse().ok()?)?,
        _ => return None,
    };
    Some((char, end + 1))
}
