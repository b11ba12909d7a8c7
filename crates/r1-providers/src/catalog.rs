//! All configured providers: which one has a model, what can be asked, how each is.
//!
//! A model is `provider/model` where the part before the first `/` is the name of a configured
//! provider, or of a server that may be found on this machine; any other name is one of the default
//! provider's, slashes and all (OpenRouter's have some). Names are passed through as they are: only
//! the provider knows what it has. The exception is the local model, whose names are known here.
//!
//! **Invariant:** finding a model and telling health never wait and never ask anybody; and the name
//! of an answer's model is only ever found at the provider that it names.

use std::sync::Arc;

use futures::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use r1_domain::near::{nearest, slip_of};
use r1_domain::provider::{Abilities, ModelInfo, Models, Provider, ProviderHealth, ResolvedModel, UnknownModel};

use tokio_util::sync::CancellationToken;

use crate::{
    families,
    listing::Listed,
    local_servers::{Found, LocalServers, LocalServersConfig},
    openai::{ConfigFault, FIRST_MODEL, OpenAi, OpenAiConfig, is_model_name},
    redaction::Redactor,
};

#[cfg(test)]
mod tests;

/// What OpenAI itself is asked for when nobody says otherwise; its list of models starts anywhere.
const OPENAI_HOST: &str = "api.openai.com";
const OPENAI_MODEL: &str = "gpt-4o-mini";

/// A model that runs on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalModel {
    /// Its name, without the provider's.
    pub name: String,
    /// What a person should know about it.
    pub description: Option<String>,
    /// What is known of it.
    pub abilities: Abilities,
}

/// The provider of the local model. Its supervisor lives elsewhere; this is all the catalogue needs
/// of it. None of the methods may block.
pub trait LocalProvider: Provider {
    /// What it runs, the default first; not empty.
    fn models(&self) -> Vec<LocalModel>;

    /// How it is; `name` is what it is called in the configuration.
    fn health(&self, name: &str) -> ProviderHealth;

    /// Somebody may soon ask.
    fn warm(&self);

    /// Tokens of an answer where nobody set a limit.
    fn default_max_tokens(&self) -> u32;
}

/// The local model in the catalogue.
#[derive(Clone)]
pub struct LocalEntry {
    /// What it is called, as the `provider` of `provider/model`; usually `local`.
    pub name: String,
    /// Who runs it.
    pub provider: Arc<dyn LocalProvider>,
}

/// What the catalogue is made of.
#[derive(Clone, Default)]
pub struct CatalogConfig {
    /// Providers by URL, in the order in which they are listed.
    pub providers: Vec<OpenAiConfig>,
    /// The local model, if it is switched on.
    pub local: Option<LocalEntry>,
    /// Where servers on this machine are looked for, if they are.
    pub local_servers: Option<LocalServersConfig>,
    /// Whose model is asked when a name has no provider. Without it: the first by URL, else the
    /// local one.
    pub default_provider: Option<String>,
    /// What is asked when no model is named: bare, or as `provider/model`, which then also names the
    /// default provider. Without it: the default provider's first.
    pub default_model: Option<String>,
}

/// Why there is no catalogue: everything that is wrong, at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct CatalogError {
    /// The faults; not empty.
    pub faults: Vec<CatalogFault>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogFault {
    /// Of one provider.
    #[error(transparent)]
    Provider(#[from] ConfigFault),
    /// Two providers of the same name.
    #[error("there are two providers named '{0}'")]
    Twice(String),
    /// Nothing to ask.
    #[error("there is no provider: configure one, or switch the local model on")]
    Empty,
    /// The default provider is not configured.
    #[error("the default provider '{0}' is not configured")]
    UnknownDefaultProvider(String),
    /// The default model is none that the local provider has, or no name at all.
    #[error("the default model '{0}' does not exist")]
    UnknownDefaultModel(String),
}

/// One provider as the catalogue keeps it.
struct Entry {
    name: String,
    kind: Kind,
}

enum Kind {
    Remote(OpenAi),
    Local(Arc<dyn LocalProvider>),
    Found(Found),
}

/// All configured providers.
pub struct Catalog {
    entries: Vec<Entry>,
    local_servers: Option<LocalServers>,
    /// Index of the default provider.
    default: usize,
    /// The default model, without the provider's name.
    default_model: String,
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.entries.iter().map(|entry| &entry.name).collect();
        f.debug_struct("Catalog").field("providers", &names).field("default", &self.default_name()).finish()
    }
}

impl Catalog {
    /// Makes the providers' clients. Nobody is asked anything yet.
    ///
    /// # Errors
    /// All faults at once.
    pub fn new(config: CatalogConfig) -> Result<Self, CatalogError> {
        let mut faults = Vec::new();
        let mut entries: Vec<Entry> = Vec::new();
        let mut openai = None;
        // A provider may stand behind another one, with its key.
        let redactor = Arc::new(Redactor::of(&config.providers));
        for provider in config.providers {
            let name = provider.name.clone();
            if reqwest::Url::parse(&provider.base_url).is_ok_and(|url| url.host_str() == Some(OPENAI_HOST)) {
                openai.get_or_insert_with(|| name.clone());
            }
            match OpenAi::new(OpenAiConfig { redactor: Some(redactor.clone()), ..provider }) {
                Ok(provider) => entries.push(Entry { name, kind: Kind::Remote(provider) }),
                Err(wrong) => faults.extend(wrong.into_iter().map(CatalogFault::from)),
            }
        }
        if let Some(local) = config.local {
            entries.push(Entry { name: local.name, kind: Kind::Local(local.provider) });
        }
        for (i, entry) in entries.iter().enumerate() {
            if entries[..i].iter().any(|earlier| earlier.name == entry.name) {
                faults.push(CatalogFault::Twice(entry.name.clone()));
            }
        }
        if entries.is_empty() && faults.is_empty() && config.default_provider.is_none() {
            faults.push(CatalogFault::Empty);
        }
        let local_servers = config.local_servers.as_ref().and_then(|places| LocalServers::new(places, &redactor));
        for found in local_servers.iter().flat_map(LocalServers::found) {
            // Who is configured under a name has it.
            if entries.iter().all(|entry| entry.name != found.name()) {
                entries.push(Entry { name: found.name().to_owned(), kind: Kind::Found(found) });
            }
        }
        if !faults.is_empty() {
            return Err(CatalogError { faults });
        }
        let index = |name: &str| entries.iter().position(|entry| entry.name == name);
        let qualified = config.default_model.as_deref().and_then(|model| model.split_once('/'));
        let qualified = qualified.and_then(|(provider, model)| Some((index(provider)?, model)));
        let default = match (&config.default_provider, qualified) {
            (Some(name), _) => index(name).ok_or_else(|| CatalogFault::UnknownDefaultProvider(name.clone())),
            (None, Some((default, _))) => Ok(default),
            (None, None) => Ok(0),
        };
        let default = default.map_err(|fault| CatalogError { faults: vec![fault] })?;
        let default_model = match (&config.default_model, qualified) {
            // `default_provider = "openrouter"`, `default_model = "openrouter/auto"`: the name wins
            // its prefix only where it means the same provider.
            (Some(_), Some((provider, model))) if provider == default => model.to_owned(),
            (Some(model), _) => model.clone(),
            (None, _) => entries[default].first_model(openai.as_deref()),
        };
        let catalog = Self { entries, local_servers, default, default_model };
        match catalog.find(catalog.default, &catalog.default_model) {
            Ok(_) => Ok(catalog),
            Err(
                UnknownModel::NoModel { name }
                | UnknownModel::NoProvider { name }
                | UnknownModel::Mistyped { name, .. },
            ) => Err(CatalogError { faults: vec![CatalogFault::UnknownDefaultModel(name)] }),
        }
    }

    /// The default model, as `provider/model`.
    #[must_use]
    pub fn default_name(&self) -> String {
        format!("{}/{}", self.entries[self.default].name, self.default_model)
    }

    /// Whether the local model is what is asked by default, so that it is worth starting early.
    #[must_use]
    pub fn is_local_default(&self) -> bool {
        matches!(self.entries[self.default].kind, Kind::Local(_))
    }

    /// Looks for servers on this machine, if that is switched on, until `closing`.
    pub async fn look_for_servers(&self, closing: &CancellationToken) {
        if let Some(servers) = &self.local_servers {
            servers.keep_looking(closing).await;
        }
    }

    /// Looks for them once, for three seconds at most.
    pub async fn look_for_servers_once(&self) {
        if let Some(servers) = &self.local_servers {
            servers.look().await;
        }
    }

    /// Asks each configured provider for its list, whether its models are configured or not: so that a wrong key or
    /// address is known before somebody asks something. Nothing of it is billed. Waits for two seconds at most.
    pub async fn look_at_providers(&self) {
        let look = |entry: &Entry| match &entry.kind {
            Kind::Remote(provider) => {
                let provider = provider.clone();
                async move { provider.look().await }.boxed()
            }
            Kind::Local(_) | Kind::Found(_) => std::future::ready(()).boxed(),
        };
        join_all(self.entries.iter().map(look)).await;
    }

    /// A name whose first part is no provider's, if it was probably mistyped: the default provider is known not to
    /// have it, or what it has is not known and the first part is nearly a provider's name.
    fn mistyped(&self, name: &str) -> Option<UnknownModel> {
        let (provider, model) = name.split_once('/')?;
        let Kind::Remote(default) = &self.entries[self.default].kind else { return None };
        let known = default.known_models();
        // Routers list a model once, and take it with a word behind a colon.
        let bare = name.rsplit_once(':').map_or(name, |(bare, _)| bare);
        if known.as_ref().is_some_and(|known| known.iter().any(|known| known == name || known == bare)) {
            return None;
        }
        let meant = self.entries.iter().map(|entry| entry.name.as_str());
        let meant = slip_of(provider, meant);
        if meant.is_none() && known.is_none() {
            return None;
        }
        let near = meant.map(|meant| format!("{meant}/{model}")).or_else(|| {
            let near = nearest(name, known.iter().flatten().map(String::as_str))?;
            Some(format!("{}/{near}", self.entries[self.default].name))
        });
        Some(UnknownModel::Mistyped { name: name.to_owned(), provider: provider.to_owned(), near })
    }

    /// The models that a configured provider listed last; none where it has listed none.
    #[must_use]
    pub fn listed(&self, provider: &str) -> Option<Vec<String>> {
        self.entries.iter().find(|entry| entry.name == provider).and_then(|entry| match &entry.kind {
            Kind::Remote(provider) => provider.listed_models(),
            Kind::Local(_) | Kind::Found(_) => None,
        })
    }

    /// Why the last request for a configured provider's list failed, if it did; in words for people.
    #[must_use]
    pub fn list_fault(&self, provider: &str) -> Option<String> {
        self.entries.iter().find(|entry| entry.name == provider).and_then(|entry| match &entry.kind {
            Kind::Remote(provider) => provider.list_fault(),
            Kind::Local(_) | Kind::Found(_) => None,
        })
    }

    /// Ends what the providers do in the background.
    pub async fn close(&self) {
        let close = |entry: &Entry| match &entry.kind {
            Kind::Remote(provider) => {
                let provider = provider.clone();
                async move { provider.close().await }.boxed()
            }
            Kind::Found(found) => {
                let found = found.clone();
                async move { found.close().await }.boxed()
            }
            Kind::Local(_) => std::future::ready(()).boxed(),
        };
        join_all(self.entries.iter().map(close)).await;
    }

    /// The provider that a name begins with, and its name for the model.
    fn qualified<'a>(&self, name: &'a str) -> Option<(usize, &'a str)> {
        let (provider, model) = name.split_once('/')?;
        let index = self.entries.iter().position(|entry| entry.name == provider)?;
        Some((index, model))
    }

    fn find(&self, index: usize, model: &str) -> Result<ResolvedModel, UnknownModel> {
        let entry = &self.entries[index];
        let provider: Arc<dyn Provider> = match &entry.kind {
            Kind::Remote(provider) if is_model_name(model) => Arc::new(provider.clone()),
            Kind::Local(provider) if provider.models().iter().any(|local| local.name == model) => provider.clone(),
            Kind::Found(found) if is_model_name(model) => Arc::new(found.clone()),
            _ => return Err(UnknownModel::NoModel { name: model.to_owned() }),
        };
        Ok(ResolvedModel {
            provider,
            name: format!("{}/{model}", entry.name),
            upstream_name: model.to_owned(),
            abilities: entry.abilities(model),
            default_max_tokens: entry.default_max_tokens(),
        })
    }
}

impl Entry {
    fn first_model(&self, openai: Option<&str>) -> String {
        match &self.kind {
            Kind::Local(provider) => provider.models().into_iter().next().map(|model| model.name).unwrap_or_default(),
            Kind::Remote(provider) => match provider.configured_models().first() {
                Some(model) => model.clone(),
                None if openai == Some(&self.name) => OPENAI_MODEL.to_owned(),
                None => FIRST_MODEL.to_owned(),
            },
            Kind::Found(_) => FIRST_MODEL.to_owned(),
        }
    }

    fn default_max_tokens(&self) -> Option<u32> {
        match &self.kind {
            Kind::Remote(_) | Kind::Found(_) => None,
            Kind::Local(provider) => Some(provider.default_max_tokens()),
        }
    }

    fn abilities(&self, model: &str) -> Abilities {
        match &self.kind {
            Kind::Remote(provider) => provider.abilities(model),
            Kind::Found(found) => found.abilities(model),
            Kind::Local(provider) => {
                let known = provider.models().into_iter().find(|local| local.name == model);
                known.map(|local| local.abilities).unwrap_or_default().or(families::abilities_of(model, true))
            }
        }
    }

    /// What is offered.
    async fn list(&self) -> Vec<ModelInfo> {
        match &self.kind {
            Kind::Local(provider) => {
                let info = |local: LocalModel| {
                    let abilities = self.abilities(&local.name);
                    ModelInfo { description: local.description, ..self.info(&local.name, abilities) }
                };
                provider.models().into_iter().map(info).collect()
            }
            Kind::Remote(provider) => {
                let listed = provider.listed().await.unwrap_or_default();
                self.offered(&listed, |model| provider.abilities_of(model))
            }
            Kind::Found(found) => self.offered(&found.models().unwrap_or_default(), |model| model.abilities),
        }
    }

    fn offered(&self, models: &[Listed], abilities: impl Fn(&Listed) -> Abilities) -> Vec<ModelInfo> {
        let chat = models.iter().filter(|listed| listed.is_chat);
        let info = |listed: &Listed| {
            let (name, abilities) = (listed.title.clone(), abilities(listed));
            ModelInfo { name, ..self.info(&listed.id, abilities) }
        };
        chat.map(info).collect()
    }

    fn info(&self, model: &str, abilities: Abilities) -> ModelInfo {
        ModelInfo {
            id: format!("{}/{model}", self.name),
            provider: self.name.clone(),
            name: None,
            is_default: false,
            description: None,
            abilities,
        }
    }
}

impl Models for Catalog {
    fn resolve(&self, name: Option<&str>) -> Result<ResolvedModel, UnknownModel> {
        let Some(name) = name else { return self.find(self.default, &self.default_model) };
        let qualified = self.qualified(name);
        if qualified.is_none()
            && let Some(mistyped) = self.mistyped(name)
        {
            return Err(mistyped);
        }
        let (index, model) = qualified.unwrap_or((self.default, name));
        self.find(index, model).map_err(|_| UnknownModel::NoModel { name: name.to_owned() })
    }

    fn resolve_stored(&self, name: &str) -> Result<ResolvedModel, UnknownModel> {
        let (index, model) = self.qualified(name).ok_or_else(|| UnknownModel::NoProvider { name: name.to_owned() })?;
        self.find(index, model).map_err(|_| UnknownModel::NoModel { name: name.to_owned() })
    }

    /// The default model comes first, whether or not its provider lists it.
    fn list(&self) -> BoxFuture<'_, Vec<ModelInfo>> {
        Box::pin(async move {
            let mut models = join_all(self.entries.iter().map(Entry::list)).await.concat();
            let default = self.default_name();
            match models.iter().position(|model| model.id == default) {
                Some(found) => models[..=found].rotate_right(1),
                None => {
                    let (entry, model) = (&self.entries[self.default], &self.default_model);
                    models.insert(0, entry.info(model, entry.abilities(model)));
                }
            }
            models[0].is_default = true;
            models
        })
    }

    fn health(&self) -> Vec<ProviderHealth> {
        let health = |entry: &Entry| match &entry.kind {
            Kind::Remote(provider) => Some(provider.health()),
            Kind::Local(provider) => Some(provider.health(&entry.name)),
            Kind::Found(found) => found.health(),
        };
        self.entries.iter().filter_map(health).collect()
    }

    fn warm(&self) {
        for entry in &self.entries {
            if let Kind::Local(provider) = &entry.kind {
                provider.warm();
            }
        }
    }
}
