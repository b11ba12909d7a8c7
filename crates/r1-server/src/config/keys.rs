//! Dotted keys, as they stand in a file: a part that is no bare word is put into quotation marks.
//!
//! **Invariant:** [`parts`] gives back what [`join`] was given, whatever dots and quotation marks the
//! parts hold: the names of models have them.

/// The key of these parts.
pub(crate) fn join<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut key = String::new();
    for part in parts {
        if !key.is_empty() {
            key.push('.');
        }
        let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !part.is_empty() && part.chars().all(is_bare) {
            key.push_str(part);
        } else {
            key.push('"');
            for c in part.chars() {
                if matches!(c, '"' | '\\') {
                    key.push('\\');
                }
                key.push(c);
            }
            key.push('"');
        }
    }
    key
}

/// The parts of a key that [`join`] made.
pub(crate) fn parts(key: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut quoted, mut chars) = (false, key.chars());
    while let Some(c) = chars.next() {
        let last = parts.len() - 1;
        match c {
            '"' => quoted = !quoted,
            '\\' if quoted => parts[last].extend(chars.next()),
            '.' if !quoted => parts.push(String::new()),
            c => parts[last].push(c),
        }
    }
    parts
}

/// The section that a key stands in, and its name there, both as they would stand in a file.
pub(crate) fn section(key: &str) -> (String, String) {
    let mut parts = parts(key);
    let name = parts.pop().unwrap_or_default();
    (join(parts.iter().map(String::as_str)), join([name.as_str()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_what_was_joined() {
        for (given, key) in [
            (&["log", "level"][..], "log.level"),
            (&["data_dir"], "data_dir"),
            (&["providers", "a", "model", "gpt-4.1", "max_tokens"], "providers.a.model.\"gpt-4.1\".max_tokens"),
            (&["m", "meta/llama-3.1:free"], "m.\"meta/llama-3.1:free\""),
            (&["m", "a\"b\\c.d"], "m.\"a\\\"b\\\\c.d\""),
            (&["m", ""], "m.\"\""),
            (&["m", "über"], "m.\"über\""),
        ] {
            assert_eq!(join(given.iter().copied()), key);
            assert_eq!(parts(key), given);
        }
        assert_eq!(section("providers.a.headers.\"x.y\""), ("providers.a.headers".to_owned(), "\"x.y\"".to_owned()));
        assert_eq!(section("data_dir"), (String::new(), "data_dir".to_owned()));
    }
}
