//! What a model says, from an event's words to deltas: halves of characters joined, thinking taken apart, an echo taken
//! out.
//!
//! **Invariant:** what was said comes out in order; what is held back comes out at the end.

use std::collections::VecDeque;

use r1_domain::provider::Delta;

use crate::{
    continuation::Seam,
    openai::{
        events::Said,
        text::Halves,
        think::{Spoken, Think},
    },
};

/// The words of one answer.
pub(super) struct Speech {
    halves: Halves,
    reasoning_halves: Halves,
    think: Think,
    seam: Option<Seam>,
    /// Whether token ids are read, and none was lost so far.
    token_ids: bool,
    /// What stood in deltas so far: its length and a digest, by which a message that repeats all of it is known.
    said: usize,
    digest: Digest,
    /// Words came in a delta.
    by_delta: bool,
}

impl Speech {
    pub(super) fn new(seam: Option<Seam>, expects_closing: bool) -> Self {
        // An answer that goes on is in the middle of its text.
        let think = if seam.is_some() { Think::off() } else { Think::new(expects_closing) };
        Self {
            halves: Halves::default(),
            reasoning_halves: Halves::default(),
            think,
            seam,
            token_ids: false,
            said: 0,
            digest: Digest::default(),
            by_delta: false,
        }
    }

    /// Our own engine names tokens, and its text is what they say, letter for letter.
    pub(super) fn with_token_ids(&mut self, wanted: bool) {
        self.token_ids = wanted;
        if wanted {
            self.think = Think::off();
        }
    }

    /// Whether the model sends the closing tag of its thinking alone, where it has shown that.
    pub(super) const fn lone_tag(&self) -> Option<bool> {
        self.think.lone_tag()
    }

    /// Gives the next delta that comes of these words; a further one goes into `queue`.
    pub(super) fn hear(&mut self, said: Said, queue: &mut VecDeque<Delta>) -> Option<Delta> {
        let reasoning = self.reasoning_halves.join(said.reasoning);
        if !reasoning.is_empty() {
            self.think.comes_apart();
        }
        // A document is here whole: what stands before a closing tag was thought, whether or not it was opened.
        if said.is_whole && self.said == 0 && closes_thinking(&said.text) {
            self.think.expect_closing();
        }
        let words = if said.is_message { self.new_of(said.text) } else { said.text };
        self.by_delta |= !said.is_message && !words.is_empty();
        self.said += words.len();
        self.digest.add(&words);
        let text = self.halves.join(words);
        if text.is_empty() && reasoning.is_empty() {
            // Tokens whose text would come later: none of the later ones can be gone on from.
            self.token_ids &= said.ids.is_empty();
            return None;
        }
        let spoken = if text.is_empty() { Spoken::default() } else { self.think.push(text) };
        let thought = if reasoning.is_empty() { spoken.reasoning } else { reasoning + &spoken.reasoning };
        let text = Some(spoken.text).filter(|text| !text.is_empty());
        let text = match (&mut self.seam, text) {
            (Some(seam), Some(text)) => seam.push(text).map(Delta::text),
            (_, text) => text.map(|text| Delta::Text { text, ids: if self.token_ids { said.ids } else { Vec::new() } }),
        };
        if thought.is_empty() {
            return text;
        }
        queue.extend(text);
        Some(Delta::Reasoning(thought))
    }

    /// At the end: what was held back in vain.
    pub(super) fn finish(&mut self) -> Vec<Delta> {
        let halves = self.halves.finish().map(|half| self.think.push(half)).unwrap_or_default();
        let held = self.think.finish();
        let reasoning = self.reasoning_halves.finish().unwrap_or_default() + &halves.reasoning + &held.reasoning;
        let text = halves.text + &held.text;
        let text = match &mut self.seam {
            None => Some(text),
            Some(seam) => {
                let pushed = Some(text).filter(|text| !text.is_empty()).and_then(|text| seam.push(text));
                Some(pushed.unwrap_or_default() + &seam.finish().unwrap_or_default())
            }
        };
        let reasoning = Some(reasoning).filter(|words| !words.is_empty()).map(Delta::Reasoning);
        reasoning.into_iter().chain(text.filter(|text| !text.is_empty()).map(Delta::text)).collect()
    }

    /// What a message says that was not said yet. Where words came by deltas, a message may repeat all of them; else
    /// each message is a piece.
    fn new_of(&self, mut words: Vec<u8>) -> Vec<u8> {
        let repeats = self.by_delta && words.len() >= self.said && Digest::of(&words[..self.said]) == self.digest;
        if repeats {
            words.drain(..self.said);
        }
        words
    }
}

/// Whether a closing tag ends or begins a line of this text.
fn closes_thinking(text: &[u8]) -> bool {
    [&b"\n</think>"[..], b"</think>\n"].iter().any(|tag| memchr::memmem::find(text, tag).is_some())
}

/// FNV-1a (Fowler, Noll, Vo), 64 bits: a repetition is recognised, and nothing hostile gains by a collision but a
/// wrong text of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    fn of(bytes: &[u8]) -> Self {
        let mut digest = Self::default();
        digest.add(bytes);
        digest
    }

    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}
