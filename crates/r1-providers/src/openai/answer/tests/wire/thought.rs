//! What is thought, wherever it stands.

use super::*;

#[tokio::test]
async fn what_is_thought_is_no_part_of_the_answer() {
    let mut cases = Vec::new();
    for thought in [
        r#""reasoning_content":"hm""#,
        r#""reasoning":"hm""#,
        r#""thinking":"hm""#,
        r#""content":null,"reasoning_content":"hm","reasoning":"hm""#,
        r#""reasoning":{"content":"hm"}"#,
        r#""reasoning_details":[{"type":"reasoning.text","text":"hm","index":0}]"#,
        r#""reasoning":"hm","reasoning_details":[{"type":"reasoning.text","text":"hm"},{"type":"reasoning.encrypted","data":"x"}]"#,
        r#""reasoning_details":[{"type":"reasoning.summary","summary":"hm"}]"#,
        r#""content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]"#,
        r#""content":[{"type":"thinking","thinking":"hm"}]"#,
        r#""content":[{"type":"reasoning","text":"hm"}]"#,
        r#""content":"<think>hm</think>""#,
        r#""content":"\n<thinking>hm</thinking>\n""#,
        r#""content":"◁think▷hm◁/think▷""#,
        r#""content":"<think>hm</think></think>""#,
    ] {
        cases.push((
            "in its own events",
            all(&[&delta(thought), &word("a"), &finish("\"stop\"")]),
            "a",
            "hm",
            Done("stop"),
        ));
        cases.push(("and nothing else", all(&[&delta(thought), END]), "", "hm", Done("stop")));
    }
    let tags = "<think>h</think>\n\na</think>b";
    let by_letters: String = tags.chars().map(|c| if c == '\n' { word(r"\n") } else { word(&c.to_string()) }).collect();
    let document =
        |content: &str| format!(r#"{{"choices":[{{"message":{{"content":"{content}"}},"finish_reason":"stop"}}]}}"#);
    cases.extend([
        (
            "by a field and between tags",
            all(&[
                &delta(r#""content":"<think>h","reasoning_content":"h""#),
                &delta(r#""content":" m</think>","reasoning_content":" m""#),
                &word("a"),
                END,
            ]),
            "a",
            "h m",
            Done("stop"),
        ),
        ("tags cut anywhere", all(&[&by_letters, END]), "a</think>b", "h", Done("stop")),
        ("beside words", all(&[&delta(r#""content":"a","reasoning":"hm""#), END]), "a", "hm", Done("stop")),
        ("a tag that is never closed", all(&[&word("<think>hm"), END]), "", "hm", Done("stop")),
        ("in a document", document("<think>hm</think>a"), "a", "hm", Done("stop")),
        ("in a document, by a field", document(r#"a","reasoning_content":"hm"#), "a", "hm", Done("stop")),
        (
            "in a document, in code",
            document(r"Write\n```\n</think>\n```\nthere"),
            "Write\n```\n</think>\n```\nthere",
            "",
            Done("stop"),
        ),
        (
            "in a document, opened in mid-text",
            document(r"So:\n<think>\nx\n</think>\ny"),
            "So:\n<think>\nx\n</think>\ny",
            "",
            Done("stop"),
        ),
        (
            "in a document without the opening tag",
            document(r"hm\n</think>\n\na"),
            "a",
            r"hm
",
            Done("stop"),
        ),
    ]);
    check(cases).await;
}
