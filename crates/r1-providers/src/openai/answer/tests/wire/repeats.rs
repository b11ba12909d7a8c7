//! A message behind the deltas that says it all again, as MiniMax and Perplexity send one.

use super::*;

fn message(fields: &str) -> String {
    data(&format!(r#"{{"choices":[{{"message":{{{fields}}},"finish_reason":"stop"}}],"object":"chat.completion"}}"#))
}

#[tokio::test]
async fn what_is_repeated_is_said_once() {
    let thinks = delta(r#""reasoning_content":"h""#) + &delta(r#""reasoning_content":" m""#);
    let tags = word("<think>h m</think>") + &word(r"\na") + &word(" b");
    let fields = thinks.clone() + &word("a") + &word(" b");
    let text = r#""content":"a b""#;
    let both = r#""content":"a b","reasoning_content":"h m""#;
    check(vec![
        ("the text", all(&[&word("a"), &word(" b"), &message(text)]), "a b", "", Done("stop")),
        (
            "without white space in front",
            all(&[&word(r"\n a"), &word(" b"), &message(text)]),
            "\n a b",
            "",
            Done("stop"),
        ),
        ("without white space behind", all(&[&word("a b"), &word(r" \n"), &message(text)]), "a b \n", "", Done("stop")),
        ("with more behind it", all(&[&word("a "), &message(r#""content":"a b c""#)]), "a b c", "", Done("stop")),
        ("what was thought too", all(&[&fields, &message(both)]), "a b", "h m", Done("stop")),
        (
            "what was thought alone",
            all(&[&thinks, &message(r#""content":"","reasoning_content":"h m""#)]),
            "",
            "h m",
            Done("stop"),
        ),
        ("what was thought between tags", all(&[&tags, &message(both)]), "a b", "h m", Done("stop")),
        (
            "with the tags again",
            all(&[&tags, &message(r#""content":"<think>h m</think>\na b""#)]),
            "a b",
            "h m",
            Done("stop"),
        ),
        ("another text", all(&[&word("a"), &message(r#""content":"b""#)]), "ab", "", Done("stop")),
        (
            "beside each delta",
            all(&[
                &data(r#"{"choices":[{"delta":{"content":"a"},"message":{"content":"a"}}]}"#),
                &data(r#"{"choices":[{"delta":{"content":" b"},"message":{"content":"a b"}}]}"#),
                &message(text),
            ]),
            "a b",
            "",
            Done("stop"),
        ),
    ])
    .await;
}
