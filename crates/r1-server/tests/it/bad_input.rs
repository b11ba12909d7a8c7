//! Bad input: one clear error each, and nothing written.

use anyhow::{Context, Result, ensure};
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

use r1_testkit::upstream::{Script, Upstream};

use crate::support::{Setup, expect, expect_problem};

#[tokio::test]
async fn bodies_are_checked_to_the_last_field() -> Result<()> {
    let server = Setup::new()?.start().await?;
    let client = server.user("ada").await?;
    let raw = |body: &'static str| {
        client.request(Method::POST, "/chat/stream").header(header::CONTENT_TYPE, "application/json").body(body).send()
    };
    for path in ["/auth/login", "/auth/register", "/chat", "/chat/stream", "/conversations", "/auth/refresh"] {
        for list in [json!([]), json!(["ada", "correct horse"]), json!(["ada", null, null, null, null, null, false])] {
            let problem = expect_problem(client.post(path, &list).await?, 422, "invalid").await?;
            ensure!(problem["errors"][0]["field"] == "body", "{path}: {problem}");
        }
    }
    for malformed in ["", "{", "nonsense", "{\"message\":\"x\"}}", "\u{0}"] {
        expect_problem(raw(malformed).await?, 400, "malformed").await?;
    }
    let cases = [
        ("[]", "body"),
        ("{}", "message"),
        (r#"{"message":7}"#, "message"),
        (r#"{"message":""}"#, "message"),
        (r#"{"message":"  \n "}"#, "message"),
        (r#"{"message":"x","surprise":1}"#, "surprise"),
        (r#"{"message":"x","conversation_id":"12"}"#, "conversation_id"),
        (r#"{"message":"x","parent_id":"0198f1c2-7c1e-7d3a-9a5e-3f1b2c4d5e6f"}"#, "parent_id"),
        (r#"{"message":"x","temperature":3}"#, "temperature"),
        (r#"{"message":"x","temperature":"hot"}"#, "temperature"),
        (r#"{"message":"x","max_tokens":0}"#, "max_tokens"),
        (r#"{"message":"x","max_tokens":-1}"#, "max_tokens"),
        (r#"{"message":"x","model":""}"#, "model"),
    ];
    for (body, field) in cases {
        let problem = expect_problem(raw(body).await?, 422, "invalid").await.with_context(|| body.to_owned())?;
        assert_eq!(problem["errors"][0]["field"], field, "{body}: {problem}");
    }
    let text = client.request(Method::POST, "/chat/stream").body("message=x").send().await?;
    expect_problem(text, 415, "unsupported_media_type").await?;
    let list = client.read("/conversations").await?;
    assert_eq!(list["conversations"], json!([]), "no trace of any of them");
    Ok(())
}

#[tokio::test]
async fn long_messages_are_accepted_up_to_the_limit() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|request| Script::text(&request.question().chars().count().to_string()));
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    for length in [100_000, 200_000] {
        let frames = client.ask_to_end(&json!({"message": "ä".repeat(length)})).await?;
        assert_eq!(r1_testkit::sse::text_of(&frames), length.to_string());
    }
    let problem =
        expect_problem(client.post("/chat/stream", &json!({"message": "ä".repeat(200_001)})).await?, 422, "invalid")
            .await?;
    ensure!(problem["errors"][0]["message"].as_str().is_some_and(|m| m.contains("200000")), "{problem}");
    let huge = client.post("/chat/stream", &json!({"message": "x".repeat(2560 * 1024)})).await?;
    expect_problem(huge, 413, "body_too_large").await?;
    Ok(())
}

#[tokio::test]
async fn a_message_may_be_escaped_to_its_last_character() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|request| Script::text(&request.question().chars().count().to_string()));
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    for escaped in [r"\u00fc", r"\ud83d\ude00"] {
        let body = format!(r#"{{"message":"{}"}}"#, escaped.repeat(200_000));
        // Names of media types have no case.
        let request = client.request(Method::POST, "/chat/stream");
        let request = request.header(header::CONTENT_TYPE, "Application/JSON; charset=UTF-8").body(body);
        let frames = crate::support::stream(request.send().await?).await?.collect_to_end().await?;
        assert_eq!(r1_testkit::sse::text_of(&frames), "200000", "{escaped}");
    }
    Ok(())
}

#[tokio::test]
async fn forms_are_small() -> Result<()> {
    let server = Setup::new()?.start().await?;
    let client = server.user("ada").await?;
    let long = "x".repeat(64 * 1024);
    let login = client.post("/auth/login", &json!({"username": "ada", "password": long})).await?;
    expect_problem(login, 413, "body_too_large").await?;
    let id = client.conversation().await?;
    let rename = client.request(Method::PATCH, &format!("/conversations/{id}")).json(&json!({"title": long}));
    expect_problem(rename.send().await?, 413, "body_too_large").await?;
    Ok(())
}

#[tokio::test]
async fn a_foreign_name_gets_nothing() -> Result<()> {
    let server = Setup::new()?.set("SERVER__PUBLIC_URL", "http://chat.example.com").start().await?;
    let client = server.anonymous();
    let form = json!({"username": "eve", "email": "eve@example.com", "password": "correct horse"});
    // A page whose name was made to lead here: to its browser this is its own server.
    let register = client.request(Method::POST, "/auth/register").header(header::HOST, "evil.example:3000");
    let register = register.header("sec-fetch-site", "same-origin").json(&form).send().await?;
    expect_problem(register, 421, "unknown_host").await?;
    expect(client.post("/auth/register", &form).await?, StatusCode::CREATED).await.context("no trace of it")?;

    let ask = async |url: String, host: &str| {
        let request = reqwest::Client::builder().no_proxy().build()?.get(url).header(header::HOST, host);
        anyhow::Ok(request.send().await?)
    };
    for base in [&server.api, &server.web] {
        for path in ["/", "/index.html", "/c/1", "/api/docs", "/api/openapi.json", "/api/v1/health", "/api/nowhere"] {
            let refused = ask(format!("{base}{path}"), "evil.example").await?;
            expect_problem(refused, 421, "unknown_host").await.with_context(|| path.to_owned())?;
        }
        for own in ["localhost", "LOCALHOST:3000", "127.0.0.1:1", "[::1]:3000", "chat.example.com"] {
            let answered = ask(format!("{base}/api/v1/health"), own).await?;
            assert_eq!(answered.status(), StatusCode::OK, "{own}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_request_names_its_host_once() -> Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = Setup::new()?.start().await?;
    let address = server.api.trim_start_matches("http://").to_owned();
    let ask = async |head: &str| {
        let mut socket = tokio::net::TcpStream::connect(&address).await?;
        socket.write_all(format!("GET /api/v1/health {head}\r\nConnection: close\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    for head in ["HTTP/1.1", "HTTP/1.1\r\nHost: localhost\r\nHost: localhost", "HTTP/1.1\r\nHost: a b"] {
        let answer = ask(head).await?;
        ensure!(answer.starts_with("HTTP/1.1 400 ") && answer.contains(r#""code":"malformed""#), "{head}: {answer}");
    }
    // As health checks of old ask; no browser does.
    let answer = ask("HTTP/1.0").await?;
    ensure!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_repeat_at_the_limit_is_known_by_its_key() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|_| Script::new().role().chunk("x").wait_for("go").ending());
    let server = Setup::with_upstream(&upstream)?
        .set("LIMITS__ENABLED", "true")
        .set("LIMITS__ATTACHES_PER_USER", "1")
        .set("LIMITS__REQUESTS_PER_MINUTE", "1000000")
        .start()
        .await?;
    let client = server.user("ada").await?;
    let ask = |key: &str, message: &str| {
        let request = client.request(Method::POST, "/chat/stream").header("idempotency-key", key);
        request.json(&json!({"message": message})).send()
    };
    let mut first = crate::support::stream(ask("k-1", "hello").await?).await?;
    let start = first.next_frame().await?.context("start")?;

    // The one stream that may be followed is taken, and the one place that repeats have: the next repeat
    // is told what it started.
    let second = crate::support::stream(ask("k-1", "hello").await?).await?;
    let repeat = ask("k-1", "hello").await?;
    ensure!(repeat.headers().contains_key(header::RETRY_AFTER));
    let problem = expect_problem(repeat, 429, "too_many_streams").await?;
    assert_eq!(problem["generation_id"], start.data["generation_id"]);
    expect_problem(ask("k-1", "another").await?, 422, "idempotency_key_reused").await?;
    // What is new is refused without a trace.
    let problem = expect_problem(ask("k-2", "hello").await?, 429, "too_many_streams").await?;
    assert!(problem["generation_id"].is_null(), "{problem}");
    let list = client.read("/conversations").await?;
    assert_eq!((list["conversations"].as_array().context("list")?.len(), upstream.requests().len()), (1, 1));

    // The repeat is answered once there is room again.
    drop((first, second));
    upstream.open("go");
    let repeat = loop {
        let response = ask("k-1", "hello").await?;
        if response.status() == StatusCode::OK {
            break crate::support::stream(response).await?;
        }
        expect_problem(response, 429, "too_many_streams").await?;
    };
    assert_eq!(repeat.collect_to_end().await?[0].data, start.data);
    Ok(())
}

#[tokio::test]
async fn unknown_things_are_not_found() -> Result<()> {
    let server = Setup::new()?.start().await?;
    let client = server.user("ada").await?;
    let unknown = "0198f1c2-7c1e-7d3a-9a5e-3f1b2c4d5e6f";
    for path in [
        format!("/conversations/{unknown}"),
        "/conversations/12".to_owned(),
        format!("/conversations/{unknown}/messages"),
        format!("/chat/stream?generation_id={unknown}"),
        format!("/chat/stream?conversation_id={unknown}"),
    ] {
        expect_problem(client.get(&path).await?, 404, "not_found").await?;
    }
    expect_problem(client.get("/nowhere").await?, 404, "no_such_route").await?;
    let method = client.request(Method::PUT, "/conversations").send().await?;
    expect_problem(method, 405, "method_not_allowed").await?;
    let stop = client.post(&format!("/chat/generations/{unknown}/stop"), &Value::Null).await?;
    expect_problem(stop, 404, "not_found").await?;
    Ok(())
}

#[tokio::test]
async fn two_sends_at_once_into_one_conversation() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().role().chunk("first").wait_for("go").ending());
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let id = client.conversation().await?;
    let ask = json!({"message": "hello", "conversation_id": id});
    let (a, b) = tokio::join!(client.post("/chat/stream", &ask), client.post("/chat/stream", &ask));
    let (accepted, refused) = match (a?, b?) {
        (a, b) if a.status() == StatusCode::OK => (a, b),
        (a, b) => (b, a),
    };
    let problem = expect_problem(refused, 409, "generation_running").await?;
    let mut stream = crate::support::stream(accepted).await?;
    let start = stream.next_frame().await?.context("start")?;
    assert_eq!(problem["generation_id"], start.data["generation_id"]);
    upstream.open("go");
    stream.collect_to_end().await?;
    assert_eq!(client.messages(&id).await?.len(), 2);
    assert_eq!(upstream.requests().len(), 1);
    Ok(())
}

#[tokio::test]
async fn cursors_and_ids_of_a_stream_are_checked() -> Result<()> {
    let server = Setup::new()?.start().await?;
    let client = server.user("ada").await?;
    for query in ["generation_id=x", "conversation_id=x", "after=x", "after=1.2", "after=-1", "what=1"] {
        let response = client.attach(query).await?;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{query}");
    }
    for id in ["x", "1.2", "0198f1c2-7c1e-7d3a-9a5e-3f1b2c4d5e6f:0.0", "\u{ff}"] {
        let response = client.request(Method::GET, "/chat/stream").header("last-event-id", id).send().await?;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{id}");
    }
    Ok(())
}

#[tokio::test]
async fn no_inner_text_leaves_the_server() -> Result<()> {
    let server = Setup::new()?.start().await?;
    let client = server.user("ada").await?;
    // A title that is SQL, a path that climbs, a name that is a script: data, all of them.
    let title = "'); DROP TABLE message; --<script>";
    let made = expect(client.post("/conversations", &json!({"title": title})).await?, StatusCode::CREATED).await?;
    assert_eq!(made["title"], title);
    for path in ["/conversations/..%2f..%2fetc%2fpasswd", "/conversations/%00", "/conversations/%ff"] {
        assert_eq!(client.get(path).await?.status(), StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(client.read("/conversations").await?["conversations"][0]["title"], title);
    Ok(())
}
