//! Identifiers: one newtype per noun, UUIDv7 inside, a plain lower-case UUID string outside.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::time::Timestamp;

/// A string that is not a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a UUID such as 0198f1c2-7c1e-7d3a-9a5e-3f1b2c4d5e6f")]
pub struct InvalidId;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id whose leading 48 bits are `now` in milliseconds (RFC 9562, version 7), so
            /// ids made later sort later, give or take a millisecond.
            #[must_use]
            pub fn new(now: Timestamp) -> Self {
                // Two runs of a version 4 UUID's bytes without its fixed bits.
                let random = Uuid::new_v4().into_bytes();
                let mut bits = [0; 10];
                bits[..6].copy_from_slice(&random[..6]);
                bits[6..].copy_from_slice(&random[12..]);
                Self(uuid::Builder::from_unix_timestamp_millis(now.unix_millis(), &bits).into_uuid())
            }

            /// Wraps a UUID that came from storage.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID inside.
            #[must_use]
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                // Only the canonical form: braces, URNs and bare hex would give one thing two names.
                if text.len() != 36 {
                    return Err(InvalidId);
                }
                Uuid::try_parse(text).map(Self).map_err(|_| InvalidId)
            }
        }
    };
}

id!(
    /// A person with an account.
    UserId
);
id!(
    /// One sign-in of a user.
    SessionId
);
id!(
    /// A tree of messages.
    ConversationId
);
id!(
    /// One message.
    MessageId
);
id!(
    /// One run of a model that writes one assistant message.
    GenerationId
);
id!(
    /// A piece of background work.
    JobId
);
id!(
    /// One server process, from its start to its end.
    NodeId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_version_seven_and_sort_by_time() {
        let early = MessageId::new(Timestamp::from_micros(1_000_000));
        let late = MessageId::new(Timestamp::from_micros(2_000_000));
        assert_eq!(early.as_uuid().get_version_num(), 7);
        assert!(early < late);
        assert_ne!(MessageId::new(Timestamp::from_micros(5)), MessageId::new(Timestamp::from_micros(5)));
    }

    #[test]
    fn only_the_canonical_form_is_read() {
        let id = UserId::new(Timestamp::from_micros(0));
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "x", &id.as_uuid().simple().to_string(), &format!("{{{id}}}")] {
            assert_eq!(bad.parse::<UserId>(), Err(InvalidId), "{bad}");
        }
    }
}
