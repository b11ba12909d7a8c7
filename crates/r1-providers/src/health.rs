//! How a provider is, seen from what came of the last request to it. Nobody is ever asked.

use parking_lot::Mutex;
use r1_domain::provider::{ProviderErrorCode, ProviderHealth};

/// The last outcome that says something about the provider.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<Outcome>);

#[derive(Debug, Clone, Copy, Default)]
enum Outcome {
    /// Nothing was asked yet.
    #[default]
    Unknown,
    Succeeded,
    Failed(ProviderErrorCode),
}

impl Health {
    /// An answer came to its end.
    pub(crate) fn succeeded(&self) {
        *self.0.lock() = Outcome::Succeeded;
    }

    /// An answer failed. Faults of the request itself say nothing about the provider, but that it is there.
    pub(crate) fn failed(&self, code: ProviderErrorCode) {
        use ProviderErrorCode as Code;
        let mut outcome = self.0.lock();
        match code {
            Code::ModelNotFound | Code::ContextTooLong | Code::Rejected => {
                if matches!(*outcome, Outcome::Unknown) {
                    *outcome = Outcome::Succeeded;
                }
            }
            _ => *outcome = Outcome::Failed(code),
        }
    }

    /// How it is. Where nothing was asked yet, `list` says what came of asking for its models: whether there was a
    /// list, or a fault that says that it can't answer either.
    pub(crate) fn report(&self, name: &str, list: Option<bool>) -> ProviderHealth {
        let outcome = *self.0.lock();
        let (status, detail) = match (outcome, list) {
            (Outcome::Succeeded, _) | (Outcome::Unknown, Some(true)) => ("ok", None),
            (Outcome::Unknown, None) => ("unknown", None),
            (Outcome::Unknown, Some(false)) => ("degraded", None),
            (Outcome::Failed(code), _) => ("degraded", Some(format!("the last request ended with {}", code.as_str()))),
        };
        ProviderHealth { name: name.to_owned(), status, detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_providers_own_faults_count() {
        let status = |health: &Health| health.report("x", None).status;
        let health = Health::default();
        assert_eq!(status(&health), "unknown");
        health.failed(ProviderErrorCode::ContextTooLong);
        assert_eq!(status(&health), "ok", "it is there");
        health.failed(ProviderErrorCode::Unavailable);
        health.failed(ProviderErrorCode::Rejected);
        let report = health.report("x", Some(true));
        assert_eq!((report.status, report.name.as_str()), ("degraded", "x"));
        assert_eq!(report.detail.as_deref(), Some("the last request ended with provider_unavailable"));
        health.succeeded();
        assert_eq!(health.report("x", Some(false)).status, "ok", "who does not list may answer");
    }

    #[test]
    fn a_list_says_how_it_is_until_somebody_asks() {
        let health = Health::default();
        assert_eq!(health.report("x", Some(true)).status, "ok");
        assert_eq!(health.report("x", Some(false)).status, "degraded");
    }
}
