//! Conversations: a title, an owner and a tree of messages.

use crate::{
    id::{ConversationId, GenerationId, MessageId},
    time::Timestamp,
};

/// Longest title, in characters.
pub const TITLE_LENGTH: usize = 200;
/// What stands for the title while a conversation has none.
pub const DEFAULT_TITLE: &str = "New conversation";
/// How many characters of a question name its conversation.
const NAMED_LENGTH: usize = 60;

/// A conversation as its owner sees it in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Identifier.
    pub id: ConversationId,
    /// Title; none until somebody gives one or the first question does.
    pub title: Option<String>,
    /// The newest message of the branch that was last written to.
    pub head: Option<MessageId>,
    /// The generation that runs in it.
    pub running: Option<GenerationId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When a message or the title last changed; lists are sorted by it.
    pub updated_at: Timestamp,
}

/// Says what is wrong with a title, if anything.
///
/// # Errors
/// The sentence to show beside the field.
pub fn check_title(title: &str) -> Result<(), String> {
    let title = title.trim();
    if title.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if title.chars().count() > TITLE_LENGTH {
        return Err(format!("must have at most {TITLE_LENGTH} characters"));
    }
    Ok(())
}

/// Names a conversation after its first question: white space folded, cut at a word.
#[must_use]
pub fn title_from_question(question: &str) -> String {
    let mut title = String::new();
    let mut length = 0;
    for word in question.split_whitespace() {
        let word: String = word.chars().filter(|c| !c.is_control()).take(NAMED_LENGTH).collect();
        let more = word.chars().count() + usize::from(length > 0);
        if length + more > NAMED_LENGTH {
            title.push('…');
            break;
        }
        if length > 0 {
            title.push(' ');
        }
        title.push_str(&word);
        length += more;
    }
    if title.is_empty() { DEFAULT_TITLE.to_owned() } else { title }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_cut_at_a_word() {
        assert_eq!(title_from_question("  Hello \n world "), "Hello world");
        assert_eq!(title_from_question(""), DEFAULT_TITLE);
        let long = title_from_question(&"wonderful ".repeat(20));
        assert!(long.ends_with("wonderful…") && long.chars().count() <= NAMED_LENGTH + 1, "{long}");
        assert_eq!(title_from_question(&"x".repeat(500)).chars().count(), NAMED_LENGTH);
    }
}
