//! The settings in force, for `config check`.
//!
//! **Invariant:** a secret is shown as set or not set, never in part.

use std::fmt::Write;

use super::{
    Config, Database, keys,
    reader::Reader,
    value::{Entry, Origin, Value},
};

const MASKED: &str = "********";

/// Whether a setting's value must not be shown.
pub(crate) fn is_secret(key: &str, value: &Value) -> bool {
    if matches!(value.text(), Some("")) {
        return false;
    }
    // A database's URL has its password in it.
    if ["auth.secret_key", "auth.previous_secret_key", "database.url"].contains(&key) {
        return true;
    }
    let parts = keys::parts(key);
    match parts.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["providers", _, "api_key"] | ["providers", _, "headers", ..] => true,
        // A name and password stand before the host.
        ["providers", _, "proxy"] => !matches!(value.text(), Some(text) if !text.contains('@')),
        _ => false,
    }
}

/// Every setting as a line of TOML with its source, in the default file's order, and what follows
/// from them.
pub(crate) fn effective(config: &Config, reader: &Reader) -> String {
    let mut defaults: Vec<(&String, &Entry)> = reader.defaults().iter().collect();
    defaults.sort_by_key(|(_, entry)| match entry.origin {
        Origin::Default(line) => line,
        _ => usize::MAX,
    });
    let mut text = String::new();
    let mut section = String::new();
    for (key, entry) in defaults {
        head(&mut text, &mut section, key);
        line(&mut text, key, reader.given().get(key).unwrap_or(entry));
    }
    let mut providers: Vec<_> = reader.given().iter().filter(|(key, _)| key.starts_with("providers.")).collect();
    // A provider's own settings before the tables within it, as TOML wants it.
    providers.sort_by_cached_key(|(key, _)| keys::section(key));
    for (key, entry) in providers {
        head(&mut text, &mut section, key);
        line(&mut text, key, entry);
    }
    // Writing into a string has no way to fail.
    let _ = write!(text, "\n# What follows from it:\n{}", conclusions(config));
    text
}

fn head(text: &mut String, section: &mut String, key: &str) {
    let (this, _) = keys::section(key);
    if *section != this {
        let _ = write!(text, "\n[{this}]\n");
        *section = this;
    }
}

fn line(text: &mut String, key: &str, entry: &Entry) {
    let (_, name) = keys::section(key);
    let secret = is_secret(key, &entry.value);
    let value = if secret { Value::Text(MASKED.to_owned()) } else { entry.value.clone() };
    let _ = writeln!(text, "{:<44} # {}", format!("{name} = {value}"), entry.origin);
}

fn conclusions(config: &Config) -> String {
    let database = match &config.database.database {
        Database::Sqlite(directory) => format!("SQLite in {}", directory.display()),
        Database::Postgres(postgres) => format!("Postgres at {}", postgres.place),
    };
    let model = config.default_model.model.as_deref().unwrap_or("(the first it lists)");
    let mut text = format!(
        "#   data directory  {}\n#   database        {database}\n#   API             {}\n#   page            {}\n\
         #   default model   {}/{model}\n",
        config.data_dir.display(),
        config.server.api,
        if config.server.web.required.is_some() { config.server.web.to_string() } else { "off".to_owned() },
        config.default_model.provider,
    );
    let titles = match (&config.titles.model, config.titles.enabled) {
        (_, false) => "first words of the question",
        (None, true) => "by the model that answers",
        (Some(model), true) => model,
    };
    let _ = writeln!(text, "#   titles          {titles}");
    let local = if config.local_model.is_some() { "offered" } else { "not offered" };
    let _ = writeln!(text, "#   local model     {local}");
    let servers = if config.local_servers.is_some() { "looked for on this machine" } else { "not looked for" };
    let _ = writeln!(text, "#   local servers   {servers}");
    for provider in &config.providers {
        let way = match (&provider.way.proxy, provider.way.proxy_variable) {
            (None, _) => "straight".to_owned(),
            (Some(_), None) => "through its proxy".to_owned(),
            (Some(_), Some(variable)) => format!("through the proxy that {variable} names"),
        };
        let _ = writeln!(text, "#   provider        {}, {way}", provider.name);
    }
    text
}
