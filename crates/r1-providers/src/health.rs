//! How a provider is, seen from what came of the last request to it. Nobody is ever asked.

use parking_lot::Mutex;
use r1_domain::provider::{ProviderErrorCode, ProviderHealth};

/// The last outcome that says something about the provider.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<Option<ProviderErrorCode>>);

impl Health {
    /// An answer came to its end.
    pub(crate) fn succeeded(&self) {
        *self.0.lock() = None;
    }

    /// An answer failed. Faults of the request itself say nothing about the provider.
    pub(crate) fn failed(&self, code: ProviderErrorCode) {
        use ProviderErrorCode as Code;
        match code {
            Code::ModelNotFound | Code::ContextTooLong | Code::Rejected => {}
            _ => *self.0.lock() = Some(code),
        }
    }

    pub(crate) fn report(&self, name: &str) -> ProviderHealth {
        let last = *self.0.lock();
        ProviderHealth {
            name: name.to_owned(),
            status: if last.is_some() { "degraded" } else { "ok" },
            detail: last.map(|code| format!("the last request ended with {}", code.as_str())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_providers_own_faults_count() {
        let health = Health::default();
        health.failed(ProviderErrorCode::ContextTooLong);
        assert_eq!(health.report("x").status, "ok");
        health.failed(ProviderErrorCode::Unavailable);
        let report = health.report("x");
        assert_eq!((report.status, report.name.as_str()), ("degraded", "x"));
        assert_eq!(report.detail.as_deref(), Some("the last request ended with provider_unavailable"));
        health.succeeded();
        assert_eq!(health.report("x").status, "ok");
    }
}
