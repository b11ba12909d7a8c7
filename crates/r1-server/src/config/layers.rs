//! The layers of a configuration, laid over one another: default file, file, environment, flags.
//!
//! **Invariant:** nothing that was given is passed over in silence: each key is a known one or a
//! fault. What is known is what the default file has, and, for providers, what
//! [`provider_tables`](super::provider_tables) takes.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use r1_domain::near::nearest;
use toml::de::{DeTable, DeValue};

use super::{
    fault::Fault,
    keys,
    providers::PROVIDER_KEYS,
    value::{Entry, Origin, Value},
};

/// The default file: the documentation, and part of the program.
pub(crate) const DEFAULT_FILE: &str = include_str!("../../../../config.default.toml");
/// The file that is read where no other is named.
pub(crate) const FILE_NAME: &str = "gpt-r1.toml";
/// What starts the environment variables that are ours.
pub(super) const PREFIX: &str = "GPT_R1__";
/// The names people know, and the settings that they stand for.
const KNOWN_NAMES: [(&str, &str); 6] = [
    ("DATABASE_URL", "database.url"),
    ("SECRET_KEY", "auth.secret_key"),
    ("SECRET_KEY_PREVIOUS", "auth.previous_secret_key"),
    ("OPENAI_API_KEY", "providers.openai.api_key"),
    ("OPENAI_BASE_URL", "providers.openai.base_url"),
    ("OPENAI_MODEL", "default_model"),
];

/// Settings by their dotted keys.
pub(crate) type Entries = BTreeMap<String, Entry>;

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flags {
    /// `--config`.
    pub(crate) config: Option<PathBuf>,
    /// `--data-dir`.
    pub(crate) data_dir: Option<PathBuf>,
    /// `--host`.
    pub(crate) host: Option<String>,
    /// `--api-addr`.
    pub(crate) api_addr: Option<String>,
    /// `--web-addr`.
    pub(crate) web_addr: Option<String>,
    /// `--metrics-addr`.
    pub(crate) metrics_addr: Option<String>,
}

/// The layers above the default file.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    /// What is in force, by key.
    pub(crate) given: Entries,
    /// Unknown keys, unreadable files.
    pub(crate) faults: Vec<Fault>,
    /// The file can't be read as one: what it would say is not known.
    pub(crate) is_broken: bool,
}

/// The default file's settings.
pub(crate) fn defaults() -> Entries {
    let mut entries = Entries::new();
    // That it can be read is for a test to see to; it is the same in every copy of the program.
    if let Ok(table) = DeTable::parse(DEFAULT_FILE) {
        for (key, value) in table.get_ref() {
            let line = |offset| Origin::Default(line_of(DEFAULT_FILE, offset));
            match value.get_ref() {
                DeValue::Table(section) => {
                    for (name, value) in section {
                        let entry = Entry { value: Value::from_toml(value.get_ref()), origin: line(name.span().start) };
                        entries.insert(format!("{}.{}", key.get_ref(), name.get_ref()), entry);
                    }
                }
                other => {
                    let entry = Entry { value: Value::from_toml(other), origin: line(key.span().start) };
                    entries.insert(key.get_ref().to_string(), entry);
                }
            }
        }
    }
    entries
}

impl Layers {
    /// Reads all layers. `environment` is the process's.
    pub(crate) fn read(defaults: &Entries, flags: &Flags, environment: &[(String, String)]) -> Self {
        let mut layers = Self::default();
        let (path, asked_for) = match &flags.config {
            Some(path) => (path.as_path(), true),
            None => (Path::new(FILE_NAME), false),
        };
        match std::fs::read(path) {
            Ok(bytes) => match str::from_utf8(&bytes) {
                Ok(text) => layers.add_file(defaults, path, text),
                Err(error) => {
                    layers.is_broken = true;
                    let place = error.valid_up_to();
                    let line = bytes[..place].iter().filter(|byte| **byte == b'\n').count() + 1;
                    let problem = format!("is not UTF-8 (byte {}, line {line})", place + 1);
                    let origin = Origin::File(path.to_owned(), line);
                    layers.fault(origin, "", problem, "save it as UTF-8".to_owned());
                }
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !asked_for => {}
            Err(error) => {
                layers.is_broken = true;
                layers.faults.push(Fault {
                    origin: Origin::File(path.to_owned(), 0),
                    key: String::new(),
                    problem: format!("can't be read: {error}"),
                    remedy: if asked_for {
                        "check the path given to --config and that this user may read the file".to_owned()
                    } else {
                        "let this user read it, start gpt-r1 in a directory that this user may look into, or name \
                     another file with --config"
                            .to_owned()
                    },
                });
            }
        }
        layers.add_environment(defaults, environment);
        layers.add_flags(flags);
        layers
    }

    pub(super) fn set(&mut self, key: String, value: Value, origin: Origin) {
        self.given.insert(key, Entry { value, origin });
    }

    pub(super) fn fault(&mut self, origin: Origin, key: &str, problem: String, remedy: String) {
        self.faults.push(Fault { origin, key: key.to_owned(), problem, remedy });
    }

    pub(crate) fn add_file(&mut self, defaults: &Entries, path: &Path, text: &str) {
        let (table, errors) = DeTable::parse_recoverable(text);
        // What comes after the first is of its making, and so is what the rest of the file seems to say.
        if let Some(error) = errors.first() {
            self.is_broken = true;
            let line = error.span().map_or(0, |span| line_of(text, span.start));
            let problem = format!("is not TOML: {}", error.message());
            self.fault(
                Origin::File(path.to_owned(), line),
                "",
                problem,
                "see https://toml.io for the format".to_owned(),
            );
            return;
        }
        for (key, value) in table.get_ref() {
            let name = key.get_ref().as_ref();
            let origin = |offset| Origin::File(path.to_owned(), line_of(text, offset));
            match value.get_ref() {
                DeValue::Table(providers) if name == "providers" => {
                    self.add_providers(defaults, providers, &origin);
                }
                DeValue::Table(section) if is_section(defaults, name) => {
                    for (inner, value) in section {
                        let full = format!("{name}.{}", inner.get_ref());
                        self.add(defaults, full, Value::from_toml(value.get_ref()), origin(inner.span().start));
                    }
                }
                _ if is_section(defaults, name) || name == "providers" => {
                    let problem = "is a section, not a setting".to_owned();
                    self.fault(
                        origin(key.span().start),
                        name,
                        problem,
                        format!("write [{name}] and the settings below it"),
                    );
                }
                other => self.add(defaults, name.to_owned(), Value::from_toml(other), origin(key.span().start)),
            }
        }
    }

    fn add(&mut self, defaults: &Entries, key: String, value: Value, origin: Origin) {
        if defaults.contains_key(&key) {
            self.set(key, value, origin);
            return;
        }
        // A setting under the wrong section, or a section that does not exist.
        let last = key.rsplit('.').next().unwrap_or(&key);
        let elsewhere = defaults.keys().find(|known| known.rsplit('.').next() == Some(last));
        let near = nearest(&key, defaults.keys().map(String::as_str)).or(elsewhere.map(String::as_str));
        let sections = sections(defaults).chain(["providers"]);
        let near = near.or_else(|| nearest(&key, sections));
        let above = above_sections(defaults, last).filter(|_| key.contains('.'));
        let remedy = above.unwrap_or_else(|| meant(near, "config.default.toml lists all settings"));
        self.fault(origin, &key, "is not a setting".to_owned(), remedy);
    }

    fn add_environment(&mut self, defaults: &Entries, environment: &[(String, String)]) {
        for (name, key) in KNOWN_NAMES {
            let found = environment.iter().find(|(known, value)| known == name && !value.is_empty());
            // OPENAI_MODEL is a model of that provider's; whether there is one is seen later.
            if let Some((_, value)) = found {
                let value = if name == "OPENAI_MODEL" { format!("openai/{value}") } else { value.clone() };
                self.set(key.to_owned(), Value::Untyped(value), Origin::Environment(name.to_owned()));
            }
        }
        for (name, value) in environment {
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            let parts: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
            let key = keys::join(parts.iter().map(String::as_str));
            let origin = Origin::Environment(name.clone());
            let of_provider = parts.len() == 3 && parts[0] == "providers" && PROVIDER_KEYS.contains(&parts[2].as_str());
            if of_provider || defaults.contains_key(&key) {
                self.set(key, Value::Untyped(value.clone()), origin);
            } else {
                let near = nearest(&key, defaults.keys().map(String::as_str));
                let near = near.map(variable_of);
                let remedy = meant(near.as_deref(), "config.default.toml lists all settings");
                self.fault(origin, "", "stands for no setting".to_owned(), remedy);
            }
        }
    }

    fn add_flags(&mut self, flags: &Flags) {
        let data_dir = flags.data_dir.as_ref().map(|path| path.to_string_lossy().into_owned());
        let flags = [
            ("--data-dir", "data_dir", data_dir.as_ref()),
            ("--host", "server.host", flags.host.as_ref()),
            ("--api-addr", "server.api_addr", flags.api_addr.as_ref()),
            ("--web-addr", "server.web_addr", flags.web_addr.as_ref()),
            ("--metrics-addr", "server.metrics_addr", flags.metrics_addr.as_ref()),
        ];
        for (flag, key, value) in flags {
            if let Some(value) = value {
                self.set(key.to_owned(), Value::Untyped(value.clone()), Origin::Flag(flag));
            }
        }
    }
}

/// What to do with a setting in a section that stands in none.
pub(super) fn above_sections(defaults: &Entries, setting: &str) -> Option<String> {
    defaults.contains_key(setting).then(|| format!("{setting} belongs above the first [section]"))
}

/// The variable of a setting.
pub(super) fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

pub(super) fn meant(near: Option<&str>, otherwise: &str) -> String {
    near.map_or_else(|| otherwise.to_owned(), |near| format!("did you mean {near}?"))
}

fn sections(defaults: &Entries) -> impl Iterator<Item = &str> {
    defaults.keys().filter_map(|key| key.split_once('.').map(|(section, _)| section))
}

fn is_section(defaults: &Entries, name: &str) -> bool {
    sections(defaults).any(|section| section == name)
}

/// The line of a byte, from 1.
fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}
