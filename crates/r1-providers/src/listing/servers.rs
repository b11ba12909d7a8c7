//! Programs that know more of their models than their list says, and where they say it.
//!
//! | program | where |
//! |---|---|
//! | Ollama | `POST /api/show` for each model, `GET /api/ps` for those that are loaded |
//! | LM Studio | `GET /api/v0/models` |
//! | llama.cpp | `GET /props` |
//!
//! **Invariant:** nothing here can cost a list that came: what does not answer, or not in time, adds
//! nothing. The key goes to the same host and port as the list's request, and nowhere else.

use std::{collections::HashMap, time::Duration};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use r1_domain::provider::Abilities;
use reqwest::{RequestBuilder, Url};
use serde_json::{Map, Value, json};

use super::{Asking, List, Listed, entries, facts, read_up_to};

/// How long all of it may take.
const TIME: Duration = Duration::from_secs(20);
/// How much of one answer is read, in bytes. Ollama's has the model's licence in it.
const BYTES: usize = 4 << 20;
/// Models of Ollama's that are asked about, and how many at a time.
const SHOWN: usize = 300;
const AT_A_TIME: usize = 4;

/// A program that serves models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Ollama,
    LmStudio,
    LlamaCpp,
    Vllm,
    Sglang,
    KoboldCpp,
}

impl Server {
    const ALL: [Self; 6] = [Self::Ollama, Self::LmStudio, Self::LlamaCpp, Self::Vllm, Self::Sglang, Self::KoboldCpp];

    /// What its models are called by here: the `provider` of `provider/model`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ollama => "ollama",
            Self::LmStudio => "lm-studio",
            Self::LlamaCpp => "llama-cpp",
            Self::Vllm => "vllm",
            Self::Sglang => "sglang",
            Self::KoboldCpp => "koboldcpp",
        }
    }

    /// The one of this name.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|server| server.name() == name)
    }

    /// The one that writes this `owned_by`.
    pub(super) fn of_owner(owner: &str) -> Option<Self> {
        match owner {
            "library" => Some(Self::Ollama),
            "organization_owner" | "organization-owner" => Some(Self::LmStudio),
            "llamacpp" => Some(Self::LlamaCpp),
            "vllm" => Some(Self::Vllm),
            "sglang" => Some(Self::Sglang),
            "koboldcpp" => Some(Self::KoboldCpp),
            _ => None,
        }
    }
}

/// Adds what the server knows besides. Gives back which one it is, if that can be seen.
pub(super) async fn complete(asking: &Asking<'_>, list: &mut List) -> Option<Server> {
    let Some(root) = asking.root() else { return list.server };
    let more = async {
        match list.server.or(asking.expected) {
            Some(Server::Ollama) => ollama(asking, &root, &mut list.models).await.then_some(Server::Ollama),
            Some(Server::LmStudio) => lm_studio(asking, &root, &mut list.models).await.then_some(Server::LmStudio),
            Some(Server::LlamaCpp) => llama_cpp(asking, &root, &mut list.models).await.then_some(Server::LlamaCpp),
            _ => None,
        }
    };
    let seen = tokio::time::timeout(TIME, more).await.ok().flatten();
    seen.or(list.server)
}

async fn ollama(asking: &Asking<'_>, root: &Url, models: &mut [Listed]) -> bool {
    let get = |path| asking.client.get(below(root, path));
    // Others write "library" too, and are not asked about each model.
    if !asking.json(get("api/version")).await.is_some_and(|said| said.get("version").is_some_and(Value::is_string)) {
        return false;
    }
    let loaded = asking.json(get("api/ps")).await.map(|said| loaded_contexts(&said)).unwrap_or_default();
    let show = below(root, "api/show");
    let asked: Vec<BoxFuture<'_, _>> = models
        .iter()
        .take(SHOWN)
        .enumerate()
        .map(|(at, model)| {
            let request = asking.client.post(show.clone()).json(&json!({"model": model.id}));
            async move { (at, asking.json(request).await) }.boxed()
        })
        .collect();
    let mut details = stream::iter(asked).buffer_unordered(AT_A_TIME);
    while let Some((at, said)) = details.next().await {
        let Some(model) = models.get_mut(at) else { continue };
        let mut context = loaded.get(&model.id).copied();
        if let Some(said) = said {
            let (shown, is_chat) = shown(&said);
            model.abilities = shown.or(model.abilities);
            model.is_chat = is_chat.unwrap_or(model.is_chat);
            context = context.or(num_ctx(&said));
        }
        model.abilities.context_tokens = context.or(model.abilities.context_tokens);
    }
    true
}

/// The context that a loaded model was given.
fn loaded_contexts(said: &Map<String, Value>) -> HashMap<String, u32> {
    let models = said.get("models").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let context =
        |model: &Value| Some((model.get("name")?.as_str()?.to_owned(), facts::tokens(model.get("context_length")?)?));
    models.iter().filter_map(context).collect()
}

/// What `/api/show` says, with the context that the model could have.
fn shown(said: &Map<String, Value>) -> (Abilities, Option<bool>) {
    let capabilities = said.get("capabilities").and_then(Value::as_array);
    let has = |word: &str| capabilities.map(|list| list.iter().any(|capability| capability == word));
    let info = said.get("model_info").and_then(Value::as_object);
    let context = info.and_then(|info| {
        // Under the architecture's name, such as `llama.context_length`.
        let of_text = info.get("general.architecture").and_then(Value::as_str);
        let of_text = of_text.and_then(|architecture| info.get(&format!("{architecture}.context_length")));
        let context =
            of_text.or_else(|| info.iter().find(|(key, _)| key.ends_with(".context_length")).map(|(_, value)| value));
        facts::tokens(context?)
    });
    let abilities = Abilities {
        context_tokens: context,
        output_tokens: None,
        images: has("vision"),
        tools: has("tools"),
        reasoning: has("thinking"),
    };
    (abilities, has("completion"))
}

/// The context that it serves the model with, where the model's file sets it: often less than it could.
fn num_ctx(said: &Map<String, Value>) -> Option<u32> {
    let parameters = said.get("parameters")?.as_str()?;
    let value = parameters.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("num_ctx")).then(|| words.next())?
    })?;
    facts::tokens(&Value::String(value.to_owned()))
}

async fn lm_studio(asking: &Asking<'_>, root: &Url, models: &mut [Listed]) -> bool {
    let request = (asking.authorize)(asking.client.get(below(root, "api/v0/models")));
    let Some(body) = asking.body(request).await else { return false };
    let Some(own) = entries::read(&body, super::MODELS).filter(|own| !own.models.is_empty()) else { return false };
    let own: HashMap<&str, &Listed> = own.models.iter().map(|model| (model.id.as_str(), model)).collect();
    for model in models {
        if let Some(own) = own.get(model.id.as_str()) {
            model.abilities = own.abilities.or(model.abilities);
            model.is_chat = own.is_chat;
        }
    }
    true
}

async fn llama_cpp(asking: &Asking<'_>, root: &Url, models: &mut [Listed]) -> bool {
    let Some(props) = asking.json(asking.client.get(below(root, "props"))).await else { return false };
    let at = |pointer| facts::lookup(&props, pointer);
    let Some(context) = at("/default_generation_settings/n_ctx").and_then(facts::tokens) else { return false };
    let seen = Abilities {
        context_tokens: Some(context),
        images: at("/modalities/vision").and_then(Value::as_bool),
        tools: at("/chat_template_caps/supports_tools").and_then(Value::as_bool),
        ..Abilities::default()
    };
    // They are of the one model that it runs. Several: it is a router in front of others.
    if let [model] = models {
        model.abilities = seen.or(model.abilities);
    }
    true
}

impl Asking<'_> {
    /// A JSON object; none where anything else comes.
    async fn json(&self, request: RequestBuilder) -> Option<Map<String, Value>> {
        let body = self.body((self.authorize)(request)).await?;
        serde_json::from_slice(&body).ok()
    }

    async fn body(&self, request: RequestBuilder) -> Option<Vec<u8>> {
        let response = request.send().await.ok()?;
        if !response.status().is_success() {
            return None;
        }
        read_up_to(response, BYTES).await.ok()
    }
}

fn below(root: &Url, path: &str) -> Url {
    let mut url = root.clone();
    let whole = format!("{}/{path}", root.path().trim_end_matches('/'));
    url.set_path(&whole);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(json: &str) -> Map<String, Value> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn what_ollama_shows_is_read() {
        let said = object(
            r#"{"parameters":"num_ctx                        8192\nstop                           \"<|eot_id|>\"","details":{"family":"llama"},"model_info":{"general.architecture":"llama","llama.context_length":131072,"llama.block_count":28},"capabilities":["completion","tools"]}"#,
        );
        let (abilities, is_chat) = shown(&said);
        assert_eq!((abilities.context_tokens, is_chat, num_ctx(&said)), (Some(131_072), Some(true), Some(8192)));
        assert_eq!((abilities.images, abilities.tools, abilities.reasoning), (Some(false), Some(true), Some(false)));

        let vision = object(
            r#"{"model_info":{"general.architecture":"mllama","mllama.vision.context_length":5,"mllama.context_length":4096},"capabilities":["completion","vision"]}"#,
        );
        assert_eq!((shown(&vision).0.context_tokens, shown(&vision).0.images), (Some(4096), Some(true)));

        let embeds = object(
            r#"{"model_info":{"general.architecture":"bert","bert.context_length":512},"capabilities":["embedding"]}"#,
        );
        assert_eq!(shown(&embeds).1, Some(false));

        // Before there were capabilities.
        let old = object(r#"{"parameters":"stop \"num_ctx 5\"\nnum_ctx","modelfile":"FROM x"}"#);
        assert_eq!((shown(&old), num_ctx(&old)), ((Abilities::default(), None), None));
        assert_eq!(num_ctx(&object(r#"{"parameters":"num_ctx many"}"#)), None);
    }

    #[test]
    fn loaded_models_say_their_context() {
        let said =
            object(r#"{"models":[{"name":"a:latest","context_length":4096},{"name":"b"},5,{"context_length":7}]}"#);
        assert_eq!(loaded_contexts(&said), HashMap::from([("a:latest".to_owned(), 4096)]));
        assert!(loaded_contexts(&object("{}")).is_empty());
    }

    #[test]
    fn programs_are_known_by_whom_their_models_belong_to() {
        for server in Server::ALL {
            assert_eq!(Server::of_name(server.name()), Some(server));
        }
        assert_eq!(Server::of_owner("library"), Some(Server::Ollama));
        assert_eq!(Server::of_owner("organization_owner"), Some(Server::LmStudio));
        assert_eq!(Server::of_owner("openai"), None);
    }
}
