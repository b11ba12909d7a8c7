//! What is nearly JSON, made into JSON.
//!
//! Programs that write JSON by hand, or by Python's `json` with its defaults, send `NaN`, `Infinity`, `None`, line
//! feeds within strings, escapes that JSON does not have, commas before a closing bracket. None of these stands where
//! words stand, or changes them.

/// The same with everything that JSON does not know made into something that it does. None where nothing had to be
/// changed: then it is broken in another way.
pub(super) fn mended(data: &str) -> Option<String> {
    let mut out = String::with_capacity(data.len() + 16);
    let mut rest = data;
    let mut changed = false;
    while let Some(first) = rest.chars().next() {
        match first {
            '"' => rest = string(rest, &mut out, &mut changed),
            ',' => {
                let behind = rest[1..].trim_start();
                if behind.starts_with(['}', ']']) {
                    changed = true;
                } else {
                    out.push(',');
                }
                rest = behind;
            }
            '-' | '+' | '.' | '0'..='9' | 'A'..='Z' | 'a'..='z' | '_' => {
                let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "+-._".contains(c))).unwrap_or(rest.len());
                let (token, behind) = rest.split_at(end);
                if is_json(token) {
                    out.push_str(token);
                } else {
                    out.push_str(literal(token));
                    changed = true;
                }
                rest = behind;
            }
            other => {
                out.push(other);
                rest = &rest[other.len_utf8()..];
            }
        }
    }
    changed.then_some(out)
}

fn is_json(token: &str) -> bool {
    matches!(token, "true" | "false" | "null") || serde_json::from_str::<serde_json::Number>(token).is_ok()
}

/// What stands for a bare word that JSON does not have.
fn literal(token: &str) -> &'static str {
    match token {
        "True" => "true",
        "False" => "false",
        _ => "null",
    }
}

/// Copies the string at the front; gives what is behind it.
fn string<'a>(data: &'a str, out: &mut String, changed: &mut bool) -> &'a str {
    let mut chars = data.char_indices();
    chars.next();
    out.push('"');
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => {
                out.push('"');
                return &data[at + 1..];
            }
            '\\' => match chars.next() {
                // Half a surrogate pair is no text where text is due.
                Some((at, 'u')) if is_lone(data, at) => {
                    *changed = true;
                    out.push_str("\\ufffd");
                    let _ = chars.nth(3);
                }
                Some((at, 'u')) if surrogate(data, at).is_some() => {
                    out.push_str(&data[at - 1..at + 11]);
                    let _ = chars.nth(9);
                }
                Some((_, escaped @ ('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' | 'u'))) => {
                    out.extend(['\\', escaped]);
                }
                // Python and JavaScript write `\'` for a quote, shells `\$`: the character is what was meant.
                Some((_, escaped)) => {
                    *changed = true;
                    control(escaped, out);
                }
                None => return "",
            },
            c if c < ' ' => {
                *changed = true;
                control(c, out);
            }
            c => out.push(c),
        }
    }
    ""
}

/// The half of a surrogate pair that the escape with its `u` at `at` stands for.
fn surrogate(data: &str, at: usize) -> Option<u32> {
    let unit = u32::from_str_radix(data.get(at + 1..at + 5)?, 16).ok()?;
    (0xd800..0xe000).contains(&unit).then_some(unit)
}

/// Whether that half has no other half behind it.
fn is_lone(data: &str, at: usize) -> bool {
    let Some(unit) = surrogate(data, at) else { return false };
    let low = data.get(at + 5..at + 7).filter(|next| *next == "\\u").and_then(|_| surrogate(data, at + 6));
    unit >= 0xdc00 || low.is_none_or(|low| low < 0xdc00)
}

/// A character within a string; control characters have to be escaped there.
fn control(c: char, out: &mut String) {
    if c < ' ' {
        out.push_str(&format!("\\u{:04x}", u32::from(c)));
    } else {
        out.push(c);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_nearly_json_is_made_json() {
        for (data, meant) in [
            (r#"{"a":NaN,"b":-Infinity,"c":"NaN"}"#, r#"{"a":null,"b":null,"c":"NaN"}"#),
            (r#"{"a":None,"b":True,"c":undefined,}"#, r#"{"a":null,"b":true,"c":null}"#),
            (r#"{"a":.5,"b":01,"c":1.}"#, r#"{"a":null,"b":null,"c":null}"#),
            ("{\"a\":\"two\nlines\tand \\'quotes\\'\"}", r#"{"a":"two\u000alines\u0009and 'quotes'"}"#),
            (r#"{"a":[1, 2 , ]}"#, r#"{"a":[1,2 ]}"#),
        ] {
            assert_eq!(mended(data).as_deref(), Some(meant), "{data}");
            assert!(serde_json::from_str::<serde_json::Value>(meant).is_ok());
        }
        for fine in [r#"{"a":1.5e3,"b":"x\n\u0041","c":[true,false,null]}"#, "{", "", "[}"] {
            assert_eq!(mended(fine), None, "{fine}");
        }
    }

    proptest! {
        #[test]
        fn what_is_json_stays_as_it_is(text: String, number: f64) {
            let json = serde_json::json!({"a": text, "b": [number, null, {"c": true}]}).to_string();
            prop_assert_eq!(mended(&json), None);
        }

        #[test]
        fn anything_comes_to_an_end(data: String) {
            let _ = mended(&data);
        }
    }
}
