//! What is kept of sequences that are over, so that the next turn need not read them again.
//!
//! A new prompt continues from the longest prefix it shares with a kept sequence of the same user,
//! or with the system prompt that was read at the start. Users don't share more than that: how
//! fast an answer starts must not tell whether somebody else asked the same.
//!
//! **Invariant:** the kept sequences' distinct pages stay within the budget; the least recently
//! used goes first. The system prompt stays.

use std::collections::HashSet;

use crate::model::KvCache;

#[derive(Debug)]
struct Kept {
    user: String,
    tokens: Vec<u32>,
    cache: KvCache,
}

#[derive(Debug, Default)]
pub(super) struct Prefixes {
    budget: usize,
    system: Option<(Vec<u32>, KvCache)>,
    /// Least recently used first.
    kept: Vec<Kept>,
}

impl Prefixes {
    pub(super) fn new(budget: usize) -> Self {
        Self { budget, ..Self::default() }
    }

    pub(super) fn set_system(&mut self, tokens: Vec<u32>, cache: KvCache) {
        self.system = Some((tokens, cache));
    }

    /// A sequence that begins with as much of `prompt` as is in memory, its last token excepted:
    /// that one must be read for the logits that follow it.
    pub(super) fn find(&mut self, user: &str, prompt: &[u32]) -> Option<KvCache> {
        let limit = prompt.len().saturating_sub(1);
        let shared = |tokens: &[u32]| common(tokens, prompt).min(limit);
        let best = self
            .kept
            .iter()
            .enumerate()
            .filter(|(_, kept)| kept.user == user)
            .map(|(i, kept)| (shared(&kept.tokens), i))
            .max();
        let system = self.system.as_ref().map_or(0, |(tokens, _)| shared(tokens));
        match best {
            Some((length, i)) if length > system => {
                let kept = self.kept.remove(i);
                let cache = kept.cache.fork(length);
                self.kept.push(kept);
                Some(cache)
            }
            _ if system > 0 => self.system.as_ref().map(|(_, cache)| cache.fork(system)),
            _ => None,
        }
    }

    /// Keeps a sequence. Earlier ones that it continues are covered by it and go.
    pub(super) fn keep(&mut self, user: String, mut tokens: Vec<u32>, cache: KvCache) {
        tokens.truncate(cache.len());
        if tokens.is_empty() {
            return;
        }
        self.kept.retain(|kept| kept.user != user || !tokens.starts_with(&kept.tokens));
        self.kept.push(Kept { user, tokens, cache });
        while self.bytes() > self.budget && !self.kept.is_empty() {
            self.kept.remove(0);
        }
    }

    /// Bytes of the distinct pages kept.
    fn bytes(&self) -> usize {
        let mut seen = HashSet::new();
        let pages = self.kept.iter().flat_map(|kept| kept.cache.pages());
        pages.filter(|(address, _)| seen.insert(*address)).map(|(_, bytes)| bytes).sum()
    }
}

/// Length of the common prefix.
fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
