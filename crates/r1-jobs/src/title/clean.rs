//! From what a model says to a title, or nothing.
//!
//! Small models explain, quote, format, think aloud or answer the question again; a hostile conversation may have any of
//! them say anything. What is left is one line that a person can read: the first that is meant, without what stands
//! around it.
//!
//! **Invariant:** what is given back passes [`check_title`], has at most some dozens of characters, and none that turns
//! a line around, hides or moves anything.

use r1_domain::{
    conversation::{check_title, title_from_question},
    text::{is_blank, is_invisible, nfc},
};

#[cfg(test)]
mod tests;

/// A line that is longer than this, in characters, is no title but an answer.
const LONGEST: usize = 120;
/// Pairs that people and models put around a title: the line is what stands between.
const PAIRS: [(&str, &str); 22] = [
    ("\"", "\""),
    ("'", "'"),
    ("“", "”"),
    ("„", "“"),
    ("„", "”"),
    ("‘", "’"),
    ("‚", "‘"),
    ("«", "»"),
    ("»", "«"),
    ("‹", "›"),
    ("「", "」"),
    ("『", "』"),
    ("《", "》"),
    ("【", "】"),
    ("***", "***"),
    ("**", "**"),
    ("__", "__"),
    ("~~", "~~"),
    ("*", "*"),
    ("_", "_"),
    ("`", "`"),
    ("[", "]"),
];
/// What a line of Markdown begins with.
const BULLETS: [&str; 6] = ["#", ">", "- ", "* ", "+ ", "• "];
/// Behind which the title stands, with a colon.
const LABELS: [&str; 18] = [
    "title",
    "the title",
    "chat title",
    "conversation title",
    "suggested title",
    "titel",
    "titre",
    "título",
    "titulo",
    "titolo",
    "tytuł",
    "заголовок",
    "название",
    "العنوان",
    "标题",
    "標題",
    "タイトル",
    "제목",
];
/// Closing tags behind which a model has thought.
const THOUGHTS: [(&str, &str); 4] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
];
/// With which a model refuses.
const REFUSALS: [&str; 6] = ["i'm sorry", "i am sorry", "i cannot ", "i can't ", "i can’t ", "as an ai "];
/// What stands at an end and says nothing.
const ENDS: &[char] = &['.', '。', ',', '，', ';', ':', '：', '-', '–', '—'];

/// The title in what a model said.
pub(super) fn clean(said: &str) -> Option<String> {
    let spoken = without_thoughts(said)?;
    let spoken = nfc(spoken);
    let mut lines = spoken.lines().map(visible).filter(|line| !is_blank(line) && !line.starts_with("```"));
    let mut line = bare(&lines.next()?);
    // "Here is a title:", and then the title.
    if line.is_empty() || line.ends_with([':', '：']) || is_label(&line) {
        line = bare(&lines.next()?);
    }
    let line = line.trim_end_matches(ENDS).trim_end();
    if is_blank(line) || line.chars().count() > LONGEST || is_refusal(line) || is_label(line) {
        return None;
    }
    // Cut as the words of a question are, where it is long.
    let title = title_from_question(line);
    check_title(&title).ok().map(|()| title)
}

/// What is said aloud: behind the last thought. None where the thinking has no end.
fn without_thoughts(said: &str) -> Option<&str> {
    let lower = said.to_ascii_lowercase();
    let mut begin = 0;
    for (opening, closing) in THOUGHTS {
        // The letters keep their places in lower case.
        if let Some(at) = lower.rfind(closing) {
            begin = begin.max(at + closing.len());
        }
        if lower.rfind(opening).is_some_and(|at| at >= begin) {
            return None;
        }
    }
    said.get(begin..)
}

/// A line without what can't be seen, white space folded. What joins letters and pictures stays between these.
fn visible(line: &str) -> String {
    let mut seen = String::with_capacity(line.len().min(4 * LONGEST));
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let next_is_seen = chars.peek().is_some_and(|next| !is_invisible(*next));
        match c {
            '\u{200c}' | '\u{200d}' if next_is_seen && !seen.is_empty() && !seen.ends_with(' ') => seen.push(c),
            // The way a picture is drawn.
            '\u{fe0e}' | '\u{fe0f}' if !seen.is_empty() && !seen.ends_with(' ') => seen.push(c),
            c if c.is_whitespace() || c.is_control() => {
                if !seen.is_empty() && !seen.ends_with(' ') {
                    seen.push(' ');
                }
            }
            c if is_invisible(c) || is_placed(c) => {}
            c => seen.push(c),
        }
    }
    seen.truncate(seen.trim_end().len());
    seen
}

/// Characters with no meaning of their own, or with one in nobody's font.
fn is_placed(c: char) -> bool {
    matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{ffff}' | '\u{f0000}'..)
}

/// A line without what stands around its words.
fn bare(line: &str) -> String {
    let mut line = line.trim();
    loop {
        let before = line;
        for bullet in BULLETS {
            line = line.strip_prefix(bullet).unwrap_or(line).trim_start();
        }
        line = without_number(line);
        line = without_label(line);
        for (opening, closing) in PAIRS {
            let inner = line.strip_prefix(opening).and_then(|rest| rest.strip_suffix(closing));
            // Two quoted words are no quoted line.
            if let Some(inner) = inner.filter(|inner| !inner.contains(opening) && !inner.contains(closing)) {
                line = inner.trim();
            }
        }
        line = without_tag(line);
        // A full stop within or behind a pair.
        if let Some(rest) = line.strip_suffix(['.', '。']).filter(|rest| !rest.ends_with('.')) {
            line = rest.trim_end();
        }
        if line == before {
            break;
        }
    }
    line.replace("**", "").replace("__", "").replace('`', "")
}

/// Without `1. ` or `1) `.
fn without_number(line: &str) -> &str {
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    if line.len() - rest.len() == 1 {
        rest.strip_prefix(". ").or_else(|| rest.strip_prefix(") ")).unwrap_or(line).trim_start()
    } else {
        line
    }
}

/// Without `Title:` and the like, bold or not.
fn without_label(line: &str) -> &str {
    let Some((label, rest)) = line.split_once([':', '：']) else { return line };
    let rest = rest.trim_start_matches(['*', '_', ' ']);
    if is_label(label.trim_matches(['*', '_', ' '])) && !is_blank(rest) { rest } else { line }
}

fn is_label(text: &str) -> bool {
    let text = text.to_lowercase();
    LABELS.contains(&text.as_str())
}

/// What stands between a tag and its end.
fn without_tag(line: &str) -> &str {
    let inner = || {
        let (name, rest) = line.strip_prefix('<')?.split_once('>')?;
        let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric());
        rest.strip_suffix('>')?.strip_suffix(name)?.strip_suffix("</").filter(|_| plain)
    };
    inner().map_or(line, str::trim)
}

fn is_refusal(line: &str) -> bool {
    let lower = line.to_lowercase();
    REFUSALS.iter().any(|refusal| lower.starts_with(refusal))
}
