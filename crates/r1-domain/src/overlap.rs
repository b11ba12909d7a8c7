//! The seam where a model goes on with an answer without being able to go on from a partial one.
//!
//! It is asked to go on exactly where the text stops, and often begins with the last words again, or
//! with the word that was cut in the middle. What repeats the end of the text so far is dropped.
//!
//! **Invariant:** what comes out is what came in without a beginning that repeats the end of the text
//! so far, however it was cut into pieces; only what may still turn out to be such a beginning is
//! held back, and never more than [`WINDOW`] characters.

/// This many characters of the text so far are looked at.
pub const WINDOW: usize = 256;
/// This many repeated characters are no chance, wherever in a word they begin.
const SURELY_REPEATED: usize = 4;

/// Drops the start of a continuation that repeats the end of the text so far.
#[derive(Debug, Clone)]
pub struct Overlap {
    /// The end of the text so far.
    window: String,
    /// Where in it the repetition may begin, longest first.
    candidates: Vec<usize>,
    /// The beginning of the continuation while it is not decided; None once it is.
    held: Option<String>,
}

impl Overlap {
    /// At the end of this text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let begin = text.char_indices().rev().take(WINDOW).last().map_or(text.len(), |(at, _)| at);
        let before = text[..begin].chars().next_back();
        let window = text[begin..].to_owned();
        let candidates = window.char_indices().map(|(at, _)| at).filter(|at| counts(&window, *at, before)).collect();
        Self { window, candidates, held: Some(String::new()) }
    }

    /// What of the next piece of the continuation is new, as far as it can be told yet; may be empty.
    pub fn push(&mut self, text: String) -> String {
        let Some(mut held) = self.held.take() else { return text };
        held.push_str(&text);
        let window = &self.window;
        self.candidates.retain(|at| window[*at..].starts_with(&held) || held.starts_with(&window[*at..]));
        // The longest comes first: if it is whole, so are all others.
        if self.candidates.first().is_some_and(|at| window.len() - at > held.len()) {
            self.held = Some(held);
            return String::new();
        }
        self.new_part(held)
    }

    /// At the end of the continuation: what is new of that which was held back; may be empty.
    pub fn finish(mut self) -> String {
        let Some(held) = self.held.take() else { return String::new() };
        self.candidates.retain(|at| held.starts_with(&self.window[*at..]));
        self.new_part(held)
    }

    fn new_part(&self, mut held: String) -> String {
        let repeated = self.candidates.first().map_or(0, |at| self.window.len() - at);
        held.drain(..repeated);
        held
    }
}

/// Whether a continuation that begins with `window[at..]` repeats it rather than happens to begin
/// so: it begins where a word does, or is long enough. The space after a word is said again by models
/// that begin every word with one; other white space and marks are said twice with intent, as in code.
fn counts(window: &str, at: usize, before: Option<char>) -> bool {
    let end = &window[at..];
    let before = window[..at].chars().next_back().or(before);
    if end == " " {
        return before.is_some_and(|before| !before.is_whitespace());
    }
    let in_word = before.is_some_and(char::is_alphanumeric) && end.starts_with(char::is_alphanumeric);
    end.contains(char::is_alphanumeric) && (!in_word || end.chars().nth(SURELY_REPEATED - 1).is_some())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn go_on<'a>(text: &str, pieces: impl IntoIterator<Item = &'a str>) -> String {
        let mut overlap = Overlap::new(text);
        let mut new: String = pieces.into_iter().map(|piece| overlap.push(piece.to_owned())).collect();
        new.push_str(&overlap.finish());
        new
    }

    #[test]
    fn what_is_repeated_is_dropped() {
        for (text, pieces, new) in [
            ("The sun is", &[" hot."][..], " hot."),
            ("The sun is", &["The sun", " is hot."], " hot."),
            ("The sun is", &["is", " hot."], " hot."),
            ("The sun is", &["is h", "ot."], " hot."),
            ("The sun is", &["The moon"], "The moon"),
            ("The sun is", &["The sun"], "The sun"),
            ("The sun is", &["The sun is"], ""),
            ("the b", &["book"], "ook"),
            ("The sun ", &[" is"], "is"),
            ("我喜欢吃苹果", &["喜欢吃", "苹果和梨"], "和梨"),
            ("one one", &["one one two"], " two"),
            ("", &["x"], "x"),
        ] {
            assert_eq!(go_on(text, pieces.iter().copied()), new, "{text:?} and {pieces:?}");
        }
    }

    #[test]
    fn what_only_happens_to_begin_so_is_kept() {
        assert_eq!(go_on("It is un", ["necessary"]), "necessary", "in the middle of a word");
        assert_eq!(go_on("if x:\n    ", ["    return"]), "    return", "indentation");
        assert_eq!(go_on("f(", ["(a + b)"]), "(a + b)");
        assert_eq!(go_on("one\n", ["\ntwo"]), "\ntwo");
    }

    #[test]
    fn the_look_back_is_bounded() {
        let text: String = (0..100).map(|i| format!("word{i} ")).collect();
        assert_eq!(go_on(&text, [text.as_str(), "new"]), format!("{text}new"), "a repetition of all of it is too long");
        let end: String = text.chars().skip(text.len() - 200).collect();
        assert_eq!(go_on(&text, [end.as_str(), "new"]), "new");
    }

    /// By the definition: the longest end of the window that counts and stands at the beginning.
    fn by_definition(text: &str, continuation: &str) -> String {
        let begin = text.char_indices().rev().take(WINDOW).last().map_or(text.len(), |(at, _)| at);
        let starts = text.char_indices().map(|(at, _)| at).filter(|at| *at >= begin);
        let repeated = starts.filter(|at| counts(text, *at, None)).find(|at| continuation.starts_with(&text[*at..]));
        continuation[repeated.map_or(0, |at| text.len() - at)..].to_owned()
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter_and_little_is_held(
            text in "[ab ä\n]{0,300}",
            tail in 0usize..300,
            new in "[ab ä\n]{0,40}",
            cuts in prop::collection::vec(1usize..9, 1..20),
        ) {
            let characters: Vec<char> = text.chars().collect();
            let repeated: String = characters[characters.len().saturating_sub(tail)..].iter().collect();
            let continuation = format!("{repeated}{new}");
            let mut overlap = Overlap::new(&text);
            let (mut out, mut given) = (String::new(), String::new());
            let mut left: Vec<char> = continuation.chars().collect();
            for size in cuts.iter().cycle() {
                if left.is_empty() {
                    break;
                }
                let piece: String = left.drain(..(*size).min(left.len())).collect();
                given.push_str(&piece);
                out.push_str(&overlap.push(piece));
                if out.is_empty() {
                    prop_assert!(text.contains(&given), "held although it can't be a repetition: {given:?}");
                    prop_assert!(given.chars().count() <= WINDOW);
                }
            }
            out.push_str(&overlap.finish());
            prop_assert_eq!(out, by_definition(&text, &continuation));
        }
    }
}
