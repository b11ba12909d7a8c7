//! Wire cases: what a server sent, byte for byte, and what it says.
//!
//! Shapes are as public reports and the servers' own sources describe them; the words are ours.

use super::*;

mod errors;
mod repeats;
mod thought;

/// How an answer ends.
#[derive(Debug, PartialEq, Eq)]
enum Ends {
    Done(&'static str),
    Fails(Code),
}
use Ends::{Done, Fails};

/// Name, body, what is said, what is thought, how it ends.
type Case = (&'static str, String, &'static str, &'static str, Ends);

async fn check(cases: Vec<Case>) {
    for (name, body, text, reasoning, ends) in cases {
        let by_bytes = body.bytes().map(|byte| vec![byte]).collect();
        for pieces in [vec![body.clone().into_bytes()], by_bytes] {
            let heard = Heard::of(items(pieces).await);
            let end = match &heard.last {
                Ok(Delta::Done { finish_reason, .. }) => Ok(finish_reason.as_str()),
                Ok(other) => panic!("{name}: {other:?} is no end"),
                Err(error) => Err(error.code),
            };
            let expected = match ends {
                Done(reason) => Ok(reason),
                Fails(code) => Err(code),
            };
            assert_eq!(
                (heard.text.as_str(), heard.reasoning.as_str(), end),
                (text, reasoning, expected),
                "{name}: {body}"
            );
        }
    }
}

/// One event.
fn data(json: &str) -> String {
    format!("data: {json}\n\n")
}

/// An event with this delta.
fn delta(fields: &str) -> String {
    data(&format!(r#"{{"choices":[{{"index":0,"delta":{{{fields}}}}}]}}"#))
}

fn word(word: &str) -> String {
    delta(&format!(r#""content":"{word}""#))
}

/// An event with text and a finish word.
fn word_with(word: &str, finish: &str) -> String {
    data(&format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"{word}"}},"finish_reason":{finish}}}]}}"#))
}

fn finish(word: &str) -> String {
    data(&format!(r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":{word}}}]}}"#))
}

const END: &str = "data: [DONE]\n\n";

fn all(parts: &[&str]) -> String {
    parts.concat()
}

#[tokio::test]
async fn words_that_are_no_finish() {
    let mut cases = Vec::new();
    for no_finish in [
        "null",
        r#""null""#,
        r#""none""#,
        r#""None""#,
        r#""""#,
        r#""unfinished""#,
        r#""NOT_FINISHED""#,
        r#""in_progress""#,
        "0",
        "false",
        r#""FINISH_REASON_UNSPECIFIED""#,
        "{}",
        "[]",
        r#"{"type":null}"#,
    ] {
        let with = |word: &str| word_with(word, no_finish);
        cases.push(("goes on to [DONE]", all(&[&with("a"), &with("b"), END]), "ab", "", Done("stop")));
        cases.push(("is no end", all(&[&with("a"), &with("b")]), "ab", "", Fails(Code::Truncated)));
        cases.push((
            "does not hide an end",
            all(&[&with("a"), &finish(r#""length""#), &with("")]),
            "a",
            "",
            Done("length"),
        ));
    }
    let stop = r#""stop""#;
    cases.extend([
        (
            "a finish on every chunk",
            all(&[&word_with("a", stop), &word_with("b", stop), &word_with("c", stop)]),
            "abc",
            "",
            Done("stop"),
        ),
        ("a finish in mid-answer", all(&[&word("a"), &finish(stop), &word("b"), END]), "ab", "", Done("stop")),
        (
            "a finish on what is thought",
            all(&[
                &data(r#"{"choices":[{"delta":{"reasoning_content":"hm"},"finish_reason":"stop"}]}"#),
                &word("a"),
                &finish(stop),
            ]),
            "a",
            "hm",
            Done("stop"),
        ),
        (
            "another finish later",
            all(&[&word_with("a", stop), &word_with("b", r#""length""#), END]),
            "ab",
            "",
            Done("length"),
        ),
        ("a finish in other letters", all(&[&word("a"), &finish(r#""MAX-TOKENS""#)]), "a", "", Done("length")),
        (
            "a finish before the first word",
            all(&[
                &data(r#"{"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":"stop"}]}"#),
                &word("a"),
                END,
            ]),
            "a",
            "",
            Done("stop"),
        ),
        (
            "with what it was",
            all(&[&word("a"), &finish(r#""content_filter: RECITATION""#)]),
            "a",
            "",
            Done("content_filter"),
        ),
        ("a token's name", all(&[&word("a"), &finish(r#""<|im_end|>""#)]), "a", "", Done("stop")),
        (
            "a finish under another name",
            all(&[
                &word("a"),
                &data(r#"{"choices":[{"delta":{},"finish_reason":null,"finish_details":{"type":"max_tokens"}}]}"#),
            ]),
            "a",
            "",
            Done("length"),
        ),
        (
            "in camel case",
            all(&[&word("a"), &data(r#"{"choices":[{"delta":{},"finishReason":"STOP"}]}"#)]),
            "a",
            "",
            Done("stop"),
        ),
        (
            "beside the text that it ended at",
            all(&[&word("a"), &data(r#"{"choices":[{"delta":{},"finish_reason":"stop","stop_reason":"\n\n"}]}"#)]),
            "a",
            "",
            Done("stop"),
        ),
        ("a finish in an object", all(&[&word("a"), &finish(r#"{"type":"eos_token"}"#)]), "a", "", Done("stop")),
        ("an unknown finish and [DONE]", all(&[&word("a"), &finish(r#""hooray""#), END]), "a", "", Done("other")),
        ("an unknown finish alone", all(&[&word("a"), &finish(r#""hooray""#)]), "a", "", Fails(Code::Truncated)),
    ]);
    check(cases).await;
}

#[tokio::test]
async fn words_that_say_not_finished() {
    let mut cases = Vec::new();
    for (word_of_it, code) in [
        ("abort", Code::Truncated),
        ("cancelled", Code::Truncated),
        ("USER_CANCEL", Code::Truncated),
        ("load", Code::Truncated),
        ("network_error", Code::Truncated),
        ("incomplete", Code::Truncated),
        ("timeout", Code::Truncated),
        ("error", Code::Failed),
        ("ERROR_LIMIT", Code::Failed),
        ("insufficient_system_resource", Code::Failed),
    ] {
        let quoted = format!("\"{word_of_it}\"");
        for end in ["", END] {
            cases.push(("ends what was said", all(&[&word("a"), &finish(&quoted), end]), "a", "", Fails(code)));
            cases.push(("on the last words", all(&[&word_with("a", &quoted), end]), "a", "", Fails(code)));
            cases.push(("before the first word", all(&[&finish(&quoted), end]), "", "", Fails(code)));
        }
        cases.push((
            "may be taken back",
            all(&[&word_with("a", &quoted), &word("b"), &finish("\"stop\"")]),
            "ab",
            "",
            Done("stop"),
        ));
    }
    check(cases).await;
}

#[tokio::test]
async fn nothing_that_may_have_been_words_is_skipped_in_silence() {
    let stop = finish("\"stop\"");
    let mut cases = vec![
        ("[DONE] after nothing", END.to_owned(), "", "", Done("stop")),
        ("an empty answer", all(&[&delta(r#""role":"assistant","content":"""#), END]), "", "", Done("stop")),
        ("nothing", String::new(), "", "", Fails(Code::Truncated)),
        ("comments", ": a\n\n: b\n\n".to_owned(), "", "", Fails(Code::Truncated)),
    ];
    for unread in [
        "half a word",
        r#"{"choices":[{"delta":{"content":"lost"#,
        r#""a text""#,
        r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"lost"}}"#,
        r#"{"type":"response.output_text.delta","delta":"lost"}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":"lost"}]}}]}"#,
        r#"{"message":{"role":"assistant","content":"lost"},"done":false}"#,
        r#"{"token":{"text":"lost"},"generated_text":null}"#,
        r#"{"choices":["lost"]}"#,
        r#"{"choices":"lost"}"#,
        r#"{"choices":[{"delta":{"content":[{"type":"mystery","text":"lost"}]}}]}"#,
        r#"{"choices":[{"delta":{"content":[[[[[[["lost"]]]]]]]}}]}"#,
        r#"{"choices":[{"delta":{"content":{"mystery":"lost"}}}]}"#,
    ] {
        let unread = data(unread);
        for end in [END, &stop] {
            cases.push(("among words", all(&[&word("a"), &unread, &word("b"), end]), "ab", "", Fails(Code::Truncated)));
        }
        cases.push(("and nothing else", all(&[&unread, END]), "", "", Fails(Code::InvalidResponse)));
        cases.push(("and the body's end", unread, "", "", Fails(Code::InvalidResponse)));
    }
    for ignored in [
        "ping",
        "[PING]",
        ": keepalive",
        ": OPENROUTER PROCESSING",
        "keep-alive",
        "null",
        "3",
        "true",
        "{}",
        r#"{"type":"ping"}"#,
        r#"{"id":"x","provider":"y","created":1}"#,
        r#"{"citations":["https://a.example"],"search_results":[{"title":"x"}]}"#,
        r#"{"choices":[],"prompt_filter_results":[{"content_filter_results":{}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[]}}]}"#,
        r#"{"choices":[{"delta":{"content":[{"type":"image_url","image_url":{"url":"x"}}]}}]}"#,
        r#"{"choices":[{"index":1,"delta":{}},{"index":1,"delta":{}}]}"#,
        r#"{"error":null}"#,
        r#"{"error":{},"message":""}"#,
        r#"{"error":{"message":"","type":"","param":null,"code":0}}"#,
        r#"{"error":"None"}"#,
        r#"{"code":0,"msg":"success"}"#,
        r#"{"message":"OK"}"#,
        r#"{"success":true,"message":"keep waiting"}"#,
        r#"{"choices":null,"base_resp":{"status_code":0,"status_msg":""}}"#,
    ] {
        let ignored = data(ignored);
        cases.push(("no words", all(&[&ignored, &word("a"), &ignored, &stop, &ignored, END]), "a", "", Done("stop")));
    }
    for lost in ["chunk: X\n\n", "data X\n\n", "> data: X\n\n"] {
        let lost = lost.replace('X', r#"{"choices":[{"delta":{"content":"lost"}}]}"#);
        cases.push(("a strange line", all(&[&word("a"), &lost, &word("b"), END]), "ab", "", Fails(Code::Truncated)));
    }
    for strange in ["Internal Server Error", "upstream connect error or disconnect\n", "<b>no page</b>\nbut words"] {
        let code = Fails(Code::InvalidResponse);
        cases.push(("no stream at all", strange.to_owned(), "", "", code));
        cases.push(("behind words", all(&[&word("a"), strange]), "a", "", Fails(Code::Truncated)));
    }
    check(cases).await;
}

#[tokio::test]
async fn one_odd_value_never_costs_an_events_words() {
    let mut cases = Vec::new();
    for odd in [
        r#"{"choices":[{"delta":{"content":"lost","content":"a"}}]}"#,
        r#"{"choices":[],"choices":[{"delta":{"role":"x","role":"y","content":"a"},"index":0,"index":0}],"id":1,"id":2}"#,
        r#"{"choices":[{"delta":{},"delta":{"content":"a"},"finish_reason":"stop","finish_reason":null}]}"#,
        r#"{"choices":[{"delta":{"content":[null,"a",null]}}]}"#,
        r#"{"choices":[{"delta":{"content":[null,{"type":"text","text":"a"},3.5]}}]}"#.replace(",3.5", "").as_str(),
        r#"{"choices":[{"delta":{"content":[{"text":"a"}]}}]}"#,
        r#"{"choices":[{"delta":{"content":[{"type":"text","text":{"value":"a"}}]}}]}"#,
        r#"{"choices":[{"delta":{"content":[{"type":"output_text","text":"a","annotations":[]}]}}]}"#,
        r#"{"choices":[{"delta":{"content":{"type":"text","text":"a"}}}]}"#,
        r#"{"choices":[{"delta":{"content":[["a"]]}}]}"#,
        r#"{"choices":[{"delta":"a"}]}"#,
        r#"{"choices":[{"delta":["a"]}]}"#,
        r#"{"choices":[{"delta":[{"type":"text","text":"a"}]}]}"#,
        r#"{"choices":[{"delta":[],"message":{"content":"a"}}]}"#,
        r#"{"choices":[{"delta":{},"message":{"content":"a"}}]}"#,
        r#"{"choices":[{"delta":{"content":""},"message":{"role":"assistant","content":"a"}}]}"#,
        r#"{"choices":[{"delta":null,"message":{"content":"a"}}]}"#,
        r#"{"choices":[{"delta":{"content":null},"text":"a"}]}"#,
        r#"{"choices":[{"text":"a","index":0,"logprobs":null}]}"#,
        r#"{"choices":[{"content":"a","role":"assistant"}]}"#,
        r#"{"choices":[{"delta":{"content":{"content_type":"text","parts":["a"]}}}]}"#,
        r#"{"choices":[{"delta":{"content":[{"type":"TEXT","text":"a"},{"type":"image_url","image_url":{"url":"x"}}]}}]}"#,
        r#"{"choices":[{"delta":{"content":[{"type":"response.output_text","text":"a"}]}}]}"#,
        r#"{"choices":[{"delta":{"content":"a"},"finish_reason":null}],"error":{"code":0,"message":""}}"#,
        r#"{"code":0,"message":"Success","choices":[{"delta":{"content":"a"}}]}"#,
        r#"{"choices":{"delta":{"content":"a"}}}"#,
        r#"{"choices":[null,{"delta":{"content":"a"}}]}"#,
        r#"{"choices":[{"delta":{"content":"a"},"index":null}]}"#,
        r#"{"choices":[{"delta":{"content":"a"},"index":"0"}]}"#,
        r#"{"choices":[{"delta":{"content":"a"},"index":0.0,"logprobs":NaN}]}"#,
        r#"{"choices":[{"delta":{"content":"a"},"index":1}]}"#,
        r#"{"choices":[{"index":0,"delta":{}},{"index":0,"delta":{"content":"a"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"a"}},{"index":1,"delta":{"content":"lost"}}]}"#,
        r#"{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"lost"}}]}"#,
        r#"{"created":1.7e9,"x":1e999,"choices":[{"delta":{"content":"a"},"score":-Infinity}],"y":Infinity}"#,
        r#"{"created":None,"choices":[{"delta":{"content":"a"},}],"ok":True}"#,
        r#"{"object":{"a":1},"type":7,"error":0,"choices":[{"delta":{"content":"a"},"finish_reason":{"x":[]}}]}"#,
        r#"{"usage":{"prompt_tokens":"many"},"choices":[{"delta":{"content":"a","tool_calls":{"x":1}},"token_ids":7}]}"#,
        r#"{"usage":[],"choices":[{"delta":{"content":"a","role":{"x":1}},"finish_reason":null,"name":"\ud800"}],"model":"\udc00"}"#,
        r#"{"choices":[{"delta":{"content":null,"refusal":"a"}}]}"#,
        r#"{"choi\u0063es":[{"del\u0074a":{"content":"\u0061"}}]}"#,
        r#"[{"choices":[{"delta":{"content":"a"}}]}]"#,
        r#""{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}""#,
        r#"data: {"choices":[{"delta":{"content":"a"}}]}"#,
        "\u{1e}{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}",
    ] {
        cases.push(("an odd event", all(&[&data(odd), END]), "a", "", Done("stop")));
        if !odd.contains("message") {
            cases.push(("between others", all(&[&word("("), &data(odd), &word(")"), END]), "(a)", "", Done("stop")));
        }
    }
    cases.extend([
        ("a number in a text's place", all(&[&delta(r#""content":42"#), END]), "42", "", Done("stop")),
        (
            "a line feed in a string",
            all(&["data: {\"choices\":[{\"delta\":{\"content\":\"a\tb\"}}]}\n\n", END]),
            "a\tb",
            "",
            Done("stop"),
        ),
        ("a bad escape", all(&[&word(r"it\'s"), END]), "it's", "", Done("stop")),
        (
            "all of it again in a message",
            all(&[
                &word("a "),
                &word("b"),
                &data(r#"{"choices":[{"delta":{},"message":{"content":"a b c"},"finish_reason":"stop"}]}"#),
            ]),
            "a b c",
            "",
            Done("stop"),
        ),
        (
            "by messages, piece by piece",
            all(&[
                &data(r#"{"choices":[{"message":{"content":"ha"}}]}"#),
                &data(r#"{"choices":[{"message":{"content":"ha"}}]}"#),
                &finish("\"stop\""),
            ]),
            "haha",
            "",
            Done("stop"),
        ),
        (
            "messages that break off",
            all(&[
                &data(r#"{"choices":[{"message":{"content":"a"}}]}"#),
                &data(r#"{"choices":[{"message":{"content":"b"}}]}"#),
            ]),
            "ab",
            "",
            Fails(Code::Truncated),
        ),
    ]);
    check(cases).await;
}

#[tokio::test]
async fn bytes_tell_what_it_is() {
    let chunk = |word: &str| format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"{word}"}}}}]}}"#);
    let stop = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    let message = r#"{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"whole"}}]}"#;
    let finished = message.replace(r#""whole"}"#, r#""whole"},"finish_reason":"length""#);
    let pretty = serde_json::to_string_pretty(&serde_json::from_str::<serde_json::Value>(message).unwrap()).unwrap();
    let (a, b) = (chunk("a"), chunk("b"));
    let error = r#"{"error":{"message":"no","type":"overloaded_error"}}"#;
    let pretty_error = "{\n  \"error\": {\n    \"message\": \"no\",\n    \"code\": 503\n  }\n}\n";
    check(vec![
        ("NDJSON", format!("{a}\n{b}\n{stop}\n"), "ab", "", Done("stop")),
        ("NDJSON without a finish", format!("{a}\n{b}\n"), "ab", "", Fails(Code::Truncated)),
        ("NDJSON by CRLF and [DONE]", format!("{a}\r\n\r\n{b}\r\n[DONE]\r\n"), "ab", "", Done("stop")),
        ("NDJSON without a last line end", format!("\u{feff}{a}\n{stop}"), "a", "", Done("stop")),
        ("documents one after the other", format!("{a}{b}{stop}"), "ab", "", Done("stop")),
        ("one list of all", format!("[{a},\n{b},\n{stop}\n]"), "ab", "", Done("stop")),
        ("a whole document", message.to_owned(), "whole", "", Done("stop")),
        ("a whole document with an end", finished, "whole", "", Done("length")),
        ("a whole document over many lines", format!("\n  {pretty}\n"), "whole", "", Done("stop")),
        ("a whole document and more", format!("{message}\n\n: bye\n"), "whole", "", Done("stop")),
        ("a whole document in an event", data(message), "whole", "", Done("stop")),
        ("half a document", pretty[..pretty.len() - 4].to_owned(), "", "", Fails(Code::Truncated)),
        ("several in one event", format!("data: {a}\ndata: {b}\n\ndata: {stop}\n\n"), "ab", "", Done("stop")),
        ("several, with [DONE]", format!("data: {a}\ndata: {b}\ndata: [DONE]\n\n"), "ab", "", Done("stop")),
        ("several on one line", format!("data: {a}{b}\n\ndata: {stop}\n\n"), "ab", "", Done("stop")),
        (
            "several glued with the field's name",
            format!("data: {a}data: {b}\n\ndata: {stop}\n\n"),
            "ab",
            "",
            Done("stop"),
        ),
        (
            "several, one of which is broken",
            format!("data: {a}\ndata: {{\"choices\":[\n\n{END}"),
            "a",
            "",
            Fails(Code::Truncated),
        ),
        (
            "lines without a field go on",
            "data: {\"choices\":\n[{\"delta\":\n{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n".to_owned(),
            "a",
            "",
            Done("stop"),
        ),
        ("a bare chunk between events", format!("data: {a}\n\n{b}\n\ndata: [DONE]\n\n"), "ab", "", Done("stop")),
        ("a bare chunk right behind one", format!("data: {a}\n{b}\ndata: [DONE]\n\n"), "ab", "", Done("stop")),
        ("a bare error first", error.to_owned(), "", "", Fails(Code::Failed)),
        ("a bare error in the middle", format!("data: {a}\n\n{error}\n\n{END}"), "a", "", Fails(Code::Failed)),
        ("a bare error over many lines", format!("data: {a}\n\n{pretty_error}"), "a", "", Fails(Code::Failed)),
        (
            "a bare error that breaks off",
            format!("data: {a}\n\n{{\"error\": {{\ndata: {b}\n\n{END}"),
            "ab",
            "",
            Fails(Code::Truncated),
        ),
        (
            "event: error",
            format!("data: {a}\n\nevent: error\ndata: {{\"message\":\"no\"}}\n\n"),
            "a",
            "",
            Fails(Code::Failed),
        ),
        (
            "event: error in words",
            "event: error\ndata: Rate limit reached\n\n".to_owned(),
            "",
            "",
            Fails(Code::RateLimited),
        ),
        ("event: error with an answer's shape", format!("event: error\ndata: {a}\n\n"), "", "", Fails(Code::Failed)),
        ("event: message", format!("event: message\ndata: {a}\n\n{END}"), "a", "", Done("stop")),
        ("event: error without data", format!("event: error\n\ndata: {a}\n\n{END}"), "a", "", Done("stop")),
        (
            "error: a line",
            format!("data: {a}\n\nerror: {{\"code\":\"429\",\"message\":\"no\"}}\n\n"),
            "a",
            "",
            Fails(Code::RateLimited),
        ),
        ("error: in words", "error: upstream is overloaded\n".to_owned(), "", "", Fails(Code::Failed)),
        ("an XML page", "\n  <?xml version=\"1.0\"?><Error/>".to_owned(), "", "", Fails(Code::InvalidResponse)),
        ("a page", "<!doctype html><title>Welcome</title>".to_owned(), "", "", Fails(Code::InvalidResponse)),
        (
            "white space before a field",
            format!(" data: {a}\n\n\tdata: {b}\n\ndata: [DONE]\n\n"),
            "ab",
            "",
            Done("stop"),
        ),
        ("a field in other letters", format!("Data: {a}\n\nDATA:{b}\n\ndata: [DONE]\n\n"), "ab", "", Done("stop")),
        ("the end without brackets", format!("data: {a}\n\ndata: DONE\n\n"), "a", "", Done("stop")),
        (
            "event: throttlingException",
            format!("data: {a}\n\nevent: throttlingException\ndata: {{\"message\":\"Too many requests\"}}\n\n"),
            "a",
            "",
            Fails(Code::RateLimited),
        ),
        ("[done]", format!("data: {a}\n\ndata: [done]\n\n"), "a", "", Done("stop")),
        ("\"[DONE]\"", format!("data: {a}\n\ndata: \"[DONE]\"\n\n"), "a", "", Done("stop")),
    ])
    .await;
}
