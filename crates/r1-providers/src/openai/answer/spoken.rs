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
    /// What was heard, said and thought so far, by which a message that repeats it is known.
    heard: SoFar,
    said: SoFar,
    thought: SoFar,
    /// It came in deltas.
    by_delta: bool,
    /// What is thought comes by itself: between tags it would be the same again.
    thinks_apart: bool,
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
            heard: SoFar::default(),
            said: SoFar::default(),
            thought: SoFar::default(),
            by_delta: false,
            thinks_apart: false,
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
        let (words, reasoning) = match said.is_message && self.by_delta {
            true => (new_of(said.text, &[&self.heard, &self.said]), new_of(said.reasoning, &[&self.thought])),
            false => (said.text, said.reasoning),
        };
        let has_words = !words.is_empty() || !reasoning.is_empty();
        self.by_delta |= has_words && !said.is_message;
        let reasoning = self.reasoning_halves.join(reasoning);
        if !reasoning.is_empty() {
            self.thinks_apart = true;
            self.think.comes_apart();
        }
        // A document is here whole: what stands before a closing tag was thought, whether or not it was opened.
        if said.is_whole && self.heard.letters == 0 && closes_thinking(&words) {
            self.think.expect_closing();
        }
        self.heard.add(&words);
        let text = self.halves.join(words);
        if text.is_empty() && reasoning.is_empty() {
            // Tokens whose text would come later: none of the later ones can be gone on from.
            self.token_ids &= said.ids.is_empty();
            return None;
        }
        let spoken = if text.is_empty() { Spoken::default() } else { self.think.push(text) };
        let thought = if self.thinks_apart { reasoning } else { spoken.reasoning };
        self.thought.add(thought.as_bytes());
        self.said.add(spoken.text.as_bytes());
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
        let mut reasoning = self.reasoning_halves.finish().unwrap_or_default();
        if !self.thinks_apart {
            reasoning += &(halves.reasoning + &held.reasoning);
        }
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
}

/// What a message says behind what it repeats. Where words came by deltas, a message may repeat all of them, as they
/// were sent or without what was thought; else each message is a piece.
fn new_of(mut words: Vec<u8>, so_far: &[&SoFar]) -> Vec<u8> {
    if let Some(end) = so_far.iter().find_map(|so_far| so_far.end_of_repetition(&words)) {
        words.drain(..end);
    }
    words
}

/// Whether a closing tag that nothing opens ends or begins a line of this text, outside of code.
fn closes_thinking(text: &[u8]) -> bool {
    let Some(at) = memchr::memmem::find(text, b"</think>") else { return false };
    let (before, tag_on) = text.split_at(at);
    let has_line = before.ends_with(b"\n") || tag_on.starts_with(b"</think>\n");
    let in_code = memchr::memmem::find_iter(before, b"```").count() % 2 == 1;
    has_line && !in_code && memchr::memmem::find(before, b"<think>").is_none()
}

/// Words so far, as their number of letters and a digest (FNV-1a: Fowler, Noll, Vo; 64 bits). White space does not
/// count: some trim what they repeat. Nothing hostile gains by a collision but a wrong text of its own.
#[derive(Debug, Clone, Copy)]
struct SoFar {
    /// Bytes that are no white space.
    letters: usize,
    digest: u64,
    /// Bytes of white space at the end.
    white: usize,
}

impl Default for SoFar {
    fn default() -> Self {
        Self { letters: 0, digest: 0xcbf2_9ce4_8422_2325, white: 0 }
    }
}

impl SoFar {
    fn add(&mut self, words: &[u8]) {
        for &byte in words {
            if byte.is_ascii_whitespace() {
                self.white += 1;
            } else {
                self.white = 0;
                self.letters += 1;
                self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            }
        }
    }

    /// Where in `words` what is new begins, if all of these stand at their front.
    fn end_of_repetition(&self, words: &[u8]) -> Option<usize> {
        let letters = words.iter().enumerate().filter(|(_, byte)| !byte.is_ascii_whitespace());
        let last = self.letters.checked_sub(1)?;
        let end = letters.map(|(at, _)| at + 1).nth(last)?;
        let mut front = Self::default();
        front.add(&words[..end]);
        let white = words[end..].iter().take(self.white).take_while(|byte| byte.is_ascii_whitespace()).count();
        (front.digest == self.digest).then_some(end + white)
    }
}
