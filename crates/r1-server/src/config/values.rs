//! All settings in force, to be compared with those of another time.

use std::{collections::BTreeMap, fmt};

use super::{reader::Reader, value::Value};

/// Values by key. Some are secrets: nothing of it is ever printed but keys.
#[derive(Clone, PartialEq)]
pub(crate) struct Values(BTreeMap<String, Value>);

impl Values {
    pub(super) fn of(reader: &Reader) -> Self {
        let all = reader.defaults().iter().chain(reader.given());
        Self(all.map(|(key, entry)| (key.clone(), entry.value.typed())).collect())
    }

    /// The keys whose values are others in `new`, by name.
    pub(crate) fn changes(&self, new: &Self) -> Vec<String> {
        let keys = self.0.keys().chain(new.0.keys().filter(|key| !self.0.contains_key(*key)));
        let mut changed: Vec<String> = keys.filter(|key| self.0.get(*key) != new.0.get(*key)).cloned().collect();
        changed.sort_unstable();
        changed
    }

    /// Takes from `new` what `wanted` wants, and keeps the rest.
    pub(crate) fn take_over(&mut self, new: Self, wanted: impl Fn(&str) -> bool) {
        self.0.retain(|key, _| !wanted(key));
        self.0.extend(new.0.into_iter().filter(|(key, _)| wanted(key)));
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
