//! Choosing the next token from logits.
//!
//! The order is llama.cpp's: repetition penalty, repeated passages, the `top_k` best, of them the most
//! likely that together reach `top_p`, then temperature among those.
//!
//! **Invariant:** the choice is a pure function of logits, history, parameters, seed and position.
//! There is no state to lose: an answer continued from its token ids after a crash takes the same
//! turns as one that was never disturbed.

/// How adventurous an answer is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Flattens (above 1) or sharpens (below) the choice; 0 always takes the likeliest token.
    pub temperature: f32,
    /// Tokens considered at most.
    pub top_k: usize,
    /// Share of likelihood considered at most, 0 to 1.
    pub top_p: f32,
    /// Divides the logit of tokens used recently; 1 is none.
    pub repetition_penalty: f32,
    /// Tokens of the answer that count as recent.
    pub repetition_window: usize,
    /// Tokens of the answer that may come again in the same order before their next one is held back;
    /// `usize::MAX` holds back none.
    pub repeats_allowed: usize,
    /// Answers to the same prompt with the same seed are the same.
    pub seed: u64,
}

/// Tokens of the answer in which a passage is looked for.
const PASSAGE_WINDOW: usize = 2048;
/// Tokens of a passage that are compared at most: what is longer is held back no less.
const LONGEST_PASSAGE: usize = 48;
/// What the first token over the allowed ones loses of its logit, and how much more each further one loses: the
/// defaults of llama.cpp's DRY sampler.
const HOLD_BACK: f32 = 0.8;
const HOLD_BACK_GROWS: f32 = 1.75;

/// What a small model needs (`examples/sampling.rs`).
impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.3,
            top_k: 40,
            top_p: 0.9,
            repetition_penalty: 1.1,
            repetition_window: 256,
            repeats_allowed: 12,
            seed: 0,
        }
    }
}

impl Sampling {
    /// Chooses the token at `answer.len()`, the position in the answer.
    ///
    /// `logits` are changed by the penalties. Logits that are not numbers are never chosen.
    pub fn choose(&self, logits: &mut [f32], answer: &[u32]) -> u32 {
        self.penalise(logits, answer);
        self.hold_back_passages(logits, answer);
        let keep = if self.temperature <= 0.0 { 1 } else { self.top_k.clamp(1, logits.len().max(1)) };
        let best = best(logits, keep);
        let Some((top, likeliest)) = best.first().copied() else { return 0 };
        if best.len() == 1 {
            return likeliest;
        }
        let kept = self.nucleus(&best, top);
        let weights: Vec<f32> = kept.iter().map(|(logit, _)| ((logit - top) / self.temperature).exp()).collect();
        let mut left = uniform(self.seed, answer.len() as u64) * weights.iter().sum::<f32>();
        for ((_, id), weight) in kept.iter().zip(weights) {
            left -= weight;
            if left < 0.0 {
                return *id;
            }
        }
        kept.last().map_or(likeliest, |(_, id)| *id)
    }

    fn penalise(&self, logits: &mut [f32], answer: &[u32]) {
        let recent = &answer[answer.len().saturating_sub(self.repetition_window)..];
        for (at, id) in recent.iter().enumerate() {
            if recent[..at].contains(id) {
                continue;
            }
            if let Some(logit) = logits.get_mut(*id as usize) {
                *logit = if *logit > 0.0 { *logit / self.repetition_penalty } else { *logit * self.repetition_penalty };
            }
        }
    }

    /// Holds back each token that would go on with a passage which the answer has said before. A model that says one
    /// clause over and over is pushed out of it, whatever the single words of the clause are.
    fn hold_back_passages(&self, logits: &mut [f32], answer: &[u32]) {
        let answer = &answer[answer.len().saturating_sub(PASSAGE_WINDOW)..];
        let most = self.repeats_allowed.saturating_add(LONGEST_PASSAGE).min(answer.len());
        let mut continued: Vec<(u32, usize)> = Vec::new();
        for at in 1..answer.len() {
            // What is said again ends just before `at`, as the answer ends now.
            let pairs = answer[..at].iter().rev().zip(answer.iter().rev());
            let length = pairs.take(most).take_while(|(before, now)| before == now).count();
            if length < self.repeats_allowed.max(1) {
                continue;
            }
            match continued.iter_mut().find(|(id, _)| *id == answer[at]) {
                Some((_, longest)) => *longest = length.max(*longest),
                None => continued.push((answer[at], length)),
            }
        }
        for (id, length) in continued {
            let over = i32::try_from(length.saturating_sub(self.repeats_allowed)).unwrap_or(i32::MAX);
            if let Some(logit) = logits.get_mut(id as usize) {
                *logit -= HOLD_BACK * HOLD_BACK_GROWS.powi(over);
            }
        }
    }

    /// The fewest of `best` whose likelihoods reach `top_p`; at least one.
    fn nucleus<'a>(&self, best: &'a [(f32, u32)], top: f32) -> &'a [(f32, u32)] {
        let likelihood = |logit: f32| (logit - top).exp();
        let total: f32 = best.iter().map(|(logit, _)| likelihood(*logit)).sum();
        let mut reached = 0.0;
        for (count, (logit, _)) in (1..).zip(best) {
            reached += likelihood(*logit) / total;
            if reached >= self.top_p {
                return &best[..count];
            }
        }
        best
    }
}

/// The `count` largest logits, largest first; of equals, the lower id first.
pub(crate) fn best(logits: &[f32], count: usize) -> Vec<(f32, u32)> {
    let mut best: Vec<(f32, u32)> = Vec::with_capacity(count + 1);
    let mut worst = f32::NEG_INFINITY;
    for (id, logit) in (0u32..).zip(logits) {
        if *logit > worst || (best.len() < count && !logit.is_nan()) {
            let at = best.partition_point(|(other, _)| other >= logit);
            best.insert(at, (*logit, id));
            best.truncate(count);
            if best.len() == count {
                worst = best.last().map_or(worst, |(logit, _)| *logit);
            }
        }
    }
    best
}

/// A number in 0..1 that depends on nothing but its arguments (`SplitMix64`'s mixing, Steele et
/// al. 2014, applied to both).
fn uniform(seed: u64, position: u64) -> f32 {
    let mixed = mix(seed.wrapping_add(mix(position.wrapping_add(0x9e37_79b9_7f4a_7c15))));
    (mixed >> 40) as f32 / (1u64 << 24) as f32
}

fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn greedy() -> Sampling {
        Sampling { temperature: 0.0, ..Sampling::default() }
    }

    #[test]
    fn zero_temperature_takes_the_likeliest() {
        assert_eq!(greedy().choose(&mut [0.5, 2.0, 1.9, f32::NAN], &[]), 1);
    }

    #[test]
    fn repetition_is_penalised() {
        assert_eq!(greedy().choose(&mut [0.5, 2.0, 1.9], &[1]), 2);
        assert_eq!(greedy().choose(&mut [-1.0, -0.95], &[1]), 0);
    }

    #[test]
    fn a_passage_is_not_said_for_ever() {
        // A model that likes nothing better than to go on with what it said: token after token, round and round.
        let clause = 20;
        let guarded = Sampling { repetition_penalty: 1.0, ..greedy() };
        let mut answer: Vec<u32> = Vec::new();
        for _ in 0..400 {
            let mut logits = [0.0; 64];
            let next = answer.last().map_or(0, |last| (last + 1) % clause);
            logits[next as usize] = 9.0;
            logits[40] = 1.0;
            answer.push(guarded.choose(&mut logits, &answer));
        }
        let first_round: Vec<u32> = (0..clause).collect();
        assert_eq!(answer[..20], first_round, "what is new is as it was");
        assert_eq!(answer[20..32], first_round[..12], "a few words may come again");
        let again = answer.windows(20).filter(|said| *said == first_round).count();
        assert_eq!(again, 1, "{answer:?}");
        let unguarded = Sampling { repeats_allowed: usize::MAX, ..guarded };
        let mut logits = [0.0, 9.0];
        assert_eq!(unguarded.choose(&mut logits, &[[0, 1]; 50].concat()[..99]), 1);
    }

    #[test]
    fn nothing_but_nonsense_is_survived() {
        assert_eq!(Sampling::default().choose(&mut [f32::NAN; 8], &[]), 0);
        assert_eq!(Sampling::default().choose(&mut [], &[3]), 0);
        Sampling::default().choose(&mut [f32::INFINITY; 8], &[3]);
    }

    #[test]
    fn choices_follow_likelihood() {
        let hot = Sampling { temperature: 1.0, top_p: 1.0, repetition_penalty: 1.0, ..greedy() };
        let mut counts = [0u32; 3];
        for seed in 0..4000 {
            let logits = &mut [1f32.ln(), 2f32.ln(), 5f32.ln()];
            counts[Sampling { seed, ..hot }.choose(logits, &[7; 9]) as usize] += 1;
        }
        for (count, expected) in counts.into_iter().zip([500.0, 1000.0, 2500.0]) {
            assert!((f64::from(count) - expected).abs() < 120.0, "{counts:?}");
        }
    }

    proptest! {
        #[test]
        fn best_agrees_with_sorting(
            logits in prop::collection::vec(-5f32..5.0, 1..200),
            count in 1usize..50,
        ) {
            let mut sorted: Vec<(f32, u32)> = logits.iter().copied().zip(0..).collect();
            sorted.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            sorted.truncate(count);
            prop_assert_eq!(best(&logits, count), sorted);
        }
    }
}
