//! What may happen: the actions, and how a case is drawn from them.
//!
//! An action names what it acts on by a number, counted modulo what there is by then, so that a script
//! stays one when others of its steps are taken out: that is what shrinking does.

use std::fmt;

use proptest::prelude::*;
use r1_testkit::store::Moment;

/// A case.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) setup: Setup,
    pub(crate) steps: Vec<Step>,
}

/// A step a line.
impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.setup)?;
        self.steps
            .iter()
            .enumerate()
            .try_for_each(|(n, step)| write!(f, "\n{n:>4} {:?}, then {:?}", step.action, step.rest))
    }
}

/// What is so for all of a case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) answer_bytes: usize,
    pub(crate) runs_per_user: Option<usize>,
    pub(crate) first: Next,
    /// Decides on the order of what happens at the same time.
    pub(crate) turns: u64,
}

/// A life of the engine to come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Next {
    /// Whether its provider goes on from a partial answer.
    pub(crate) can_continue: bool,
    /// Whether the model of the generations so far is configured.
    pub(crate) configured: bool,
    /// It dies at this commit, in its recovery if there is as much to recover.
    pub(crate) dies: Option<(u64, Moment)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) action: Action,
    pub(crate) rest: Rest,
}

/// What everything else gets to do before the next step.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rest {
    /// This many turns of the scheduler.
    Turns(u8),
    /// All that it can do without time going on.
    Quiet,
}

/// How fast somebody reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// What there is, at once.
    Greedy,
    /// When told to.
    OnDemand,
    /// Not at all: the stream is dropped.
    Gone,
}

/// Where an attach begins.
#[derive(Debug, Clone, Copy)]
pub(crate) enum After {
    Beginning,
    /// After a frame that somebody got, the nth.
    Seen(u8),
    /// After the newest that anybody got.
    Newest,
    /// After what a page of messages said that it shows.
    Snapshot,
    /// A place that the log does not have: so far beyond the newest, or in another epoch.
    Nowhere(u8),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    Generation(u8),
    Conversation(u8),
    Newest,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Finish {
    Done,
    Length,
    Fail { retryable: bool, after_ms: Option<u16> },
    Truncate,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Weather {
    Unavailable,
    Full,
    AnswerLost,
    ReadsFail,
    Hold(Moment),
    Fair,
}

#[derive(Debug, Clone)]
pub(crate) enum Action {
    Send {
        user: u8,
        conversation: Option<u8>,
        key: Option<u8>,
        pace: Pace,
    },
    /// What came with this key before, again, this many at once; `changed`: with another body.
    Resend {
        key: u8,
        at_once: u8,
        changed: bool,
    },
    Continue {
        generation: u8,
        key: Option<u8>,
        pace: Pace,
    },
    Retry {
        generation: u8,
        key: Option<u8>,
        pace: Pace,
    },
    HangUp {
        operation: u8,
    },
    Say {
        call: u8,
        tokens: u8,
        large: bool,
    },
    Think {
        call: u8,
    },
    /// Says the end of the answer so far again.
    Echo {
        call: u8,
        tokens: u8,
    },
    Finish {
        call: u8,
        how: Finish,
    },
    /// The next request is refused, or (none) never answered.
    Plan {
        refuse: Option<Finish>,
    },
    Attach {
        target: Target,
        after: After,
        pace: Pace,
    },
    Read {
        follower: u8,
        times: u8,
    },
    Detach {
        follower: u8,
    },
    Stop {
        generation: u8,
    },
    Snapshot {
        generation: u8,
    },
    /// The other user tries everything.
    Intrude {
        generation: u8,
    },
    Weather(Weather),
    BreakLog {
        generation: u8,
    },
    Elapse {
        ms: u32,
    },
    Purge,
    Crash {
        next: Next,
    },
    /// The crash comes at a commit that is still to come.
    CrashAt {
        commits: u8,
        moment: Moment,
        next: Next,
    },
    /// Another process takes over while this one lives and does not know it.
    TakeOver {
        next: Next,
    },
    Shutdown {
        deadline_ms: u32,
        next: Next,
    },
}

fn moment() -> impl Strategy<Value = Moment> {
    prop_oneof![Just(Moment::Before), Just(Moment::After)]
}

fn next() -> impl Strategy<Value = Next> {
    let dies = prop_oneof![6 => Just(None), 1 => (0..4u64, moment()).prop_map(Some)];
    (prop::bool::weighted(0.7), prop::bool::weighted(0.93), dies).prop_map(|(can_continue, configured, dies)| Next {
        can_continue,
        configured,
        dies,
    })
}

fn pace() -> impl Strategy<Value = Pace> {
    prop_oneof![5 => Just(Pace::Greedy), 3 => Just(Pace::OnDemand), 1 => Just(Pace::Gone)]
}

fn key() -> impl Strategy<Value = Option<u8>> {
    prop_oneof![2 => Just(None), 1 => (0..3u8).prop_map(Some)]
}

fn after() -> impl Strategy<Value = After> {
    prop_oneof![
        3 => Just(After::Beginning),
        3 => any::<u8>().prop_map(After::Seen),
        2 => Just(After::Newest),
        2 => Just(After::Snapshot),
        1 => (0..8u8).prop_map(After::Nowhere),
    ]
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        5 => any::<u8>().prop_map(Target::Generation),
        1 => any::<u8>().prop_map(Target::Conversation),
        1 => Just(Target::Newest),
    ]
}

fn failing() -> impl Strategy<Value = Finish> {
    let after_ms = prop_oneof![Just(Some(0)), Just(Some(500)), Just(Some(20_000)), Just(None)];
    (prop::bool::weighted(0.7), after_ms).prop_map(|(retryable, after_ms)| Finish::Fail { retryable, after_ms })
}

fn weather() -> impl Strategy<Value = Weather> {
    prop_oneof![
        3 => Just(Weather::Unavailable),
        2 => Just(Weather::Full),
        2 => Just(Weather::AnswerLost),
        1 => Just(Weather::ReadsFail),
        4 => moment().prop_map(Weather::Hold),
        9 => Just(Weather::Fair),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let n = any::<u8>;
    let finish = prop_oneof![
        5 => Just(Finish::Done), 1 => Just(Finish::Length), 3 => failing(), 1 => Just(Finish::Truncate)];
    let elapse = prop_oneof![4 => 1..2_000u32, 2 => Just(31_000u32), 2 => Just(61_000u32), 1 => Just(700_000u32)];
    let deadline = prop_oneof![Just(0u32), Just(10), Just(60_000)];
    prop_oneof![
        10 => (prop::bool::weighted(0.25), prop::option::weighted(0.6, n()), key(), pace())
            .prop_map(|(other, conversation, key, pace)| Action::Send { user: other.into(), conversation, key, pace }),
        3 => (0..3u8, 1..4u8, prop::bool::weighted(0.25))
            .prop_map(|(key, at_once, changed)| Action::Resend { key, at_once, changed }),
        7 => (n(), key(), pace()).prop_map(|(generation, key, pace)| Action::Continue { generation, key, pace }),
        2 => (n(), key(), pace()).prop_map(|(generation, key, pace)| Action::Retry { generation, key, pace }),
        1 => n().prop_map(|operation| Action::HangUp { operation }),
        26 => (n(), 1..12u8, prop::bool::weighted(0.04))
            .prop_map(|(call, tokens, large)| Action::Say { call, tokens, large }),
        9 => n().prop_map(|call| Action::Think { call }),
        4 => (n(), 1..4u8).prop_map(|(call, tokens)| Action::Echo { call, tokens }),
        6 => (n(), finish).prop_map(|(call, how)| Action::Finish { call, how }),
        2 => prop::option::of(failing()).prop_map(|refuse| Action::Plan { refuse }),
        10 => (target(), after(), pace()).prop_map(|(target, after, pace)| Action::Attach { target, after, pace }),
        7 => (n(), 1..6u8).prop_map(|(follower, times)| Action::Read { follower, times }),
        4 => n().prop_map(|follower| Action::Detach { follower }),
        5 => n().prop_map(|generation| Action::Stop { generation }),
        8 => n().prop_map(|generation| Action::Snapshot { generation }),
        2 => n().prop_map(|generation| Action::Intrude { generation }),
        8 => weather().prop_map(Action::Weather),
        1 => n().prop_map(|generation| Action::BreakLog { generation }),
        4 => elapse.prop_map(|ms| Action::Elapse { ms }),
        2 => Just(Action::Purge),
        3 => next().prop_map(|next| Action::Crash { next }),
        4 => (0..6u8, moment(), next())
            .prop_map(|(commits, moment, next)| Action::CrashAt { commits, moment, next }),
        2 => next().prop_map(|next| Action::TakeOver { next }),
        2 => (deadline, next()).prop_map(|(deadline_ms, next)| Action::Shutdown { deadline_ms, next }),
    ]
}

pub(crate) fn script() -> impl Strategy<Value = Script> {
    let rest = prop_oneof![2 => (0..6u8).prop_map(Rest::Turns), 3 => Just(Rest::Quiet)];
    let step = (action(), rest).prop_map(|(action, rest)| Step { action, rest });
    let answer_bytes = prop_oneof![4 => Just(1 << 20), 1 => 60..200usize];
    let setup = (answer_bytes, prop::option::of(2..4usize), any::<bool>(), any::<u16>()).prop_map(
        |(answer_bytes, runs_per_user, can_continue, turns)| Setup {
            answer_bytes,
            runs_per_user,
            first: Next { can_continue, configured: true, dies: None },
            turns: turns.into(),
        },
    );
    (setup, prop::collection::vec(step, 1..70)).prop_map(|(setup, steps)| Script { setup, steps })
}
