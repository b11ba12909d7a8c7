//! What is configured for one provider, and what can be wrong with it.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use r1_domain::provider::Abilities;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// How, if at all, a provider goes on from a partial answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Continues {
    /// It can't.
    #[default]
    None,
    /// A trailing assistant message is gone on with (Anthropic, llama.cpp). It is sent without
    /// white space at its end, which some of these refuse.
    Plain,
    /// `continue_final_message: true, add_generation_prompt: false` (vLLM). Sent as it is: the one to
    /// choose where the same bytes must come as from an undisturbed run.
    Vllm,
    /// `"prefix": true` on the trailing assistant message (Mistral, DeepSeek).
    Prefix,
}

/// How the limit on an answer's length is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaxTokensField {
    /// As nearly everybody names it.
    #[default]
    MaxTokens,
    /// As OpenAI's own newer models want it.
    MaxCompletionTokens,
}

/// One provider.
#[derive(Debug, Clone)]
pub struct OpenAiConfig {
    /// Its name, the `provider` of `provider/model`: lower-case letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// Where its API starts, such as `https://api.openai.com/v1`. No user name, query or fragment.
    pub base_url: String,
    /// Talk over this Unix socket; `base_url` then only gives the path and the `Host` header.
    pub unix_socket: Option<PathBuf>,
    /// Sent as `Authorization: Bearer`.
    pub api_key: Option<SecretString>,
    /// Models to list; where empty, the provider is asked (`GET /models`).
    pub models: Vec<String>,
    /// What the administrator says of its models, by their names. Beats all that is known otherwise.
    pub abilities: BTreeMap<String, Abilities>,
    /// How it goes on from a partial answer. [`Continues::None`] unless known.
    pub continues: Continues,
    /// How `max_tokens` is named.
    pub max_tokens_field: MaxTokensField,
    /// Send `seed`. Off unless asked for: of no use to a hosted provider, and some (Mistral) refuse
    /// fields that they don't know.
    pub send_seed: bool,
    /// Send `user`, the caller's opaque key. For the local model's fair scheduling; nobody else's
    /// business.
    pub send_user: bool,
    /// Ask for the token ids of each chunk, and go on from them where they are known (with
    /// [`Continues::Vllm`]). For our own engine, which checks them against the text and gives back no
    /// echo; nobody else is ever asked for them or sent any.
    pub token_ids: bool,
    /// Ask for token counts (`stream_options.include_usage`).
    pub include_usage: bool,
    /// Go through the proxy that `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` name. Off unless asked
    /// for: a proxy variable meant for something else must not learn the questions.
    pub environment_proxy: bool,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for the response's headers, the connection included.
    pub headers_timeout: Duration,
    /// Longest silence within an answer; comments count as sound.
    pub idle_timeout: Duration,
}

impl OpenAiConfig {
    /// A provider with the defaults: no key, 10 s to connect, 60 s to the headers, 60 s of silence.
    #[must_use]
    pub fn new(name: impl Into<String>, base_url: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            base_url: base_url.into(),
            unix_socket: None,
            api_key: None,
            models: Vec::new(),
            abilities: BTreeMap::new(),
            continues: Continues::None,
            max_tokens_field: MaxTokensField::MaxTokens,
            send_seed: false,
            send_user: false,
            token_ids: false,
            include_usage: true,
            environment_proxy: false,
            connect_timeout: Duration::from_secs(10),
            headers_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(60),
        }
    }

    /// Everything that is wrong with it.
    #[must_use]
    pub fn faults(&self) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        let mut fault = |what| faults.push(ConfigFault { provider: self.name.clone(), what });
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(is_word) {
            fault("its name must be 1 to 64 of a-z, 0-9, '-', '_' and '.'");
        }
        match Url::parse(&self.base_url) {
            Err(_) => fault("base_url is not a URL"),
            Ok(url) => {
                if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
                    fault("base_url must start with http:// or https:// and a host");
                }
                if !url.username().is_empty() || url.password().is_some() {
                    fault("base_url must not hold a user name or password: use api_key");
                }
                if url.query().is_some() || url.fragment().is_some() {
                    fault("base_url must have no query and no fragment");
                }
            }
        }
        // What a header can carry, and no white space, which nobody means.
        let is_key = |key: &str| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
        if self.api_key.as_ref().is_some_and(|key| !is_key(key.expose_secret())) {
            fault("api_key must be printable ASCII without spaces (leave it out if there is none)");
        }
        if self.models.iter().any(|model| !is_model_name(model)) {
            fault("models must be 1 to 200 printable characters each");
        }
        if [self.connect_timeout, self.headers_timeout, self.idle_timeout].iter().any(Duration::is_zero) {
            fault("its timeouts must be more than 0");
        }
        faults
    }
}

/// Whether this can be a model's name: 1 to 200 characters, none of them a control character.
pub(crate) fn is_model_name(name: &str) -> bool {
    !name.trim().is_empty() && name.chars().count() <= 200 && !name.chars().any(char::is_control)
}

/// Something wrong with a provider's configuration. Never shows a value that may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigFault {
    /// The provider's name, as configured.
    pub provider: String,
    /// What is wrong.
    pub what: &'static str,
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "provider '{}': {}", self.provider.escape_debug(), self.what)
    }
}
