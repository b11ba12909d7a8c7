//! What of a conversation a model is given.
//!
//! Providers are strict about turns: many refuse an empty one, some two of the same role in a row, some a
//! history that does not begin with the user. A conversation with a past that is none of its user's making
//! (answers that failed before their first word, a beginning that was left out) must go on all the same. So
//! blank turns are left out, neighbours of one role become one turn, and what is left begins with a user's turn.
//!
//! Where the history is larger than the model's context, its oldest turns are left out. System turns come first
//! and stay, and so do the question and what follows it: if these alone are too much, the provider says so.
//!
//! **Invariant:** a pure function of its arguments. The last turn is the question (or what asks to go on with its
//! answer), roles alternate after the system turn, none but the question is blank, and what is given fits or could not
//! be less.

use r1_domain::{
    history::{History, PastTurn},
    id::MessageId,
    message::{Role, Turn},
    provider::ResolvedModel,
};

use super::tokens::estimate;

/// What a chat template adds to a turn, in tokens: 3 or 4 with OpenAI's models, up to 8 with others'.
const FRAME: u64 = 8;
/// Where nobody says how long the answer may get, one part in this many of the context is for it.
const ANSWER_SHARE: u64 = 4;
/// Of more bytes than this the tokens are not estimated on the runtime's threads, but taken to have this many bytes each.
const ESTIMATED: usize = 32 * 1024;
const BYTES_A_TOKEN: u64 = 4;
/// What is said between two turns that become one.
const BETWEEN: &str = "\n\n";

/// Tokens that a history may have at most; none where the model's context isn't known, or its provider fits a
/// history into it itself.
pub(super) fn room(model: &ResolvedModel, max_tokens: Option<u32>) -> Option<u64> {
    if model.provider.fits_history() {
        return None;
    }
    let context = u64::from(model.abilities.context_tokens?);
    let longest = model.abilities.output_tokens.map_or(u64::MAX, u64::from);
    let answer = max_tokens.map_or(context / ANSWER_SHARE, u64::from).min(longest);
    // A limit as large as the context is no wish to have everything forgotten.
    Some(context - answer.min(context - context / ANSWER_SHARE))
}

/// A conversation up to its question, ready to be given to a model from some turn on.
pub(super) struct Past {
    system: Option<Turn>,
    /// None is blank, but maybe the last one, the question. The first one is given if anything is; it is the
    /// user's, if one of them is.
    turns: Vec<PastTurn>,
    /// What comes after the question.
    tail: Vec<Turn>,
    /// Of the beginning of the answer, which the provider is given apart.
    prefill: u64,
    /// There was more before.
    shortened: bool,
}

impl Past {
    /// Of this history. `tail` comes after the question; `partial` is how the answer begins.
    pub(super) fn new(history: History, tail: Vec<Turn>, partial: Option<&str>) -> Self {
        let mut system: Option<Turn> = None;
        let mut turns = Vec::with_capacity(history.turns.len());
        let question = history.turns.len().saturating_sub(1);
        for (at, past) in history.turns.into_iter().enumerate() {
            if past.turn.is_blank() && at < question {
                continue;
            }
            match (past.turn.role, &mut system) {
                (Role::System, Some(system)) => join(system, &past.turn),
                (Role::System, None) => system = Some(past.turn),
                (Role::User | Role::Assistant, _) => turns.push(past),
            }
        }
        let begin = next_of_user(&turns, 0);
        turns.drain(..begin);
        Self { system, turns, tail, prefill: partial.map_or(0, estimate), shortened: !history.whole || begin > 0 }
    }

    /// The first turn with which it fits into this many tokens: the earliest, or where there is none the last that
    /// there is, the question. Not before `from`.
    pub(super) fn first_within(&self, tokens: u64, from: usize) -> usize {
        let Some(question) = self.turns.len().checked_sub(1) else { return 0 };
        // No tokenizer makes more tokens than bytes, so most histories need not be looked at.
        let most: u64 = self.always().map(|turn| turn.content.len() as u64 + FRAME).sum::<u64>() + self.prefill;
        let bytes = self.turns[from..].iter().map(|past| past.turn.content.len() as u64 + FRAME).sum::<u64>();
        if most + bytes <= tokens {
            return from;
        }
        let mut left = tokens.checked_sub(self.tokens(question));
        let mut first = question;
        while first > from {
            left = left.and_then(|left| left.checked_sub(size(&self.turns[first - 1].turn)));
            if left.is_none() {
                break;
            }
            first -= 1;
        }
        next_of_user(&self.turns, first)
    }

    /// About how many tokens the model is given.
    pub(super) fn tokens(&self, first: usize) -> u64 {
        let path = self.turns[first..].iter().map(|past| &past.turn);
        self.always().chain(path).map(size).sum::<u64>() + self.prefill
    }

    /// The same, however long it is: of much only the bytes are counted.
    pub(super) fn about(&self, first: usize) -> u64 {
        let path = self.turns.get(first..).unwrap_or_default();
        let bytes: usize = self.always().chain(path.iter().map(|past| &past.turn)).map(|turn| turn.content.len()).sum();
        if bytes > ESTIMATED { bytes as u64 / BYTES_A_TOKEN + self.prefill } else { self.tokens(first) }
    }

    /// What the model is given.
    pub(super) fn given(&self, first: usize) -> Vec<Turn> {
        let mut given: Vec<Turn> = self.system.iter().cloned().collect();
        for turn in self.turns[first..].iter().map(|past| &past.turn).chain(&self.tail) {
            match given.last_mut() {
                Some(last) if last.role == turn.role => join(last, turn),
                _ => given.push(turn.clone()),
            }
        }
        given
    }

    /// The first turn that is left of what is given from `first` on, where the provider left out this many of the
    /// oldest turns that it was given, the system turn not counted. At the latest the question.
    pub(super) fn first_after(&self, left_out: usize, first: usize) -> usize {
        let turns = self.turns.get(first..).unwrap_or_default();
        let mut roles = turns.chunk_by(|one, next| one.turn.role == next.turn.role);
        let skipped: usize = roles.by_ref().take(left_out).map(<[_]>::len).sum();
        (first + skipped).min(self.turns.len().saturating_sub(1))
    }

    /// The oldest message that the model is given, where that is not all that was said.
    pub(super) fn remembers_from(&self, first: usize) -> Option<MessageId> {
        self.turns.get(first).filter(|_| self.shortened || first > 0).map(|past| past.id)
    }

    /// What is given whatever fits, but for the question.
    fn always(&self) -> impl Iterator<Item = &Turn> {
        self.system.iter().chain(&self.tail)
    }
}

/// Where the next turn of the user's is; at the latest the last turn that there is.
fn next_of_user(turns: &[PastTurn], from: usize) -> usize {
    let next = turns.get(from..).unwrap_or_default().iter().position(|past| past.turn.role == Role::User);
    next.map_or(turns.len().saturating_sub(1), |next| from + next)
}

fn join(before: &mut Turn, turn: &Turn) {
    before.content.push_str(BETWEEN);
    before.content.push_str(&turn.content);
}

fn size(turn: &Turn) -> u64 {
    estimate(&turn.content) + FRAME
}

#[cfg(test)]
mod tests;
