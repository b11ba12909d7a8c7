//! Merging a word's bytes by rank.
//!
//! The candidates wait in a heap and the word is a linked list, so a word of n bytes takes
//! n log n steps: a hostile 100 kB "word" is as cheap per byte as prose.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::error::LoadError;

/// The printable stand-ins that byte-level vocabularies write for bytes.
pub(super) fn alphabet() -> HashMap<char, u8> {
    let mut stand_ins = HashMap::with_capacity(256);
    let mut next = 256u32;
    for byte in 0..=255u8 {
        let printable = matches!(byte, 33..=126 | 161..=172 | 174..=255);
        let code = if printable {
            u32::from(byte)
        } else {
            next += 1;
            next - 1
        };
        if let Some(stand_in) = char::from_u32(code) {
            stand_ins.insert(stand_in, byte);
        }
    }
    stand_ins
}

/// A token's bytes; characters outside the alphabet stand for themselves.
pub(super) fn to_bytes(alphabet: &HashMap<char, u8>, token: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(token.len());
    for char in token.chars() {
        match alphabet.get(&char) {
            Some(byte) => bytes.push(*byte),
            None => bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// Stands for a byte that the vocabulary has no token for, as happens to rare control characters.
/// It merges with nothing and is left out of the result.
const ABSENT: u32 = u32::MAX;

/// The merge rules.
#[derive(Debug)]
pub(super) struct Merges {
    /// The token of every single byte.
    bytes: [u32; 256],
    /// Two tokens to the rule's rank and the token they become.
    rules: HashMap<(u32, u32), (u32, u32)>,
}

/// A token of the word being merged; a merged-away one has no length.
#[derive(Debug, Clone, Copy)]
struct Link {
    id: u32,
    alive: bool,
    previous: usize,
    next: usize,
}

const NONE: usize = usize::MAX;

/// A possible merge: lowest rank first, then leftmost.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    rank: u32,
    left: usize,
    right: usize,
    ids: (u32, u32),
    merged: u32,
}

impl Merges {
    pub(super) fn new(
        alphabet: &HashMap<char, u8>,
        vocabulary: &HashMap<Vec<u8>, u32>,
        merges: &[&str],
    ) -> Result<Self, LoadError> {
        let byte_id = |byte| vocabulary.get(&[byte][..]).copied().unwrap_or(ABSENT);
        let mut bytes = [ABSENT; 256];
        for (byte, id) in (0..=255).zip(&mut bytes) {
            *id = byte_id(byte);
        }
        let mut rules = HashMap::with_capacity(merges.len());
        for (rank, merge) in (0u32..).zip(merges) {
            let (left, right) =
                merge.split_once(' ').ok_or_else(|| LoadError::malformed("a merge that is not a pair"))?;
            let (left, right) = (to_bytes(alphabet, left), to_bytes(alphabet, right));
            let merged = [left.as_slice(), right.as_slice()].concat();
            let ids = (vocabulary.get(&left), vocabulary.get(&right), vocabulary.get(&merged));
            if let (Some(left), Some(right), Some(merged)) = ids {
                rules.entry((*left, *right)).or_insert((rank, *merged));
            }
        }
        Ok(Self { bytes, rules })
    }

    /// Appends the tokens of one word.
    pub(super) fn encode(&self, word: &[u8], out: &mut Vec<u32>) {
        if let [byte] = word {
            out.extend(Some(self.bytes[usize::from(*byte)]).filter(|id| *id != ABSENT));
            return;
        }
        let last = word.len().wrapping_sub(1);
        let mut links: Vec<Link> = word
            .iter()
            .enumerate()
            .map(|(i, byte)| Link {
                id: self.bytes[usize::from(*byte)],
                alive: true,
                previous: i.wrapping_sub(1),
                next: if i == last { NONE } else { i + 1 },
            })
            .collect();
        let mut heap: BinaryHeap<Reverse<Candidate>> =
            (1..links.len()).filter_map(|right| self.candidate(&links, right - 1, right)).collect();
        while let Some(Reverse(merge)) = heap.pop() {
            let (left, right) = (links[merge.left], links[merge.right]);
            let current = left.alive && right.alive && left.next == merge.right;
            if !current || (left.id, right.id) != merge.ids {
                continue;
            }
            links[merge.right].alive = false;
            links[merge.left].id = merge.merged;
            links[merge.left].next = right.next;
            if right.next != NONE {
                links[right.next].previous = merge.left;
                heap.extend(self.candidate(&links, merge.left, right.next));
            }
            if left.previous != NONE {
                heap.extend(self.candidate(&links, left.previous, merge.left));
            }
        }
        out.extend(links.iter().filter(|link| link.alive && link.id != ABSENT).map(|link| link.id));
    }

    fn candidate(&self, links: &[Link], left: usize, right: usize) -> Option<Reverse<Candidate>> {
        let ids = (links[left].id, links[right].id);
        let (rank, merged) = *self.rules.get(&ids)?;
        Some(Reverse(Candidate { rank, left, right, ids, merged }))
    }
}
