//! What is kept of a call of a model: a private record of the log, for those who count and for those who measure.

use serde::{Deserialize, Serialize};

use crate::event::Usage;

/// A call of a model that has ended, in whatever way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// As `provider/model`.
    pub model: String,
    /// The provider's word for the end; none where the call failed or was cut.
    pub finish_reason: Option<String>,
    /// Tokens used, where anybody counted.
    pub usage: Option<Usage>,
    /// How long it took.
    pub timings: Timings,
}

/// In milliseconds from when the provider was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    /// To the first text or thought; none where neither came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token: Option<u64>,
    /// How long it thought, at each stretch: from its first word to the first of what followed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasoning: Vec<u64>,
    /// To the end.
    pub total: u64,
}

impl Call {
    /// Reads a record; none where it is no such thing. Fields that a newer build has added are passed over.
    #[must_use]
    pub fn read(record: &[u8]) -> Option<Self> {
        serde_json::from_slice(record).ok()
    }

    /// As a record.
    #[must_use]
    pub fn record(&self) -> Vec<u8> {
        // Plain numbers and texts into memory: no error to have.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let plain = Call { model: "local/m".to_owned(), ..Call::default() };
        let record = r#"{"model":"local/m","finish_reason":null,"usage":null,"timings":{"total":0}}"#;
        assert_eq!(String::from_utf8(plain.record()).unwrap(), record);
        let whole = Call {
            finish_reason: Some("stop".to_owned()),
            usage: Some(Usage { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3, estimated: true }),
            timings: Timings { first_token: Some(812), reasoning: vec![4200, 3], total: 9001 },
            ..plain.clone()
        };
        for call in [plain, whole] {
            assert_eq!(Call::read(&call.record()), Some(call));
        }
        assert_eq!(Call::read(b"{}"), None);
        let later = br#"{"model":"m","step":2,"timings":{"total":7,"tools":[1]}}"#;
        assert_eq!(Call::read(later).map(|call| call.timings.total), Some(7));
    }
}
