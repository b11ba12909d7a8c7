//! What is said of single models: the tables `[providers.NAME.model."ID"]`.
//!
//! A model's name may hold dots, so in the keys of settings it stands in quotation marks, as in the
//! file: `providers.openai.model."gpt-4.1".context`.
//!
//! **Invariant:** [`model_key`] is the only place where such a key is made.

use std::collections::BTreeMap;

use r1_domain::provider::Abilities;

use super::reader::Reader;

/// What the tables of models are called within a provider's.
pub(crate) const MODEL: &str = "model";
/// The settings of a model.
pub(crate) const MODEL_KEYS: [&str; 5] = ["context", "output", "images", "tools", "reasoning"];
/// Longest context that is believed, in tokens.
const LONGEST: i64 = 100_000_000;

/// The key of a model's table: `key` is that of its provider's tables of models. None for what is no
/// model's name.
pub(crate) fn model_key(key: &str, id: &str) -> Option<String> {
    let quoted = format!("{id:?}");
    let is_name = !id.trim().is_empty() && unquote(&quoted).is_some_and(|read| read == id);
    is_name.then(|| format!("{key}.{quoted}"))
}

/// The name of the provider that a setting belongs to, if it belongs to one.
pub(crate) fn provider_of(key: &str) -> Option<&str> {
    let rest = key.strip_prefix("providers.")?;
    // No name has a quotation mark in it.
    let of_model = rest.split_once(".model.\"").map(|(name, _)| name);
    of_model.or_else(|| rest.rsplit_once('.').map(|(name, _)| name))
}

/// Reads what is said of the models of a provider that bears on what they can, by their names.
pub(crate) fn abilities(reader: &mut Reader, provider: &str) -> BTreeMap<String, Abilities> {
    let prefix = format!("providers.{provider}.{MODEL}.");
    let of_models = reader.given().keys().filter(|key| key.starts_with(&prefix));
    let mut tables: Vec<String> = of_models.filter_map(|key| Some(key.rsplit_once('.')?.0.to_owned())).collect();
    tables.dedup();
    let mut all = BTreeMap::new();
    for table in tables {
        let Some(id) = table.strip_prefix(&prefix).and_then(unquote) else { continue };
        let given =
            |reader: &Reader, setting: &str| Some(format!("{table}.{setting}")).filter(|key| reader.is_given(key));
        let tokens = |reader: &mut Reader, setting| given(reader, setting).map(|key| reader.number(&key, 1, LONGEST));
        let switch = |reader: &mut Reader, setting| given(reader, setting).map(|key| reader.switch(&key));
        let abilities = Abilities {
            context_tokens: tokens(reader, "context"),
            output_tokens: tokens(reader, "output"),
            images: switch(reader, "images"),
            tools: switch(reader, "tools"),
            reasoning: switch(reader, "reasoning"),
        };
        all.insert(id, abilities);
    }
    all
}

/// The name as it was before `{:?}`.
fn unquote(quoted: &str) -> Option<String> {
    // Rust's escapes are TOML's but for characters that can't be seen, which no model has in its name.
    let table = format!("id = {quoted}");
    let parsed: toml::Table = table.parse().ok()?;
    parsed.get("id")?.as_str().map(str::to_owned)
}
