//! Where in a reading there is an address: of a page, a host, a network, a person.
//!
//! A name of a host looks like other words with dots: like a parameter's path or a file. What may be one counts as
//! one, apart from the few forms that are known to be something else.

use std::{
    collections::HashSet,
    net::{Ipv4Addr, Ipv6Addr},
    ops::Range,
};

use super::view::Glyph;

/// What paths of parameters begin with, such as `messages.0.content`.
const PARAMETERS: [&str; 28] = [
    "body",
    "choices",
    "config",
    "content",
    "delta",
    "error",
    "function",
    "functions",
    "generation",
    "input",
    "inputs",
    "loc",
    "message",
    "messages",
    "metadata",
    "model",
    "options",
    "output",
    "parameters",
    "params",
    "properties",
    "query",
    "request",
    "response",
    "schema",
    "stream",
    "tool",
    "tools",
];
/// What names of files end with, and names of hosts don't.
const FILES: [&str; 12] =
    ["bin", "css", "csv", "gguf", "html", "jpeg", "js", "json", "pdf", "safetensors", "txt", "yaml"];
/// A name under these is a host's, whatever else it looks like, with the underscores that containers' names have.
const DOMAINS: [&str; 36] = [
    "ai",
    "app",
    "arpa",
    "biz",
    "ch",
    "cloud",
    "cluster",
    "cn",
    "co",
    "com",
    "corp",
    "de",
    "dev",
    "edu",
    "eu",
    "example",
    "fr",
    "gov",
    "home",
    "info",
    "internal",
    "intranet",
    "invalid",
    "io",
    "jp",
    "lan",
    "local",
    "localdomain",
    "net",
    "online",
    "org",
    "site",
    "svc",
    "tech",
    "test",
    "uk",
];
/// The least port by which a word with a colon and a number is taken for a host: below are the codes of HTTP.
const LEAST_PORT: u32 = 1000;

/// Adds all places where there is an address.
pub(super) fn find(glyphs: &[Glyph], hosts: &HashSet<String>, spans: &mut Vec<Range<usize>>) {
    let chars: Vec<char> = glyphs.iter().map(|glyph| glyph.char).collect();
    let mut add = |range: Range<usize>| {
        if let (Some(first), Some(last)) =
            (glyphs.get(range.start), range.end.checked_sub(1).and_then(|at| glyphs.get(at)))
        {
            spans.push(first.from..last.to);
        }
    };
    let mut at = 0;
    while let Some(begin) = next(&chars, at, |c| !is_between(c)) {
        let end = next(&chars, begin, is_between).unwrap_or(chars.len());
        word(&chars, begin..end, hosts, &mut add);
        at = end;
    }
}

fn next(chars: &[char], from: usize, is: impl Fn(char) -> bool) -> Option<usize> {
    chars.get(from..)?.iter().position(|c| is(*c)).map(|at| from + at)
}

/// What no address goes on behind.
fn is_between(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, '"' | '\'' | '`' | '<' | '>' | '«' | '»' | '“' | '”' | '|' | '\\')
}

/// A word between two of these: a URL or a person's address whole, else what in it is a host, with the path behind it.
fn word(chars: &[char], word: Range<usize>, hosts: &HashSet<String>, add: &mut impl FnMut(Range<usize>)) {
    let text = &chars[word.clone()];
    if let Some(colon) = text.windows(3).position(|three| three == [':', '/', '/']) {
        let scheme =
            text[..colon].iter().rev().take_while(|c| c.is_ascii_alphanumeric() || "+.-".contains(**c)).count();
        let begin = word.start + colon - scheme;
        add(begin..trimmed(chars, begin..word.end));
        return self::word(chars, word.start..begin, hosts, add);
    }
    let is_split = |c: char| matches!(c, ',' | ';' | '(' | ')' | '{' | '}' | '=');
    let mut at = word.start;
    while let Some(begin) = next(&chars[..word.end], at, |c| !is_split(c)) {
        let end = next(&chars[..word.end], begin, is_split).unwrap_or(word.end);
        part(chars, begin..end, hosts, add);
        at = end;
    }
}

fn part(chars: &[char], part: Range<usize>, hosts: &HashSet<String>, add: &mut impl FnMut(Range<usize>)) {
    let end = trimmed(chars, part.clone());
    let text: String = chars[part.start..end].iter().collect();
    let is_person = text.split_once('@').is_some_and(|(name, host)| {
        let has_letter = |text: &str| text.chars().any(char::is_alphanumeric);
        has_letter(name) && has_letter(host)
    });
    if is_person || is_ipv6(&text) {
        return add(part.start..end);
    }
    let mut begin = part.start;
    for piece in chars[part.start..end].split(|c| matches!(c, '/' | ':' | '[' | ']' | '@')) {
        let port = chars[begin + piece.len()..end].strip_prefix(&[':']);
        if is_host(piece, port, hosts) {
            // The path behind it says what runs there.
            return add(begin..end);
        }
        begin += piece.len() + 1;
    }
}

/// Without the punctuation of the sentence that it stands in.
fn trimmed(chars: &[char], range: Range<usize>) -> usize {
    let mark = |c: &char| matches!(c, '.' | ',' | ';' | ':' | '!' | '?' | ')' | ']' | '}' | '…');
    range.end - chars[range].iter().rev().take_while(|c| mark(c)).count()
}

fn is_ipv6(text: &str) -> bool {
    let inner = text.split_once('[').map_or(text, |(_, inner)| inner).split([']', '%']).next().unwrap_or_default();
    let whole = inner.split('/').next().unwrap_or_default();
    // "::" alone separates other things.
    whole.len() > 2 && whole.parse::<Ipv6Addr>().is_ok()
}

/// `port` is what follows behind a colon.
fn is_host(piece: &[char], port: Option<&[char]>, hosts: &HashSet<String>) -> bool {
    let name: String = piece.iter().collect();
    let name = name.trim_matches('.');
    let lower = name.to_lowercase();
    if hosts.contains(&lower) || lower == "localhost" || name.parse::<Ipv4Addr>().is_ok() {
        return true;
    }
    let labels: Vec<&str> = lower.split('.').collect();
    let (Some(first), Some(last)) = (labels.first(), labels.last()) else { return false };
    let is_label = |label: &&str| {
        !label.is_empty()
            && label.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_' && DOMAINS.contains(last))
    };
    if !labels.iter().all(is_label) {
        return false;
    }
    if labels.len() == 1 {
        return has_port(port) && first.chars().any(char::is_alphabetic);
    }
    let is_numeric = labels.iter().all(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    if is_numeric {
        return labels.len() >= 4;
    }
    let is_domain = last.chars().count() >= 2 && last.chars().all(char::is_alphabetic) || last.starts_with("xn--");
    let is_known = PARAMETERS.contains(first) || FILES.contains(last) || is_type(name);
    has_port(port) || DOMAINS.contains(last) || (is_domain && !is_known)
}

fn has_port(port: Option<&[char]>) -> bool {
    let digits: String = port.unwrap_or_default().iter().take_while(|c| c.is_ascii_digit()).collect();
    digits.parse().is_ok_and(|port: u32| (LEAST_PORT..=65_535).contains(&port))
}

/// A type's name in some programming language, such as `torch.OutOfMemoryError`: a capital behind a small letter.
fn is_type(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let chars: Vec<char> = last.chars().collect();
    chars.windows(2).any(|pair| pair[0].is_lowercase() && pair[1].is_uppercase())
}
