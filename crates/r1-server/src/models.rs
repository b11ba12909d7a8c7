//! From the configuration to the models that can be asked.

use std::sync::Arc;

use r1_local_model::{
    fetch::FetchOptions,
    fetch::ModelSource,
    supervisor::{Engine, Supervisor, SupervisorOptions, Timing},
};
use r1_providers::{
    catalog::{Catalog, CatalogConfig, LocalEntry, LocalModel as Listed},
    openai::{self, OpenAiConfig},
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, Continues, LocalEngine, LocalModelConfig, ProviderConfig},
    local_provider::LocalModel,
};

/// The local model's name as a provider.
const LOCAL: &str = "local";
/// Answers that `llama-server` writes at a time.
const LLAMA_SERVER_SLOTS: usize = 4;
/// What people should know who choose the default local model.
const TINY: &str = "A tiny demonstration model on this machine's processor: quick and fluent, but its facts are shaky. \
                    Configure a provider for real work.";
/// The same for a file of their own.
const OWN: &str = "A model on this machine's processor.";

/// The catalog, and the local model behind it.
pub(crate) struct Wired {
    pub(crate) catalog: Arc<Catalog>,
    local: Option<Arc<LocalModel>>,
}

impl Wired {
    /// Makes all clients; nobody is asked anything yet. The local model ends with `closing`.
    pub(crate) fn new(config: &Config, closing: &CancellationToken) -> anyhow::Result<Self> {
        let local = match &config.local_model {
            Some(local) => Some(Arc::new(local_model(config, local, closing)?)),
            None => None,
        };
        let catalog = Catalog::new(CatalogConfig {
            providers: config.providers.iter().map(provider).collect(),
            local_servers: None,
            local: local.clone().map(|provider| LocalEntry { name: LOCAL.to_owned(), provider }),
            default_provider: Some(config.default_model.provider.clone()),
            default_model: config.default_model.model.clone(),
        })?;
        Ok(Self { catalog: Arc::new(catalog), local })
    }

    /// Loads the local model in the background if it is what most people will ask.
    pub(crate) fn start(&self) {
        if let Some(local) = &self.local
            && self.catalog.is_local_default()
        {
            local.start();
        }
    }

    /// Ends the local model's process.
    pub(crate) async fn shutdown(&self) {
        if let Some(local) = &self.local {
            local.shutdown().await;
        }
    }
}

fn provider(config: &ProviderConfig) -> OpenAiConfig {
    let mut provider = OpenAiConfig::new(&config.name, &config.base_url);
    provider.api_key = config.api_key.clone();
    provider.models = config.models.clone();
    provider.idle_timeout = config.idle_timeout;
    provider.headers_timeout = config.idle_timeout;
    provider.continues = match config.continues {
        Continues::None => openai::Continues::None,
        Continues::Plain => openai::Continues::Plain,
        Continues::Vllm => openai::Continues::Vllm,
        Continues::Prefix => openai::Continues::Prefix,
    };
    provider
}

fn local_model(config: &Config, local: &LocalModelConfig, closing: &CancellationToken) -> anyhow::Result<LocalModel> {
    let (engine, continues) = match local.engine {
        LocalEngine::Builtin => {
            (Engine::Builtin { exe: std::env::current_exe()?, args: Vec::new() }, openai::Continues::Vllm)
        }
        LocalEngine::LlamaServer => {
            let path = local.llama_server_path.clone();
            (Engine::LlamaServer { path, slots: LLAMA_SERVER_SLOTS, args: Vec::new() }, openai::Continues::Plain)
        }
    };
    // One core stays with the server.
    let all_but_one = || std::thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1));
    let supervisor = Supervisor::new(
        SupervisorOptions {
            engine,
            model: ModelSource::Fetch(Box::new(FetchOptions::from_environment(local.path.clone()))),
            socket_dir: config.data_dir.clone(),
            name: local.name.clone(),
            threads: local.threads.unwrap_or_else(all_but_one),
            context: local.context,
            kv_budget: local.kv_budget,
            idle_unload: local.idle_unload,
            timing: Timing::default(),
        },
        closing,
    )?;
    let description = if local.path.is_none() { TINY } else { OWN };
    let about =
        Listed { name: local.name.clone(), description: Some(description.to_owned()), abilities: Abilities::default() };
    Ok(LocalModel::new(supervisor, about, config.limits.max_tokens, continues))
}
