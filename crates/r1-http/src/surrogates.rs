//! Half a surrogate pair in JSON: an escape that names no character.
//!
//! JavaScript's strings are UTF-16, and whoever cuts one between the halves of an emoji sends
//! `"\ud83d"`. The grammar allows it (RFC 8259, 8.2), no text can hold it. It is read as U+FFFD, as it
//! would be by a decoder of bytes, wherever in the document it stands.
//!
//! **Invariant:** the mended document has the length of the one that came, and differs from it in
//! nothing but such escapes: whatever else is wrong with it is found where it is.

use std::borrow::Cow;

/// Six bytes, as the escapes that they replace.
const REPLACEMENT: &[u8; 6] = br"\ufffd";

/// The document with a replacement character for every half of a pair that stands alone.
pub(crate) fn mend(json: &[u8]) -> Cow<'_, [u8]> {
    let mut mended = Cow::Borrowed(json);
    let mut at = 0;
    while let Some(found) = json.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'\\')) {
        let escape = at + found;
        at = escape
            + match (unit(json, escape), unit(json, escape + 6)) {
                (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
                (Some(0xd800..=0xdfff), _) => {
                    mended.to_mut()[escape..escape + 6].copy_from_slice(REPLACEMENT);
                    6
                }
                // Whatever is escaped, a backslash among it, begins nothing.
                _ => 2,
            };
    }
    mended
}

/// The UTF-16 unit that the escape at this place stands for.
fn unit(json: &[u8], at: usize) -> Option<u16> {
    let digits = json.get(at..at + 6)?.strip_prefix(br"\u")?;
    digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | u16::try_from(char::from(*digit).to_digit(16)?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_that_stand_alone_are_replaced() {
        for (json, text) in [
            (r#""\ud83d""#, "\u{fffd}"),
            (r#""\uDE00""#, "\u{fffd}"),
            (r#""\uD83D\uDE00""#, "😀"),
            (r#""\uDE00\uD83D""#, "\u{fffd}\u{fffd}"),
            (r#""\uD83D\uD83D\uDE00""#, "\u{fffd}😀"),
            (r#""\uD83D\uDE00\uDE00""#, "😀\u{fffd}"),
            (r#""\ud83dx\ude00""#, "\u{fffd}x\u{fffd}"),
            (r#""\ud83d \ude00""#, "\u{fffd} \u{fffd}"),
            (r#""\ud83d\n\ude00""#, "\u{fffd}\n\u{fffd}"),
            (r#""\ud83d\u0041""#, "\u{fffd}A"),
            (r#""\ud83d\\ude00""#, "\u{fffd}\\ude00"),
            (r#""\\ud83d""#, "\\ud83d"),
            (r#""\\\ud83d""#, "\\\u{fffd}"),
            (r#""\\\\ud83d""#, "\\\\ud83d"),
            (r#""\"\ud83d\"""#, "\"\u{fffd}\""),
            (r#""a\ud83d""#, "a\u{fffd}"),
            (r#""\ud7ff\ue000""#, "\u{d7ff}\u{e000}"),
            (r#""\udbff\udfff""#, "\u{10ffff}"),
            (r#""\udbff\udbff""#, "\u{fffd}\u{fffd}"),
            (r#""é\udfff😀""#, "é\u{fffd}😀"),
            (r#""\u0000\ud800""#, "\0\u{fffd}"),
        ] {
            let mended = mend(json.as_bytes());
            assert_eq!(serde_json::from_slice::<String>(&mended).unwrap(), text, "{json}");
            assert_eq!(mended.len(), json.len(), "{json}");
        }
        let keys = mend(br#"{"\ud83d":["\ude00",{"\ud83d\ude00":1}]}"#);
        let read: serde_json::Value = serde_json::from_slice(&keys).unwrap();
        assert_eq!(read, serde_json::json!({"\u{fffd}": ["\u{fffd}", {"😀": 1}]}));
    }

    #[test]
    fn everything_else_is_left_as_it_is() {
        for json in [
            &br#"{"a":"b\n\u00e9"}"#[..],
            br#""\ud83d\ude00""#,
            br#""\ud83""#,
            br#""\ud8"#,
            br#""\u"#,
            br"\",
            br#""\"#,
            br#""\ud83x""#,
            br#""\u+83d""#,
            br#""\x\ud8"#,
            b"\"\xed\xa0\xbd\"",
            b"",
        ] {
            assert!(matches!(mend(json), Cow::Borrowed(same) if same == json), "{json:?}");
        }
    }
}
