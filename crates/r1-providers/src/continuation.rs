//! The seam where an answer goes on from its own beginning.
//!
//! The model is sent the text so far and shall give what comes after it. Two things go wrong there:
//! some providers give the text so far back first (an echo), and some refuse a text that ends in
//! white space, so it is sent without, and the model then writes that white space again.
//!
//! **Invariant:** what comes out, put after the text so far, is the whole answer; only an echo of
//! the whole text so far is taken out, a beginning that merely looks like one is given in full.

/// Takes an echo and doubled white space out of the first deltas.
#[derive(Debug)]
pub(crate) struct Seam {
    /// What was sent.
    sent: String,
    /// The white space after it that was not sent.
    tail: String,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// This many bytes of what was sent have come back, and nothing else.
    Echo(usize),
    /// This many bytes of the tail have come again, and nothing else.
    Tail(usize),
    /// The seam is behind us.
    Through,
}

impl Seam {
    /// `partial` is the text so far, of which `sent` (a prefix, the rest white space) was sent.
    pub(crate) fn new(partial: &str, sent: &str) -> Self {
        let tail = partial.strip_prefix(sent).unwrap_or_default().to_owned();
        Self { sent: sent.to_owned(), tail, stage: Stage::Echo(0) }
    }

    /// What of this delta is new, as far as it can be told yet.
    pub(crate) fn push(&mut self, text: String) -> Option<String> {
        match self.stage {
            Stage::Through => Some(text),
            Stage::Tail(done) => self.tail(done, &text),
            Stage::Echo(done) => {
                let expected = &self.sent[done..];
                let common = common_prefix(expected, &text);
                if common == expected.len() {
                    self.stage = Stage::Tail(0);
                    self.tail(0, &text[common..])
                } else if common == text.len() {
                    self.stage = Stage::Echo(done + common);
                    None
                } else {
                    let held = format!("{}{text}", &self.sent[..done]);
                    self.tail(0, &held)
                }
            }
        }
    }

    /// At the end of the answer: what was held back in vain.
    pub(crate) fn finish(&mut self) -> Option<String> {
        let held = match self.stage {
            Stage::Echo(done) => &self.sent[..done],
            _ => "",
        };
        let held = (!held.is_empty()).then(|| held.to_owned());
        self.stage = Stage::Through;
        held
    }

    fn tail(&mut self, done: usize, text: &str) -> Option<String> {
        let expected = &self.tail[done..];
        let common = common_prefix(expected, text);
        self.stage =
            if common == text.len() && common < expected.len() { Stage::Tail(done + common) } else { Stage::Through };
        let new = &text[common..];
        (!new.is_empty()).then(|| new.to_owned())
    }
}

/// Bytes of the longest common prefix, in whole characters.
fn common_prefix(a: &str, b: &str) -> usize {
    a.chars().zip(b.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn go_on(partial: &str, sent: &str, deltas: &[&str]) -> String {
        let mut seam = Seam::new(partial, sent);
        let mut text: String = deltas.iter().filter_map(|delta| seam.push((*delta).to_owned())).collect();
        text.push_str(&seam.finish().unwrap_or_default());
        text
    }

    #[test]
    fn echoes_and_white_space_are_taken_out() {
        assert_eq!(go_on("The sun", "The sun", &[" is", " hot"]), " is hot");
        assert_eq!(go_on("The sun", "The sun", &["The", " su", "n is", " hot"]), " is hot");
        assert_eq!(go_on("The sun", "The sun", &["The", " moon"]), "The moon");
        assert_eq!(go_on("The sun", "The sun", &["The"]), "The");
        assert_eq!(go_on("One.\n\n", "One.", &["\n", "\nTwo"]), "Two");
        assert_eq!(go_on("One.\n\n", "One.", &["\n", "Two"]), "Two");
        assert_eq!(go_on("One.\n\n", "One.", &["Two"]), "Two");
        assert_eq!(go_on("One. ", "One.", &["One. Two"]), "Two");
        assert_eq!(go_on("  ", "", &[" x"]), "x");
        assert_eq!(go_on("é", "é", &["è"]), "è");
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(partial in "[abä ]{0,6}", answer in "[abä ]{0,12}", echo: bool, size in 1usize..5) {
            let sent = partial.trim_end();
            let whole = if echo { format!("{sent}{answer}") } else { answer };
            let characters: Vec<_> = whole.chars().collect();
            let pieces: Vec<String> = characters.chunks(size).map(|piece| piece.iter().collect()).collect();
            let pieces: Vec<_> = pieces.iter().map(String::as_str).collect();
            let at_once = if whole.is_empty() { vec![] } else { vec![whole.as_str()] };
            prop_assert_eq!(go_on(&partial, sent, &pieces), go_on(&partial, sent, &at_once));
        }
    }
}
