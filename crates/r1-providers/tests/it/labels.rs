//! The first bytes tell what an answer is, whatever its label says.

use r1_domain::provider::ProviderErrorCode as Code;
use r1_testkit::upstream::Script;
use serde_json::json;

use crate::support::{code, finish, play};

const LABELS: [Option<&str>; 7] = [
    None,
    Some("text/event-stream; charset=utf-8"),
    Some("application/json"),
    Some("text/plain"),
    Some("application/octet-stream"),
    Some("application/x-ndjson"),
    Some("nonsense"),
];

fn labelled(label: Option<&str>, body: &str) -> Script {
    let mut script = Script::new().raw(body.to_owned());
    match label {
        None => drop(script.headers.remove("content-type")),
        Some(label) => script = script.header("content-type", label),
    }
    script
}

#[tokio::test]
async fn every_form_is_read_under_every_label() {
    let chunk = json!({"choices": [{"index": 0, "delta": {"content": "a"}}]});
    let stop = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    let whole = json!({"object": "chat.completion", "choices": [{"message": {"role": "assistant", "content": "a"}}]});
    let forms = [
        format!("data: {chunk}\n\ndata: {stop}\n\ndata: [DONE]\n\n"),
        format!(": hello\r\n\r\ndata: {chunk}\r\n\r\ndata: [DONE]\r\n\r\n"),
        format!("{chunk}\n{stop}\n"),
        whole.to_string(),
        serde_json::to_string_pretty(&whole).unwrap(),
    ];
    for label in LABELS {
        for form in &forms {
            let (text, last) = play(labelled(label, form)).await;
            assert_eq!((text.as_str(), finish(&last)), ("a", "stop"), "{label:?}: {form}");
        }
    }
}

#[tokio::test]
async fn errors_are_errors_under_every_label() {
    let error = json!({"error": {"message": "upstream says no", "type": "overloaded_error"}});
    for label in LABELS {
        for form in [error.to_string(), format!("data: {error}\n\n"), format!("event: error\ndata: {error}\n\n")] {
            assert_eq!(code(&play(labelled(label, &form)).await.1), (Code::Failed, true), "{label:?}: {form}");
        }
        let page = play(labelled(label, "\n<!doctype html><p>upstream says hello</p>")).await;
        assert_eq!(code(&page.1), (Code::InvalidResponse, false), "{label:?}");
        let words = play(labelled(label, "upstream says hello")).await;
        assert_eq!(code(&words.1), (Code::InvalidResponse, false), "{label:?}");
    }
    // What calls itself a page is one.
    for label in ["text/html", "Text/HTML; charset=utf-8", "application/xhtml+xml"] {
        let page = play(labelled(Some(label), "data: [DONE]\n\n")).await;
        assert_eq!(code(&page.1), (Code::InvalidResponse, false), "{label}");
    }
}

#[tokio::test]
async fn a_document_that_can_be_read_is_not_truncated() {
    let whole = json!({"choices": [{"message": {"role": "assistant", "content": "a"}}]}).to_string();
    let length = (whole.len() + 100).to_string();
    let short = Script::new().header("content-type", "application/json").header("content-length", &length);
    for script in [
        labelled(Some("application/json"), &whole).cut(),
        labelled(Some("application/json"), &whole).reset(),
        short.raw(whole.clone()).cut(),
    ] {
        let (text, last) = play(script).await;
        assert_eq!((text.as_str(), finish(&last)), ("a", "stop"));
    }
}
