//! A provider's models: as configured, else as it lists them; and what is known of each.
//!
//! **Invariant:** a model is asked for by exactly the name that was listed. What is shown in its
//! place is for the eye.

use std::sync::Arc;

use r1_domain::provider::{Abilities, ProviderHealth};

use super::{FIRST_MODEL, Inner, OpenAi};
use crate::{
    families,
    listing::{Asking, ListFault, Listed, Models, is_for_chat},
};

/// Google's, whose list puts `models/` in front of every name.
const GOOGLE_HOST: &str = "generativelanguage.googleapis.com";
const GOOGLE_PREFIX: &str = "models/";

impl OpenAi {
    /// Its models: as configured, else as it lists them itself (asked at most every 5 minutes,
    /// waited for at most 2 s). None if it does not say.
    pub async fn models(&self) -> Option<Arc<[String]>> {
        let listed = self.inner.models().await?;
        Some(listed.iter().map(|model| model.id.clone()).collect())
    }

    /// The same with what it says of each.
    pub(crate) async fn listed(&self) -> Option<Models> {
        self.inner.models().await
    }

    /// Why its models can't be listed, if they can't; in words for people.
    #[must_use]
    pub fn list_fault(&self) -> Option<String> {
        self.inner.list.fault().map(|fault| fault.to_string())
    }

    /// What is known of a model by now: from the configuration, else from the provider's list, else
    /// by its name. Asks nobody.
    #[must_use]
    pub fn abilities(&self, model: &str) -> Abilities {
        self.inner.abilities(model)
    }

    /// How it is, from what came of the last request.
    #[must_use]
    pub fn health(&self) -> ProviderHealth {
        self.inner.list.mention(self.inner.health.report(&self.inner.name))
    }

    /// Ends what it does in the background.
    pub async fn close(&self) {
        self.inner.list.close().await;
    }
}

/// The first model for chat, if there is any, else the first; none where one has the name itself.
fn first<'a>(models: &'a [Listed], name: &str) -> Option<&'a str> {
    if models.iter().any(|model| model.id == name) {
        return None;
    }
    models.iter().find(|model| model.is_chat).or(models.first()).map(|model| model.id.as_str())
}

impl Inner {
    pub(super) async fn models(self: &Arc<Self>) -> Option<Models> {
        if !self.config.models.is_empty() {
            let configured = self.config.models.iter().map(|id| Listed {
                id: id.clone(),
                title: None,
                // Somebody has chosen them.
                is_chat: true,
                abilities: Abilities::default(),
            });
            return Some(configured.collect());
        }
        let inner = self.clone();
        self.list.refresh(&self.name, || async move { inner.ask_for_models().await }).await;
        self.list.known()
    }

    /// What is meant by [`FIRST_MODEL`]; none where it is what it says, or nothing is listed.
    pub(super) async fn first_model(self: &Arc<Self>) -> Option<String> {
        first(&self.models().await?, FIRST_MODEL).map(str::to_owned)
    }

    async fn ask_for_models(&self) -> Result<Vec<Listed>, ListFault> {
        let asking = Asking {
            client: &self.client,
            models: &self.models,
            authorize: &|request| self.authorized(request),
            expected: None,
        };
        let mut models = asking.list().await?.models;
        if self.is_googles() {
            for model in &mut models {
                let short = model.id.strip_prefix(GOOGLE_PREFIX).unwrap_or(&model.id);
                model.is_chat &= is_for_chat(short);
                model.title = model.title.take().or_else(|| (short != model.id).then(|| short.to_owned()));
            }
        }
        Ok(models)
    }

    fn is_googles(&self) -> bool {
        self.models.host_str() == Some(GOOGLE_HOST)
    }

    fn abilities(&self, model: &str) -> Abilities {
        let said = self.config.abilities.get(model).copied().unwrap_or_default();
        let known = self.list.known();
        let known = known.as_deref().unwrap_or_default();
        let model = if model == FIRST_MODEL { first(known, model).unwrap_or(model) } else { model };
        let find = |id: &str| known.iter().find(|listed| listed.id == id);
        let listed = find(model).or_else(|| match model.strip_prefix(GOOGLE_PREFIX) {
            _ if !self.is_googles() => None,
            Some(short) => find(short),
            None => find(&format!("{GOOGLE_PREFIX}{model}")),
        });
        // What a server of one's own gives a model is for its operator to say.
        let by_name = families::abilities_of(model, self.is_near());
        said.or(listed.map(|listed| listed.abilities).unwrap_or_default()).or(by_name)
    }

    /// Whether it is on this machine or in a private network.
    fn is_near(&self) -> bool {
        if self.config.unix_socket.is_some() {
            return true;
        }
        let host = self.models.host_str().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        match bare.parse::<std::net::IpAddr>().map(|ip| ip.to_canonical()) {
            Ok(std::net::IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
            Ok(std::net::IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
            // A name without a dot is one of this network, such as a container's.
            Err(_) => !host.contains('.') || host.ends_with(".localhost") || host.ends_with(".local"),
        }
    }
}
