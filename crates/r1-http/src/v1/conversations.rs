//! Conversations and their messages.

pub(crate) mod body;
pub(crate) mod create_conversation;
pub(crate) mod delete_conversation;
pub(crate) mod get_conversation;
pub(crate) mod list_conversations;
pub(crate) mod list_messages;
pub(crate) mod update_conversation;
