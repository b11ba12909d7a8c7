//! The settings in force, for `config check`.
//!
//! **Invariant:** a secret is shown as set or not set, never in part.

use std::fmt::Write;

use super::{
    Config, Database,
    reader::Reader,
    value::{Entry, Origin, Value},
};

const MASKED: &str = "********";

/// Whether a setting's value must not be shown.
pub(crate) fn is_secret(key: &str) -> bool {
    // A database's URL has its password in it.
    key == "auth.secret_key" || key == "database.url" || (key.starts_with("providers.") && key.ends_with(".api_key"))
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
    let mut section = "";
    for (key, entry) in defaults {
        let (this, name) = key.rsplit_once('.').unwrap_or(("", key));
        head(&mut text, &mut section, this);
        line(&mut text, key, name, reader.given().get(key).unwrap_or(entry));
    }
    for (key, entry) in reader.given().iter().filter(|(key, _)| key.starts_with("providers.")) {
        let (this, name) = key.rsplit_once('.').unwrap_or(("", key));
        head(&mut text, &mut section, this);
        line(&mut text, key, name, entry);
    }
    // Writing into a string has no way to fail.
    let _ = write!(text, "\n# What follows from it:\n{}", conclusions(config));
    text
}

fn head<'a>(text: &mut String, section: &mut &'a str, this: &'a str) {
    if *section != this {
        let _ = write!(text, "\n[{this}]\n");
        *section = this;
    }
}

fn line(text: &mut String, key: &str, name: &str, entry: &Entry) {
    let empty = matches!(entry.value.text(), Some(""));
    let value = if is_secret(key) && !empty { Value::Text(MASKED.to_owned()) } else { entry.value.clone() };
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
        config.server.web,
        config.default_model.provider,
    );
    let local = if config.local_model.is_some() { "offered" } else { "not offered" };
    let _ = writeln!(text, "#   local model     {local}");
    let servers = if config.local_servers.is_some() { "looked for on this machine" } else { "not looked for" };
    let _ = writeln!(text, "#   local servers   {servers}");
    text
}
