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

    /// The same of a model of its list.
    pub(crate) fn abilities_of(&self, model: &Listed) -> Abilities {
        self.inner.said_of(&model.id).or(model.abilities)
    }

    /// How it is, from what came of the last request.
    #[must_use]
    pub fn health(&self) -> ProviderHealth {
        let list = &self.inner.list;
        let came = match list.fault() {
            Some(fault) if fault.is_grave() => Some(false),
            Some(_) => None,
            None => list.known().map(|_| true),
        };
        list.mention(self.inner.health.report(&self.inner.name, came))
    }

    /// Asks for its list, whether its models are configured or not, to learn whether it is there and takes the key.
    /// That costs nothing, and is waited for as [`OpenAi::models`] is.
    pub async fn look(&self) {
        let inner = self.inner.clone();
        self.inner.list.refresh(&self.inner.name, || async move { inner.ask_for_models().await }).await;
    }

    /// The models that it listed last.
    pub(crate) fn listed_models(&self) -> Option<Vec<String>> {
        Some(self.inner.list.known()?.iter().map(|model| model.id.clone()).collect())
    }

    /// What it is known to have: as configured, and as it listed it last. None where neither says anything.
    pub(crate) fn known_models(&self) -> Option<Vec<String>> {
        let (configured, listed) = (self.configured_models(), self.listed_models());
        (!configured.is_empty() || listed.is_some())
            .then(|| configured.iter().cloned().chain(listed.unwrap_or_default()).collect())
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

/// Shows a model without Google's prefix.
fn shorten(model: &mut Listed) {
    if let Some(short) = model.id.strip_prefix(GOOGLE_PREFIX) {
        // Its word "generateContent" is also that of models which speak or paint.
        model.is_chat &= is_for_chat(short);
        model.title.get_or_insert_with(|| short.to_owned());
    }
}

impl Inner {
    pub(super) async fn models(self: &Arc<Self>) -> Option<Models> {
        if !self.config.models.is_empty() {
            let configured = self.config.models.iter().map(|id| Listed {
                id: id.clone(),
                title: None,
                // Somebody has chosen them.
                is_chat: true,
                abilities: families::abilities_of(id, self.is_near()),
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
            authorize: &|request| self.with_key(request, false),
            expected: None,
        };
        let mut models = asking.list().await?.models;
        if self.is_googles() {
            models.iter_mut().for_each(shorten);
        }
        let is_near = self.is_near();
        for model in &mut models {
            // What a server of one's own gives a model is for its operator to say.
            model.abilities = model.abilities.or(families::abilities_of(&model.id, is_near));
        }
        Ok(models)
    }

    fn is_googles(&self) -> bool {
        self.models.host_str() == Some(GOOGLE_HOST)
    }

    fn abilities(&self, model: &str) -> Abilities {
        let known = self.list.known();
        let known = known.as_deref().unwrap_or_default();
        let model = if model == FIRST_MODEL { first(known, model).unwrap_or(model) } else { model };
        let find = |id: &str| known.iter().find(|listed| listed.id == id);
        let listed = find(model).or_else(|| match model.strip_prefix(GOOGLE_PREFIX) {
            _ if !self.is_googles() => None,
            Some(short) => find(short),
            None => find(&format!("{GOOGLE_PREFIX}{model}")),
        });
        let known = listed.map_or_else(|| families::abilities_of(model, self.is_near()), |listed| listed.abilities);
        self.said_of(model).or(known)
    }

    fn said_of(&self, model: &str) -> Abilities {
        self.config.abilities.get(model).copied().unwrap_or_default()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openai::OpenAiConfig;

    fn listed(id: &str, context: u32) -> Listed {
        let abilities = Abilities { context_tokens: Some(context), ..Abilities::default() };
        Listed { id: id.to_owned(), title: None, is_chat: true, abilities }
    }

    fn client(base_url: &str) -> OpenAi {
        OpenAi::new(OpenAiConfig::new("p", base_url)).unwrap()
    }

    #[test]
    fn googles_prefix_is_for_the_eye_alone() {
        let mut models = [listed("models/gemini-9", 7), listed("models/gemini-9-tts", 7), listed("plain", 7)];
        models[2].title = Some("Plain".to_owned());
        models.iter_mut().for_each(shorten);
        assert_eq!(models[0].id, "models/gemini-9", "asked for as it was listed");
        let shown = models.each_ref().map(|model| (model.title.as_deref(), model.is_chat));
        assert_eq!(shown, [(Some("gemini-9"), true), (Some("gemini-9-tts"), false), (Some("Plain"), true)]);

        let google = client("https://generativelanguage.googleapis.com/v1beta/openai");
        google.inner.list.learn("p", Ok(models.to_vec()));
        for name in ["models/gemini-9", "gemini-9"] {
            assert_eq!(google.abilities(name).context_tokens, Some(7), "{name}");
        }
        let other = client("https://example.com/v1");
        other.inner.list.learn("p", Ok(models.to_vec()));
        assert_eq!(other.abilities("gemini-9"), Abilities::default());
    }

    #[test]
    fn the_first_of_a_list_is_one_that_talks() {
        let mut models = vec![listed("embeds", 1), listed("talks", 2)];
        models[0].is_chat = false;
        assert_eq!(first(&models, FIRST_MODEL), Some("talks"));
        assert_eq!(first(&models[..1], FIRST_MODEL), Some("embeds"));
        assert_eq!(first(&[], FIRST_MODEL), None);
        models.push(listed(FIRST_MODEL, 3));
        assert_eq!(first(&models, FIRST_MODEL), None, "it is called so");
        let near = client("http://127.0.0.1:9/v1");
        near.inner.list.learn("p", Ok(models[..2].to_vec()));
        assert_eq!(near.abilities(FIRST_MODEL).context_tokens, Some(2));
    }

    #[test]
    fn lengths_of_open_models_are_a_near_servers_own_matter() {
        for near in [
            "http://127.0.0.1:9/v1",
            "http://[::1]:9",
            "http://10.1.2.3",
            "http://192.168.0.9/v1",
            "http://ollama:11434",
            "http://box.local",
        ] {
            let client = client(near);
            let abilities = client.abilities("llama3.1:8b");
            assert_eq!((abilities.context_tokens, abilities.tools), (None, Some(true)), "{near}");
            assert_eq!(client.abilities("gpt-4o").context_tokens, Some(128_000), "a proxy's");
        }
        for far in ["https://api.example.com/v1", "https://8.8.8.8/v1", "https://[2001:db8::1]/v1"] {
            assert_eq!(client(far).abilities("llama3.1:8b").context_tokens, Some(131_072), "{far}");
        }
    }
}
