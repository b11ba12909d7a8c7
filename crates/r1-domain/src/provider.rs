//! The port to whatever runs models.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures::{Stream, future::BoxFuture};

use crate::{event::Usage, message::Turn};

/// What a model is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct CompletionRequest {
    /// The provider's own name for the model, without the `provider/` before it.
    pub model: String,
    /// The history, oldest first; the last turn is the question.
    pub turns: Vec<Turn>,
    /// The answer so far, when the model shall go on from it (only where
    /// [`Provider::can_continue`]).
    pub partial_answer: Option<String>,
    /// The tokens of that answer's end, where they are known: going on from them is what the run that
    /// wrote them would have done. None: from its text alone.
    pub partial_ids: Option<Arc<[u32]>>,
    /// 0 to 2; none for the provider's own default.
    pub temperature: Option<f64>,
    /// At most this many further tokens; none where nobody set a limit. 0 only with `partial_ids`: all is
    /// written but the end.
    pub max_tokens: Option<u32>,
    /// Of the random source, where the provider takes one.
    pub seed: u64,
    /// Opaque word that stands for the user, for fair scheduling; no name, no address.
    pub user_key: String,
    /// Goes to the provider, so that its logs can be held against ours. Letters, digits, `-`, `_` and `.`.
    pub request_id: Option<String>,
    /// Ask with a key that is sure to be rejected, to show how an error streams.
    pub use_invalid_key: bool,
}

/// One step of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delta {
    /// More text.
    Text {
        /// Never empty.
        text: String,
        /// Exactly the tokens that it stands for, and those that end the answer with it, if any; empty
        /// where the provider does not say.
        ids: Vec<u32>,
    },
    /// How many of the request's oldest turns the model was not given; the system turn always is, and does not count.
    /// Comes once at most, first, and only of a provider that [fits a history](Provider::fits_history) itself.
    LeftOut(usize),
    /// More of what the model thinks before it answers. Never part of the answer's text, nor of the history.
    Reasoning(
        /// Never empty.
        String,
    ),
    /// What came and is in no other item. Comes once at most, before the last item, if there was any.
    Skipped(Skipped),
    /// The answer is whole. Comes once, last.
    Done {
        /// The provider's word: `stop`, `length`, `content_filter`, …
        finish_reason: String,
        /// Tokens used, if the provider counted.
        usage: Option<Usage>,
    },
}

impl Delta {
    /// Text of a provider that names no tokens.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into(), ids: Vec::new() }
    }
}

/// What a provider sent that went no further, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Skipped {
    /// Events that could not be read: there may have been words in them.
    pub unread: u64,
    /// Events with a call of a tool, of which none was offered.
    pub tool_calls: u64,
}

impl Skipped {
    /// Whether nothing was skipped.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.unread == 0 && self.tool_calls == 0
    }
}

/// An answer on its way. Dropping it closes the connection to the provider. A stream that ends
/// without [`Delta::Done`] or an error does not exist: a truncated answer is an error.
pub type CompletionStream = Pin<Box<dyn Stream<Item = Result<Delta, ProviderError>> + Send>>;

/// Why a provider did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ProviderError {
    /// What kind of fault.
    pub code: ProviderErrorCode,
    /// A sentence for people: no key, no word of the provider's.
    pub message: String,
    /// The provider's own message, if it gave one: one line of at most 500 characters, without keys and addresses.
    /// For those who administer the server.
    pub detail: Option<String>,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// When the provider asks to wait.
    pub retry_after: Option<Duration>,
    /// The status of the HTTP response that it was, if it was one other than success. For the log.
    pub status: Option<u16>,
}

/// Stable words for the kinds of fault; they go out as the `code` of an error event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProviderErrorCode {
    /// The key was rejected (401, 403).
    Auth,
    /// Too many requests (429).
    RateLimited,
    /// The account has no credit left (402, some 429): waiting does not help.
    NoCredit,
    /// No such model (404).
    ModelNotFound,
    /// The question is larger than the model's context.
    ContextTooLong,
    /// The provider refused the request (other 4xx).
    Rejected,
    /// The provider can't be reached.
    Unreachable,
    /// Whoever answers there can't prove that it is the provider (its TLS certificate).
    Untrusted,
    /// The provider is there and fails (5xx).
    Unavailable,
    /// Nothing came for too long.
    Timeout,
    /// What came is not the protocol.
    InvalidResponse,
    /// The answer broke off without a finish.
    Truncated,
    /// The provider said in its answer that it failed.
    Failed,
}

impl ProviderErrorCode {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "provider_auth",
            Self::RateLimited => "provider_rate_limited",
            Self::NoCredit => "provider_no_credit",
            Self::ModelNotFound => "model_not_found",
            Self::ContextTooLong => "context_too_long",
            Self::Rejected => "provider_rejected",
            Self::Unreachable => "provider_unreachable",
            Self::Untrusted => "provider_untrusted",
            Self::Unavailable => "provider_unavailable",
            Self::Timeout => "provider_timeout",
            Self::InvalidResponse => "upstream_invalid",
            Self::Truncated => "upstream_truncated",
            Self::Failed => "provider_failed",
        }
    }
}

/// Something that runs models.
pub trait Provider: Send + Sync + 'static {
    /// Starts an answer. Resolves once the provider has accepted the request (its response headers
    /// are there), or refused it. Dropping the future, or the stream, closes the connection.
    fn complete(&self, request: CompletionRequest) -> BoxFuture<'static, Result<CompletionStream, ProviderError>>;

    /// Whether it can go on from a partial answer.
    fn can_continue(&self) -> bool;

    /// Whether it fits a history into its model's context itself, with the model's own tokens: then nobody
    /// shortens one for it by estimates, and [`Delta::LeftOut`] says how much it left out.
    fn fits_history(&self) -> bool {
        false
    }

    /// Where its key is set, in words for the log; none where it has none. Never the key.
    fn key_place(&self) -> Option<&str> {
        None
    }
}

/// A model that was asked for, found.
#[derive(Clone)]
pub struct ResolvedModel {
    /// Who runs it.
    pub provider: Arc<dyn Provider>,
    /// As `provider/model`: what users see and what is stored.
    pub name: String,
    /// The provider's own name for it.
    pub upstream_name: String,
    /// What is known of it.
    pub abilities: Abilities,
    /// Bounds an answer where neither the user nor the administrator said: only of a model that runs on
    /// this machine.
    pub default_max_tokens: Option<u32>,
}

/// What is known of a model. None: nobody says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Abilities {
    /// Tokens of question, history and answer together.
    pub context_tokens: Option<u32>,
    /// Tokens that an answer can have at most.
    pub output_tokens: Option<u32>,
    /// Whether it can see pictures.
    pub images: Option<bool>,
    /// Whether it can call tools.
    pub tools: Option<bool>,
    /// Whether it thinks before it answers.
    pub reasoning: Option<bool>,
}

impl Abilities {
    /// The same, with what is not known here taken from another source.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            context_tokens: self.context_tokens.or(other.context_tokens),
            output_tokens: self.output_tokens.or(other.output_tokens),
            images: self.images.or(other.images),
            tools: self.tools.or(other.tools),
            reasoning: self.reasoning.or(other.reasoning),
        }
    }
}

impl ResolvedModel {
    /// The provider's name in the configuration.
    #[must_use]
    pub fn provider_name(&self) -> &str {
        self.name.split_once('/').map_or(&self.name, |(provider, _)| provider)
    }
}

/// A model in the list of what can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// As `provider/model`.
    pub id: String,
    /// The provider's name in the configuration.
    pub provider: String,
    /// What to show in its place, where the provider says so. Never asked for.
    pub name: Option<String>,
    /// Whether a request without a model goes here.
    pub is_default: bool,
    /// What a person should know about it, if anything.
    pub description: Option<String>,
    /// What is known of it.
    pub abilities: Abilities,
}

/// How a provider is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderHealth {
    /// The provider's name in the configuration.
    pub name: String,
    /// `ok`, `degraded`, or `unknown` until somebody has asked it; of the local model its state.
    pub status: &'static str,
    /// What a person should know, if anything.
    pub detail: Option<String>,
}

/// A model that can't be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownModel {
    /// Nobody has it.
    #[error("there is no model '{name}'; GET /api/v1/models lists what can be asked")]
    NoModel {
        /// What was asked for.
        name: String,
    },
    /// What stands before the slash is no provider here, and the default provider does not have the whole name: it
    /// was mistyped, most likely. Nobody is asked, as somebody else would be paid.
    #[error(
        "there is no provider '{provider}' here, and the default provider has no model '{name}'{}",
        near.as_ref().map(|near| format!("; did you mean '{near}'?")).unwrap_or_default()
    )]
    Mistyped {
        /// What was asked for.
        name: String,
        /// What stands before its slash.
        provider: String,
        /// What was probably meant.
        near: Option<String>,
    },
    /// Whoever had it is no longer configured. Another provider is not asked in its place.
    #[error("the provider of the model '{name}' is no longer configured; choose another model (GET /api/v1/models)")]
    NoProvider {
        /// What was asked for.
        name: String,
    },
}

/// All configured providers.
pub trait Models: Send + Sync + 'static {
    /// Finds what a person asks for: `provider/model`, a bare name of the default provider's, or (none)
    /// the default model. What stands before the first `/` is a provider only if one of that name is
    /// configured; else it belongs to a bare name, such as a router's `vendor/model`. A name that its
    /// provider does not list is passed through: only the provider knows. The exception is such a bare name with a
    /// slash, where the default provider's list is known and lacks it, or what stands before the slash is nearly the
    /// name of a provider.
    ///
    /// # Errors
    /// [`UnknownModel`] for an unknown local model, and for a name that was probably mistyped.
    fn resolve(&self, name: Option<&str>) -> Result<ResolvedModel, UnknownModel>;

    /// Finds the model of an answer by its stored name, which is always `provider/model`
    /// ([`ResolvedModel::name`]): that provider's, or nobody's.
    ///
    /// # Errors
    /// [`UnknownModel::NoProvider`] where the provider is no longer configured, else as
    /// [`Models::resolve`].
    fn resolve_stored(&self, name: &str) -> Result<ResolvedModel, UnknownModel>;

    /// What can be asked. Providers that don't answer in time are left out.
    fn list(&self) -> BoxFuture<'_, Vec<ModelInfo>>;

    /// How each provider is; never waits for one.
    fn health(&self) -> Vec<ProviderHealth>;

    /// Somebody is here who may soon ask: a provider that sleeps may wake. Cheap, never waits.
    fn warm(&self);
}
