//! Conversations: a title, an owner and a tree of messages.

use crate::{
    id::{ConversationId, GenerationId, MessageId},
    text::{ELLIPSIS, is_blank, prefix},
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
    /// Where the title comes from.
    pub titled_by: TitledBy,
    /// A model is to give it another one ([`jobs::TITLE`](crate::jobs::TITLE)).
    pub title_pending: bool,
    /// The last message of the branch that is shown: the one that was written to last, or chosen since.
    pub head: Option<MessageId>,
    /// The generation that runs in it.
    pub running: Option<GenerationId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When a message last changed, or a person the title; lists are sorted by it.
    pub updated_at: Timestamp,
}

/// Who gave a conversation its title.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TitledBy {
    /// A person: it stays, whatever a model would call it. So it is with titles of before this was known.
    Person,
    /// The first question: its first words ([`title_from_question`]). Or nobody yet.
    #[default]
    Question,
    /// A model.
    Model,
}

impl TitledBy {
    /// The name in storage.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Question => "question",
            Self::Model => "model",
        }
    }

    /// Reads a stored name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Person, Self::Question, Self::Model].into_iter().find(|by| by.as_str() == text)
    }
}

/// What is to be another in a conversation; the rest stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConversationChange {
    /// The new title.
    pub title: Option<String>,
    /// A message on the branch to be shown.
    pub head: Option<MessageId>,
}

/// Says what is wrong with a title, if anything.
///
/// # Errors
/// The sentence to show beside the field.
pub fn check_title(title: &str) -> Result<(), String> {
    let title = title.trim();
    if is_blank(title) {
        return Err("must not be empty".to_owned());
    }
    if title.chars().count() > TITLE_LENGTH {
        return Err(format!("must have at most {TITLE_LENGTH} characters"));
    }
    Ok(())
}

/// Names a conversation after its first question: white space folded; one that is too long is cut at
/// a word, or, where the word alone is too long, between two characters as people see them.
#[must_use]
pub fn title_from_question(question: &str) -> String {
    let mut title = String::new();
    let mut length = 0;
    for word in question.split_whitespace() {
        let word: String = word.chars().filter(|c| !c.is_control()).collect();
        if is_blank(&word) {
            continue;
        }
        if length > 0 {
            let more = word.chars().count() + 1;
            if length + more > NAMED_LENGTH {
                title.push(ELLIPSIS);
                break;
            }
            title.push(' ');
            length += 1;
        }
        let beginning = prefix(&word, NAMED_LENGTH - length);
        title.push_str(beginning);
        if beginning.len() < word.len() {
            title.push(ELLIPSIS);
            break;
        }
        length += word.chars().count();
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
        let word = title_from_question(&"x".repeat(500));
        assert!(word.ends_with("x…") && word.chars().count() == NAMED_LENGTH + 1, "{word}");
    }

    #[test]
    fn titles_are_cut_between_characters_as_people_see_them() {
        for (cluster, chars) in [
            ("👩\u{200d}👩\u{200d}👧", 5),
            ("🇩🇪", 2),
            ("e\u{301}", 2),
            ("क\u{94d}षि", 4),
            ("\u{1112}\u{1161}\u{11ab}", 3),
            ("❤\u{fe0f}", 2),
            ("\u{e01}\u{e49}", 2),
        ] {
            let title = title_from_question(&cluster.repeat(NAMED_LENGTH));
            let whole = title.strip_suffix(ELLIPSIS).unwrap_or_else(|| panic!("{cluster} is cut: {title}"));
            assert_eq!(whole, cluster.repeat(NAMED_LENGTH / chars), "{cluster}");
        }
        // One character with more accents than a title has room for.
        let endless = title_from_question(&format!("a{}", "\u{301}".repeat(500)));
        assert_eq!(endless.chars().count(), NAMED_LENGTH + 1);
    }

    #[test]
    fn what_can_not_be_seen_is_no_title() {
        for blank in ["", " ", "\u{200b}", "\u{200d} \u{feff}", "\u{3164}\u{2800}", "\u{202e}\n\u{e0041}"] {
            assert!(check_title(blank).is_err(), "{blank:?}");
            assert_eq!(title_from_question(blank), DEFAULT_TITLE, "{blank:?}");
        }
        assert_eq!(title_from_question("\u{200b} \u{2060} Hello \u{feff} you"), "Hello you");
        assert_eq!(check_title("👩\u{200d}👧"), Ok(()));
    }
}
