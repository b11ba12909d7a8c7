//! What is sent beside the conversation, by provider and by model: some refuse what others need.
//!
//! Settings say it; where they are silent, the host does, as far as it is known: OpenAI's own takes
//! `max_completion_tokens` for all its models and refuses `max_tokens` for the newer ones; Mistral's
//! refuses `stream_options`, and counts tokens without it.
//!
//! **Invariant:** what a model's own settings say beats what its provider's say, parameter by
//! parameter; a parameter that is listed as unsupported is never sent.

use reqwest::Url;
use serde::Deserialize;

use super::{config::OpenAiConfig, transport::is_azure};

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

impl MaxTokensField {
    /// Its name in a request.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}

/// The parameters that a request may have beside those that it can't be without.
pub const OPTIONAL_PARAMETERS: [&str; 6] =
    ["max_completion_tokens", "max_tokens", "seed", "stream_options", "temperature", "user"];

/// What becomes of a system turn. Absent: it is sent as it is, until the provider refuses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SystemRole {
    /// It is sent as `system`.
    System,
    /// It is sent as `developer`, as OpenAI's reasoning models name it.
    Developer,
    /// It is put before the first user turn's text, for models that know no such role.
    Merge,
}

/// Settings of a provider, or of one of its models. What is absent is left to what is known of the
/// host, and to what the provider says when it refuses.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// How the limit on an answer's length is named.
    pub max_tokens_field: Option<MaxTokensField>,
    /// The limit on an answer's length, in tokens, where the request has none.
    pub max_tokens: Option<u32>,
    /// Whether to ask for token counts (`stream_options.include_usage`). Absent: yes.
    pub stream_options: Option<bool>,
    /// The temperature where the request has none.
    pub temperature: Option<f64>,
    /// What becomes of a system turn.
    pub system_role: Option<SystemRole>,
    /// Parameters that are never sent, of [`OPTIONAL_PARAMETERS`].
    pub unsupported: Vec<String>,
    /// Whether to send `seed`. Absent: no. Of no use to a hosted provider, and some (Mistral) refuse
    /// fields that they don't know.
    pub send_seed: Option<bool>,
    /// Whether to send `user`, the caller's opaque key. Absent: no. It is for the local model's fair
    /// scheduling, and nobody else's business.
    pub send_user: Option<bool>,
}

impl Parameters {
    /// Whether a parameter of this name may be sent.
    #[must_use]
    pub fn may_send(&self, name: &str) -> bool {
        !self.unsupported.iter().any(|unsupported| unsupported == name)
    }

    /// These, and what `general` says where these say nothing. Lists of unsupported parameters add up,
    /// except for what these turn on again.
    fn over(&self, general: &Self) -> Self {
        let mut unsupported = self.unsupported.clone();
        for name in &general.unsupported {
            if !self.turns_on(name) && self.may_send(name) {
                unsupported.push(name.clone());
            }
        }
        Self {
            max_tokens_field: self.max_tokens_field.or(general.max_tokens_field),
            max_tokens: self.max_tokens.or(general.max_tokens),
            stream_options: self.stream_options.or(general.stream_options),
            temperature: self.temperature.or(general.temperature),
            system_role: self.system_role.or(general.system_role),
            unsupported,
            send_seed: self.send_seed.or(general.send_seed),
            send_user: self.send_user.or(general.send_user),
        }
    }

    /// Whether these say that a parameter of this name is to be sent.
    fn turns_on(&self, name: &str) -> bool {
        match name {
            "temperature" => self.temperature.is_some(),
            "stream_options" => self.stream_options == Some(true),
            "seed" => self.send_seed == Some(true),
            "user" => self.send_user == Some(true),
            _ => self.max_tokens_field.is_some_and(|field| field.as_str() == name),
        }
    }
}

impl OpenAiConfig {
    /// What holds for this model, as the provider names it: its own settings, else the provider's,
    /// else what is known of the host.
    #[must_use]
    pub fn parameters_for(&self, model: &str) -> Parameters {
        let mut parameters = match self.model_parameters.get(model) {
            Some(own) => own.over(&self.parameters),
            None => self.parameters.clone(),
        };
        if let Ok(url) = Url::parse(&self.base_url) {
            let host = url.host_str().unwrap_or_default().trim_end_matches('.');
            parameters.max_tokens_field =
                parameters.max_tokens_field.or_else(|| known_field(&url, host, self.api_version.as_deref()));
            parameters.stream_options = parameters.stream_options.or((host == "api.mistral.ai").then_some(false));
        }
        parameters
    }
}

/// How the limit is named at this host, where that is certain.
fn known_field(url: &Url, host: &str, api_version: Option<&str>) -> Option<MaxTokensField> {
    let is_openai = host == "api.openai.com" || host.ends_with(".api.openai.com");
    // Azure's own OpenAI interface; what else it serves, below "/models", keeps to the old name.
    let is_azure = is_azure(host) && url.path().starts_with("/openai/");
    // The dated interface knows the new name since this version; "/openai/v1" always did. The words
    // "preview" and "latest" come after all dates, as they should.
    let is_new = || match api_version {
        Some(version) => version >= "2024-09-01",
        None => url.path().starts_with("/openai/v1"),
    };
    (is_openai || (is_azure && is_new())).then_some(MaxTokensField::MaxCompletionTokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(base_url: &str) -> OpenAiConfig {
        OpenAiConfig::new("x", base_url)
    }

    #[test]
    fn a_models_settings_beat_its_providers_one_by_one() {
        let mut config = config("https://h/v1");
        config.parameters = Parameters {
            max_tokens: Some(100),
            temperature: Some(0.5),
            system_role: Some(SystemRole::System),
            unsupported: vec!["seed".to_owned(), "user".to_owned(), "top_p".to_owned()],
            ..Parameters::default()
        };
        let own = Parameters {
            max_tokens: Some(200),
            system_role: Some(SystemRole::Merge),
            unsupported: vec!["temperature".to_owned(), "top_p".to_owned()],
            send_seed: Some(true),
            ..Parameters::default()
        };
        config.model_parameters.insert("m/1.0:x".to_owned(), own);
        let merged = config.parameters_for("m/1.0:x");
        assert_eq!((merged.max_tokens, merged.system_role), (Some(200), Some(SystemRole::Merge)));
        assert_eq!(
            merged.temperature,
            Some(0.5),
            "said by the provider alone; whether it may be sent is another matter"
        );
        assert_eq!(merged.unsupported, ["temperature", "top_p", "user"], "seed is turned on again");
        assert!(!merged.may_send("temperature") && merged.may_send("seed") && merged.may_send("max_tokens"));
        assert_eq!(config.parameters_for("another"), config.parameters);
    }

    #[test]
    fn what_is_turned_on_for_a_model_is_sent() {
        let all = ["temperature", "stream_options", "seed", "user", "max_completion_tokens", "max_tokens"];
        let general =
            Parameters { unsupported: all.iter().map(|&name| name.to_owned()).collect(), ..Parameters::default() };
        let own = Parameters {
            max_tokens_field: Some(MaxTokensField::MaxCompletionTokens),
            stream_options: Some(true),
            temperature: Some(1.0),
            send_seed: Some(true),
            send_user: Some(true),
            ..Parameters::default()
        };
        assert_eq!(own.over(&general).unsupported, ["max_tokens"]);
        let off = Parameters {
            stream_options: Some(false),
            send_seed: Some(false),
            send_user: Some(false),
            ..Parameters::default()
        };
        assert_eq!(off.over(&general).unsupported, all);
    }

    #[test]
    fn the_limits_name_is_known_where_it_is_certain() {
        let new = Some(MaxTokensField::MaxCompletionTokens);
        let azure = "https://x.openai.azure.com/openai/deployments/d";
        for (base_url, api_version, field) in [
            ("https://api.openai.com/v1", None, new),
            ("https://API.OpenAI.com/v1", None, new),
            ("https://api.openai.com./v1", None, new),
            ("https://eu.api.openai.com/v1", None, new),
            ("https://api.openai.com.example.com/v1", None, None),
            ("https://notapi.openai.com/v1", None, None),
            ("https://example.com/api.openai.com/v1", None, None),
            ("http://127.0.0.1:11434/v1", None, None),
            (azure, Some("2024-06-01"), None),
            (azure, None, None),
            (azure, Some("2024-10-21"), new),
            (azure, Some("2025-01-01-preview"), new),
            (azure, Some("preview"), new),
            ("https://x.openai.azure.com/openai/v1", None, new),
            ("https://x.cognitiveservices.azure.com/openai/v1", None, new),
            ("https://x.services.ai.azure.com/openai/v1", Some("latest"), new),
            ("https://x.services.ai.azure.com/models", Some("2024-05-01-preview"), None),
            ("nonsense", None, None),
        ] {
            let mut config = config(base_url);
            config.api_version = api_version.map(str::to_owned);
            assert_eq!(config.parameters_for("m").max_tokens_field, field, "{base_url} {api_version:?}");
        }
        let mut mistral = config("https://api.mistral.ai/v1");
        assert_eq!(mistral.parameters_for("m").stream_options, Some(false));
        mistral.parameters.stream_options = Some(true);
        assert_eq!(mistral.parameters_for("m").stream_options, Some(true));
        let mut config = config("https://api.openai.com/v1");
        assert_eq!(config.parameters_for("m").stream_options, None);
        config.parameters.max_tokens_field = Some(MaxTokensField::MaxTokens);
        assert_eq!(config.parameters_for("m").max_tokens_field, Some(MaxTokensField::MaxTokens), "a setting beats it");
    }
}
