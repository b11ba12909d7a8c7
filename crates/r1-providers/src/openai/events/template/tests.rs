use proptest::prelude::*;

use super::*;

fn chunk(id: &str, text: &str) -> String {
    format!(
        r#"{{"id":"{id}","choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}],"usage":null}}"#
    )
}

/// Whether this is taken from the template.
fn is_known(template: &Template, data: &str) -> bool {
    template.text_of(data.as_bytes()).is_some()
}

#[test]
fn the_next_chunk_is_not_read_again() {
    let mut template = Template::default();
    assert!(!is_known(&template, &chunk("a", "one")));
    assert_eq!(template.parse(chunk("a", "one").as_bytes()).unwrap().text, b"one");
    for text in ["two", "", " ", "Grüße 🌍", "{}", "a'b"] {
        assert!(is_known(&template, &chunk("a", text)), "{text}");
        assert_eq!(template.parse(chunk("a", text).as_bytes()).unwrap().text, text.as_bytes());
    }
    for other in [chunk("b", "x"), chunk("a", r"\n"), chunk("a", r"x\"), chunk("a", "\u{1}"), chunk("a", r#"","x":""#)]
    {
        assert!(!is_known(&template, &other), "{other}");
    }
    // A chunk whose text is escaped teaches as well as any.
    assert_eq!(template.parse(chunk("b", r"\n\u00e4").as_bytes()).unwrap().text, "\nä".as_bytes());
    assert!(is_known(&template, &chunk("b", "x")) && !is_known(&template, &chunk("a", "x")));
}

#[test]
fn what_says_more_than_text_is_no_template() {
    for data in [
        r#"{"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}"#,
        r#"{"choices":[{"delta":{"content":"x"},"token_ids":[5]}]}"#,
        r#"{"choices":[{"delta":{"content":"x"}}],"usage":{"prompt_tokens":1}}"#,
        r#"{"choices":[{"delta":{"content":"x"}}],"error":{"message":"no"}}"#,
        r#"{"choices":[{"delta":{"content":[{"type":"text","text":"x"}]}}]}"#,
        r#"{"choices":[{"delta":{"content":null}}]}"#,
        // Where the next text is empty, what stands beside it counts.
        r#"{"choices":[{"delta":{"content":"x","refusal":"no"}}]}"#,
        r#"{"choices":[{"delta":{"content":"x"},"message":{"content":"no"}}]}"#,
        r#"{"choices":[{"delta":{"content":"x"},"text":"no"}]}"#,
        r#"{"choices":[]}"#,
    ] {
        let mut template = Template::default();
        template.parse(data.as_bytes()).unwrap();
        assert_eq!(template.before, 0, "{data}");
        assert!(!is_known(&template, data), "{data}");
    }
    let mut template = Template::default();
    template.parse(chunk("a", "x").as_bytes()).unwrap();
    let long = chunk(&"long".repeat(LIMIT), "x");
    template.parse(long.as_bytes()).unwrap();
    assert!(!is_known(&template, &long) && template.around.capacity() <= LIMIT, "nor is what would take room");
}

proptest! {
    /// Chunks that are alike in parts, some of them broken, some with bytes that are no text.
    #[test]
    fn it_says_what_reading_says(
        chunks in proptest::collection::vec(
            (
                "[ab]",
                proptest::sample::select(&["delta", "message", "other"][..]),
                prop_oneof![
                    "[ -~ä\\\\\"\u{1}]{0,5}".prop_map(String::into_bytes),
                    proptest::collection::vec(any::<u8>(), 0..4),
                    proptest::sample::select(&[
                        r"\ud83d", r"\n", r#"","content":""#, r#""}},{"delta":{"content":""#, r#"","x":""#, "\\",
                        r#""},"finish_reason":"stop","x":{"y":""#,
                    ][..]).prop_map(|text| text.as_bytes().to_vec()),
                ],
                proptest::sample::select(&["null", "null", "null", "\"stop\"", "3", "}"][..]),
            ),
            0..12,
        ),
    ) {
        let mut template = Template::default();
        for (id, key, text, finish) in chunks {
            let mut data = format!(r#"{{"id":"{id}","choices":[{{"index":0,"{key}":{{"content":""#).into_bytes();
            data.extend_from_slice(&text);
            data.extend_from_slice(format!(r#""}},"finish_reason":{finish}}}]}}"#).as_bytes());
            prop_assert_eq!(template.parse(&data), parse(&data), "{}", String::from_utf8_lossy(&data));
        }
    }
}
