//! A person changes their own password.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use r1_testkit::upstream::{Script, Upstream};
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{Client, Setup, expect_problem};

const PATH: &str = "/me/password";

fn change(present: &str, new: &str) -> Value {
    json!({"current_password": present, "new_password": new})
}

/// The name of the one faulty field.
async fn faulty(client: &Client, body: &Value) -> Result<String> {
    let problem = expect_problem(client.post(PATH, body).await?, 422, "invalid").await?;
    problem["errors"][0]["field"].as_str().map(str::to_owned).with_context(|| problem.to_string())
}

#[tokio::test]
async fn the_session_that_changes_it_goes_on_and_the_others_end() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|_| Script::new().role().chunk("one ").wait_for("never"));
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let mut client = server.user("ada").await?;
    let session = client.sign_in("ada", "correct horse").await?;
    let mut elsewhere = server.anonymous();
    let other = elsewhere.sign_in("ada", "correct horse").await?;
    let mut followed = elsewhere.ask(&json!({"message": "go"})).await?;
    followed.next_frame().await?.context("a start")?;

    let changed = client.post(PATH, &change("correct horse", "difference engine")).await?;
    assert_eq!(changed.status(), StatusCode::NO_CONTENT);
    client.read("/auth/me").await?;
    expect_problem(elsewhere.get("/auth/me").await?, 401, "session_ended").await?;
    let refresh = json!({"refresh_token": other["refresh_token"]});
    expect_problem(client.post("/auth/refresh", &refresh).await?, 401, "token_invalid").await?;
    let rest = async { while let Ok(Some(_)) = followed.next_frame().await {} };
    timeout(Duration::from_secs(8), rest).await.context("the other session's stream goes on")?;
    let refresh = json!({"refresh_token": session["refresh_token"]});
    assert_eq!(client.post("/auth/refresh", &refresh).await?.status(), StatusCode::OK, "this one's is good");

    let old = json!({"username": "ada", "password": "correct horse"});
    expect_problem(client.post("/auth/login", &old).await?, 401, "bad_credentials").await?;
    client.sign_in("ada", "difference engine").await?;
    Ok(())
}

#[tokio::test]
async fn a_password_is_the_same_whatever_it_was_typed_on() -> Result<()> {
    let server = Setup::new()?.start().await?;
    let mut client = server.user("ada").await?;
    let changed = client.post(PATH, &change("correct horse", "pa\u{308}sswo\u{308}rter")).await?;
    assert_eq!(changed.status(), StatusCode::NO_CONTENT);
    client.sign_in("ada", "pässwörter").await?;
    let changed = client.post(PATH, &change("pässwo\u{308}rter", "correct\u{a0}horse")).await?;
    assert_eq!(changed.status(), StatusCode::NO_CONTENT);
    client.sign_in("ada", "correct horse").await?;
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_is_said_at_its_field() -> Result<()> {
    let server = Setup::new()?.start().await?;
    let client = server.user("ada").await?;
    let long = "x".repeat(257);
    for (body, field) in [
        (change("wrong horse", "difference engine"), "current_password"),
        (change("", "difference engine"), "current_password"),
        (change(&"x".repeat(300), "difference engine"), "current_password"),
        (change("correct horse", "short"), "new_password"),
        (change("correct horse", &long), "new_password"),
        (json!({"new_password": "difference engine"}), "current_password"),
        (json!({"current_password": "correct horse"}), "new_password"),
    ] {
        assert_eq!(faulty(&client, &body).await?, field, "{body}");
    }
    expect_problem(server.anonymous().post(PATH, &change("a", "b")).await?, 401, "unauthenticated").await?;
    server.anonymous().sign_in("ada", "correct horse").await.context("nothing was changed")?;
    ensure!(!server.log().contains("horse"), "no password is logged");
    Ok(())
}

#[tokio::test]
async fn guesses_count_as_those_at_the_sign_in_do() -> Result<()> {
    let setup = Setup::new()?.set("LIMITS__ENABLED", "true").set("LIMITS__FAILED_SIGN_INS_PER_NAME", "3");
    let server = setup.start().await?;
    let client = server.user("ada").await?;
    for _ in 0..3 {
        assert_eq!(faulty(&client, &change("wrong horse", "difference engine")).await?, "current_password");
    }
    let limited = client.post(PATH, &change("correct horse", "difference engine")).await?;
    ensure!(limited.headers()[header::RETRY_AFTER].to_str()?.parse::<u64>()? >= 1);
    expect_problem(limited, 429, "rate_limited").await?;
    let login = json!({"username": "ada@example.com", "password": "correct horse"});
    expect_problem(client.post("/auth/login", &login).await?, 429, "rate_limited").await?;
    client.read("/auth/me").await?;

    // By address too, for whoever has many accounts.
    let setup = Setup::new()?.set("LIMITS__ENABLED", "true").set("LIMITS__FAILED_SIGN_INS_PER_ADDRESS", "2");
    let server = setup.start().await?;
    let clients = [server.user("ada").await?, server.user("bob").await?, server.user("eve").await?];
    for client in &clients[..2] {
        assert_eq!(faulty(client, &change("wrong horse", "difference engine")).await?, "current_password");
    }
    expect_problem(clients[2].post(PATH, &change("wrong", "difference engine")).await?, 429, "rate_limited").await?;
    Ok(())
}

#[tokio::test]
async fn only_the_servers_own_page_may_ask_by_cookie() -> Result<()> {
    let server = Setup::new()?.start().await?;
    server.user("eve").await?;
    let client = server.anonymous();
    let login = json!({"username": "eve", "password": "correct horse"});
    let page = client.request(Method::POST, "/auth/login").header("sec-fetch-site", "same-origin").json(&login);
    let cookie = page.send().await?.headers()[header::SET_COOKIE].to_str()?.to_owned();
    let pair = cookie.split(';').next().context("name=value")?;
    let ask = |site| {
        let request = client.request(Method::POST, PATH).header(header::COOKIE, pair).header("sec-fetch-site", site);
        request.json(&change("correct horse", "difference engine")).send()
    };
    expect_problem(ask("cross-site").await?, 403, "cross_site").await?;
    assert_eq!(ask("same-origin").await?.status(), StatusCode::NO_CONTENT);
    let me = client.request(Method::GET, "/auth/me").header(header::COOKIE, pair).send().await?;
    assert_eq!(me.status(), StatusCode::OK, "the page stays signed in");
    Ok(())
}
