//! What is said of single models: the tables `[providers.NAME.model."ID"]`. What is sent to them is read
//! by [`parameters`], what they can is read here.

use std::collections::BTreeMap;

use r1_domain::provider::Abilities;

use super::{keys, parameters, reader::Reader};

/// The settings of a model: what it can, and what is sent to it.
pub(crate) const MODEL_KEYS: [&str; 13] = [
    "context",
    "output",
    "images",
    "tools",
    "reasoning",
    "max_tokens_field",
    "max_tokens",
    "stream_options",
    "temperature",
    "system_role",
    "unsupported",
    "send_seed",
    "send_user",
];
/// Longest context that is believed, in tokens.
const LONGEST: i64 = 100_000_000;

/// Whether a model may be called so: something can be seen, and nothing is there that can't.
pub(crate) fn is_name(id: &str) -> bool {
    !id.trim().is_empty() && !id.replace(['\\', '"', '\''], "").escape_debug().to_string().contains('\\')
}

/// Reads what is said of the models of a provider that bears on what they can, by their names.
pub(crate) fn abilities(reader: &mut Reader, provider: &str) -> BTreeMap<String, Abilities> {
    let mut all = BTreeMap::new();
    for model in parameters::models(reader, provider) {
        let key = |setting: &str| keys::join(["providers", provider, "model", &model, setting]);
        let given = |reader: &Reader, setting: &str| Some(key(setting)).filter(|key| reader.is_given(key));
        let tokens = |reader: &mut Reader, setting| given(reader, setting).map(|key| reader.number(&key, 1, LONGEST));
        let switch = |reader: &mut Reader, setting| given(reader, setting).map(|key| reader.switch(&key));
        let abilities = Abilities {
            context_tokens: tokens(reader, "context"),
            output_tokens: tokens(reader, "output"),
            images: switch(reader, "images"),
            tools: switch(reader, "tools"),
            reasoning: switch(reader, "reasoning"),
        };
        if abilities != Abilities::default() {
            all.insert(model, abilities);
        }
    }
    all
}
