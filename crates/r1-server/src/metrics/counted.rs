//! What is counted as it happens, and where.
//!
//! Buckets are few: each is a line of every scrape, for each label.

use std::{collections::HashSet, sync::Arc, time::Duration};

use http::{Method, StatusCode};
use parking_lot::RwLock;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};
use r1_auth::SignInFailure;
use r1_domain::{event::Usage, generation::State, jobs::TITLE, provider::ProviderErrorCode, time::Clock};
use r1_generation::{Commit, SkippedKind};
use r1_jobs::Ending;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfProvider {
    provider: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProviderFault {
    provider: String,
    code: &'static str,
    tried_again: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SkippedOf {
    provider: String,
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Tokens {
    provider: String,
    model: String,
    direction: &'static str,
    estimated: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfJob {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobTokens {
    kind: &'static str,
    provider: String,
    model: String,
    direction: &'static str,
    estimated: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfReason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    method: &'static str,
    route: String,
    status: u16,
}

/// Stands for all models that the configuration does not name.
const OTHER: &str = "other";

/// Handles of everything that is counted: cheap to clone, all clones count the same.
#[derive(Clone)]
pub(crate) struct Counted {
    clock: Arc<dyn Clock>,
    /// As `provider/model`: anybody may ask for any other, and a label for each would be without bound.
    named_models: Arc<RwLock<HashSet<String>>>,
    accepted: Counter,
    ended: Family<OfState, Counter>,
    taken_over: Counter,
    lapsed: Counter,
    first_chunk: Family<OfProvider, Histogram>,
    gap: Histogram,
    provider_errors: Family<ProviderFault, Counter>,
    skipped: Family<SkippedOf, Counter>,
    tokens: Family<Tokens, Counter>,
    last_success: Family<OfProvider, Gauge>,
    sign_in_failures: Family<OfReason, Counter>,
    commit_time: Histogram,
    commit_logs: Histogram,
    commit_bytes: Histogram,
    commit_failures: Counter,
    answers: Family<Answer, Counter>,
    answer_time: Histogram,
    jobs: Family<OfJob, Counter>,
    job_time: Family<OfKind, Histogram>,
    job_tokens: Family<JobTokens, Counter>,
}

/// 1 ms to 33 s: what a person waits for.
fn waits() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 16))
}

/// 0.1 ms to 26 s: a chunk comes within some of the first.
fn gaps() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 4.0, 10))
}

/// 0.1 ms to 3.3 s: the last ones are a disk in distress.
fn commits() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 2.0, 16))
}

impl Counted {
    /// Makes all of them known to a registry.
    pub(crate) fn new(registry: &mut Registry, clock: Arc<dyn Clock>) -> Self {
        let counted = Self {
            clock,
            named_models: Arc::default(),
            accepted: Counter::default(),
            ended: Family::default(),
            taken_over: Counter::default(),
            lapsed: Counter::default(),
            first_chunk: Family::new_with_constructor(waits),
            gap: gaps(),
            provider_errors: Family::default(),
            skipped: Family::default(),
            tokens: Family::default(),
            last_success: Family::default(),
            sign_in_failures: Family::default(),
            commit_time: commits(),
            commit_logs: Histogram::new(exponential_buckets(1.0, 2.0, 11)),
            commit_bytes: Histogram::new(exponential_buckets(64.0, 4.0, 9)),
            commit_failures: Counter::default(),
            answers: Family::default(),
            answer_time: waits(),
            jobs: Family::default(),
            job_time: Family::new_with_constructor(waits),
            job_tokens: Family::default(),
        };
        // There from the beginning, so that the first one is an increase.
        for state in State::ALL.into_iter().filter(|state| state.is_terminal()) {
            drop(counted.ended.get_or_create(&OfState { state: state.as_str() }));
        }
        for reason in SignInFailure::ALL.map(SignInFailure::as_str) {
            drop(counted.sign_in_failures.get_or_create(&OfReason { reason }));
        }
        for outcome in Ending::ALL.map(Ending::as_str) {
            drop(counted.jobs.get_or_create(&OfJob { kind: TITLE, outcome }));
        }
        let Self { accepted, ended, taken_over, lapsed, first_chunk, gap, provider_errors, skipped, .. } = &counted;
        let Self { tokens, last_success, sign_in_failures, .. } = &counted;
        let Self { commit_time, commit_logs, commit_bytes, commit_failures, answers, answer_time, .. } = &counted;
        registry.register("gpt_r1_generations_accepted", "Answers that were begun here", accepted.clone());
        registry.register("gpt_r1_generations_ended", "Answers whose end was stored here, by state", ended.clone());
        registry.register(
            "gpt_r1_generations_taken_over",
            "Answers that were taken over from a process that is gone",
            taken_over.clone(),
        );
        registry.register("gpt_r1_lease_lapses", "Times that this node let go of what it ran", lapsed.clone());
        registry.register_with_unit(
            "gpt_r1_first_chunk",
            "From a question to the first text or thought of the provider's",
            Unit::Seconds,
            first_chunk.clone(),
        );
        registry.register_with_unit(
            "gpt_r1_chunk_gap",
            "Between two pieces of the provider's",
            Unit::Seconds,
            gap.clone(),
        );
        registry.register(
            "gpt_r1_provider_errors",
            "Requests to a provider that failed, by code",
            provider_errors.clone(),
        );
        registry.register(
            "gpt_r1_provider_skipped",
            "Events of answers that went no further, by kind",
            skipped.clone(),
        );
        registry.register("gpt_r1_tokens", "Tokens of whole answers, as providers count them", tokens.clone());
        registry.register_with_unit(
            "gpt_r1_provider_last_success_timestamp",
            "When a provider's answer came whole last, since 1970",
            Unit::Seconds,
            last_success.clone(),
        );
        registry.register(
            "gpt_r1_sign_in_failures",
            "Passwords, of sign-ins and changes, that were refused",
            sign_in_failures.clone(),
        );
        registry.register_with_unit(
            "gpt_r1_log_commit",
            "Commits of running answers: how long",
            Unit::Seconds,
            commit_time.clone(),
        );
        registry.register("gpt_r1_log_commit_logs", "Commits of running answers: how many in one", commit_logs.clone());
        registry.register_with_unit(
            "gpt_r1_log_commit_size",
            "Commits of running answers: records in one",
            Unit::Bytes,
            commit_bytes.clone(),
        );
        registry.register(
            "gpt_r1_log_commit_failures",
            "Commits of running answers that storage did not take",
            commit_failures.clone(),
        );
        registry.register("gpt_r1_http_responses", "Responses of the API", answers.clone());
        registry.register_with_unit(
            "gpt_r1_http_response",
            "From a request to its response's headers",
            Unit::Seconds,
            answer_time.clone(),
        );
        let Self { jobs, job_time, job_tokens, .. } = &counted;
        registry.register("gpt_r1_jobs", "Attempts at background jobs that have ended, by outcome", jobs.clone());
        registry.register_with_unit(
            "gpt_r1_job",
            "Attempts at background jobs: how long",
            Unit::Seconds,
            job_time.clone(),
        );
        registry.register(
            "gpt_r1_job_tokens",
            "Tokens of what models did for jobs, as providers count them",
            job_tokens.clone(),
        );
        counted
    }

    /// The label of a model: its name, where the configuration has it.
    fn label_of(&self, provider: &str, model: &str) -> String {
        let is_named = self.named_models.read().contains(&format!("{provider}/{model}"));
        if is_named { model.to_owned() } else { OTHER.to_owned() }
    }

    /// From now on tokens of these models, as `provider/model`, are counted by name; those of a provider's others
    /// together.
    pub(crate) fn name_models(&self, models: HashSet<String>) {
        *self.named_models.write() = models;
    }
}

impl r1_auth::Observer for Counted {
    fn sign_in_failed(&self, why: SignInFailure) {
        self.sign_in_failures.get_or_create(&OfReason { reason: why.as_str() }).inc();
    }
}

impl r1_generation::Observer for Counted {
    fn accepted(&self) {
        self.accepted.inc();
    }

    fn ended(&self, state: State) {
        self.ended.get_or_create(&OfState { state: state.as_str() }).inc();
    }

    fn first_chunk(&self, provider: &str, after: Duration) {
        self.first_chunk.get_or_create(&OfProvider { provider: provider.to_owned() }).observe(after.as_secs_f64());
    }

    fn gap(&self, gap: Duration) {
        self.gap.observe(gap.as_secs_f64());
    }

    fn provider_answered(&self, provider: &str, model: &str, usage: Option<Usage>) {
        let now = self.clock.now().unix_seconds();
        self.last_success.get_or_create(&OfProvider { provider: provider.to_owned() }).set(now);
        let Some(Usage { prompt_tokens, completion_tokens, estimated, .. }) = usage else { return };
        let model = self.label_of(provider, model);
        let estimated = if estimated { "yes" } else { "no" };
        for (direction, tokens) in [("prompt", prompt_tokens), ("completion", completion_tokens)] {
            let of = Tokens { provider: provider.to_owned(), model: model.clone(), direction, estimated };
            self.tokens.get_or_create(&of).inc_by(tokens);
        }
    }

    fn provider_failed(&self, provider: &str, code: ProviderErrorCode, tried_again: bool) {
        let tried_again = if tried_again { "yes" } else { "no" };
        let fault = ProviderFault { provider: provider.to_owned(), code: code.as_str(), tried_again };
        self.provider_errors.get_or_create(&fault).inc();
    }

    fn skipped(&self, provider: &str, kind: SkippedKind, events: u64) {
        if events > 0 {
            let of = SkippedOf { provider: provider.to_owned(), kind: kind.as_str() };
            self.skipped.get_or_create(&of).inc_by(events);
        }
    }

    fn committed(&self, commit: Commit) {
        if !commit.stored {
            self.commit_failures.inc();
            return;
        }
        self.commit_time.observe(commit.took.as_secs_f64());
        self.commit_logs.observe(commit.logs as f64);
        self.commit_bytes.observe(commit.bytes as f64);
    }

    fn taken_over(&self) {
        self.taken_over.inc();
    }

    fn lapsed(&self) {
        self.lapsed.inc();
    }
}

impl r1_jobs::Observer for Counted {
    fn attempted(&self, kind: &'static str, ending: Ending, took: Duration) {
        self.jobs.get_or_create(&OfJob { kind, outcome: ending.as_str() }).inc();
        self.job_time.get_or_create(&OfKind { kind }).observe(took.as_secs_f64());
    }

    fn used(&self, kind: &'static str, provider: &str, model: &str, usage: Usage) {
        let Usage { prompt_tokens, completion_tokens, estimated, .. } = usage;
        let (provider, model) = (provider.to_owned(), self.label_of(provider, model));
        let estimated = if estimated { "yes" } else { "no" };
        for (direction, tokens) in [("prompt", prompt_tokens), ("completion", completion_tokens)] {
            let of = JobTokens { kind, provider: provider.clone(), model: model.clone(), direction, estimated };
            self.job_tokens.get_or_create(&of).inc_by(tokens);
        }
    }
}

impl r1_http::Observer for Counted {
    fn answered(&self, method: &Method, route: &str, status: StatusCode, took: Duration) {
        let answer = Answer { method: known(method), route: route.to_owned(), status: status.as_u16() };
        self.answers.get_or_create(&answer).inc();
        self.answer_time.observe(took.as_secs_f64());
    }
}

/// Anybody may make methods up; a label for each would be without bound.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
