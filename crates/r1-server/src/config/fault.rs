//! What is wrong with a configuration: all of it at once, each with its place and a way out.

use std::fmt;

use super::value::Origin;

/// One fault. Repeats no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Where the value stands that has to change.
    pub(crate) origin: Origin,
    /// The setting; empty for a file as a whole.
    pub(crate) key: String,
    /// What is wrong, to be read after the key.
    pub(crate) problem: String,
    /// What to do.
    pub(crate) remedy: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, key, problem, remedy } = self;
        let gap = if key.is_empty() { "" } else { " " };
        write!(f, "{origin}: {key}{gap}{problem}\n      {remedy}")
    }
}

/// All faults; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) struct Faults(pub(crate) Vec<Fault>);

impl Faults {
    /// In the order in which one reads: the file's by line, then those of the environment and the command line.
    pub(crate) fn new(mut faults: Vec<Fault>) -> Self {
        faults.sort_by_key(|fault| match &fault.origin {
            Origin::File(_, line) => (0, *line),
            Origin::Environment(_) => (1, 0),
            Origin::Flag(_) => (2, 0),
            Origin::Default(line) => (3, *line),
        });
        Self(faults)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "the configuration has {count} fault{}:", if count == 1 { "" } else { "s" })?;
        for fault in &self.0 {
            write!(f, "\n  {fault}")?;
        }
        Ok(())
    }
}
