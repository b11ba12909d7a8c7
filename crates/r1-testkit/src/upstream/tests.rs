use futures::StreamExt;
use serde_json::json;

use super::*;

async fn ask(upstream: &Upstream, question: &str) -> reqwest::Response {
    let body = json!({"model": "echo", "messages": [{"role": "user", "content": question}], "stream": true});
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(format!("{}/chat/completions", upstream.base_url()));
    request.header("authorization", "Bearer sk-test").json(&body).send().await.unwrap()
}

fn text_of(body: &str) -> String {
    let payloads = body.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    payloads
        .map(|data| serde_json::from_str::<Value>(data).unwrap())
        .filter_map(|data| data["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn it_echoes_and_records() {
    let upstream = Upstream::start().await.unwrap();
    let response = ask(&upstream, "how are you").await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let body = response.text().await.unwrap();
    assert_eq!(text_of(&body), "You said: how are you");
    assert!(body.ends_with("data: [DONE]\n\n") && body.contains(r#""completion_tokens":5"#), "{body}");
    let request = upstream.last_request().unwrap();
    assert_eq!((request.bearer(), request.question()), (Some("sk-test"), "how are you"));
    assert_eq!(upstream.counters().requests, 1);
    upstream.shut_down().await;
    assert_eq!(upstream.connections_open(), 0);
}

#[tokio::test]
async fn scripts_are_used_in_order_and_wait_at_gates() {
    let upstream = Upstream::start().await.unwrap();
    upstream.push(Script::new().chunk("one").wait_for("go").chunk("two").ending());
    upstream.push(Script::rate_limited("7"));
    upstream.require_key("sk-test");
    let mut body = ask(&upstream, "x").await.bytes_stream();
    let mut text = String::from_utf8(body.next().await.unwrap().unwrap().to_vec()).unwrap();
    upstream.wait_reached("go", 1).await.unwrap();
    assert_eq!(text_of(&text), "one");
    upstream.open("go");
    while let Some(more) = body.next().await {
        text.push_str(std::str::from_utf8(&more.unwrap()).unwrap());
    }
    assert_eq!(text_of(&text), "onetwo");
    let refused = ask(&upstream, "x").await;
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()), (429, "7"));
    upstream.require_key("sk-other");
    assert_eq!(ask(&upstream, "x").await.status().as_u16(), 401);
}

#[tokio::test]
async fn ends_are_told_apart() {
    let upstream = Upstream::start().await.unwrap();
    upstream.push(Script::new().chunk("a"));
    upstream.push(Script::new().chunk("a").cut());
    upstream.push(Script::new().chunk("a").reset());
    assert!(ask(&upstream, "x").await.text().await.is_ok());
    for _ in 0..2 {
        ask(&upstream, "x").await.text().await.unwrap_err();
    }
    upstream.wait_closed(3).await.unwrap();
    assert_eq!(upstream.counters().answers_abandoned, 0);
}

#[tokio::test]
async fn a_reader_that_leaves_is_noticed() {
    let upstream = Upstream::start().await.unwrap();
    upstream.push(Script::new().chunk("a").hang());
    let mut body = ask(&upstream, "x").await.bytes_stream();
    body.next().await.unwrap().unwrap();
    assert_eq!(upstream.counters().connections_closed, 0);
    drop(body);
    upstream.wait_closed(1).await.unwrap();
    assert_eq!(upstream.counters().answers_abandoned, 1);
}

#[tokio::test]
async fn paced_chunks_carry_index_and_time() {
    let upstream = Upstream::start().await.unwrap();
    upstream.pace(20, Duration::from_millis(10));
    let marks: Vec<_> = paced_marks(&text_of(&ask(&upstream, "x").await.text().await.unwrap())).collect();
    assert!(marks.iter().map(|mark| mark.index).eq(0..20));
    assert!(marks[19].sent_at - marks[0].sent_at >= 100_000, "{marks:?}");
}

#[tokio::test]
async fn a_flood_is_sent_whole() {
    let upstream = Upstream::start().await.unwrap();
    upstream.push(Script::new().then(Step::Flood { byte: b'x', length: 1_000_001 }));
    assert_eq!(ask(&upstream, "x").await.bytes().await.unwrap().len(), 1_000_001);
}
