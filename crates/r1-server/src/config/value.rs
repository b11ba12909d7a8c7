//! One setting as it was given: a value and where it stands.

use std::{fmt, path::PathBuf};

use toml::de::DeValue;

/// Longest part of a value that a fault repeats, in characters.
const SHOWN: usize = 60;

/// A value before anybody asked what it means.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// From the environment or a flag: what type it has is for the setting to say.
    Untyped(String),
    /// A TOML string.
    Text(String),
    /// A TOML integer.
    Integer(i64),
    /// A TOML float.
    Float(f64),
    /// A TOML boolean.
    Boolean(bool),
    /// A TOML array.
    List(Vec<Value>),
    /// What no setting is: the type's name with its article.
    Other(&'static str),
}

impl Value {
    pub(crate) fn from_toml(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.to_string()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Self::Integer(number),
                Err(_) => Self::Other("a number out of range"),
            },
            DeValue::Boolean(value) => Self::Boolean(*value),
            DeValue::Array(items) => Self::List(items.iter().map(|item| Self::from_toml(item.get_ref())).collect()),
            DeValue::Float(number) => match number.as_str().replace('_', "").parse() {
                Ok(number) => Self::Float(number),
                Err(_) => Self::Other("a number out of range"),
            },
            DeValue::Datetime(_) => Self::Other("a date"),
            DeValue::Table(_) => Self::Other("a table"),
        }
    }

    /// The same without regard to where it was given: text from the environment is that of a file.
    pub(crate) fn typed(&self) -> Self {
        match self {
            Self::Untyped(text) => Self::Text(text.clone()),
            other => other.clone(),
        }
    }

    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Untyped(text) | Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    /// As it would stand in a file, cut where it is long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untyped(text) | Self::Text(text) => {
                let cut: String = text.chars().take(SHOWN).collect();
                let more = if cut.len() < text.len() { "…" } else { "" };
                // Debug escapes control characters and quotes much as TOML does.
                write!(f, "{:?}", cut + more)
            }
            Self::Integer(number) => number.fmt(f),
            // With its fraction, even where that is 0.
            Self::Float(number) => write!(f, "{number:?}"),
            Self::Boolean(value) => value.fmt(f),
            Self::List(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i > 0 { ", " } else { "" })?;
                }
                f.write_str("]")
            }
            Self::Other(what) => f.write_str(what),
        }
    }
}

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In the default file, at this line (which gives settings their order).
    Default(usize),
    /// In a file, at this line; 0 is the file as a whole.
    File(PathBuf, usize),
    /// In this environment variable.
    Environment(String),
    /// On the command line, after this flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default(_) => f.write_str("default"),
            Self::File(path, 0) => write!(f, "{}", path.display()),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A setting as given.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// What was given.
    pub(crate) value: Value,
    /// Where.
    pub(crate) origin: Origin,
}
