//! `[providers.NAME]` in a file, and the tables within: its headers, and its models' own settings.

use r1_domain::near::nearest;
use toml::de::{DeTable, DeValue};

use super::{
    keys,
    layers::{Entries, Layers, above_sections, meant},
    model_settings::{self, MODEL_KEYS},
    providers::{PROVIDER_KEYS, PROVIDER_TABLES},
    value::{Origin, Value},
};

impl Layers {
    pub(super) fn add_providers(
        &mut self,
        defaults: &Entries,
        providers: &DeTable<'_>,
        origin: &impl Fn(usize) -> Origin,
    ) {
        for (name, value) in providers {
            let full = keys::join(["providers", name.get_ref()]);
            let DeValue::Table(settings) = value.get_ref() else {
                self.no_table(origin(name.span().start), &full);
                continue;
            };
            let before = self.given.len();
            self.add_provider(defaults, name.get_ref(), settings, origin);
            if self.given.len() == before {
                // The bare header makes the provider, which then lacks what it lacks.
                let key = keys::join(["providers", name.get_ref(), "api_key"]);
                self.set(key, Value::Text(String::new()), origin(name.span().start));
            }
        }
    }

    fn add_provider(
        &mut self,
        defaults: &Entries,
        provider: &str,
        settings: &DeTable<'_>,
        origin: &impl Fn(usize) -> Origin,
    ) {
        for (inner, value) in settings {
            let setting = inner.get_ref().as_ref();
            let (key, at) = (keys::join(["providers", provider, setting]), origin(inner.span().start));
            match value.get_ref() {
                DeValue::Table(models) if setting == "model" => self.add_models(provider, models, origin),
                DeValue::Table(headers) if PROVIDER_TABLES.contains(&setting) => {
                    for (name, value) in headers {
                        let key = keys::join(["providers", provider, setting, name.get_ref()]);
                        self.set(key, Value::from_toml(value.get_ref()), origin(name.span().start));
                    }
                }
                _ if setting == "model" => {
                    let remedy =
                        format!("write [{key}.\"MODEL\"] and its settings below it; models to list are in models");
                    self.fault(at, &key, "holds the settings of single models".to_owned(), remedy);
                }
                _ if PROVIDER_TABLES.contains(&setting) => self.no_table(at, &key),
                value if PROVIDER_KEYS.contains(&setting) => self.set(key, Value::from_toml(value), at),
                DeValue::Table(_) => {
                    let remedy = meant(nearest(setting, PROVIDER_TABLES), &PROVIDER_TABLES.join(", "));
                    self.fault(at, &key, "is no table of a provider".to_owned(), remedy);
                }
                _ => {
                    let all = || PROVIDER_KEYS.into_iter().chain(PROVIDER_TABLES);
                    let listed = all().collect::<Vec<_>>().join(", ");
                    let remedy = above_sections(defaults, setting);
                    let remedy = remedy.unwrap_or_else(|| meant(nearest(setting, all()), &listed));
                    self.fault(at, &key, "is not a setting of a provider".to_owned(), remedy);
                }
            }
        }
    }

    fn add_models(&mut self, provider: &str, models: &DeTable<'_>, origin: &impl Fn(usize) -> Origin) {
        for (model, value) in models {
            let full = keys::join(["providers", provider, "model", model.get_ref()]);
            if !model_settings::is_name(model.get_ref()) {
                let key = keys::join(["providers", provider, "model"]);
                let problem = format!("has a table of {:?}, which is no model's name", model.get_ref());
                self.fault(
                    origin(model.span().start),
                    &key,
                    problem,
                    "write the name as the provider lists it".to_owned(),
                );
                continue;
            }
            let DeValue::Table(settings) = value.get_ref() else {
                // A name with dots that was written without quotation marks gets here too.
                let problem = "must be a table of one model's settings".to_owned();
                let remedy = format!("write [{full}] and the settings below it, the model's name in quotation marks");
                self.fault(origin(model.span().start), &full, problem, remedy);
                continue;
            };
            for (inner, value) in settings {
                let setting = inner.get_ref().as_ref();
                let key = keys::join(["providers", provider, "model", model.get_ref(), setting]);
                let at = origin(inner.span().start);
                match value.get_ref() {
                    DeValue::Table(_) if !MODEL_KEYS.contains(&setting) => {
                        let problem = "is not a setting of a model".to_owned();
                        let remedy =
                            "a model's name that has dots needs quotation marks: [providers.NAME.model.\"a.b\"]";
                        self.fault(at, &key, problem, remedy.to_owned());
                    }
                    value if MODEL_KEYS.contains(&setting) => self.set(key, Value::from_toml(value), at),
                    _ => {
                        let remedy = meant(nearest(setting, MODEL_KEYS), &MODEL_KEYS.join(", "));
                        self.fault(at, &key, "is not a setting of a model".to_owned(), remedy);
                    }
                }
            }
        }
    }

    fn no_table(&mut self, origin: Origin, key: &str) {
        let problem = "must be a table".to_owned();
        self.fault(origin, key, problem, format!("write [{key}] and the settings below it"));
    }
}
