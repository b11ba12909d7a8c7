//! What somebody's access to a stream or to a running answer rests on.

use crate::id::{GenerationId, SessionId, UserId};

/// Things without which access ends. Streams outlive the request that opened them, so it is looked at again and
/// again whether these still stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Ended by a sign-out, by the theft of a token, or with their account. Expiry by itself is no such end.
    pub sessions: Vec<SessionId>,
    /// Disabled, or gone.
    pub users: Vec<UserId>,
    /// Gone with their conversation.
    pub generations: Vec<GenerationId>,
}
