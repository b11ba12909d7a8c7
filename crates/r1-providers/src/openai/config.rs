//! What is configured for one provider, and what can be wrong with it.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use r1_domain::provider::Abilities;
use reqwest::{Url, header::HeaderName};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{
    parameters::Parameters,
    proxy::Proxy,
    tls::{Authorities, ClientCertificate},
    transport::{Headers, header_fault},
};
use crate::redaction::Redactor;

/// The header by which our own engine says how many of the oldest turns it left out; the system turn is never among
/// them.
pub(super) const LEFT_OUT: &str = "x-messages-left-out";

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

/// One provider.
#[derive(Debug, Clone)]
pub struct OpenAiConfig {
    /// Its name, the `provider` of `provider/model`: lower-case letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// Where its API starts, such as `https://api.openai.com/v1`. No user name, query or fragment.
    pub base_url: String,
    /// Talk over this Unix socket; `base_url` then only gives the path and the `Host` header.
    pub unix_socket: Option<PathBuf>,
    /// Sent as `Authorization: Bearer`, or in the header that [`Self::api_key_header`] names.
    pub api_key: Option<SecretString>,
    /// Where the key is set, in words for the log; never the key.
    pub key_place: Option<String>,
    /// Models to list; where empty, the provider is asked (`GET /models`).
    pub models: Vec<String>,
    /// What the administrator says of its models, by their names. Beats all that is known otherwise.
    pub abilities: BTreeMap<String, Abilities>,
    /// How it goes on from a partial answer. [`Continues::None`] unless known.
    pub continues: Continues,
    /// What is sent beside the conversation, to all its models.
    pub parameters: Parameters,
    /// The same for single models, by the provider's names for them: see [`Self::parameters_for`].
    pub model_parameters: BTreeMap<String, Parameters>,
    /// Sent as `?api-version=` with every request, as Azure's dated interface wants it.
    pub api_version: Option<String>,
    /// Whether this is our own engine. It is asked for the token ids of each chunk, and goes on from them where they
    /// are known (with [`Continues::Vllm`]): it checks them against the text and gives back no echo. It shortens a
    /// conversation to its context itself, and is believed how much it left out ([`LEFT_OUT`]). Nobody else is ever
    /// asked for token ids, sent any, or believed.
    pub own_engine: bool,
    /// Go through this proxy, whatever the address. None: go straight there. What the environment says
    /// is for [`Proxy::from_environment`]: a client does not look there by itself.
    pub proxy: Option<Proxy>,
    /// Authorities that are trusted beside the system's.
    pub ca_certificate: Option<Authorities>,
    /// What is shown to a provider that asks for a certificate (mutual TLS).
    pub client_certificate: Option<ClientCertificate>,
    /// Sent with every request. Not one that the client sets itself ([`super::is_own_header`]).
    pub headers: Headers,
    /// The header that carries the key. None: `Authorization`, or at Azure's hosts `api-key`.
    pub api_key_header: Option<HeaderName>,
    /// What hides keys and addresses in its words. None: one that knows those of this provider alone.
    pub redactor: Option<Arc<Redactor>>,
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
            key_place: None,
            models: Vec::new(),
            abilities: BTreeMap::new(),
            continues: Continues::None,
            parameters: Parameters::default(),
            model_parameters: BTreeMap::new(),
            api_version: None,
            own_engine: false,
            proxy: None,
            ca_certificate: None,
            client_certificate: None,
            headers: Headers::default(),
            api_key_header: None,
            redactor: None,
            connect_timeout: Duration::from_secs(10),
            headers_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(60),
        }
    }

    /// Tells each of its secrets: keys, passwords, and the values of headers, any of which may be one.
    pub(crate) fn secrets(&self, mut tell: impl FnMut(&str)) {
        if let Some(key) = &self.api_key {
            tell(key.expose_secret());
        }
        for value in self.headers.values() {
            tell(value);
            let basic = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
            let credentials = basic.and_then(|(_, encoded)| STANDARD.decode(encoded.trim()).ok());
            let credentials = credentials.and_then(|bytes| String::from_utf8(bytes).ok());
            if let Some((_, password)) = credentials.as_deref().and_then(|credentials| credentials.split_once(':')) {
                tell(password);
            }
        }
        if let Some(password) = self.proxy.as_ref().and_then(Proxy::url).as_ref().and_then(Url::password) {
            tell(password);
        }
    }

    /// The names by which it and its proxy are reached.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = String> {
        let urls = [Url::parse(&self.base_url).ok(), self.proxy.as_ref().and_then(Proxy::url)];
        urls.into_iter().flatten().filter_map(|url| url.host_str().map(str::to_lowercase))
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
                    fault("base_url must have no query and no fragment: an api-version goes into api_version");
                }
            }
        }
        // What a header can carry, and no white space, which nobody means.
        let is_key = |key: &str| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
        if self.api_key.as_ref().is_some_and(|key| !is_key(key.expose_secret())) {
            fault("api_key must be printable ASCII without spaces (leave it out if there is none)");
        }
        if let Some(what) = header_fault(self) {
            fault(what);
        }
        let is_version = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
        };
        if self.api_version.as_deref().is_some_and(|version| !is_version(version)) {
            fault("api_version must be letters, digits, '-' and '.', such as 2024-10-21");
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
