use super::*;

fn text(data: &str) -> String {
    String::from_utf8(parse(data.as_bytes()).unwrap().text).unwrap()
}

fn finish(word: &str) -> Option<Finish> {
    parse(format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":{word}}}]}}"#).as_bytes()).unwrap().finish
}

#[test]
fn content_comes_in_many_shapes() {
    let content = |content: &str| text(&format!(r#"{{"choices":[{{"index":0,"delta":{{{content}}}}}]}}"#));
    assert_eq!(content(r#""content":"a\n\u00e4""#), "a\nä");
    assert_eq!(content(r#""content":null"#), "");
    assert_eq!(content(r#""role":"assistant""#), "");
    assert_eq!(content(r#""content":null,"reasoning_content":"hm","tool_calls":[{"id":"x"}]"#), "");
    assert_eq!(
        content(r#""content":[{"type":"thinking","thinking":[{"text":"hm"}]},{"type":"text","text":"a"}]"#),
        "a"
    );
    assert_eq!(content(r#""content":[{"type":"text","text":[{"type":"text","text":"in a part"}]}]"#), "in a part");
    for nothing in ["{\"x\":1}", "true", "[]", "{}", "[{}]"] {
        assert_eq!(content(&format!("\"content\":{nothing}")), "", "{nothing}");
    }
    assert_eq!(text(r#"{"choices":[]}"#), "");
    assert_eq!(text(r#"{"choices":null,"new":{"field":[1]}}"#), "");
    assert_eq!(text(r#"{"choices":[{"delta":null}]}"#), "");
    assert_eq!(text(r#"{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"}}]}"#), "a");
    assert_eq!(text(r#"{"choices":[{"message":{"role":"assistant","content":"whole"}}]}"#), "whole");
}

#[test]
fn token_ids_are_a_list_of_numbers_or_nothing() {
    let ids = |ids: &str| {
        let said = parse(format!(r#"{{"choices":[{{"delta":{{"content":"a"}},"token_ids":{ids}}}]}}"#).as_bytes());
        let said = said.unwrap();
        assert_eq!(said.text, b"a", "{ids}");
        said.ids
    };
    assert_eq!(ids("[5,4294967295]"), [5, u32::MAX]);
    for nothing in ["null", "[]", "[4294967296]", "[-1]", "[1.5]", "[1,\"x\"]", "\"x\"", "{\"a\":[1]}", "7"] {
        assert_eq!(ids(nothing), [0; 0], "{nothing}");
    }
    let long = |count: usize| format!("[{}]", vec!["7"; count].join(","));
    assert_eq!(ids(&long(4000)).len(), 4000);
    assert_eq!(ids(&long(5000)), [0; 0], "none of too many");
}

#[test]
fn only_words_that_we_know_are_passed_on() {
    assert_eq!(finish("null"), None);
    assert_eq!(finish(r#""""#), None);
    assert_eq!(finish("3"), None);
    assert_eq!(finish(r#""STOP""#), Some(Finish::Reason("stop")));
    assert_eq!(finish(r#""max_tokens""#), Some(Finish::Reason("length")));
    assert_eq!(finish(r#""<script>""#), Some(Finish::Other));
    assert_eq!(finish(r#""error""#), Some(Finish::Failed { may_pass: false }));
}

#[test]
fn counts_may_be_incomplete() {
    let usage = |usage: &str| parse(format!(r#"{{"choices":[],"usage":{usage}}}"#).as_bytes()).unwrap().usage;
    assert_eq!(usage("null"), None);
    assert_eq!(usage(r#"{"prompt_tokens":"x"}"#), None);
    let counted = usage(r#"{"prompt_tokens":2,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":1}}"#);
    assert_eq!(counted.unwrap().total_tokens, 5);
}

#[test]
fn errors_come_in_many_shapes() {
    for data in [
        r#"{"error":{"message":"Overloaded","type":"overloaded_error","code":529}}"#,
        r#"{"error":"Overloaded"}"#,
        r#"{"object":"error","message":"Overloaded","code":500}"#,
        r#"{"error":3}"#,
        r#"{"error":{"code":1e999,"message":[1]}}"#,
        r#"{"error":null,"choices":[{"delta":{"content":"x"}}]}"#,
        r#"{"error":false,"choices":[{"delta":{"content":"x"}}]}"#,
        r#"{"error":"","choices":[{"delta":{"content":"x"}}]}"#,
        r#"{"error":{},"choices":[{"delta":{"content":"x"}}]}"#,
    ] {
        let said = parse(data.as_bytes()).unwrap();
        assert_eq!(said.error.is_some(), said.text.is_empty(), "{data}");
    }
}

#[test]
fn bytes_that_are_no_text_are_replaced() {
    let said = parse(b"{\"choices\":[{\"delta\":{\"content\":\"a\xffb\"}}]}").unwrap();
    assert_eq!(said.text, "a\u{fffd}b".as_bytes());
    assert_eq!(parse(b"\xff"), Err(NotJson));
    for data in ["", "null", "nonsense", "{\"choices\":", "3"] {
        assert_eq!(parse(data.as_bytes()), Err(NotJson), "{data}");
    }
}

#[test]
fn half_a_character_is_no_fault() {
    let text = |content: &str| parse(format!(r#"{{"choices":[{{"delta":{{"content":"{content}"}}}}]}}"#).as_bytes());
    assert_eq!(text(r"\ud83d").unwrap().text, b"\xed\xa0\xbd");
    assert_eq!(text(r"\ude00").unwrap().text, b"\xed\xb8\x80");
    assert_eq!(text(r"\ud83d\ude00").unwrap().text, "😀".as_bytes());
    assert_eq!(text(r"\u00").map(|said| said.text), Err(NotJson));
}

#[test]
fn nesting_without_end_is_no_danger() {
    let deep = |open: &str, close: &str| format!("{}0{}", open.repeat(100_000), close.repeat(100_000));
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"text\":", "}]"), ("{\"error\":", "}"), ("[", "")] {
        for around in ["X", "{\"choices\":X}", "{\"error\":X}", "{\"new\":X}", "{\"choices\":[{\"delta\":X}]}"] {
            // What comes of it does not matter; that something does.
            let _ = parse(around.replace('X', &deep(open, close)).as_bytes());
        }
        let content = r#"{"choices":[{"delta":{"content":X}}]}"#;
        let _ = parse(content.replace('X', &deep(open, close)).as_bytes());
    }
    let said = parse(format!(r#"{{"new":{},"choices":[{{"delta":{{"content":"a"}}}}]}}"#, deep("[", "]")).as_bytes());
    assert_eq!(said.unwrap().text, b"a", "what is not read may be as deep as it likes");
}
