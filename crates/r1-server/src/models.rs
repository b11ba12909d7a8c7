//! From the configuration to the models that can be asked.

use std::{collections::HashSet, net::SocketAddr, sync::Arc};

use futures::future::BoxFuture;
use parking_lot::{Mutex, RwLock};
use r1_domain::provider::{Abilities, ModelInfo, Models, ProviderHealth, ResolvedModel, UnknownModel};
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
use tokio_util::{sync::CancellationToken, task::TaskTracker};

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

/// The catalog, and the local model behind it. Both can be exchanged while answers run: each answer has its
/// provider's client, and goes on with that.
pub(crate) struct Wired {
    current: RwLock<Current>,
    /// Made when it is first offered; it stays for answers that run, whether it is still offered or not.
    local: Mutex<Option<Arc<LocalModel>>>,
    own: Vec<SocketAddr>,
    /// Providers are asked for their lists before anybody wants one.
    first_look: bool,
    background: TaskTracker,
    closing: CancellationToken,
}

/// A catalog, and the end of what goes on for it in the background.
#[derive(Clone)]
struct Current {
    catalog: Arc<Catalog>,
    closing: CancellationToken,
}

impl Wired {
    /// Makes all clients; nobody is asked anything yet. The local model ends with `closing`. `own` is where this
    /// process listens: it is no server of models to itself.
    pub(crate) fn new(config: &Config, own: Vec<SocketAddr>, closing: &CancellationToken) -> anyhow::Result<Self> {
        let local = match &config.local_model {
            Some(local) => Some(Arc::new(local_model(config, local, closing)?)),
            None => None,
        };
        let catalog = Arc::new(catalog(config, local.clone(), own.clone())?);
        let current = Current { catalog, closing: closing.child_token() };
        Ok(Self {
            current: RwLock::new(current),
            local: Mutex::new(local),
            own,
            first_look: config.server.first_look,
            background: TaskTracker::new(),
            closing: closing.clone(),
        })
    }

    /// What is in force now.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.current.read().catalog.clone()
    }

    /// Makes all clients anew, for what is asked from now on. The local model is the one of before, where there is
    /// one, with its settings.
    ///
    /// # Errors
    /// A catalog can't be made of it; the one of before stays.
    pub(crate) fn rewire(&self, config: &Config) -> anyhow::Result<()> {
        let mut local = self.local.lock();
        let offered = match (&config.local_model, &*local) {
            (None, _) => None,
            (Some(_), Some(local)) => Some(local.clone()),
            (Some(new), None) => Some(Arc::new(local_model(config, new, &self.closing)?)),
        };
        let catalog = Arc::new(catalog(config, offered.clone(), self.own.clone())?);
        if let Some(offered) = offered {
            offered.set_default_max_tokens(config.limits.max_tokens);
            *local = Some(offered);
        }
        drop(local);
        let new = Current { catalog, closing: self.closing.child_token() };
        let old = std::mem::replace(&mut *self.current.write(), new);
        old.closing.cancel();
        self.background.spawn(async move { old.catalog.close().await });
        self.start();
        Ok(())
    }

    /// Loads the local model in the background if it is what most people will ask, looks whether the providers are
    /// there, and looks for servers on this machine.
    pub(crate) fn start(&self) {
        let Current { catalog, closing } = self.current.read().clone();
        if let Some(local) = &*self.local.lock()
            && catalog.is_local_default()
        {
            local.start();
        }
        if self.first_look {
            let (catalog, closing) = (catalog.clone(), closing.clone());
            self.background.spawn(async move {
                closing.run_until_cancelled(catalog.look_at_providers()).await;
            });
        }
        self.background.spawn(async move { catalog.look_for_servers(&closing).await });
    }

    /// The local model, where there is one, with its process id while it has a process.
    pub(crate) fn local(&self) -> Option<Option<u32>> {
        self.local.lock().as_ref().map(|local| local.pid())
    }

    /// The models that this configuration and the catalog of now name, as `provider/model`.
    pub(crate) fn named(&self, config: &Config) -> HashSet<String> {
        let of_provider = |provider: &ProviderConfig| {
            let described = provider.abilities.keys().chain(provider.model_parameters.keys());
            let named = provider.models.iter().chain(described);
            named.map(|model| format!("{}/{model}", provider.name)).collect::<Vec<_>>()
        };
        let local = config.local_model.iter().map(|local| format!("{LOCAL}/{}", local.name));
        let named = config.providers.iter().flat_map(of_provider).chain(local);
        named.chain([self.catalog().default_name()]).collect()
    }

    /// The model of the ones here whose titles are worse than none: the pinned local one.
    pub(crate) fn unable_to_title(config: &Config) -> Option<String> {
        let local = config.local_model.as_ref().filter(|local| local.path.is_none())?;
        Some(format!("{LOCAL}/{}", local.name))
    }

    /// Ends the local model's process, and what is asked of providers in the background.
    pub(crate) async fn shutdown(&self) {
        let Current { catalog, closing } = self.current.read().clone();
        closing.cancel();
        self.background.close();
        catalog.close().await;
        self.background.wait().await;
        let local = self.local.lock().clone();
        if let Some(local) = local {
            local.shutdown().await;
        }
    }
}

impl Models for Wired {
    fn resolve(&self, name: Option<&str>) -> Result<ResolvedModel, UnknownModel> {
        self.catalog().resolve(name)
    }

    fn resolve_stored(&self, name: &str) -> Result<ResolvedModel, UnknownModel> {
        self.catalog().resolve_stored(name)
    }

    fn list(&self) -> BoxFuture<'_, Vec<ModelInfo>> {
        let catalog = self.catalog();
        Box::pin(async move { catalog.list().await })
    }

    fn health(&self) -> Vec<ProviderHealth> {
        self.catalog().health()
    }

    fn warm(&self) {
        self.catalog().warm();
    }
}

fn catalog(config: &Config, local: Option<Arc<LocalModel>>, own: Vec<SocketAddr>) -> anyhow::Result<Catalog> {
    Ok(Catalog::new(CatalogConfig {
        providers: config.providers.iter().map(provider).collect(),
        local_servers: config.local_servers.as_ref().map(|servers| places(servers, own)),
        local: local.map(|provider| LocalEntry { name: LOCAL.to_owned(), provider }),
        default_provider: Some(config.default_model.provider.clone()),
        default_model: config.default_model.model.clone(),
    })?)
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
    provider.key_place = config.key_place.clone();
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
