//! Providers in memory: a test plays the model, word by word, without a socket.
//!
//! A request to a [`ScriptedProvider`] becomes a [`ScriptedRun`] in the test's hands
//! ([`ScriptedProvider::next_run`]): it sees what was asked, says what it wants when it wants, and
//! learns when nobody listens any more. Where a test does not care, [`ScriptedProvider::plan`] says
//! beforehand what comes of the next request.
//!
//! **Invariant:** like every provider, a run ends with exactly one terminal item: one that is
//! dropped without `done` or `fail` ends as a truncated answer.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, future::BoxFuture, stream};
use parking_lot::Mutex;
use r1_domain::{
    event::Usage,
    provider::{
        Abilities, CompletionRequest, CompletionStream, Delta, ModelInfo, Models, Provider, ProviderError,
        ProviderErrorCode, ProviderHealth, ResolvedModel, UnknownModel,
    },
};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Deltas that a run may be ahead of its reader.
const AHEAD: usize = 16;
/// Runs that may wait for [`ScriptedProvider::next_run`].
const WAITING_RUNS: usize = 256;
/// How long [`ScriptedProvider::next_run`] waits, so that a test of a request that never comes fails with words.
const PATIENCE: Duration = Duration::from_secs(20);

/// What comes of a request that no test plays by hand.
#[derive(Debug, Clone)]
pub enum Plan {
    /// These words, then `stop`.
    Answer(String),
    /// These items, as they are.
    Items(Vec<Result<Delta, ProviderError>>),
    /// The request is refused before the stream.
    Refuse(ProviderError),
    /// The request is never answered; dropping it is [`ScriptedProvider::wait_abandoned`].
    Stall,
}

/// A provider that a test plays.
pub struct ScriptedProvider {
    can_continue: bool,
    fits_history: bool,
    plans: Mutex<VecDeque<Plan>>,
    default_plan: Mutex<Option<Plan>>,
    requests: Mutex<Vec<CompletionRequest>>,
    runs_in: mpsc::Sender<ScriptedRun>,
    runs: tokio::sync::Mutex<mpsc::Receiver<ScriptedRun>>,
    abandoned: CancellationToken,
}

impl ScriptedProvider {
    /// One that can, or can't, go on from a partial answer.
    #[must_use]
    pub fn new(can_continue: bool) -> Arc<Self> {
        Self::with(can_continue, false)
    }

    /// One that can go on from a partial answer, and says itself what it leaves out of a history.
    #[must_use]
    pub fn that_fits_history() -> Arc<Self> {
        Self::with(true, true)
    }

    fn with(can_continue: bool, fits_history: bool) -> Arc<Self> {
        let (runs_in, runs) = mpsc::channel(WAITING_RUNS);
        Arc::new(Self {
            can_continue,
            fits_history,
            plans: Mutex::default(),
            default_plan: Mutex::default(),
            requests: Mutex::default(),
            runs_in,
            runs: tokio::sync::Mutex::new(runs),
            abandoned: CancellationToken::new(),
        })
    }

    /// Says what comes of the next request without a plan of its own.
    pub fn plan(&self, plan: Plan) {
        self.plans.lock().push_back(plan);
    }

    /// Says what comes of every request beyond those planned one by one.
    pub fn plan_always(&self, plan: Plan) {
        *self.default_plan.lock() = Some(plan);
    }

    /// Waits for the next request without a plan.
    ///
    /// # Panics
    /// If none comes in 20 s: what was expected to ask the provider did not.
    #[expect(clippy::panic, reason = "a test's wait that is in vain ends the test")]
    pub async fn next_run(&self) -> ScriptedRun {
        let Ok(run) = tokio::time::timeout(PATIENCE, self.serve_run()).await else {
            let asked = self.requests.lock().len();
            panic!("waited {PATIENCE:?} in vain for a request to the scripted provider ({asked} came before)")
        };
        run
    }

    /// The same, however long it takes: for who serves whatever may come.
    pub async fn serve_run(&self) -> ScriptedRun {
        match self.runs.lock().await.recv().await {
            Some(run) => run,
            None => unreachable!("the provider holds a sender itself"),
        }
    }

    /// Every request so far, planned or played.
    #[must_use]
    pub fn requests(&self) -> Vec<CompletionRequest> {
        self.requests.lock().clone()
    }

    /// Waits until a request that was stalled has been dropped.
    pub async fn wait_abandoned(&self) {
        self.abandoned.cancelled().await;
    }
}

impl Provider for ScriptedProvider {
    fn complete(&self, request: CompletionRequest) -> BoxFuture<'static, Result<CompletionStream, ProviderError>> {
        self.requests.lock().push(request.clone());
        let planned = self.plans.lock().pop_front();
        let plan = planned.or_else(|| self.default_plan.lock().clone());
        let runs_in = self.runs_in.clone();
        let abandoned = self.abandoned.clone();
        Box::pin(async move {
            let items = match plan {
                None => {
                    let (run, stream) = ScriptedRun::new(request);
                    // Only fails once the provider is gone; the run then is dropped: truncated.
                    let _ = runs_in.send(run).await;
                    return Ok(Box::pin(stream) as CompletionStream);
                }
                Some(Plan::Stall) => {
                    let _abandoned = abandoned.drop_guard();
                    return std::future::pending().await;
                }
                Some(Plan::Refuse(error)) => return Err(error),
                Some(Plan::Items(items)) => items,
                Some(Plan::Answer(text)) => {
                    let words = text.split_inclusive(' ').map(|word| Ok(Delta::text(word)));
                    words.chain([Ok(Delta::Done { finish_reason: "stop".to_owned(), usage: None })]).collect()
                }
            };
            Ok(Box::pin(stream::iter(items)) as CompletionStream)
        })
    }

    fn can_continue(&self) -> bool {
        self.can_continue
    }

    fn fits_history(&self) -> bool {
        self.fits_history
    }
}

/// One answer, played by a test.
#[derive(Debug)]
pub struct ScriptedRun {
    request: CompletionRequest,
    items: mpsc::Sender<Result<Delta, ProviderError>>,
    dropped: CancellationToken,
}

/// Nobody listens: the stream was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NobodyListens;

impl std::fmt::Display for NobodyListens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the answer's stream was dropped")
    }
}

impl std::error::Error for NobodyListens {}

impl ScriptedRun {
    fn new(request: CompletionRequest) -> (Self, ScriptedStream) {
        let (sender, items) = mpsc::channel(AHEAD);
        let dropped = CancellationToken::new();
        let stream = ScriptedStream { items, ended: false, _dropped: dropped.clone().drop_guard() };
        (Self { request, items: sender, dropped }, stream)
    }

    /// What was asked.
    #[must_use]
    pub const fn request(&self) -> &CompletionRequest {
        &self.request
    }

    /// Says some text; waits while the reader is 16 items behind.
    ///
    /// # Errors
    /// [`NobodyListens`].
    pub async fn text(&self, text: &str) -> Result<(), NobodyListens> {
        self.item(Ok(Delta::text(text))).await
    }

    /// Says some text and the tokens that it stands for.
    ///
    /// # Errors
    /// [`NobodyListens`].
    pub async fn tokens(&self, text: &str, ids: &[u32]) -> Result<(), NobodyListens> {
        self.item(Ok(Delta::Text { text: text.to_owned(), ids: ids.to_vec() })).await
    }

    /// Thinks.
    ///
    /// # Errors
    /// [`NobodyListens`].
    pub async fn thought(&self, text: &str) -> Result<(), NobodyListens> {
        self.item(Ok(Delta::Reasoning(text.to_owned()))).await
    }

    /// Says that this many of the oldest turns were left out.
    ///
    /// # Errors
    /// [`NobodyListens`].
    pub async fn left_out(&self, turns: usize) -> Result<(), NobodyListens> {
        self.item(Ok(Delta::LeftOut(turns))).await
    }

    /// Ends well, with `stop` and a usage of 10 + 5 tokens.
    ///
    /// # Errors
    /// [`NobodyListens`].
    pub async fn done(self) -> Result<(), NobodyListens> {
        let usage = Usage { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15, estimated: false };
        self.done_with("stop", Some(usage)).await
    }

    /// Ends well, in these words.
    ///
    /// # Errors
    /// [`NobodyListens`].
    pub async fn done_with(self, finish_reason: &str, usage: Option<Usage>) -> Result<(), NobodyListens> {
        self.item(Ok(Delta::Done { finish_reason: finish_reason.to_owned(), usage })).await
    }

    /// Ends with an error.
    ///
    /// # Errors
    /// [`NobodyListens`].
    pub async fn fail(self, error: ProviderError) -> Result<(), NobodyListens> {
        self.item(Err(error)).await
    }

    /// Waits until the stream has been dropped, by a stop say.
    pub async fn dropped(&self) {
        self.dropped.cancelled().await;
    }

    /// Whether the stream has been dropped.
    #[must_use]
    pub fn is_dropped(&self) -> bool {
        self.dropped.is_cancelled()
    }

    async fn item(&self, item: Result<Delta, ProviderError>) -> Result<(), NobodyListens> {
        self.items.send(item).await.map_err(|_| NobodyListens)
    }
}

struct ScriptedStream {
    items: mpsc::Receiver<Result<Delta, ProviderError>>,
    ended: bool,
    _dropped: DropGuard,
}

impl Stream for ScriptedStream {
    type Item = Result<Delta, ProviderError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let item = std::task::ready!(self.items.poll_recv(cx)).unwrap_or_else(|| Err(truncated()));
        self.ended = matches!(item, Err(_) | Ok(Delta::Done { .. }));
        Poll::Ready(Some(item))
    }
}

fn truncated() -> ProviderError {
    ProviderError {
        code: ProviderErrorCode::Truncated,
        message: "the scripted run was dropped".to_owned(),
        detail: None,
        retryable: true,
        retry_after: None,
        status: None,
    }
}

/// The one provider `test` with the one model `test/scripted`, which is the default.
pub struct ScriptedModels {
    provider: Arc<dyn Provider>,
    abilities: Abilities,
    warmed: AtomicU64,
}

impl ScriptedModels {
    /// The name of the model.
    pub const MODEL: &'static str = "test/scripted";

    /// Around this provider.
    #[must_use]
    pub fn new(provider: Arc<dyn Provider>) -> Arc<Self> {
        Self::with_abilities(provider, Abilities::default())
    }

    /// The same, and this is known of the model.
    #[must_use]
    pub fn with_abilities(provider: Arc<dyn Provider>, abilities: Abilities) -> Arc<Self> {
        Arc::new(Self { provider, abilities, warmed: AtomicU64::new(0) })
    }

    /// How often somebody called [`Models::warm`].
    #[must_use]
    pub fn warmed(&self) -> u64 {
        self.warmed.load(Ordering::SeqCst)
    }
}

impl Models for ScriptedModels {
    fn resolve(&self, name: Option<&str>) -> Result<ResolvedModel, UnknownModel> {
        match name {
            None | Some(Self::MODEL | "scripted") => Ok(ResolvedModel {
                provider: self.provider.clone(),
                name: Self::MODEL.to_owned(),
                upstream_name: "scripted".to_owned(),
                abilities: self.abilities,
                default_max_tokens: None,
            }),
            Some(name) => Err(UnknownModel::NoModel { name: name.to_owned() }),
        }
    }

    fn resolve_stored(&self, name: &str) -> Result<ResolvedModel, UnknownModel> {
        match name {
            Self::MODEL => self.resolve(None),
            name => Err(UnknownModel::NoProvider { name: name.to_owned() }),
        }
    }

    fn list(&self) -> BoxFuture<'_, Vec<ModelInfo>> {
        let model = ModelInfo {
            id: Self::MODEL.to_owned(),
            provider: "test".to_owned(),
            name: None,
            is_default: true,
            description: Some("Says what a test says.".to_owned()),
            abilities: self.abilities,
        };
        Box::pin(std::future::ready(vec![model]))
    }

    fn health(&self) -> Vec<ProviderHealth> {
        vec![ProviderHealth { name: "test".to_owned(), status: "ok", detail: None }]
    }

    fn warm(&self) {
        self.warmed.fetch_add(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    fn request() -> CompletionRequest {
        CompletionRequest {
            model: "scripted".to_owned(),
            turns: Vec::new(),
            partial_answer: None,
            partial_ids: None,
            temperature: None,
            max_tokens: Some(5),
            seed: 1,
            user_key: "u".to_owned(),
            request_id: None,
            use_invalid_key: false,
        }
    }

    #[tokio::test]
    async fn a_test_plays_the_model() {
        let provider = ScriptedProvider::new(true);
        let mut stream = provider.complete(request()).await.unwrap();
        let run = provider.next_run().await;
        assert_eq!(run.request(), &request());
        run.text("Hello").await.unwrap();
        assert_eq!(stream.next().await, Some(Ok(Delta::text("Hello"))));
        run.thought("hm").await.unwrap();
        assert_eq!(stream.next().await, Some(Ok(Delta::Reasoning("hm".to_owned()))));
        run.tokens(" you", &[7, 9]).await.unwrap();
        assert_eq!(stream.next().await, Some(Ok(Delta::Text { text: " you".to_owned(), ids: vec![7, 9] })));
        run.done().await.unwrap();
        assert!(matches!(stream.next().await, Some(Ok(Delta::Done { .. }))));
        assert_eq!(stream.next().await, None);
    }

    #[tokio::test]
    async fn a_dropped_stream_is_noticed_and_a_dropped_run_is_truncated() {
        let provider = ScriptedProvider::new(false);
        let stream = provider.complete(request()).await.unwrap();
        let run = provider.next_run().await;
        assert!(!run.is_dropped());
        drop(stream);
        run.dropped().await;
        assert_eq!(run.text("x").await, Err(NobodyListens));
        let mut stream = provider.complete(request()).await.unwrap();
        drop(provider.next_run().await);
        assert_eq!(stream.next().await, Some(Err(truncated())));
        assert_eq!(stream.next().await, None);
    }

    #[tokio::test]
    async fn plans_come_first() {
        let provider = ScriptedProvider::new(false);
        provider.plan_always(Plan::Answer("a b".to_owned()));
        provider.plan(Plan::Refuse(truncated()));
        provider.plan(Plan::Stall);
        assert_eq!(provider.complete(request()).await.err(), Some(truncated()));
        {
            let mut stalled = provider.complete(request());
            assert!(futures::poll!(&mut stalled).is_pending());
        }
        provider.wait_abandoned().await;
        let items: Vec<_> = provider.complete(request()).await.unwrap().collect().await;
        assert_eq!(items.len(), 3);
        assert_eq!(provider.requests().len(), 3);
    }
}
