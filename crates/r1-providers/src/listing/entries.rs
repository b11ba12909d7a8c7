//! The list as bytes: `{"data": […]}`, `{"models": […]}` or a bare array, of objects or of names.
//!
//! **Invariant:** entries are read one by one, each from its own bytes. One that is no model, or is
//! larger than any model's entry, is skipped; one that came before is not taken twice.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};

use super::{List, Listed, Server, facts, purpose};
use crate::openai::is_model_name;

/// An entry of more bytes than this is no model's.
const ENTRY: usize = 64 << 10;
/// This many entries are looked at.
const LOOKED_AT: usize = 40_000;
/// Longest name that is shown, in characters.
const TITLE: usize = 120;

/// Reads a list; none if it is none. At most `most` models are kept.
pub(super) fn read(body: &[u8], most: usize) -> Option<List> {
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{feff}');
    let kept = match parse(text) {
        Some(entries) => entries.keep(most),
        None => parse(&with_numbers(text)?)?.keep(most),
    };
    Some(kept)
}

fn parse(text: &str) -> Option<Entries<'_>> {
    let Document(entries) = serde_json::from_str(text).ok()?;
    entries
}

/// The entries' bytes.
struct Entries<'a>(Vec<&'a RawValue>);

impl Entries<'_> {
    fn keep(self, most: usize) -> List {
        let mut list = List { models: Vec::new(), server: None };
        let mut known = HashSet::new();
        for raw in self.0 {
            if list.models.len() == most {
                break;
            }
            let Some((model, server)) = entry(raw.get()) else { continue };
            list.server = list.server.or(server);
            if known.insert(model.id.clone()) {
                list.models.push(model);
            }
        }
        list
    }
}

fn entry(raw: &str) -> Option<(Listed, Option<Server>)> {
    if raw.len() > ENTRY {
        return None;
    }
    let fields = match serde_json::from_str(raw).ok()? {
        Value::String(id) => Map::from_iter([("id".to_owned(), Value::String(id))]),
        Value::Object(fields) => fields,
        _ => return None,
    };
    let name = |key: &str| fields.get(key).and_then(Value::as_str).filter(|name| is_model_name(name));
    let id = name("id").or_else(|| name("name")).or_else(|| name("model"))?.to_owned();
    let title = ["display_name", "displayName", "name"].iter().find_map(|key| name(key));
    let title = title.map(str::trim).filter(|title| *title != id && title.chars().count() <= TITLE);
    let model = Listed {
        title: title.map(str::to_owned),
        is_chat: purpose::is_chat(&fields, &id),
        abilities: facts::abilities(&fields),
        id,
    };
    Some((model, name("owned_by").and_then(Server::of_owner)))
}

/// The whole answer.
struct Document<'a>(Option<Entries<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Document<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole;
        impl<'de> Visitor<'de> for Whole {
            type Value = Document<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of models")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
                Ok(Document(Some(collect(seq)?)))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let (mut data, mut models) = (None, None);
                while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                    match &*key {
                        "data" => data = map.next_value::<Items<'de>>()?.0.or(data),
                        "models" => models = map.next_value::<Items<'de>>()?.0.or(models),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                // llama.cpp sends both, of which `data` is this format's.
                let data = match (data, models) {
                    (Some(Entries(data)), Some(models)) if data.is_empty() => Some(models),
                    (data, models) => data.or(models),
                };
                Ok(Document(data))
            }
        }
        deserializer.deserialize_any(Whole)
    }
}

/// What may be the list; none where it is something else.
struct Items<'a>(Option<Entries<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?;
        Ok(Self(match raw.get().as_bytes().first() {
            Some(b'[') => serde_json::from_str::<Document<'_>>(raw.get()).ok().and_then(|document| document.0),
            // What a server without any model may say.
            Some(b'n') => Some(Entries(Vec::new())),
            _ => None,
        }))
    }
}

fn collect<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<Entries<'de>, A::Error> {
    let mut entries = Vec::new();
    while let Some(raw) = seq.next_element::<&'de RawValue>()? {
        // What can't be a model is left out at once: 16 MiB of it are millions of entries.
        if entries.len() < LOOKED_AT && matches!(raw.get().as_bytes().first(), Some(b'{' | b'"')) {
            entries.push(raw);
        }
    }
    Ok(Entries(entries))
}

/// The same JSON with `null` for the numbers that JSON does not have (`NaN`, `Infinity`), which some
/// servers write. None where there are none.
fn with_numbers(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut changed) = (text, false);
    while let Some(at) = rest.find(['"', 'N', 'I', '-']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = match rest.as_bytes()[0] {
            b'"' => string_length(rest),
            _ => match ["NaN", "Infinity", "-Infinity", "-NaN"].iter().find(|word| rest.starts_with(**word)) {
                Some(word) => {
                    changed = true;
                    out.push_str("null");
                    rest = &rest[word.len()..];
                    continue;
                }
                None => 1,
            },
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out.push_str(rest);
    changed.then_some(out)
}

/// The length of a string with its quotation marks; of one that does not end, all.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' if at > 0 => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(body: &str) -> Option<Vec<String>> {
        read(body.as_bytes(), 10).map(|list| list.models.into_iter().map(|model| model.id).collect())
    }

    #[track_caller]
    fn assert_ids(body: &str, expected: &[&str]) {
        assert_eq!(
            ids(body).as_deref(),
            Some(&expected.iter().map(|&id| id.to_owned()).collect::<Vec<_>>()[..]),
            "{body}"
        );
    }

    #[test]
    fn every_form_is_read() {
        assert_ids(r#"{"object":"list","data":[{"id":"a","object":"model"},{"id":"b"}]}"#, &["a", "b"]);
        assert_ids(r#"[{"id":"a"},{"id":"b"}]"#, &["a", "b"]);
        assert_ids(
            r#"{"models":[{"name":"llama3.2:latest","model":"llama3.2:latest"},{"model":"m"}]}"#,
            &["llama3.2:latest", "m"],
        );
        assert_ids(r#"["a","b"]"#, &["a", "b"]);
        assert_ids(r#"{"models":["a","b"]}"#, &["a", "b"]);
        assert_ids(r#"{"data":["a",{"id":"b"}]}"#, &["a", "b"]);
        assert_ids(r#"{"models":[{"name":"x"}],"object":"list","data":[{"id":"a"}]}"#, &["a"]);
        assert_ids(r#"{"models":[{"name":"x"}],"data":[]}"#, &["x"]);
        assert_ids(r#"{"data":null,"models":[{"name":"x"}]}"#, &["x"]);
        assert_ids("\u{feff} {\"data\":[{\"id\":\"a\"}]}\n", &["a"]);
        assert_ids(r#"{"data":[{"id":"models/gemini-2.0-flash"}]}"#, &["models/gemini-2.0-flash"]);
    }

    #[test]
    fn nothing_listed_is_a_list_too() {
        for body in [r#"{"object":"list","data":null}"#, r#"{"data":[]}"#, "[]", r#"{"models":[]}"#] {
            assert_ids(body, &[]);
        }
    }

    #[test]
    fn an_odd_entry_costs_itself_alone() {
        let long = "x".repeat(70_000);
        for odd in [
            "{}",
            "null",
            "5",
            "[]",
            "true",
            r#""""#,
            r#"{"id":""}"#,
            r#"{"id":5}"#,
            r#"{"id":null}"#,
            r#"{"id":["b"]}"#,
            r#"{"id":{"b":1}}"#,
            r#"{"id":" "}"#,
            r#"{"id":"c\nd"}"#,
            r#"{"object":"model"}"#,
            r#"{"id":"\ud800"}"#,
            &format!(r#"{{"id":"{}"}}"#, "x".repeat(300)),
            &format!(r#"{{"id":"big","about":"{long}"}}"#),
        ] {
            assert_ids(&format!(r#"{{"data":[{{"id":"a"}},{odd},{{"id":"z"}}]}}"#), &["a", "z"]);
            assert_ids(&format!(r#"[{odd},"a"]"#), &["a"]);
        }
        assert_ids(
            r#"{"data":[{"id":"a","price":NaN},{"id":"N \" Infinity","cost":-Infinity}]}"#,
            &["a", "N \" Infinity"],
        );
        assert_ids(r#"{"data":[{"id":7,"name":"by-name"},{"id":"","model":"by-model"}]}"#, &["by-name", "by-model"]);
    }

    #[test]
    fn bytes_that_are_no_text_cost_their_entry_alone() {
        let list = read(b"{\"data\":[{\"id\":\"a\"},{\"id\":\"b\",\"about\":\"\xff\xfe\"}]}", 10).unwrap();
        assert_eq!(list.models.len(), 2);
    }

    #[test]
    fn each_model_is_kept_once_and_no_more_than_asked_for() {
        assert_ids(r#"{"data":[{"id":"a"},{"id":"b"},{"id":"a","context_length":5},"b"]}"#, &["a", "b"]);
        let many: Vec<String> = (0..25).map(|n| format!("{{\"id\":\"m{n}\"}}")).collect();
        let list = read(format!("[{}]", many.join(",")).as_bytes(), 10).unwrap();
        assert_eq!((list.models.len(), list.models[9].id.as_str()), (10, "m9"));
    }

    #[test]
    fn what_is_no_list_is_told_apart() {
        for body in [
            "",
            "<html>",
            "{}",
            "5",
            "null",
            r#"{"error":{"message":"no"}}"#,
            r#"{"data":"x"}"#,
            r#"{"data":{"id":"a"}}"#,
            r#"{"data":[{"id":"a"}"#,
            "\"a\"",
        ] {
            assert_eq!(ids(body), None, "{body}");
        }
    }

    #[test]
    fn names_for_the_eye_are_kept() {
        let title = |body: &str| read(body.as_bytes(), 10).unwrap().models.remove(0).title;
        assert_eq!(title(r#"[{"id":"openai/gpt-4o","name":"OpenAI: GPT-4o"}]"#).as_deref(), Some("OpenAI: GPT-4o"));
        assert_eq!(title(r#"[{"id":"claude","display_name":"Claude"}]"#).as_deref(), Some("Claude"));
        assert_eq!(title(r#"[{"name":"models/g","displayName":"Gemini"}]"#).as_deref(), Some("Gemini"));
        for none in
            [r#"[{"id":"a"}]"#, r#"[{"id":"a","name":"a"}]"#, r#"[{"id":"a","name":"b\nc"}]"#, r#"[{"name":"a"}]"#]
        {
            assert_eq!(title(none), None, "{none}");
        }
    }

    mod any_list {
        use proptest::prelude::*;
        use serde_json::json;

        use super::*;

        fn any_json() -> impl Strategy<Value = Value> {
            let leaf = prop_oneof![
                Just(Value::Null),
                any::<bool>().prop_map(Value::from),
                any::<f64>().prop_map(Value::from),
                ".{0,9}".prop_map(Value::from),
            ];
            let key = prop_oneof![
                proptest::sample::select(vec![
                    "id",
                    "name",
                    "model",
                    "data",
                    "models",
                    "type",
                    "capabilities",
                    "architecture",
                    "context_length",
                    "owned_by",
                    "supported_parameters",
                    "output_modalities",
                    "meta",
                    "limits",
                    "top_provider",
                ])
                .prop_map(str::to_owned),
                ".{0,5}",
            ];
            leaf.prop_recursive(3, 20, 5, move |inner| {
                prop_oneof![
                    prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                    prop::collection::vec((key.clone(), inner), 0..5)
                        .prop_map(|fields| Value::Object(fields.into_iter().collect())),
                ]
            })
        }

        /// Odd entries, and good ones among them.
        fn any_entries() -> impl Strategy<Value = Vec<(Value, bool)>> {
            let odd = any_json().prop_map(|value| (value, false));
            let good = any::<bool>().prop_map(|_| (Value::Null, true));
            prop::collection::vec(prop_oneof![odd, good], 0..20)
        }

        proptest! {
            #[test]
            fn good_entries_are_kept_whatever_stands_beside_them(entries in any_entries(), form in 0..3) {
                let mut good = Vec::new();
                let entries: Vec<Value> = entries.into_iter().enumerate().map(|(at, (odd, is_good))| {
                    if !is_good {
                        return odd;
                    }
                    let id = format!("\u{1f600} good {at}");
                    good.push(id.clone());
                    json!({"id": id, "context_length": 5})
                }).collect();
                let body = match form {
                    0 => json!(entries),
                    1 => json!({"object": "list", "data": entries}),
                    _ => json!({"models": entries}),
                };
                let list = read(body.to_string().as_bytes(), 100).unwrap();
                let kept: Vec<_> = list.models.iter().map(|model| &model.id).filter(|id| id.contains("good")).collect();
                prop_assert_eq!(kept, good.iter().collect::<Vec<_>>());
                let distinct: HashSet<_> = list.models.iter().map(|model| &model.id).collect();
                prop_assert_eq!(distinct.len(), list.models.len());
            }

            #[test]
            fn nothing_makes_it_stumble(body in prop::collection::vec(any::<u8>(), 0..300)) {
                let _ = read(&body, 10);
            }
        }
    }
}
