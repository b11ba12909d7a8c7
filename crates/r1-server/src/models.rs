//! From the configuration to the models that can be asked.

use std::{net::SocketAddr, sync::Arc};

use r1_domain::provider::Abilities;
use r1_local_model::{
    fetch::FetchOptions,
    fetch::ModelSource,
    supervisor::{Engine, Supervisor, SupervisorOptions, Timing},
};
use r1_providers::{
    catalog::{Catalog, CatalogConfig, LocalEntry, LocalModel as Listed},
    local_servers::{self, LocalAddress},
    openai::{self, OpenAiConfig},
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, Continues, LocalEngine, LocalModelConfig, LocalServersConfig, ProviderConfig},
    local_provider::LocalModel,
};

/// The local model's name as a provider.
const LOCAL: &str = "local";
/// Answers that `llama-server` writes at a time.
const LLAMA_SERVER_SLOTS: usize = 4;
/// Tokens that it keeps for each of them where nobody says how many.
const LLAMA_SERVER_CONTEXT: usize = 4096;
/// Tokens that a conversation with the default local model may have.
const TINY_CONTEXT: usize = 8192;
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
    /// Makes all clients; nobody is asked anything yet. The local model ends with `closing`. `own` is where this
    /// process listens: it is no server of models to itself.
    pub(crate) fn new(config: &Config, own: Vec<SocketAddr>, closing: &CancellationToken) -> anyhow::Result<Self> {
        let local = match &config.local_model {
            Some(local) => Some(Arc::new(local_model(config, local, closing)?)),
            None => None,
        };
        let catalog = Catalog::new(CatalogConfig {
            providers: config.providers.iter().map(provider).collect(),
            local_servers: config.local_servers.as_ref().map(|servers| places(servers, own)),
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

    /// Ends the local model's process, and what is asked of providers in the background.
    pub(crate) async fn shutdown(&self) {
        self.catalog.close().await;
        if let Some(local) = &self.local {
            local.shutdown().await;
        }
    }
}

/// Where servers of models are looked for.
pub(crate) fn places(config: &LocalServersConfig, own: Vec<SocketAddr>) -> local_servers::LocalServersConfig {
    let addresses = config.addresses.iter().cloned();
    local_servers::LocalServersConfig {
        addresses: addresses.map(|(name, address)| LocalAddress { name, address }).collect(),
        own,
        every: config.every,
    }
}

/// The client's settings of a configured provider.
pub(crate) fn provider(config: &ProviderConfig) -> OpenAiConfig {
    let mut provider = OpenAiConfig::new(&config.name, &config.base_url);
    provider.api_key = config.api_key.clone();
    provider.models = config.models.clone();
    provider.abilities = config.abilities.clone();
    provider.idle_timeout = config.idle_timeout;
    provider.headers_timeout = config.idle_timeout;
    provider.continues = match config.continues {
        Continues::None => openai::Continues::None,
        Continues::Plain => openai::Continues::Plain,
        Continues::Vllm => openai::Continues::Vllm,
        Continues::Prefix => openai::Continues::Prefix,
    };
    let way = config.way.clone();
    provider.proxy = way.proxy;
    provider.ca_certificate = way.ca_certificate;
    provider.client_certificate = way.client_certificate;
    provider.headers = way.headers;
    provider.api_key_header = way.api_key_header;
    provider.api_version = way.api_version;
    provider.parameters = config.parameters.clone();
    provider.model_parameters = config.model_parameters.clone();
    provider
}

fn local_model(config: &Config, local: &LocalModelConfig, closing: &CancellationToken) -> anyhow::Result<LocalModel> {
    let engine = match local.engine {
        LocalEngine::Builtin => Engine::Builtin { exe: std::env::current_exe()?, args: Vec::new() },
        LocalEngine::LlamaServer => {
            let path = local.llama_server_path.clone();
            Engine::LlamaServer { path, slots: LLAMA_SERVER_SLOTS, args: Vec::new() }
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
    // How long a file of their own can is in the file.
    let trained = local.path.is_none().then_some(TINY_CONTEXT);
    let context = match local.engine {
        LocalEngine::Builtin => local.context.into_iter().chain(trained).min(),
        LocalEngine::LlamaServer => Some(local.context.unwrap_or(LLAMA_SERVER_CONTEXT)),
    };
    let abilities = Abilities {
        context_tokens: context.and_then(|context| u32::try_from(context).ok()),
        output_tokens: None,
        images: Some(false),
        tools: Some(false),
        reasoning: local.path.is_none().then_some(false),
    };
    let about = Listed { name: local.name.clone(), description: Some(description.to_owned()), abilities };
    Ok(LocalModel::new(supervisor, about, config.limits.max_tokens, local.engine))
}
