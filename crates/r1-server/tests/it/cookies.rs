//! The page's cookie among others: whatever else a browser keeps for this host, the page is not locked out.

use anyhow::{Context, Result, ensure};
use reqwest::{Method, StatusCode, header as http};
use serde_json::json;

use crate::{
    raw::{Raw, header},
    support::{Server, Setup, expect},
};

/// The page of somebody who has signed in: `name=value`.
async fn page(server: &Server, name: &str) -> Result<String> {
    let login = json!({"username": name, "password": "correct horse", "session": "cookie"});
    let request = server.anonymous().request(Method::POST, "/auth/login");
    let response = request.header("sec-fetch-site", "same-origin").json(&login).send().await?;
    let cookie = response.headers()[http::SET_COOKIE].to_str()?.to_owned();
    expect(response, StatusCode::OK).await?;
    Ok(cookie.split(';').next().context("name=value")?.to_owned())
}

/// A request of the page with these header lines; gives back the answer's head and body.
async fn send(server: &Server, method: &str, path: &str, lines: &[&[u8]]) -> Result<String> {
    let mut bytes = format!("{method} /api/v1{path} HTTP/1.1\r\nhost: localhost\r\nsec-fetch-site: same-origin\r\n");
    if method != "GET" {
        bytes += "content-type: application/json\r\ncontent-length: 2\r\n";
    }
    let mut bytes = bytes.into_bytes();
    for line in lines {
        bytes.extend_from_slice(line);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(if method == "GET" { b"\r\n" } else { b"\r\n{}" });
    let mut raw = Raw::connect(server).await?;
    raw.send(bytes).await?;
    raw.read_answer().await
}

fn line(parts: &[&[u8]]) -> Vec<u8> {
    [b"cookie: ", parts.concat().as_slice()].concat()
}

#[tokio::test]
async fn other_cookies_do_not_lock_the_page_out() -> Result<()> {
    let server = Setup::new()?.start().await?;
    server.user("ada").await?;
    let own = page(&server, "ada").await?;
    let name = own.split('=').next().context("a name")?;
    let stale = format!("{name}={}", "x".repeat(43));
    let (empty, short, quoted) = (format!("{name}="), format!("{name}=old"), format!("{name}=\"\""));
    let odd = [name.as_bytes(), b"=\xfc\xfe"].concat();
    let own = own.as_bytes();
    let others: [&[u8]; 18] = [
        b"theme=dark",
        b"name=J\xfcrgen",
        b"\xff\xfe\x80=\xc0",
        b"city=M\xc3\xbcnchen",
        b"noequals",
        b"=value",
        b"=",
        b"",
        b";;",
        b"json={\"a\":\"b; c\",\"d\":[1]}",
        b"q=\"unclosed",
        b"tab=a\tb",
        b"$Version=1; $Path=/",
        stale.as_bytes(),
        empty.as_bytes(),
        short.as_bytes(),
        quoted.as_bytes(),
        &odd,
    ];
    let mut headers: Vec<Vec<Vec<u8>>> = Vec::new();
    for other in others {
        headers.push(vec![line(&[other, b"; ", own])]);
        headers.push(vec![line(&[own, b"; ", other])]);
        headers.push(vec![line(&[other]), line(&[own])]);
        headers.push(vec![line(&[own]), line(&[other])]);
    }
    headers.push(vec![line(&[&others.join(&b"; "[..]), b";", own, b";"])]);
    headers.push(others.iter().map(|other| line(&[other])).chain([line(&[own])]).collect());
    headers.push(vec![line(&[b"  ", own, b"  "])]);
    let (own_name, value) = own.split_at(name.len() + 1);
    headers.push(vec![line(&[own_name, b"\"", value, b"\""])]);
    // A proxy's own credentials are not for this server.
    headers.push(vec![b"authorization: Basic cHJveHk6c2VjcmV0".to_vec(), line(&[own])]);
    headers.push(vec![b"authorization: \xff\xff".to_vec(), line(&[own])]);
    for lines in headers {
        let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
        for (method, path, status) in [("GET", "/auth/me", "200"), ("POST", "/conversations", "201")] {
            let answer = send(&server, method, path, &lines).await?;
            let shown: Vec<_> = lines.iter().map(|line| line.escape_ascii().to_string()).collect();
            ensure!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{method} {shown:?}: {answer}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_is_not_ours_opens_nothing() -> Result<()> {
    let server = Setup::new()?.start().await?;
    server.user("ada").await?;
    let own = page(&server, "ada").await?;
    let (name, value) = own.split_once('=').context("name=value")?;
    for (cookie, code) in [
        (format!("{name}={}", "x".repeat(43)), "session_ended"),
        (format!("{name}=old; {name}=\"\""), "session_ended"),
        (format!("x{name}={value}"), "unauthenticated"),
        (format!("{}={value}", name.to_uppercase()), "unauthenticated"),
        (format!("__Host-{name}={value}"), "unauthenticated"),
        (format!("other=\"{name}={value}\""), "unauthenticated"),
        (name.to_owned(), "unauthenticated"),
        (format!("{name}={value}x"), "session_ended"),
        (format!("{name}=\"{value}"), "session_ended"),
    ] {
        let answer = send(&server, "GET", "/auth/me", &[&line(&[cookie.as_bytes()])]).await?;
        ensure!(answer.starts_with("HTTP/1.1 401") && answer.contains(code), "{cookie}: {answer}");
    }
    // More than are looked at: bounded, and said.
    let many: Vec<String> = (0..50).map(|number| format!("{name}={number:043}")).collect();
    let all = line(&[many.join("; ").as_bytes(), b"; ", own.as_bytes()]);
    let answer = send(&server, "GET", "/auth/me", &[&all]).await?;
    ensure!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    let few = line(&[many[..7].join("; ").as_bytes(), b"; ", own.as_bytes()]);
    ensure!(send(&server, "GET", "/auth/me", &[&few]).await?.starts_with("HTTP/1.1 200"));
    Ok(())
}

#[tokio::test]
async fn signing_out_ends_every_session_that_the_browser_has() -> Result<()> {
    let server = Setup::new()?.start().await?;
    let api = server.user("ada").await?;
    let (first, second, elsewhere) =
        (page(&server, "ada").await?, page(&server, "ada").await?, page(&server, "ada").await?);
    let name = first.split('=').next().context("a name")?;
    let stale = format!("{name}={}", "x".repeat(43));
    let lines = [line(&[stale.as_bytes(), b"; j=\xfc; ", first.as_bytes()]), line(&[second.as_bytes()])];
    let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
    let out = send(&server, "POST", "/auth/logout", &lines).await?;
    ensure!(out.starts_with("HTTP/1.1 204"), "{out}");
    let taken_back = header(&out, "set-cookie").context("the cookie is taken back")?;
    ensure!(taken_back.starts_with(&format!("{name}=;")) && taken_back.contains("Max-Age=0"), "{taken_back}");
    for cookie in [&first, &second] {
        let answer = send(&server, "GET", "/auth/me", &[&line(&[cookie.as_bytes()])]).await?;
        ensure!(answer.starts_with("HTTP/1.1 401") && answer.contains("session_ended"), "{answer}");
    }
    ensure!(send(&server, "GET", "/auth/me", &lines).await?.starts_with("HTTP/1.1 401"));
    // What is no cookie of this browser goes on.
    let other = send(&server, "GET", "/auth/me", &[&line(&[elsewhere.as_bytes()])]).await?;
    ensure!(other.starts_with("HTTP/1.1 200"), "{other}");
    // And a token's sign-out is the token's: the page beside it stays.
    let out = api.request(Method::POST, "/auth/logout").header(http::COOKIE, &elsewhere).send().await?;
    ensure!(out.status() == StatusCode::NO_CONTENT && !out.headers().contains_key(http::SET_COOKIE));
    let other = send(&server, "GET", "/auth/me", &[&line(&[elsewhere.as_bytes()])]).await?;
    ensure!(other.starts_with("HTTP/1.1 200"), "{other}");
    Ok(())
}

#[tokio::test]
async fn an_origin_with_its_schemes_own_port_is_the_same() -> Result<()> {
    let server = Setup::new()?.set("SERVER__PUBLIC_URL", "http://chat.example.com").start().await?;
    server.user("ada").await?;
    let own = page(&server, "ada").await?;
    let post = async |origin: &str, host: &str| -> Result<String> {
        let mut raw = Raw::connect(&server).await?;
        raw.send(format!(
            "POST /api/v1/conversations HTTP/1.1\r\nhost: {host}\r\norigin: {origin}\r\ncookie: {own}\r\n\
             content-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
        ))
        .await?;
        raw.read_answer().await
    };
    for (origin, host) in [
        ("http://chat.example.com", "chat.example.com"),
        ("http://chat.example.com", "chat.example.com:80"),
        ("http://chat.example.com:80", "Chat.Example.com"),
        ("https://chat.example.com", "chat.example.com:443"),
        ("https://chat.example.com:443", "chat.example.com"),
        ("https://chat.example.com", "CHAT.example.com.:443"),
        ("http://localhost", "localhost:80"),
        ("http://[::1]", "[0:0:0:0:0:0:0:1]:80"),
        ("http://localhost:3000", "localhost:3000"),
    ] {
        let answer = post(origin, host).await?;
        ensure!(answer.starts_with("HTTP/1.1 201"), "{origin} to {host}: {answer}");
    }
    for (origin, host) in [
        ("http://chat.example.com", "chat.example.com:443"),
        ("https://chat.example.com", "chat.example.com:80"),
        ("http://evil.example", "chat.example.com"),
        ("http://chat.example.com:8080", "chat.example.com"),
        ("http://chat.example.com.evil.example", "chat.example.com"),
        ("chrome-extension://localhost", "localhost"),
        ("null", "localhost"),
    ] {
        let answer = post(origin, host).await?;
        ensure!(answer.starts_with("HTTP/1.1 403") && answer.contains("cross_site"), "{origin} to {host}: {answer}");
    }
    Ok(())
}
