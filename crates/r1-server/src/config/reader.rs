//! Settings, asked for by key and type: what does not fit is noted, and reading goes on.
//!
//! **Invariant:** every question gets an answer, so that all faults are found in one go; with any
//! fault noted, the answers are not used.

use std::{collections::BTreeSet, time::Duration};

use secrecy::SecretString;

use super::{
    fault::Fault,
    layers::Entries,
    units,
    value::{Origin, Value},
};

/// Why a value does not fit.
pub(crate) struct Wrong {
    pub(crate) problem: String,
    pub(crate) remedy: String,
}

impl Wrong {
    /// `must be <expected>, not <value>`.
    pub(crate) fn not(expected: &str, value: &Value, remedy: &str) -> Self {
        Self { problem: format!("must be {expected}, not {value}"), remedy: remedy.to_owned() }
    }

    /// In other words.
    pub(crate) fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { problem: problem.into(), remedy: remedy.into() }
    }
}

/// What `limits.enabled = false` switches off: 0, which elsewhere means "none", is no number of these.
const SWITCHED: [&str; 6] = [
    "limits.attaches_per_user",
    "limits.failed_sign_ins_per_address",
    "limits.failed_sign_ins_per_name",
    "limits.registrations_per_address",
    "limits.requests_per_minute",
    "limits.runs_per_user",
];

/// All layers, and what has been asked for so far.
pub(crate) struct Reader {
    defaults: Entries,
    given: Entries,
    asked: BTreeSet<String>,
    pub(crate) faults: Vec<Fault>,
}

impl Reader {
    pub(crate) fn new(defaults: Entries, given: Entries, faults: Vec<Fault>) -> Self {
        Self { defaults, given, asked: BTreeSet::new(), faults }
    }

    /// Where a setting's value in force stands.
    pub(crate) fn origin(&self, key: &str) -> Origin {
        let entry = self.given.get(key).or_else(|| self.defaults.get(key));
        entry.map_or(Origin::Default(0), |entry| entry.origin.clone())
    }

    /// Whether a setting stands anywhere but in the default file.
    pub(crate) fn is_given(&self, key: &str) -> bool {
        self.given.contains_key(key)
    }

    /// What is given, by key.
    pub(crate) fn given(&self) -> &Entries {
        &self.given
    }

    /// The default file's settings.
    pub(crate) fn defaults(&self) -> &Entries {
        &self.defaults
    }

    /// Notes a fault that no single value shows.
    pub(crate) fn fault(&mut self, key: &str, problem: impl Into<String>, remedy: impl Into<String>) {
        let (problem, remedy) = (problem.into(), remedy.into());
        self.faults.push(Fault { origin: self.origin(key), key: key.to_owned(), problem, remedy });
    }

    /// Notes a fault of what stands around a setting: its place is shown, its name is not.
    pub(crate) fn fault_at(&mut self, key: &str, problem: impl Into<String>, remedy: impl Into<String>) {
        let (problem, remedy) = (problem.into(), remedy.into());
        self.faults.push(Fault { origin: self.origin(key), key: String::new(), problem, remedy });
    }

    /// A setting, as `parse` understands it; where it does not, the default.
    pub(crate) fn read<T: Default>(&mut self, key: &str, parse: impl Fn(&Value) -> Result<T, Wrong>) -> T {
        self.asked.insert(key.to_owned());
        if let Some(entry) = self.given.get(key) {
            match parse(&entry.value) {
                Ok(value) => return value,
                Err(Wrong { problem, remedy }) => self.fault(key, problem, remedy),
            }
        }
        self.defaults.get(key).and_then(|entry| parse(&entry.value).ok()).unwrap_or_default()
    }

    /// Settings of the default file that nobody asked for.
    #[cfg(test)]
    pub(crate) fn unread(&self) -> Vec<&str> {
        self.defaults.keys().filter(|key| !self.asked.contains(*key)).map(String::as_str).collect()
    }

    /// A text.
    pub(crate) fn text(&mut self, key: &str) -> String {
        self.read(key, |value| {
            let text = value.text().map(|text| text.trim().to_owned());
            text.ok_or_else(|| Wrong::not("text", value, "put it in quotation marks"))
        })
    }

    /// A text that no fault repeats; none if it is empty.
    pub(crate) fn secret(&mut self, key: &str) -> Option<SecretString> {
        self.read(key, |value| match value.text().map(str::trim) {
            Some("") => Ok(None),
            Some(text) => Ok(Some(SecretString::from(text))),
            None => Err(Wrong::new("must be text", "put it in quotation marks")),
        })
    }

    /// Yes or no.
    pub(crate) fn switch(&mut self, key: &str) -> bool {
        self.read(key, |value| {
            let word = match value {
                Value::Boolean(value) => return Ok(*value),
                Value::Untyped(text) => text.trim().to_lowercase(),
                _ => String::new(),
            };
            match word.as_str() {
                "true" | "1" | "yes" | "on" => Ok(true),
                "false" | "0" | "no" | "off" => Ok(false),
                _ => Err(Wrong::not("true or false", value, "write true or false, without quotation marks")),
            }
        })
    }

    /// A whole number within bounds.
    pub(crate) fn number<N: TryFrom<i64> + Default>(&mut self, key: &str, least: i64, most: i64) -> N {
        self.read(key, |value| {
            let number = match value {
                Value::Integer(number) => Some(*number),
                Value::Untyped(text) => text.trim().replace('_', "").parse().ok(),
                _ => None,
            };
            let fits =
                number.filter(|number| (least..=most).contains(number)).and_then(|number| N::try_from(number).ok());
            let expected = format!("a whole number from {least} to {most}");
            fits.ok_or_else(|| {
                let remedy = match number {
                    Some(0) if SWITCHED.contains(&key) => "to have none of these limits, set limits.enabled = false",
                    Some(_) => "write a number within these bounds",
                    None => "write the number without quotation marks or unit",
                };
                Wrong::not(&expected, value, remedy)
            })
        })
    }

    /// A duration within bounds.
    pub(crate) fn duration(&mut self, key: &str, least: Duration, most: Duration) -> Duration {
        self.read(key, |value| {
            let duration = value.text().and_then(units::duration);
            let (from, to) = (units::duration_text(least), units::duration_text(most));
            duration.filter(|duration| (least..=most).contains(duration)).ok_or_else(|| {
                let expected = format!("a duration from {from} to {to}");
                Wrong::not(&expected, value, "write a number and one of ms, s, m, h and d, such as \"15s\"")
            })
        })
    }

    /// A size in bytes within bounds.
    pub(crate) fn size(&mut self, key: &str, least: u64, most: u64) -> u64 {
        self.read(key, |value| parse_size(value, least, most))
    }

    /// A size in bytes within bounds; none for "auto".
    pub(crate) fn size_or_auto(&mut self, key: &str, least: u64, most: u64) -> Option<u64> {
        self.read(key, |value| match value.text().map(str::trim) {
            Some("auto") => Ok(None),
            _ => parse_size(value, least, most).map(Some),
        })
    }

    /// One of some words.
    pub(crate) fn word<T: Copy + Default>(&mut self, key: &str, words: &[(&str, T)]) -> T {
        self.read(key, |value| {
            let word = match value {
                // `enabled = true` is how people write "on".
                Value::Boolean(true) => Some("on"),
                Value::Boolean(false) => Some("off"),
                Value::Untyped(text) if text.trim() == "true" => Some("on"),
                Value::Untyped(text) if text.trim() == "false" => Some("off"),
                _ => value.text().map(str::trim),
            };
            let found = words.iter().find(|(known, _)| Some(*known) == word);
            found.map(|(_, meaning)| *meaning).ok_or_else(|| {
                let all: Vec<String> = words.iter().map(|(known, _)| format!("\"{known}\"")).collect();
                let (last, rest) =
                    all.split_last().map_or((String::new(), String::new()), |(l, r)| (l.clone(), r.join(", ")));
                Wrong::not(&format!("{rest} or {last}"), value, &format!("write {last}, for example"))
            })
        })
    }

    /// A list of texts; from the environment, with commas between them.
    pub(crate) fn list(&mut self, key: &str) -> Vec<String> {
        self.read(key, |value| {
            let items = match value {
                Value::Untyped(text) => {
                    Some(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
                }
                Value::List(items) => items.iter().map(|item| item.text().map(|text| text.trim().to_owned())).collect(),
                _ => None,
            };
            items.ok_or_else(|| Wrong::not("a list of texts", value, "write [\"one\", \"two\"]"))
        })
    }
}

fn parse_size(value: &Value, least: u64, most: u64) -> Result<u64, Wrong> {
    let size = value.text().and_then(units::size);
    let (from, to) = (units::size_text(least), units::size_text(most));
    size.filter(|size| (least..=most).contains(size)).ok_or_else(|| {
        let expected = format!("a size from {from} to {to}");
        Wrong::not(&expected, value, "write a number and one of B, KiB, MiB and GiB, such as \"1MiB\"")
    })
}
