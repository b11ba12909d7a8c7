//! The models that the case plays, in all lives of the engine: what was asked, what was said.
//!
//! Every token is said once in a case, by one call, so a text shows which calls it is made of, and
//! what of them is lost, doubled or misplaced.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use r1_domain::provider::{
    CompletionRequest, ModelInfo, Models, ProviderError, ProviderErrorCode, ProviderHealth, ResolvedModel, UnknownModel,
};
use r1_testkit::provider::{ScriptedModels, ScriptedProvider, ScriptedRun};

use crate::script::Finish;

/// One request to a model, from its acceptance by the provider on.
pub(crate) struct Call {
    pub(crate) life: usize,
    pub(crate) request: CompletionRequest,
    /// What it said, without echoes.
    pub(crate) said: Vec<String>,
    /// It began with an echo: it may once.
    echoed: bool,
    /// It said that it is done, after all that.
    pub(crate) done: bool,
    run: Option<ScriptedRun>,
}

impl Call {
    /// The answer so far that it was asked to go on with.
    pub(crate) fn partial(&self) -> &str {
        let turns = &self.request.turns;
        let asked_to_go_on = || turns.last().is_some_and(|turn| turn.content.starts_with("Your answer above was cut"));
        match &self.request.partial_answer {
            Some(partial) => partial,
            None if asked_to_go_on() => &turns[turns.len() - 2].content,
            None => "",
        }
    }

    fn is_live(&self) -> bool {
        self.run.as_ref().is_some_and(|run| !run.is_dropped())
    }
}

#[derive(Default)]
pub(crate) struct Upstream {
    pub(crate) calls: Vec<Call>,
    tokens: u32,
    thoughts: u32,
}

impl Upstream {
    /// A call has come. An error where another one for the same message is under way.
    pub(crate) fn arrived(&mut self, life: usize, run: ScriptedRun) -> Result<(), String> {
        let request = run.request().clone();
        let twice = self.live_for(life, request.seed);
        self.calls.push(Call { life, request, said: Vec::new(), echoed: false, done: false, run: Some(run) });
        if twice { Err(format!("life {life}: two live calls for one message")) } else { Ok(()) }
    }

    /// Whether a call for the message with this seed is under way in that life.
    pub(crate) fn live_for(&self, life: usize, seed: u64) -> bool {
        self.live_among(self.calls.len(), life, seed)
    }

    /// Whether one of the first calls is.
    pub(crate) fn live_among(&self, first: usize, life: usize, seed: u64) -> bool {
        self.calls.iter().take(first).any(|call| call.life == life && call.request.seed == seed && call.is_live())
    }

    /// The nth of the calls that are under way in these lives.
    fn live(&mut self, n: u8, lives: &[usize]) -> Option<&mut Call> {
        let mut live: Vec<_> =
            self.calls.iter_mut().filter(|call| lives.contains(&call.life) && call.is_live()).collect();
        let count = live.len();
        (count > 0).then(|| live.swap_remove(usize::from(n) % count))
    }

    pub(crate) fn is_live(&self, lives: &[usize]) -> bool {
        self.calls.iter().any(|call| lives.contains(&call.life) && call.is_live())
    }

    /// Says this many new tokens, as far as there is room.
    pub(crate) fn say(&mut self, n: u8, lives: &[usize], count: u8, large: bool) {
        let mut tokens = self.tokens;
        let Some(call) = self.live(n, lives) else { return };
        for _ in 0..count {
            tokens += 1;
            let token = token(tokens, if large { 90_000 } else { 0 });
            if !say(call, &token) {
                break;
            }
            call.said.push(token);
        }
        self.tokens = tokens;
    }

    /// Thinks something new.
    pub(crate) fn think(&mut self, n: u8, lives: &[usize]) {
        let thought = format!("t{} ", self.thoughts);
        let Some(call) = self.live(n, lives) else { return };
        let _ = call.run.as_ref().map(|run| run.thought(&thought).now_or_never());
        self.thoughts += 1;
    }

    /// Repeats the last tokens of the answer so far, in two pieces; only as the first that is said.
    pub(crate) fn echo(&mut self, n: u8, lives: &[usize], count: u8) -> bool {
        let Some(call) = self.live(n, lives) else { return false };
        let partial = call.partial().to_owned();
        let starts = partial.char_indices().rev().filter(|(_, c)| *c >= FIRST_HEAD).map(|(at, _)| at);
        let Some(at) = starts.take(count.into()).last().filter(|at| partial.len() - at < 200) else { return false };
        // A model that is given the beginning of its own answer has no reason to say it again.
        if call.echoed || !call.said.is_empty() || call.request.partial_answer.is_some() || !partial.ends_with(' ') {
            return false;
        }
        call.echoed = true;
        let (one, two) = partial[at..].split_at("漢00".len());
        say(call, one) && say(call, two)
    }

    pub(crate) fn finish(&mut self, n: u8, lives: &[usize], how: Finish) {
        let Some(call) = self.live(n, lives) else { return };
        let Some(run) = call.run.take() else { return };
        call.done = match how {
            Finish::Done => matches!(run.done().now_or_never(), Some(Ok(()))),
            Finish::Length => matches!(run.done_with("length", None).now_or_never(), Some(Ok(()))),
            Finish::Fail { .. } => {
                let _ = run.fail(error(how)).now_or_never();
                false
            }
            Finish::Truncate => false,
        };
    }
}

const FIRST_HEAD: char = '\u{4e00}';

/// Begins with a character of its own, so that the beginning of one is no beginning of another.
fn token(number: u32, padding: usize) -> String {
    let head = char::from_u32(u32::from(FIRST_HEAD) + number).unwrap_or(FIRST_HEAD);
    format!("{head}{number:04}{} ", "x".repeat(padding))
}

/// False where nobody listens, or there is no room.
fn say(call: &Call, text: &str) -> bool {
    call.run.as_ref().is_some_and(|run| matches!(run.text(text).now_or_never(), Some(Ok(()))))
}

pub(crate) fn error(how: Finish) -> ProviderError {
    let (retryable, after_ms) = match how {
        Finish::Fail { retryable, after_ms } => (retryable, after_ms),
        Finish::Done | Finish::Length | Finish::Truncate => (true, None),
    };
    ProviderError {
        code: ProviderErrorCode::Unavailable,
        message: "out of order".to_owned(),
        detail: None,
        retryable,
        retry_after: after_ms.map(|ms| Duration::from_millis(ms.into())),
        status: None,
    }
}

/// The one model, which is configured or not.
pub(crate) struct Configured {
    models: Arc<ScriptedModels>,
    pub(crate) is: AtomicBool,
}

impl Configured {
    pub(crate) fn new(provider: Arc<ScriptedProvider>, is: bool) -> Arc<Self> {
        Arc::new(Self { models: ScriptedModels::new(provider), is: AtomicBool::new(is) })
    }
}

impl Models for Configured {
    fn resolve(&self, name: Option<&str>) -> Result<ResolvedModel, UnknownModel> {
        if self.is.load(Ordering::SeqCst) {
            return self.models.resolve(name);
        }
        Err(UnknownModel::NoModel { name: name.unwrap_or_default().to_owned() })
    }

    fn resolve_stored(&self, name: &str) -> Result<ResolvedModel, UnknownModel> {
        if self.is.load(Ordering::SeqCst) {
            return self.models.resolve_stored(name);
        }
        Err(UnknownModel::NoProvider { name: name.to_owned() })
    }

    fn list(&self) -> BoxFuture<'_, Vec<ModelInfo>> {
        self.models.list()
    }

    fn health(&self) -> Vec<ProviderHealth> {
        self.models.health()
    }

    fn warm(&self) {
        self.models.warm();
    }
}
