//! Branches: a conversation is a tree, and what is shown of it is one path from the root to an end.
//!
//! **Invariant:** the end of a branch is found by one rule, on every device: of several messages that follow the same
//! one, the newest.

use crate::{id::MessageId, message::Message};

/// Most siblings that a message is given with.
pub const MOST_SIBLINGS: usize = 200;

/// Where a page of a branch ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BranchEnd {
    /// At the end of the branch that is shown; of a conversation without a head, of the newest branch.
    Head,
    /// At the end of the newest branch through this message.
    Through(MessageId),
    /// At this message: the `next` of a newer page.
    At(MessageId),
}

/// What part of a branch is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BranchRequest {
    /// The page's newest message.
    pub end: BranchEnd,
    /// At most this many messages; 1 or more.
    pub limit: usize,
}

/// A piece of a branch.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BranchPage {
    /// Oldest first.
    pub messages: Vec<Message>,
    /// The siblings of each of them, see [`siblings_of`].
    pub siblings: Vec<Vec<MessageId>>,
    /// Where the next older page ends; none where this one begins with the root.
    pub next: Option<MessageId>,
}

/// The versions of a message, oldest first: the messages of the same role that follow the same one, itself among them.
/// `newest` are the newest of them, the newest first, at most [`MOST_SIBLINGS`]; a message older than all of these
/// comes before them.
#[must_use]
pub fn siblings_of(message: MessageId, newest: impl IntoIterator<Item = MessageId>) -> Vec<MessageId> {
    let mut siblings: Vec<_> = newest.into_iter().collect();
    if !siblings.contains(&message) {
        siblings.push(message);
    }
    siblings.reverse();
    siblings
}
