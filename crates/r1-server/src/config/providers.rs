//! Providers, and which of them answers when nobody says which.

use std::{collections::BTreeMap, time::Duration};

use r1_domain::provider::Abilities;
use r1_providers::openai::Parameters;
use secrecy::{ExposeSecret, SecretString};

use super::{
    keys,
    local_servers::LocalServersConfig,
    model_settings, parameters,
    reader::{Reader, Wrong},
    value::Origin,
    way::{self, Way},
};

/// The settings of a provider.
pub(crate) const PROVIDER_KEYS: [&str; 20] = [
    "base_url",
    "api_key",
    "api_key_env",
    "models",
    "continues",
    "idle_timeout",
    "proxy",
    "ca_certificate",
    "client_certificate",
    "client_key",
    "api_key_header",
    "api_version",
    "max_tokens_field",
    "max_tokens",
    "stream_options",
    "temperature",
    "system_role",
    "unsupported",
    "send_seed",
    "send_user",
];
/// The tables within a provider's: headers by name, and settings by model.
pub(crate) const PROVIDER_TABLES: [&str; 3] = ["headers", "headers_env", "model"];
/// The name that the local model has to itself.
pub(crate) const LOCAL: &str = "local";
/// The provider that `OPENAI_API_KEY` and `OPENAI_BASE_URL` make.
const OPENAI: &str = "openai";
const OPENAI_BASE_URL: &str = "https://api.openai.com/v1";
/// OpenAI lists its models in no order that would say which to take.
const OPENAI_MODEL: &str = "gpt-4o-mini";

/// How a provider goes on from a partial answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Continues {
    /// It does not.
    #[default]
    None,
    /// A last turn of the assistant's is continued.
    Plain,
    /// `continue_final_message`.
    Vllm,
    /// `prefix: true`.
    Prefix,
}

/// A provider of models in the OpenAI wire format.
#[derive(Debug, Clone)]
pub(crate) struct ProviderConfig {
    /// Its name here: what stands before the `/` of a model.
    pub(crate) name: String,
    /// Up to and without `/chat/completions`, and without a slash at its end.
    pub(crate) base_url: String,
    /// The key, if it needs one.
    pub(crate) api_key: Option<SecretString>,
    /// Where that is set, for the log: `api_key, gpt-r1.toml:4`.
    pub(crate) key_place: Option<String>,
    /// The models to list; empty: ask it.
    pub(crate) models: Vec<String>,
    /// What is said of its models, by their names.
    pub(crate) abilities: BTreeMap<String, Abilities>,
    /// How it goes on from a partial answer.
    pub(crate) continues: Continues,
    /// Longest silence within an answer.
    pub(crate) idle_timeout: Duration,
    /// How it is reached.
    pub(crate) way: Way,
    /// What is sent to it beside the conversation.
    pub(crate) parameters: Parameters,
    /// The same for single models.
    pub(crate) model_parameters: BTreeMap<String, Parameters>,
}

/// What answers a request that names no model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DefaultModel {
    /// Name of the provider; `local` for the local model.
    pub(crate) provider: String,
    /// Its name for the model; none: the first that it lists.
    pub(crate) model: Option<String>,
}

/// Reads all `providers.NAME`.
pub(crate) fn read(reader: &mut Reader, environment: &[(String, String)]) -> Vec<ProviderConfig> {
    let mut names: Vec<String> = reader
        .given()
        .keys()
        .filter(|key| key.starts_with("providers."))
        .filter_map(|key| keys::parts(key).into_iter().nth(1))
        .collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(|name| provider(reader, environment, name)).collect()
}

fn provider(reader: &mut Reader, environment: &[(String, String)], name: String) -> ProviderConfig {
    let key = |setting: &str| keys::join(["providers", &name, setting]);
    // Any setting of it that is given says where it stands.
    let within = format!("{}.", keys::join(["providers", &name]));
    let first = PROVIDER_KEYS.iter().map(|setting| key(setting)).find(|key| reader.is_given(key));
    let first =
        first.or_else(|| reader.given().keys().find(|key| key.starts_with(&within)).cloned()).unwrap_or_default();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if name.is_empty() || !name.chars().all(plain) {
        let problem = format!("'{}' is no provider's name", name.escape_debug());
        reader.fault_at(&first, problem, "name it with lower-case letters, digits, \"-\" and \"_\"");
    } else if name == LOCAL {
        let remedy = "give the provider another name; the local model is set in [local_model]";
        reader.fault_at(&first, "[providers.local] has the local model's name", remedy);
    }
    let base_url = if reader.is_given(&key("base_url")) {
        reader.read(&key("base_url"), |value| {
            let url = value.text().map_or("", |text| text.trim().trim_end_matches('/'));
            let (path, query) = url.split_once('?').unwrap_or((url, ""));
            if query.starts_with("api-version=") {
                return Err(Wrong::new("must not have a \"?\" part", "end it before, and set api_version"));
            }
            if path.ends_with("/chat/completions") {
                return Err(Wrong::new(
                    "must end before \"/chat/completions\"",
                    "take that off: it is put there again",
                ));
            }
            web_url(url, "https://api.example.com/v1").map(|_| url.to_owned())
        })
    } else {
        if name != OPENAI {
            let section = keys::join(["providers", &name]);
            let remedy = format!("set {section}.base_url, such as \"https://api.example.com/v1\"");
            reader.fault_at(&first, format!("[{section}] has no base_url"), remedy);
        }
        OPENAI_BASE_URL.to_owned()
    };
    let api_key = api_key(reader, environment, &name);
    let models = reader.list(&key("models"));
    let continues = optional(reader, &key("continues"), Continues::None, |reader, key| {
        let words = [
            ("none", Continues::None),
            ("plain", Continues::Plain),
            ("vllm", Continues::Vllm),
            ("prefix", Continues::Prefix),
        ];
        reader.word(key, &words)
    });
    let idle_timeout = optional(reader, &key("idle_timeout"), Duration::from_secs(60), |reader, key| {
        reader.duration(key, Duration::from_millis(100), Duration::from_secs(3600))
    });
    let way = way::read(reader, environment, &name, &base_url, api_key.is_some());
    let parameters = parameters::of_provider(reader, &name);
    let model_parameters = parameters::of_models(reader, &name);
    let abilities = model_settings::abilities(reader, &name);
    ProviderConfig {
        base_url,
        key_place: api_key.is_some().then(|| key_place(reader, &name)),
        name,
        api_key,
        models,
        abilities,
        continues,
        idle_timeout,
        way,
        parameters,
        model_parameters,
    }
}

fn optional<T>(reader: &mut Reader, key: &str, otherwise: T, read: impl FnOnce(&mut Reader, &str) -> T) -> T {
    if reader.is_given(key) { read(reader, key) } else { otherwise }
}

fn key_place(reader: &Reader, name: &str) -> String {
    let given = ["api_key", "api_key_env"].into_iter().find(|setting| {
        let key = keys::join(["providers", name, setting]);
        reader.given().get(&key).is_some_and(|entry| entry.value.text() != Some(""))
    });
    let setting = given.unwrap_or("api_key");
    format!("{setting}, {}", reader.origin(&keys::join(["providers", name, setting])))
}

fn api_key(reader: &mut Reader, environment: &[(String, String)], name: &str) -> Option<SecretString> {
    let found = find_api_key(reader, environment, name)?;
    // What a header can carry, and no white space, which nobody means.
    if !found.expose_secret().bytes().all(|byte| byte.is_ascii_graphic()) {
        let key = keys::join(["providers", name, "api_key"]);
        reader.fault(&key, "must be printable ASCII without spaces", "copy the key again, alone");
    }
    Some(found)
}

fn find_api_key(reader: &mut Reader, environment: &[(String, String)], name: &str) -> Option<SecretString> {
    let key = keys::join(["providers", name, "api_key"]);
    let key_env = keys::join(["providers", name, "api_key_env"]);
    let direct = reader.secret(&key);
    let variable = if reader.is_given(&key_env) { reader.text(&key_env) } else { String::new() };
    if variable.is_empty() {
        return direct;
    }
    if direct.is_some() {
        // The environment beats the file, as always; side by side they contradict one another.
        if matches!(reader.origin(&key), Origin::Environment(_))
            && !matches!(reader.origin(&key_env), Origin::Environment(_))
        {
            return direct;
        }
        reader.fault(&key_env, "is set beside api_key", "keep one of the two");
        return direct;
    }
    let found = environment.iter().find(|(name, value)| *name == variable && !value.trim().is_empty());
    match found {
        Some((_, value)) => Some(SecretString::from(value.trim())),
        None => {
            reader.fault(
                &key_env,
                format!("names {variable}, which is not set"),
                format!("set {variable} in the environment"),
            );
            None
        }
    }
}

/// The scheme of a URL, if it begins with one: a word that holds no secret.
pub(crate) fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once("://")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    (scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.len() <= 20 && scheme.chars().all(plain))
        .then_some(scheme)
}

/// Reads an http(s) URL with a host, and without what does not belong into one. `example` is shown where it is none.
pub(crate) fn web_url(text: &str, example: &str) -> Result<http::Uri, Wrong> {
    // Never repeated: people put keys into URLs.
    let wrong = |problem: &str| Wrong::new(problem, format!("write it like \"{example}\""));
    match scheme(text).map(str::to_ascii_lowercase).as_deref() {
        Some("http" | "https") => {}
        _ if text.is_empty() => return Err(wrong("is empty")),
        Some(scheme) => return Err(wrong(&format!("begins with {scheme}://; only http:// and https:// are possible"))),
        None => return Err(wrong("lacks http:// or https://")),
    }
    let uri: http::Uri = text.parse().map_err(|_| wrong("is not a URL"))?;
    if uri.host().is_none_or(str::is_empty) {
        return Err(wrong("has no host"));
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(wrong("must not hold a user name or password"));
    }
    if uri.query().is_some() || text.contains('#') {
        return Err(wrong("must not have a \"?\" or \"#\" part"));
    }
    Ok(uri)
}

/// Finds out what answers a request that names no model.
pub(crate) fn default_model(
    reader: &mut Reader,
    providers: &[ProviderConfig],
    local_name: Option<&str>,
    local_servers: Option<&LocalServersConfig>,
) -> DefaultModel {
    let wish = reader.text("default_model");
    let found = |name: &str| local_servers.is_some_and(|servers| servers.has(name));
    let known = |name: &str| name == LOCAL || found(name) || providers.iter().any(|provider| provider.name == name);
    let openai_wanted = matches!(reader.origin("default_model"), Origin::Environment(name) if name == "OPENAI_MODEL");
    // Left from another program: a warning says so.
    let wish = if openai_wanted && !known(OPENAI) { String::new() } else { wish };

    if let Some((provider, model)) = wish.split_once('/')
        && known(provider)
    {
        if provider == LOCAL && local_name.is_none() {
            let remedy = "set local_model.enabled to \"auto\", or name a model of another provider";
            reader.fault("default_model", "names the local model, which is off", remedy);
        } else if provider == LOCAL && local_name != Some(model) {
            let problem =
                format!("names a local model \"{model}\", but there is only \"{}\"", local_name.unwrap_or(""));
            reader.fault(
                "default_model",
                problem,
                "set local_model.name and local_model.path, or name the one there is",
            );
        }
        return DefaultModel { provider: provider.to_owned(), model: Some(model.to_owned()).filter(|m| !m.is_empty()) };
    }
    let provider = default_provider(reader, providers, local_name);
    if provider == LOCAL && !wish.is_empty() && local_name != Some(wish.as_str()) {
        let problem = format!("names \"{wish}\", but no provider is configured that could have it");
        reader.fault(
            "default_model",
            problem,
            "add [providers.NAME] and write \"NAME/model\", or remove default_model",
        );
    }
    let model = Some(wish).filter(|wish| !wish.is_empty());
    let model = model.or_else(|| match providers.iter().find(|found| found.name == provider) {
        Some(found) => found
            .models
            .first()
            .cloned()
            .or_else(|| (found.base_url == OPENAI_BASE_URL).then(|| OPENAI_MODEL.to_owned())),
        None => local_name.map(str::to_owned),
    });
    DefaultModel { provider, model }
}

fn default_provider(reader: &mut Reader, providers: &[ProviderConfig], local_name: Option<&str>) -> String {
    let from_environment = ["api_key", "base_url"].iter().any(|setting| {
        let origin = reader.origin(&format!("providers.{OPENAI}.{setting}"));
        matches!(origin, Origin::Environment(name) if name.starts_with("OPENAI_"))
    });
    match providers {
        _ if from_environment => OPENAI.to_owned(),
        [only] => only.name.clone(),
        [] => {
            if local_name.is_none() {
                let remedy = "set OPENAI_API_KEY, add [providers.NAME], or set local_model.enabled to \"auto\"";
                reader.fault("local_model.enabled", "leaves nothing to answer with: no provider is configured", remedy);
            }
            LOCAL.to_owned()
        }
        several => {
            let names: Vec<&str> = several.iter().map(|provider| provider.name.as_str()).collect();
            let problem = format!("must say which of {} providers answers by default", names.len());
            reader.fault("default_model", problem, format!("write \"NAME/model\" with one of {}", names.join(", ")));
            several[0].name.clone()
        }
    }
}
