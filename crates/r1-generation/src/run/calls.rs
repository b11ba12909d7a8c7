//! The calls of the model that a run makes, measured as they go.
//!
//! They are kept beside the future that asks, as a stop drops that: what is known of a call that was cut is written
//! all the same. On the way of a chunk nothing is done here but where the model begins to think or to speak.

use std::{sync::Arc, time::Duration};

use r1_domain::{
    call::{Call, Timings},
    event::Usage,
};
use tokio::time::Instant;

use super::history::Past;

/// Who is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Voice {
    /// What is thought.
    Thinks,
    /// What is said.
    Speaks,
}

/// The calls of a run.
#[derive(Default)]
pub(crate) struct Calls {
    ended: Vec<Made>,
    present: Option<Present>,
    has_spoken: bool,
    first_heard: Option<Instant>,
}

/// What the model is given: a past, from which turn on.
pub(super) type Given = (Arc<Past>, usize);

/// The call that is under way.
struct Present {
    asked: Instant,
    thinks_since: Option<Instant>,
    made: Made,
}

/// A call.
pub(super) struct Made {
    pub(super) call: Call,
    /// The provider has begun to answer: whatever becomes of that, it counts.
    accepted: bool,
    given: Given,
}

impl Made {
    /// Whether it counts, and nobody has counted it.
    pub(super) const fn is_uncounted(&self) -> bool {
        self.accepted && self.call.usage.is_none()
    }

    /// About how many tokens the model was given.
    pub(super) fn prompt_tokens(&self) -> u64 {
        let (past, first) = &self.given;
        past.about(*first)
    }
}

impl Calls {
    /// The model, `provider/model`, is asked now.
    pub(super) fn begin(&mut self, model: &str, given: Given, now: Instant) {
        self.end(now);
        let call = Call { model: model.to_owned(), ..Call::default() };
        self.present = Some(Present { asked: now, thinks_since: None, made: Made { call, accepted: false, given } });
    }

    /// The provider begins to answer.
    pub(super) fn accept(&mut self) {
        if let Some(present) = &mut self.present {
            present.made.accepted = true;
        }
    }

    /// The model begins to think or to speak.
    pub(super) fn hear(&mut self, voice: Voice, now: Instant) {
        self.has_spoken |= voice == Voice::Speaks;
        self.first_heard.get_or_insert(now);
        let Some(present) = &mut self.present else { return };
        present.made.call.timings.first_token.get_or_insert(millis(now - present.asked));
        present.stop_thinking(now);
        if voice == Voice::Thinks {
            present.thinks_since = Some(now);
        }
    }

    /// The provider said that the answer is whole.
    pub(super) fn finish(&mut self, finish_reason: &str, usage: Option<Usage>) {
        if let Some(present) = &mut self.present {
            present.made.call.finish_reason = Some(finish_reason.to_owned());
            present.made.call.usage = usage;
        }
    }

    /// Nothing more comes of the call that is under way, if there is one.
    pub(super) fn end(&mut self, now: Instant) {
        let Some(mut present) = self.present.take() else { return };
        present.stop_thinking(now);
        present.made.call.timings.total = millis(now - present.asked);
        self.ended.push(present.made);
    }

    /// Whether there is a word of the answer.
    pub(super) const fn has_spoken(&self) -> bool {
        self.has_spoken
    }

    /// When the first text or thought came.
    pub(super) const fn first_heard(&self) -> Option<Instant> {
        self.first_heard
    }

    /// All of them, in order.
    pub(super) fn take(&mut self, now: Instant) -> Vec<Made> {
        self.end(now);
        std::mem::take(&mut self.ended)
    }
}

impl Present {
    fn stop_thinking(&mut self, now: Instant) {
        let Timings { reasoning, .. } = &mut self.made.call.timings;
        reasoning.extend(self.thinks_since.take().map(|since| millis(now - since)));
    }
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use r1_domain::history::History;

    use super::*;

    #[test]
    fn each_stretch_is_measured_and_a_call_that_is_cut_too() {
        let begun = Instant::now();
        let at = |millis| begun + Duration::from_millis(millis);
        let mut calls = Calls::default();
        let given = || (Arc::new(Past::new(History { turns: Vec::new(), whole: true }, Vec::new(), None)), 0);
        calls.begin("a/b", given(), at(0));
        calls.begin("a/b", given(), at(5));
        calls.accept();
        calls.hear(Voice::Thinks, at(10));
        assert!(!calls.has_spoken());
        calls.hear(Voice::Speaks, at(30));
        calls.hear(Voice::Thinks, at(40));
        let usage = Usage { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3, estimated: false };
        calls.finish("stop", Some(usage));
        assert!(calls.has_spoken());
        assert_eq!(calls.first_heard(), Some(at(10)));
        let model = || "a/b".to_owned();
        let nothing = Call { model: model(), timings: Timings { total: 5, ..Timings::default() }, ..Call::default() };
        let timings = Timings { first_token: Some(5), reasoning: vec![20, 7], total: 42 };
        let whole = Call { model: model(), finish_reason: Some("stop".to_owned()), usage: Some(usage), timings };
        let taken: Vec<_> = calls.take(at(47)).into_iter().map(|made| (made.call, made.accepted)).collect();
        assert_eq!(taken, [(nothing, false), (whole, true)]);
        assert!(calls.take(at(50)).is_empty());
    }
}
