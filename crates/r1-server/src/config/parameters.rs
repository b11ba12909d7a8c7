//! What is sent to a provider beside the conversation: for all its models, and for single ones.

use std::collections::{BTreeMap, BTreeSet};

use r1_domain::near::nearest;
use r1_providers::openai::{MaxTokensField, OPTIONAL_PARAMETERS, Parameters, SystemRole};

use super::{
    keys,
    reader::{Reader, Wrong},
    value::Value,
};

/// Reads those settings of a provider.
pub(crate) fn of_provider(reader: &mut Reader, provider: &str) -> Parameters {
    read(reader, &["providers", provider])
}

/// The names of the provider's models of which something is said.
pub(crate) fn models(reader: &Reader, provider: &str) -> BTreeSet<String> {
    let prefix = format!("{}.", keys::join(["providers", provider, "model"]));
    let given = reader.given().keys().filter(|key| key.starts_with(&prefix));
    given.filter_map(|key| keys::parts(key).into_iter().nth(3)).collect()
}

/// Reads those of the provider's models that have some.
pub(crate) fn of_models(reader: &mut Reader, provider: &str) -> BTreeMap<String, Parameters> {
    let mut all = BTreeMap::new();
    for model in models(reader, provider) {
        let parameters = read(reader, &["providers", provider, "model", &model]);
        if parameters != Parameters::default() {
            all.insert(model, parameters);
        }
    }
    all
}

fn read(reader: &mut Reader, section: &[&str]) -> Parameters {
    let key = |setting: &str| keys::join(section.iter().copied().chain([setting]));
    let mut unsupported = unsupported(reader, &key("unsupported"));
    let temperature = match temperature(reader, &key("temperature")) {
        Temperature::Auto => None,
        Temperature::Fixed(value) => Some(value),
        Temperature::Never => {
            unsupported.push("temperature".to_owned());
            None
        }
    };
    let fields = [
        ("auto", None),
        ("max_tokens", Some(MaxTokensField::MaxTokens)),
        ("max_completion_tokens", Some(MaxTokensField::MaxCompletionTokens)),
    ];
    let roles = [
        ("auto", None),
        ("system", Some(SystemRole::System)),
        ("developer", Some(SystemRole::Developer)),
        ("merge", Some(SystemRole::Merge)),
    ];
    Parameters {
        max_tokens_field: given(reader, &key("max_tokens_field"), |reader, key| reader.word(key, &fields)).flatten(),
        max_tokens: given(reader, &key("max_tokens"), max_tokens).flatten(),
        stream_options: given(reader, &key("stream_options"), Reader::switch),
        temperature,
        system_role: given(reader, &key("system_role"), |reader, key| reader.word(key, &roles)).flatten(),
        unsupported,
        send_seed: given(reader, &key("send_seed"), Reader::switch),
        send_user: given(reader, &key("send_user"), Reader::switch),
    }
}

fn given<T>(reader: &mut Reader, key: &str, read: impl FnOnce(&mut Reader, &str) -> T) -> Option<T> {
    reader.is_given(key).then(|| read(reader, key))
}

fn max_tokens(reader: &mut Reader, key: &str) -> Option<u32> {
    reader.read(key, |value| {
        let number = match value {
            Value::Integer(number) => u32::try_from(*number).ok(),
            _ => match value.text().map(str::trim) {
                Some("auto") => return Ok(None),
                Some(text) if matches!(value, Value::Untyped(_)) => text.replace('_', "").parse().ok(),
                _ => None,
            },
        };
        let number = number.filter(|number| (1..=10_000_000).contains(number)).map(Some);
        let expected = "a whole number from 1 to 10000000 or \"auto\"";
        number.ok_or_else(|| Wrong::not(expected, value, "write the number without quotation marks"))
    })
}

#[derive(Default)]
enum Temperature {
    /// Whatever a request says.
    #[default]
    Auto,
    /// This, where a request says nothing.
    Fixed(f64),
    /// Not sent, whatever a request says.
    Never,
}

fn temperature(reader: &mut Reader, key: &str) -> Temperature {
    if !reader.is_given(key) {
        return Temperature::Auto;
    }
    reader.read(key, |value| {
        let number = match value {
            Value::Boolean(false) => return Ok(Temperature::Never),
            Value::Integer(number) => i32::try_from(*number).ok().map(f64::from),
            Value::Float(number) => Some(*number),
            _ => match value.text().map(str::trim) {
                Some("auto") => return Ok(Temperature::Auto),
                Some(text) if matches!(value, Value::Untyped(_)) => match text {
                    "false" | "off" | "no" => return Ok(Temperature::Never),
                    text => text.parse().ok(),
                },
                _ => None,
            },
        };
        // 2 is the most that the format knows.
        let number = number.filter(|number| (0.0..=2.0).contains(number)).map(Temperature::Fixed);
        let remedy = "write a number to send where a request has none, false to send none ever, or \"auto\"";
        number.ok_or_else(|| Wrong::not("a number from 0 to 2, false or \"auto\"", value, remedy))
    })
}

fn unsupported(reader: &mut Reader, key: &str) -> Vec<String> {
    if !reader.is_given(key) {
        return Vec::new();
    }
    let names = reader.list(key);
    for name in names.iter().filter(|name| !OPTIONAL_PARAMETERS.contains(&name.as_str())) {
        let near = nearest(name, OPTIONAL_PARAMETERS).map(|near| format!("did you mean \"{near}\"?"));
        let remedy = near.unwrap_or_else(|| format!("name some of {}", OPTIONAL_PARAMETERS.join(", ")));
        reader.fault(key, format!("has {name:?}, which is no parameter that could be left out"), remedy);
    }
    names
}
