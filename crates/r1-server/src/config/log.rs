//! `[log]`, and RUST_LOG, which beats its level.

use r1_domain::near::nearest;

use super::{
    LogConfig, LogFormat,
    fault::Fault,
    reader::{Reader, Wrong},
    value::Origin,
};

/// The levels; "off" logs nothing.
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
/// What other programs call them.
const OTHER_NAMES: [(&str, &str); 12] = [
    ("warning", "warn"),
    ("err", "error"),
    ("critical", "error"),
    ("fatal", "error"),
    ("notice", "info"),
    ("information", "info"),
    ("normal", "info"),
    ("default", "info"),
    ("verbose", "debug"),
    ("all", "trace"),
    ("none", "off"),
    ("quiet", "error"),
];
const VARIABLE: &str = "RUST_LOG";

/// Reads it.
pub(crate) fn read(reader: &mut Reader, environment: &[(String, String)]) -> LogConfig {
    let mut level = reader.read("log.level", |value| match value.text().map(str::trim) {
        Some(text) => check(text).map(|()| text.to_owned()),
        None => Err(Wrong::not("a level or a filter", value, &remedy(None))),
    });
    let variable = environment.iter().find(|(name, value)| name == VARIABLE && !value.trim().is_empty());
    if let Some((_, text)) = variable {
        match check(text.trim()) {
            Ok(()) => text.trim().clone_into(&mut level),
            Err(Wrong { problem, remedy }) => {
                reader.faults.push(Fault {
                    origin: Origin::Environment(VARIABLE.to_owned()),
                    key: String::new(),
                    problem,
                    remedy,
                });
            }
        }
    }
    LogConfig {
        level,
        level_is_of_environment: variable.is_some(),
        format: reader.word("log.format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]),
        access: reader.switch("log.access"),
    }
}

/// Whether this is a level, or a filter of levels by target. A lone word that is no level would be taken for a
/// target, and the log would be empty.
fn check(text: &str) -> Result<(), Wrong> {
    let wrong = |word: &str| Wrong::new(format!("must be a level or a filter, not {text:?}"), remedy(Some(word)));
    let directives: Vec<&str> = split(text);
    if directives.iter().all(|directive| directive.is_empty()) {
        return Err(wrong(""));
    }
    for directive in &directives {
        let directive = directive.trim();
        // Brackets hold the names and values of spans.
        let after = directive.rfind(']').map_or(directive, |end| &directive[end..]);
        match after.rsplit_once('=') {
            Some((_, level)) if !is_level(level) => return Err(wrong(level)),
            Some(_) => {}
            None if directive.is_empty() || is_level(directive) || directive.contains('[') => {}
            // Among others, a target alone is one of which everything is logged.
            None if directives.len() > 1 && meant(directive).is_none() => {}
            None => return Err(wrong(directive)),
        }
    }
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(()),
        Err(_) => Err(wrong("")),
    }
}

/// The parts between the commas that are in no brackets.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    text.split(|c| {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .collect()
}

fn is_level(word: &str) -> bool {
    let word = word.trim();
    LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word)) || matches!(word.as_bytes(), [b'0'..=b'5'])
}

/// The level that was probably meant.
fn meant(word: &str) -> Option<&'static str> {
    let word = word.trim().to_ascii_lowercase();
    let other = OTHER_NAMES.iter().find(|(name, _)| *name == word).map(|(_, level)| *level);
    // Of short words everything is near: three letters of "loud" make it "error".
    other.or_else(|| nearest(&word, LEVELS).filter(|level| word.len() + 1 >= level.len() && word[..1] == level[..1]))
}

fn remedy(word: Option<&str>) -> String {
    match word.filter(|word| !word.trim().is_empty()).and_then(meant) {
        Some(level) => format!("did you mean \"{level}\"?"),
        None => {
            "write \"error\", \"warn\", \"info\", \"debug\" or \"trace\", or a filter such as \"info,r1_http=debug\""
                .to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_filters_are_told_from_other_words() {
        for good in [
            "info",
            "WARN",
            "off",
            "3",
            "info,r1_http=debug",
            "r1_http=debug",
            "info,r1_http",
            "r1_http::around=trace,warn",
            "info,[request]=trace",
            "info,r1_http[request{request_id=a}]=debug",
            " debug ",
            "info,",
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
        for (bad, meant) in [
            ("warning", Some("warn")),
            ("verbose", Some("debug")),
            ("Warning", Some("warn")),
            ("inof", Some("info")),
            ("debgu", Some("debug")),
            ("loud", None),
            ("r1_http", None),
            ("", None),
            (",", None),
            ("info,warning", Some("warn")),
            ("r1_http=warning", Some("warn")),
            ("info,r1_http=loud", None),
            ("r1_http=", None),
            ("info;debug", None),
        ] {
            let remedy = check(bad).unwrap_err().remedy;
            match meant {
                Some(level) => assert_eq!(remedy, format!("did you mean \"{level}\"?"), "{bad}"),
                None => assert!(remedy.starts_with("write \"error\""), "{bad}: {remedy}"),
            }
        }
    }
}
