//! The list of a provider's models: configured, or asked for and kept for a while.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde::Deserialize;

use super::config::is_model_name;

/// How long a list is good.
const FRESH: Duration = Duration::from_secs(5 * 60);
/// How long a provider that gave none is left alone.
const LEFT_ALONE: Duration = Duration::from_secs(10);
/// Most models of one provider.
const MODELS: usize = 2000;

/// The list as last seen.
#[derive(Debug, Default)]
pub(super) struct ModelList(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    names: Option<Arc<[String]>>,
    /// When to ask again; none: at once.
    next: Option<Instant>,
}

impl ModelList {
    /// What is known, however old.
    pub(super) fn known(&self) -> Option<Arc<[String]>> {
        self.0.lock().names.clone()
    }

    /// Whether it is time to ask. True makes it the caller's task; where there is an old list,
    /// others are content with that meanwhile.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let mut seen = self.0.lock();
        let is_due = seen.next.is_none_or(|next| now >= next);
        if is_due && seen.names.is_some() {
            seen.next = Some(now + LEFT_ALONE);
        }
        is_due
    }

    /// What came of asking. A failure leaves the old list as it is.
    pub(super) fn learn(&self, names: Option<Vec<String>>, now: Instant) {
        let mut seen = self.0.lock();
        seen.next = Some(now + if names.is_some() { FRESH } else { LEFT_ALONE });
        if let Some(names) = names {
            seen.names = Some(names.into());
        }
    }
}

#[derive(Deserialize)]
struct Wire {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
}

/// Reads the answer to `GET /models`: names that can be names, in the provider's order. Gemini's
/// `models/` in front is taken off, as it is not wanted in requests.
pub(super) fn parse(body: &[u8]) -> Option<Vec<String>> {
    let wire: Wire = serde_json::from_slice(body).ok()?;
    let names = wire.data.into_iter().map(|model| match model.id.strip_prefix("models/") {
        Some(name) => name.to_owned(),
        None => model.id,
    });
    Some(names.filter(|name| is_model_name(name)).take(MODELS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_with_care() {
        let body = br#"{"object":"list","data":[{"id":"a","x":1},{"id":"models/b"},{"id":""},{"id":"c\nd"}]}"#;
        assert_eq!(parse(body), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(parse(b"<html>"), None);
    }

    #[test]
    fn a_list_is_kept_and_a_failure_leaves_it() {
        let list = ModelList::default();
        let now = Instant::now();
        assert!(list.is_due(now) && list.is_due(now), "nobody has anything: all may ask");
        list.learn(Some(vec!["a".to_owned()]), now);
        assert!(!list.is_due(now));
        let now = now + FRESH;
        assert!(list.is_due(now) && !list.is_due(now), "one asks, the others have the old list");
        list.learn(None, now);
        assert_eq!(list.known().as_deref(), Some(&["a".to_owned()][..]));
        assert!(!list.is_due(now));
        assert!(list.is_due(now + LEFT_ALONE));
    }
}
