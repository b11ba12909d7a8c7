//! A provider's own words, made fit to be shown to people.
//!
//! A provider may repeat whatever it was sent, and say where it runs. So of its words one line is kept, without
//! anything of a configured key, whole, cut or encoded again, and without addresses.
//!
//! **Invariant:** what [`Redactor::show`] gives holds no piece of eight characters of a configured key, in none of the
//! spellings that [`view`] reads, and no address that [`addresses`] knows. The keys themselves are not kept here: only
//! fingerprints of their pieces are.

mod addresses;
mod keys;
mod view;

use std::{collections::HashSet, ops::Range};

use unicode_segmentation::UnicodeSegmentation;

use crate::openai::OpenAiConfig;
use keys::Keys;
use view::{Glyph, is_invisible};

#[cfg(test)]
mod tests;

/// Characters that are shown at most.
pub(crate) const LONGEST: usize = 500;
/// Characters that are looked at at most.
const READ: usize = 4000;
/// What stands in the place of what was taken out.
const GAP: &str = "[…]";
/// How often what was encoded may have been encoded again.
const LAYERS: usize = 3;

/// Knows what must not be shown. Prints nothing of it.
#[derive(Default)]
pub struct Redactor {
    keys: Keys,
    /// Names by which providers and proxies are reached, in lower case.
    hosts: HashSet<String>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor").finish_non_exhaustive()
    }
}

impl Redactor {
    /// That hides all keys and addresses of these providers.
    pub(crate) fn of<'a>(providers: impl IntoIterator<Item = &'a OpenAiConfig>) -> Self {
        let mut redactor = Self::default();
        for provider in providers {
            provider.secrets(|secret| redactor.keys.add(secret));
            redactor.hosts.extend(provider.hosts());
        }
        redactor
    }

    /// One line of at most [`LONGEST`] characters; none where nothing is left to be read.
    pub(crate) fn show(&self, words: &str) -> Option<String> {
        let line = one_line(words);
        let mut spans = Vec::new();
        let mut layer: Option<Vec<Glyph>> = Some(view::of(&line));
        for _ in 0..LAYERS {
            let Some(glyphs) = layer else { break };
            self.keys.find(&glyphs, &mut spans);
            addresses::find(&glyphs, &self.hosts, &mut spans);
            layer = view::unescaped(&glyphs);
        }
        let shown = without(&line, spans);
        shown.chars().any(char::is_alphanumeric).then(|| cut(shown))
    }
}

/// Without what breaks lines, turns their direction or can't be seen.
fn one_line(words: &str) -> String {
    let visible = words.chars().take(READ).filter(|c| !is_invisible(*c) || is_joiner(*c));
    let text: String = visible.map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Holds an emoji, or letters of some scripts, together.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}')
}

/// The line with a gap for each of these places, which may overlap.
fn without(line: &str, mut spans: Vec<Range<usize>>) -> String {
    spans.sort_unstable_by_key(|span| (span.start, span.end));
    let (mut shown, mut at) = (String::with_capacity(line.len()), 0);
    for span in spans {
        if let Some(before) = line.get(at..span.start) {
            // Places that touch are one gap.
            if !(before.is_empty() && shown.ends_with(GAP)) {
                shown.push_str(before);
                shown.push_str(GAP);
            }
        }
        at = at.max(span.end);
    }
    shown.push_str(line.get(at..).unwrap_or_default());
    shown
}

/// At most [`LONGEST`] characters, cut between those that a person sees as one.
fn cut(line: String) -> String {
    if line.chars().nth(LONGEST).is_none() {
        return line;
    }
    let (mut end, mut room) = (0, LONGEST - 1);
    for (at, cluster) in line.grapheme_indices(true) {
        let size = cluster.chars().count();
        if size > room {
            break;
        }
        room -= size;
        end = at + cluster.len();
    }
    format!("{}…", line[..end].trim_end())
}
