//! Unsigned LEB128: seven bits a byte, the lowest first, the top bit says that more follow (DWARF 5,
//! 7.6). Small numbers take one byte.

/// Appends a number.
pub fn push_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number as u8 & 0x7f) | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// How many bytes [`push_number`] appends.
#[must_use]
pub const fn number_len(number: u64) -> usize {
    // Zero takes a byte like one.
    (u64::BITS - (number | 1).leading_zeros()).div_ceil(7) as usize
}

/// Takes a number off the front. None if the bytes end within it, or it is longer than any that
/// [`push_number`] makes for a length or a sequence number (63 bits).
#[must_use]
pub fn take_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0u64;
    for (i, byte) in bytes.iter().enumerate().take(9) {
        number |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((number, bytes.get(i + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_change_at_the_right_numbers() {
        for (number, length) in [(0, 1), (1, 1), (0x7f, 1), (0x80, 2), (0x3fff, 2), (0x4000, 3), (u64::MAX >> 1, 9)] {
            assert_eq!(number_len(number), length, "{number:#x}");
        }
    }

    proptest! {
        #[test]
        fn numbers_survive_a_round_trip(number in 0..1u64 << 63, rest in proptest::collection::vec(any::<u8>(), 0..4)) {
            let mut bytes = Vec::new();
            push_number(&mut bytes, number);
            let whole = bytes.len();
            prop_assert_eq!(number_len(number), whole);
            for cut in 0..whole {
                prop_assert_eq!(take_number(&bytes[..cut]), None);
            }
            bytes.extend_from_slice(&rest);
            prop_assert_eq!(take_number(&bytes), Some((number, &rest[..])));
        }
    }
}
