//! The tokens that a chunk of text stands for, as a log keeps them: for a model that can go on from
//! exactly there, which its text alone does not say.
//!
//! A length in bytes (LEB128), then each id (LEB128): two to three bytes a token with the
//! vocabularies of today.

use crate::leb128::{number_len, push_number, take_number};

/// Token ids in their stored form; nothing of them has been looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenIds<'a>(&'a [u8]);

/// Appends ids, after how many bytes they take.
pub(crate) fn push_ids(out: &mut Vec<u8>, ids: &[u32]) {
    push_number(out, bytes_of(ids));
    ids.iter().for_each(|id| push_number(out, u64::from(*id)));
}

/// How many bytes [`push_ids`] appends.
pub(crate) fn ids_len(ids: &[u32]) -> usize {
    let bytes = bytes_of(ids);
    number_len(bytes) + bytes as usize
}

fn bytes_of(ids: &[u32]) -> u64 {
    ids.iter().map(|id| number_len(u64::from(*id)) as u64).sum()
}

impl<'a> TokenIds<'a> {
    /// Takes ids off the front. None if the bytes end within them.
    pub(crate) fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (length, rest) = take_number(bytes)?;
        let (ids, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        Some((Self(ids), rest))
    }

    /// The ids; none if that is not what the bytes are, so that nobody goes on from half of them.
    #[must_use]
    pub fn read(self) -> Option<Vec<u32>> {
        let (mut ids, mut rest) = (Vec::with_capacity(self.0.len().div_ceil(2)), self.0);
        while !rest.is_empty() {
            let (id, after) = take_number(rest)?;
            ids.push(u32::try_from(id).ok()?);
            rest = after;
        }
        Some(ids)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ids_survive_a_round_trip(
            ids in proptest::collection::vec(any::<u32>(), 0..40),
            text in proptest::collection::vec(any::<u8>(), 0..9),
        ) {
            let mut bytes = Vec::new();
            push_ids(&mut bytes, &ids);
            let head = bytes.len();
            prop_assert_eq!(ids_len(&ids), head);
            bytes.extend_from_slice(&text);
            let (read, rest) = TokenIds::split(&bytes).unwrap();
            prop_assert_eq!((read.read().unwrap(), rest), (ids, &text[..]));
            for cut in 0..head {
                prop_assert_eq!(TokenIds::split(&bytes[..cut]), None);
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = TokenIds(&bytes).read();
            if let Some((ids, _)) = TokenIds::split(&bytes) {
                let _ = ids.read();
            }
        }
    }

    #[test]
    fn half_a_token_is_none() {
        assert_eq!(TokenIds(&[5, 0x80]).read(), None, "an id that goes on");
        assert_eq!(TokenIds(&[0x80, 0x80, 0x80, 0x80, 0x10]).read(), None, "2^32");
    }
}
