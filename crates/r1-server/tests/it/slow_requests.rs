//! Requests that come slowly, oddly or in masses: each gets its answer or its end, and its place is free again.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::{join, try_join_all};
use r1_testkit::{
    sse::{Reader, text_of},
    upstream::{Script, Upstream},
};
use reqwest::StatusCode;
use serde_json::json;

use crate::{
    metrics::Metrics,
    raw::{Raw, get, head, header, post},
    support::{PATIENCE, Setup, expect_problem},
};

/// Between two bytes of a client that takes its time.
const SLOWLY: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_request_that_does_not_come_is_not_waited_for() -> Result<()> {
    let setup = Setup::new()?.set("SERVER__REQUEST_TIMEOUT", "1s").with_metrics();
    let server = setup.start().await?;
    let metrics = Metrics::of(&server)?;
    let client = server.user("ada").await?;
    // Nothing at all.
    let mut idle = try_join_all((0..300).map(|_| Raw::connect(&server))).await?;
    for raw in &mut idle {
        assert_eq!(raw.read_to_close().await?, b"");
    }
    // A header, byte by byte: each of them is in time, the whole is not.
    let mut raw = Raw::connect(&server).await?;
    raw.trickle(&[b'x'; 10_000], SLOWLY).await;
    assert_eq!(raw.read_to_close().await?, b"", "half a header gets no answer");
    // A body.
    for path in ["/chat/stream", "/auth/login", "/conversations"] {
        let request = post(path, &client, &json!({"message": "x".repeat(10_000)}));
        let body = request.find("{").context("a body")?;
        let mut raw = Raw::connect(&server).await?;
        raw.send(&request[..body]).await?;
        raw.trickle(&request.as_bytes()[body..body + 10_000], SLOWLY).await;
        let answer = String::from_utf8(raw.read_to_close().await?)?;
        ensure!(answer.starts_with("HTTP/1.1 408 ") && answer.contains(r#""code":"request_timeout""#), "{answer}");
    }
    // After an answer.
    let mut raw = Raw::connect(&server).await?;
    raw.send(get("/health/live", &client)).await?;
    ensure!(raw.read_answer().await?.starts_with("HTTP/1.1 204 "));
    assert_eq!(raw.read_to_close().await?, b"");
    metrics.wait("an idle server", |now| now.connections == 0).await?;
    Ok(())
}

#[tokio::test]
async fn a_header_has_a_size() -> Result<()> {
    let server = Setup::new()?.start().await?;
    let client = server.anonymous();
    let mut raw = Raw::connect(&server).await?;
    let request = head("GET", "/health", &client) + &format!("x-large: {}\r\n\r\n", "x".repeat(1 << 20));
    // It is refused before it has come.
    let _ = raw.send(request).await;
    let answer = String::from_utf8(raw.read_to_close().await?)?;
    ensure!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");

    let mut raw = Raw::connect(&server).await?;
    let _ = raw.send(head("GET", "/health", &client) + &format!("x-large: {}\r\n\r\n", "x".repeat(140_000))).await;
    raw.read_until("HTTP/1.1 431 ").await?;
    let mut raw = Raw::connect(&server).await?;
    raw.send(head("GET", "/health", &client) + &"x-many: x\r\n".repeat(200) + "\r\n").await?;
    raw.read_until("HTTP/1.1 431 ").await?;
    let mut raw = Raw::connect(&server).await?;
    raw.send(head("GET", "/health/live", &client) + &format!("x-large: {}\r\n\r\n", "x".repeat(30_000))).await?;
    raw.read_until("HTTP/1.1 204 ").await?;
    Ok(())
}

#[tokio::test]
async fn thousands_of_requests_over_one_connection() -> Result<()> {
    let server = Setup::new()?.start().await?;
    let client = server.anonymous();
    let mut raw = Raw::connect(&server).await?;
    // Those in a row are answered in their order.
    raw.send(get("/health/live", &client) + &get("/nothing", &client) + &get("/health/ready", &client)).await?;
    for status in ["204", "404", "204"] {
        let answer = raw.read_answer().await?;
        ensure!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    for _ in 0..20 {
        raw.send(get("/health/live", &client).repeat(100)).await?;
        for _ in 0..100 {
            ensure!(raw.read_answer().await?.starts_with("HTTP/1.1 204 "));
        }
    }
    Ok(())
}

#[tokio::test]
async fn who_asks_and_never_reads_is_closed() -> Result<()> {
    let server = Setup::new()?.set("STREAM__WRITE_TIMEOUT", "1s").with_metrics().start().await?;
    let metrics = Metrics::of(&server)?;
    let before = metrics.read().await?;
    let client = server.anonymous();
    let mut raw = Raw::connect_small(&server).await?;
    let requests = get("/health/live", &client).repeat(1000);
    // Its requests are not read on and on: there comes a moment at which it can send no more.
    let flood = async { while raw.send(&requests).await.is_ok() {} };
    tokio::time::timeout(PATIENCE * 2, flood).await.context("its requests are taken for ever")?;
    let after = metrics.wait("an idle server", |now| now.connections == 0).await?;
    ensure!(after.memory < before.memory + (16 << 20), "{before:?} {after:?}");
    Ok(())
}

#[tokio::test]
async fn a_stream_over_http_1_0_ends_with_its_connection() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::text("one two"));
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let mut raw = Raw::connect(&server).await?;
    raw.send(post("/chat/stream", &client, &json!({"message": "go"})).replace("HTTP/1.1", "HTTP/1.0")).await?;
    let head = raw.read_until("\r\n\r\n").await?;
    ensure!(head.starts_with("HTTP/1.0 200 ") && header(&head, "transfer-encoding").is_none(), "{head}");
    let body = axum::body::Bytes::from(raw.read_to_close().await?);
    let body = futures::stream::iter([anyhow::Ok(body)]);
    assert_eq!(text_of(&Reader::new(body).collect_to_end().await?), "one two");
    Ok(())
}

#[tokio::test]
async fn connection_close_closes() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::text("one two"));
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let close = |request: String| request.replace("host:", "connection: close\r\nhost:");
    for request in [get("/health", &client), post("/chat/stream", &client, &json!({"message": "go"}))] {
        let mut raw = Raw::connect(&server).await?;
        raw.send(close(request)).await?;
        let answer = String::from_utf8(raw.read_to_close().await?)?;
        ensure!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_eq!(header(&answer, "connection"), Some("close"));
    }
    Ok(())
}

#[tokio::test]
async fn a_small_body_that_nobody_reads_costs_no_connection() -> Result<()> {
    let server = Setup::new()?.start().await?;
    let (client, stranger) = (server.user("ada").await?, server.anonymous());
    let no_generation = "/chat/generations/0190f5c2-7c00-7000-8000-000000000000/stop";
    let requests = [
        (no_generation, &client, json!({}), "404"),
        ("/chat/stream", &stranger, json!({"message": "x".repeat(10_000)}), "401"),
        ("/nothing", &client, json!([1, 2]), "404"),
        ("/health", &client, json!("post"), "405"),
    ];
    let mut raw = Raw::connect(&server).await?;
    for (path, client, body, status) in &requests {
        let request = post(path, client, body);
        let (head, body) = request.split_once("\r\n\r\n").context("a body")?;
        // In one piece, with the body in a packet of its own, and in pieces.
        let (begin, end) = body.split_at(1);
        for pieces in [vec![request.as_str()], vec![head, "\r\n\r\n", body], vec![head, "\r\n\r\n", begin, end]] {
            for piece in pieces {
                raw.send(piece).await?;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let answer = raw.read_answer().await?;
            ensure!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
            assert_eq!(header(&answer, "connection"), None, "{path}");
        }
    }
    // One that does not come is not waited for, and one that is long is not read: the client is told so.
    for (sent, length) in [("{", 10_000), ("{", 100_000_000)] {
        let mut raw = Raw::connect(&server).await?;
        let head =
            post(no_generation, &client, &json!({})).replace("content-length: 2", &format!("content-length: {length}"));
        raw.send(head.replace("{}", sent)).await?;
        let answer = raw.read_answer().await?;
        ensure!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
        assert_eq!(header(&answer, "connection"), Some("close"));
    }
    Ok(())
}

#[tokio::test]
async fn a_body_is_asked_for_when_it_is_wanted() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::text("one two"));
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let request =
        post("/chat/stream", &client, &json!({"message": "go"})).replace("host:", "expect: 100-continue\r\nhost:");
    let (head, body) = request.split_once("\r\n\r\n").context("a body")?;
    let mut raw = Raw::connect(&server).await?;
    raw.send(format!("{head}\r\n\r\n")).await?;
    raw.read_until("HTTP/1.1 100 Continue\r\n\r\n").await?;
    raw.send(body).await?;
    ensure!(raw.read_until("\r\n\r\n").await?.starts_with("HTTP/1.1 200 "));
    raw.read_until(r#""type": "end""#).await?;
    // Nobody's body is not.
    let stranger = head.replace("Bearer ", "Bearer x");
    let mut raw = Raw::connect(&server).await?;
    raw.send(format!("{stranger}\r\n\r\n")).await?;
    ensure!(raw.read_until("\r\n\r\n").await?.starts_with("HTTP/1.1 401 "));
    Ok(())
}

#[tokio::test]
async fn absurd_cursors_are_refused_or_get_the_whole_answer() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::text("one two"));
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let frames = client.ask_to_end(&json!({"message": "go"})).await?;
    let id = frames[0].data["generation_id"].as_str().context("an id")?;
    let most = u64::MAX;
    let refused = [
        "-1",
        "0.1",
        "1",
        "1.",
        ".1",
        "1.-1",
        "1.1.1",
        "1.0x2",
        "1 1",
        "NaN",
        "%00",
        "1.18446744073709551616",
        "4294967296.1",
        "1e9.1",
    ];
    for after in refused {
        let response = client.attach(&format!("generation_id={id}&after={after}")).await?;
        expect_problem(response, 400, "bad_parameter").await.with_context(|| after.to_owned())?;
    }
    for last in
        [id.to_owned(), format!("{id}:"), format!("{id}:1"), "x:1.1".into(), "9".repeat(30_000), "\u{7f}".into()]
    {
        let mut raw = Raw::connect(&server).await?;
        raw.send(head("GET", "/chat/stream", &client) + &format!("last-event-id: {last}\r\n\r\n")).await?;
        let answer = raw.read_until("\r\n\r\n").await?;
        ensure!(answer.starts_with("HTTP/1.1 400 "), "{last:.60}: {answer}");
    }
    for cursor in [format!("1.{most}"), format!("{}.1", u32::MAX), "1.99999".into()] {
        let whole = client.attach(&format!("generation_id={id}&after={cursor}")).await?;
        let whole = Reader::from_response(whole)?.collect_to_end().await.with_context(|| cursor)?;
        ensure!(whole == frames, "not the whole answer");
    }
    Ok(())
}

#[tokio::test]
async fn a_user_follows_so_many_streams() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|_| Script::new().role().wait_for("go").ending());
    let setup = Setup::with_upstream(&upstream)?.with_metrics();
    let setup = setup.set("LIMITS__ENABLED", "true").set("LIMITS__ATTACHES_PER_USER", "5");
    let server = setup.start().await?;
    let metrics = Metrics::of(&server)?;
    let client = server.user("ada").await?;
    let mut following = vec![client.post("/chat/stream", &json!({"message": "go"})).await?];
    for _ in 0..4 {
        following.push(client.get("/chat/stream").await?);
    }
    let (sent, attached) =
        join(client.post("/chat/stream", &json!({"message": "go"})), client.get("/chat/stream")).await;
    expect_problem(sent?, 429, "too_many_streams").await?;
    let (status, body) = {
        let attached = attached?;
        (attached.status(), attached.text().await?)
    };
    assert_eq!((status, body.as_str()), (StatusCode::OK, "retry: 5000\n\n"));
    metrics.wait("five readers", |now| now.readers == 5).await?;
    // Somebody else has places of their own; one that is left is free.
    server.user("bob").await?.post("/chat/stream", &json!({"message": "go"})).await?.error_for_status()?;
    following.truncate(4);
    metrics.wait("one reader less", |now| now.readers == 4).await?;
    let again = client.post("/chat/stream", &json!({"message": "go"})).await?;
    assert_eq!(again.status(), StatusCode::OK);
    upstream.open("go");
    Ok(())
}
