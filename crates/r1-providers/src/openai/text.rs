//! Text out of JSON strings that may have been cut within a character.
//!
//! A server that handles text in UTF-16, as JavaScript does, can cut a character in two: `\ud83d`
//! ends one delta and `\ude00` begins the next. Each is valid JSON and half a character, which comes
//! here as WTF-8 (UTF-8 in which half a surrogate pair may stand).
//!
//! **Invariant:** what comes out is the same wherever the deltas were cut; a half whose other half
//! does not come is one U+FFFD where it stood.

/// The half that waits for its other half.
#[derive(Debug, Default)]
pub(super) struct Halves {
    high: Option<u32>,
}

impl Halves {
    /// The text of a delta, as far as it is whole.
    pub(super) fn join(&mut self, piece: Vec<u8>) -> String {
        if piece.is_empty() {
            return String::new();
        }
        let piece = match (self.high, String::from_utf8(piece)) {
            (None, Ok(whole)) => return whole,
            (Some(_), Ok(whole)) => whole.into_bytes(),
            (_, Err(broken)) => broken.into_bytes(),
        };
        let mut text = String::with_capacity(piece.len() + char::REPLACEMENT_CHARACTER.len_utf8());
        let mut rest = piece.as_slice();
        while let Some(chunk) = rest.utf8_chunks().next() {
            if !chunk.valid().is_empty() {
                self.give_up(&mut text);
                text.push_str(chunk.valid());
            }
            rest = &rest[chunk.valid().len()..];
            let Some((half, after)) = half(rest) else {
                if !chunk.invalid().is_empty() {
                    self.give_up(&mut text);
                    text.push(char::REPLACEMENT_CHARACTER);
                }
                rest = &rest[chunk.invalid().len()..];
                continue;
            };
            rest = after;
            if half < 0xdc00 {
                self.give_up(&mut text);
                self.high = Some(half);
            } else {
                let whole = self.high.take().map(|high| 0x1_0000 + ((high - 0xd800) << 10) + (half - 0xdc00));
                text.push(whole.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
        text
    }

    /// At the end of the answer: what stands for a half that waits in vain.
    pub(super) fn finish(&mut self) -> Option<String> {
        self.high.take().map(|_| char::REPLACEMENT_CHARACTER.to_string())
    }

    fn give_up(&mut self, text: &mut String) {
        if self.high.take().is_some() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

/// The surrogate at the front, and what is behind it.
fn half(bytes: &[u8]) -> Option<(u32, &[u8])> {
    match bytes {
        [0xed, second @ 0xa0..=0xbf, third @ 0x80..=0xbf, rest @ ..] => {
            Some((0xd000 | u32::from(second & 0x3f) << 6 | u32::from(third & 0x3f), rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wtf8(unit: u16) -> Vec<u8> {
        let byte = |bits: u16| u8::try_from(bits).unwrap();
        vec![0xed, byte(0x80 | (unit >> 6) & 0x3f), byte(0x80 | unit & 0x3f)]
    }

    fn joined(pieces: &[&[u8]]) -> String {
        let mut halves = Halves::default();
        let mut text: String = pieces.iter().map(|piece| halves.join(piece.to_vec())).collect();
        text.push_str(&halves.finish().unwrap_or_default());
        text
    }

    #[test]
    fn halves_find_each_other() {
        let (high, low) = (wtf8(0xd83d), wtf8(0xde00));
        assert_eq!(joined(&[b"a", &high, &low, b"b"]), "a😀b");
        assert_eq!(joined(&[&high, b"", &low]), "😀", "an empty delta between them");
        assert_eq!(joined(&[&[&b"a"[..], &high].concat(), &[&low[..], b"b"].concat()]), "a😀b");
        assert_eq!(joined(&[&high]), "\u{fffd}");
        assert_eq!(joined(&[&high, b"a"]), "\u{fffd}a");
        assert_eq!(joined(&[&low, b"a", &low]), "\u{fffd}a\u{fffd}");
        assert_eq!(joined(&[&high, &high, &low]), "\u{fffd}😀");
        assert_eq!(joined(&["ä€😀".as_bytes()]), "ä€😀");
        assert_eq!(joined(&[b"a\xffb"]), "a\u{fffd}b");
    }

    proptest! {
        /// The standard library's own reading of UTF-16 is what it must come to.
        #[test]
        fn it_is_utf_16_whatever_the_cuts(
            units in proptest::collection::vec(prop_oneof![Just(0xd83d), Just(0xde00), Just(0x61), Just(0xe4)], 0..12),
            size in 1usize..5,
        ) {
            let piece = |units: &[u16]| -> Vec<u8> {
                let decoded = char::decode_utf16(units.iter().copied());
                decoded.flat_map(|unit| match unit {
                    Ok(whole) => whole.to_string().into_bytes(),
                    Err(lone) => wtf8(lone.unpaired_surrogate()),
                }).collect()
            };
            let pieces: Vec<_> = units.chunks(size).map(piece).collect();
            let pieces: Vec<_> = pieces.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(joined(&pieces), String::from_utf16_lossy(&units));
        }
    }
}
