//! The local model as a provider: waits for its child process, then speaks to it like to any other.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, future::BoxFuture};
use parking_lot::Mutex;
use r1_domain::provider::{
    CompletionRequest, CompletionStream, Provider, ProviderError, ProviderErrorCode, ProviderHealth,
};
use r1_local_model::supervisor::{Endpoint, State, Supervisor, SupervisorError};
use r1_providers::{
    catalog::{LocalModel as Listed, LocalProvider},
    openai::{Continues, OpenAi, OpenAiConfig, Parameters},
};

use crate::config::LocalEngine;

/// A first token takes as long as the question is long: minutes on a slow machine. A child that
/// hangs is found by its supervisor.
const FIRST_TOKEN: Duration = Duration::from_secs(300);

/// The local model, for as long as the server lives.
pub(crate) struct LocalModel(Arc<Inner>);

struct Inner {
    supervisor: Supervisor,
    /// What it is called, and what people who choose a model should know.
    about: Listed,
    default_max_tokens: AtomicU32,
    continues: Continues,
    /// The engine shortens a conversation to its context itself. `llama-server` refuses one that is too long.
    fits_history: bool,
    /// Somebody has used it: from now on it wakes for whoever comes.
    used: AtomicBool,
    /// The client for the child at this address; the built-in engine's never changes.
    client: Mutex<Option<(Endpoint, OpenAi)>>,
}

impl LocalModel {
    /// `default_max_tokens` bounds an answer where nobody else does.
    pub(crate) fn new(supervisor: Supervisor, about: Listed, default_max_tokens: u32, engine: LocalEngine) -> Self {
        let (used, client) = (AtomicBool::new(false), Mutex::new(None));
        let default_max_tokens = AtomicU32::new(default_max_tokens);
        let (continues, fits_history) = match engine {
            LocalEngine::Builtin => (Continues::Vllm, true),
            LocalEngine::LlamaServer => (Continues::Plain, false),
        };
        Self(Arc::new(Inner { supervisor, about, default_max_tokens, continues, fits_history, used, client }))
    }

    /// Bounds further answers where nobody else does.
    pub(crate) fn set_default_max_tokens(&self, tokens: u32) {
        self.0.default_max_tokens.store(tokens, Ordering::Relaxed);
    }

    /// Loads the model in the background.
    pub(crate) fn start(&self) {
        self.0.used.store(true, Ordering::Relaxed);
        self.0.supervisor.start();
    }

    /// The child's process id, while there is one.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.0.supervisor.pid()
    }

    /// Stops the child and waits for its end.
    pub(crate) async fn shutdown(&self) {
        self.0.supervisor.shutdown().await;
    }
}

impl Inner {
    fn client(&self, endpoint: &Endpoint) -> Result<OpenAi, ProviderError> {
        let mut client = self.client.lock();
        if let Some((known, client)) = client.as_ref()
            && known == endpoint
        {
            return Ok(client.clone());
        }
        let mut config = match endpoint {
            Endpoint::Unix(path) => OpenAiConfig {
                unix_socket: Some(path.clone()),
                // All for our own engine: fair scheduling, and the same answer after a crash.
                parameters: Parameters { send_user: Some(true), send_seed: Some(true), ..Parameters::default() },
                own_engine: true,
                ..OpenAiConfig::new("local", "http://local-model/v1")
            },
            Endpoint::Tcp { base_url, api_key } => {
                OpenAiConfig { api_key: Some(api_key.clone()), ..OpenAiConfig::new("local", base_url) }
            }
        };
        config.continues = self.continues;
        config.headers_timeout = FIRST_TOKEN;
        config.idle_timeout = FIRST_TOKEN;
        let made = OpenAi::new(config).map_err(|faults| {
            tracing::error!(?faults, "the local model has no client");
            unavailable("The local model can't be reached.".to_owned(), None)
        })?;
        *client = Some((endpoint.clone(), made.clone()));
        Ok(made)
    }

    async fn complete(&self, request: CompletionRequest) -> Result<CompletionStream, ProviderError> {
        if request.use_invalid_key {
            return Err(ProviderError {
                code: ProviderErrorCode::Auth,
                message: "The key was rejected. (The local model needs none: this request asked for an invalid one.)"
                    .to_owned(),
                detail: None,
                retryable: false,
                retry_after: None,
                status: None,
            });
        }
        self.used.store(true, Ordering::Relaxed);
        let lease = self.supervisor.acquire().await.map_err(|error| refused(&error))?;
        let answer = self.client(lease.endpoint())?.complete(request).await?;
        // The child is in use for as long as the answer is on its way.
        Ok(answer
            .map(move |delta| {
                let _ = &lease;
                delta
            })
            .boxed())
    }
}

impl Provider for LocalModel {
    fn complete(&self, request: CompletionRequest) -> BoxFuture<'static, Result<CompletionStream, ProviderError>> {
        let inner = self.0.clone();
        Box::pin(async move { inner.complete(request).await })
    }

    fn can_continue(&self) -> bool {
        self.0.continues != Continues::None
    }

    fn fits_history(&self) -> bool {
        self.0.fits_history
    }
}

impl LocalProvider for LocalModel {
    fn models(&self) -> Vec<Listed> {
        vec![self.0.about.clone()]
    }

    fn health(&self, name: &str) -> ProviderHealth {
        let status = self.0.supervisor.status();
        ProviderHealth { name: name.to_owned(), status: status.state.as_str(), detail: status.detail }
    }

    fn default_max_tokens(&self) -> u32 {
        self.0.default_max_tokens.load(Ordering::Relaxed)
    }

    fn warm(&self) {
        if self.0.used.load(Ordering::Relaxed) && self.0.supervisor.status().state != State::Failed {
            self.0.supervisor.warm();
        }
    }
}

fn refused(error: &SupervisorError) -> ProviderError {
    let retry_after = match error {
        SupervisorError::Failed { retry_after, .. } => Some(*retry_after),
        SupervisorError::NotReady { .. } | SupervisorError::ShuttingDown => None,
    };
    let mut message = error.to_string();
    if let Some(first) = message.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    message.push('.');
    unavailable(message, retry_after)
}

fn unavailable(message: String, retry_after: Option<Duration>) -> ProviderError {
    ProviderError {
        code: ProviderErrorCode::Unavailable,
        message,
        detail: None,
        retryable: true,
        retry_after,
        status: None,
    }
}
