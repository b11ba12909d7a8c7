//! Cutting text into the words that merges never cross.
//!
//! The models' own patterns end in `\s+(?!\S)|\s+`: a run of white space gives its last character
//! to the word that follows. That is the only look-ahead in them; it is done by hand here, so that
//! the rest is an ordinary regular expression with linear time on any text.

use regex::Regex;

use crate::error::LoadError;

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+";
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+";

#[derive(Debug)]
pub(super) struct Splitter {
    pattern: Regex,
    /// Every digit is cut off first, as a text of its own.
    digits_apart: bool,
    /// A run of white space that ends a line is a word of its own.
    lines: bool,
}

impl Splitter {
    pub(super) fn named(name: &str) -> Result<Self, LoadError> {
        let (pattern, digits_apart, lines) = match name {
            "smollm" => (GPT2, true, false),
            "gpt-2" | "gpt2" | "default" => (GPT2, false, false),
            "qwen2" => (QWEN2, false, true),
            _ => {
                let name: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
                return Err(LoadError::unsupported(format!("pre-tokenizer \"{name}\"")));
            }
        };
        let pattern = Regex::new(pattern).map_err(|error| LoadError::malformed(format!("word pattern: {error}")))?;
        Ok(Self { pattern, digits_apart, lines })
    }

    /// Calls `word` with every word of `text`, in order; together they are the text.
    pub(super) fn split(&self, text: &str, mut word: impl FnMut(&str)) {
        if !self.digits_apart {
            self.words(text, &mut word);
            return;
        }
        let mut start = 0;
        for (at, char) in text.char_indices().filter(|(_, char)| char.is_numeric()) {
            self.words(&text[start..at], &mut word);
            start = at + char.len_utf8();
            word(&text[at..start]);
        }
        self.words(&text[start..], &mut word);
    }

    fn words(&self, text: &str, word: &mut impl FnMut(&str)) {
        let mut start = 0;
        while let Some(found) = self.pattern.find_at(text, start) {
            let mut end = found.end();
            if end < text.len() && self.is_blank_run(found.as_str()) {
                let last = found.as_str().char_indices().next_back();
                // A single blank stays whole.
                if let Some((offset, _)) = last.filter(|(offset, _)| *offset > 0) {
                    end = found.start() + offset;
                }
            }
            word(&text[found.start()..end]);
            start = end;
        }
    }

    fn is_blank_run(&self, word: &str) -> bool {
        let blank = word.chars().all(char::is_whitespace);
        blank && !(self.lines && word.ends_with(['\r', '\n']))
    }
}
