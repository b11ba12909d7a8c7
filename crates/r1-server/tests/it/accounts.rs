//! Accounts and sessions.

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use r1_domain::user::NewUser;
use r1_testkit::store_contract::new_user;
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::support::{Setup, expect, expect_problem};

#[tokio::test]
async fn a_person_registers_signs_in_and_out() -> Result<()> {
    let server = Setup::new()?.start().await?;
    let mut client = server.anonymous();
    let form = json!({"username": "Ada", "email": "ada@example.com", "password": "difference engine"});
    let user = expect(client.post("/auth/register", &form).await?, StatusCode::CREATED).await?;
    assert_eq!((user["username"].as_str(), user["is_admin"].as_bool()), (Some("Ada"), Some(false)));

    // The address serves as a name, and case does not count.
    let session = client.sign_in("ADA@example.com", "difference engine").await?;
    assert_eq!((session["token_type"].as_str(), session["expires_in"].as_u64()), (Some("bearer"), Some(3600)));
    assert_eq!(client.read("/auth/me").await?["id"], user["id"]);

    let out = client.post("/auth/logout", &Value::Null).await?;
    assert_eq!(out.status(), StatusCode::NO_CONTENT);
    expect_problem(client.get("/auth/me").await?, 401, "session_ended").await?;
    let refresh = json!({"refresh_token": session["refresh_token"]});
    expect_problem(client.post("/auth/refresh", &refresh).await?, 401, "token_invalid").await?;
    Ok(())
}

#[tokio::test]
async fn who_is_signed_in_is_told_without_an_error() -> Result<()> {
    let server = Setup::new()?.start().await?;
    let mut client = server.user("ada").await?;
    let me = client.read("/auth/me").await?;
    assert_eq!(client.read("/auth/session").await?, json!({"user": me}));

    let nobody = json!({"user": null});
    assert_eq!(server.anonymous().read("/auth/session").await?, nobody);
    // Whatever proves nothing is nobody: a cookie of an earlier session, a token that is none.
    for (name, value) in [("cookie", "gpt-r1-x=stale"), ("authorization", "Bearer garbage")] {
        let request = server.anonymous().request(Method::GET, "/auth/session").header(name, value);
        assert_eq!(expect(request.send().await?, StatusCode::OK).await?, nobody, "{name}");
    }
    client.post("/auth/logout", &Value::Null).await?;
    assert_eq!(client.read("/auth/session").await?, nobody, "a session that is over");
    client.sign_in("ada", "correct horse").await?;
    assert_eq!(client.read("/auth/session").await?["user"]["username"], "ada");
    Ok(())
}

#[tokio::test]
async fn names_and_addresses_are_taken_once() -> Result<()> {
    let server = Setup::new()?.start().await?;
    server.user("grace").await?;
    let client = server.anonymous();
    let same_name = json!({"username": "GRACE", "email": "other@example.com", "password": "correct horse"});
    let problem = expect_problem(client.post("/auth/register", &same_name).await?, 409, "taken").await?;
    assert_eq!(problem["errors"][0]["field"], "username");
    let same_address = json!({"username": "other", "email": "Grace@Example.com", "password": "correct horse"});
    let problem = expect_problem(client.post("/auth/register", &same_address).await?, 409, "taken").await?;
    assert_eq!(problem["errors"][0]["field"], "email");
    Ok(())
}

#[tokio::test]
async fn all_faulty_fields_are_named_at_once() -> Result<()> {
    let server = Setup::new()?.start().await?;
    let form = json!({"username": "a b", "email": "nowhere", "password": "short"});
    let problem = expect_problem(server.anonymous().post("/auth/register", &form).await?, 422, "invalid").await?;
    let fields: Vec<_> = problem["errors"].as_array().context("errors")?.iter().map(|e| e["field"].as_str()).collect();
    assert_eq!(fields, [Some("username"), Some("email"), Some("password")]);
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_look_the_same() -> Result<()> {
    let server = Setup::new()?.start().await?;
    server.user("linus").await?;
    let client = server.anonymous();
    for name in ["linus", "nobody"] {
        let login = client.post("/auth/login", &json!({"username": name, "password": "wrong one"})).await?;
        expect_problem(login, 401, "bad_credentials").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_refresh_token_works_once() -> Result<()> {
    let server = Setup::new()?.start().await?;
    let mut client = server.user("alan").await?;
    let first = client.sign_in("alan", "correct horse").await?;
    let old = json!({"refresh_token": first["refresh_token"]});
    let second = expect(client.post("/auth/refresh", &old).await?, StatusCode::OK).await?;
    client.token = second["access_token"].as_str().map(str::to_owned);
    client.read("/auth/me").await?;
    // Somebody else has the old one: the session is over for both.
    expect_problem(client.post("/auth/refresh", &old).await?, 401, "session_ended").await?;
    expect_problem(client.get("/auth/me").await?, 401, "session_ended").await?;
    Ok(())
}

#[tokio::test]
async fn garbled_and_missing_tokens_are_refused() -> Result<()> {
    let server = Setup::new()?.start().await?;
    let mut client = server.anonymous();
    let refused = client.get("/auth/me").await?;
    assert_eq!(refused.headers()[header::WWW_AUTHENTICATE], "Bearer");
    expect_problem(refused, 401, "unauthenticated").await?;
    for token in ["x", "a.b.c", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0."] {
        client.token = Some(token.to_owned());
        expect_problem(client.get("/auth/me").await?, 401, "token_invalid").await?;
    }
    Ok(())
}

#[tokio::test]
async fn access_tokens_expire_as_configured() -> Result<()> {
    let server = Setup::new()?.set("AUTH__ACCESS_TOKEN_TTL", "1s").start().await?;
    let client = server.user("brief").await?;
    // Waits for the condition, not for a time: the clock is the server's.
    loop {
        let response = client.get("/auth/me").await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            expect_problem(response, 401, "token_expired").await?;
            return Ok(());
        }
    }
}

#[tokio::test]
async fn the_page_gets_a_cookie_and_no_token() -> Result<()> {
    let server = Setup::new()?.start().await?;
    server.user("eve").await?;
    let client = server.anonymous();
    let login = json!({"username": "eve", "password": "correct horse"});
    let response =
        client.request(Method::POST, "/auth/login").header("sec-fetch-site", "same-origin").json(&login).send().await?;
    let cookie = response.headers()[header::SET_COOKIE].to_str()?.to_owned();
    for part in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        ensure!(cookie.contains(part), "{part} in {cookie}");
    }
    ensure!(!cookie.contains("Secure"), "plain http on localhost");
    let body = expect(response, StatusCode::OK).await?;
    assert!(body["access_token"].is_null() && body["refresh_token"].is_null(), "{body}");

    let pair = cookie.split(';').next().context("name=value")?.to_owned();
    let with = |method, path: &str| client.request(method, path).header(header::COOKIE, &pair);
    expect(with(Method::GET, "/auth/me").send().await?, StatusCode::OK).await?;

    // To change something the request must come from the page.
    let make = |site: &str| with(Method::POST, "/conversations").header("sec-fetch-site", site).json(&json!({})).send();
    expect(make("same-origin").await?, StatusCode::CREATED).await?;
    expect_problem(make("cross-site").await?, 403, "cross_site").await?;
    let unsaid = with(Method::POST, "/conversations").json(&json!({})).send().await?;
    expect_problem(unsaid, 403, "cross_site").await?;
    let foreign = json!({"username": "eve", "password": "correct horse", "session": "cookie"});
    let response = client
        .request(Method::POST, "/auth/login")
        .header("sec-fetch-site", "cross-site")
        .json(&foreign)
        .send()
        .await?;
    expect_problem(response, 403, "cross_site").await?;

    let out = with(Method::POST, "/auth/logout").header("sec-fetch-site", "same-origin").send().await?;
    ensure!(out.headers()[header::SET_COOKIE].to_str()?.contains("Max-Age=0"));
    expect_problem(with(Method::GET, "/auth/me").send().await?, 401, "session_ended").await?;
    Ok(())
}

#[tokio::test]
async fn sign_in_takes_a_form_too() -> Result<()> {
    let server = Setup::new()?.start().await?;
    server.user("form").await?;
    let form = "username=form&password=correct+horse&grant_type=password";
    let request = server.anonymous().request(Method::POST, "/auth/login");
    let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
    let response = request.send().await?;
    expect(response, StatusCode::OK).await?;
    Ok(())
}

#[tokio::test]
async fn guessing_is_slowed_down() -> Result<()> {
    let server =
        Setup::new()?.set("LIMITS__ENABLED", "true").set("LIMITS__FAILED_SIGN_INS_PER_NAME", "3").start().await?;
    let client = server.user("target").await?;
    let guess = json!({"username": "target", "password": "wrong one"});
    for _ in 0..3 {
        expect_problem(client.post("/auth/login", &guess).await?, 401, "bad_credentials").await?;
    }
    let limited = client.post("/auth/login", &guess).await?;
    assert!(limited.headers()[header::RETRY_AFTER].to_str()?.parse::<u64>()? >= 1);
    expect_problem(limited, 429, "rate_limited").await?;
    Ok(())
}

/// A server that takes three failed sign-ins and two registrations from one address.
fn strict() -> Result<Setup> {
    Ok(Setup::new()?
        .set("LIMITS__ENABLED", "true")
        .set("LIMITS__FAILED_SIGN_INS_PER_ADDRESS", "3")
        .set("LIMITS__REGISTRATIONS_PER_ADDRESS", "2"))
}

#[tokio::test]
async fn ten_thousand_guesses_at_nobody_lock_nobody_out() -> Result<()> {
    let setup = Setup::new()?.set("LIMITS__ENABLED", "true").set("SERVER__TRUSTED_PROXIES", "127.0.0.1");
    let server = setup.start().await?;
    server.user("ada").await?;
    let client = server.anonymous();
    let guess = |login: String, password: &str, address: String| {
        let form = json!({"username": login, "password": password});
        client.request(Method::POST, "/auth/login").header("x-forwarded-for", address).json(&form).send()
    };
    // No password is this long, so that each costs next to nothing: nothing but its place among those that are slowed
    // down.
    let long = "x".repeat(300);
    let guesses = (0..10_500).map(|n| guess(format!("name-{n}"), &long, format!("10.0.{}.{}", n / 256, n % 256)));
    let statuses: Vec<StatusCode> =
        stream::iter(guesses).buffer_unordered(64).map_ok(|response| response.status()).try_collect().await?;
    ensure!(statuses.iter().all(|status| *status == 401), "everybody's first guess is looked at");
    // Somebody who comes from elsewhere for the first time.
    let signed_in = guess("ada".into(), "correct horse", "192.0.2.1".into()).await?;
    expect(signed_in, StatusCode::OK).await?;
    // By name or by address, an account has one count.
    for n in 0..10 {
        let login = if n % 2 == 0 { "ada" } else { "ADA@example.com" };
        let wrong = guess(login.into(), "wrong password", format!("192.0.2.{}", 10 + n)).await?;
        expect_problem(wrong, 401, "bad_credentials").await?;
    }
    for login in ["ada", "ada@example.com"] {
        let limited = guess(login.into(), "correct horse", "192.0.2.2".into()).await?;
        expect_problem(limited, 429, "rate_limited").await?;
    }
    Ok(())
}

#[tokio::test]
async fn names_that_deceive_are_not_taken_and_those_there_are_can_be_seen() -> Result<()> {
    let server = Setup::new()?.start().await?;
    let client = server.anonymous();
    for (field, value) in [
        ("username", "ad\u{430}min"),
        ("username", "\u{3164}\u{3164}\u{3164}"),
        ("email", "a\u{200b}da@example.com"),
        ("email", "ada@ex\u{430}mple.com"),
    ] {
        let mut form = json!({"username": "ada", "email": "ada@example.com", "password": "correct horse"});
        form[field] = value.into();
        let problem = expect_problem(client.post("/auth/register", &form).await?, 422, "invalid").await?;
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    let add = ["user", "add", "ad\u{430}min", "--email", "x@example.com"];
    let added = server.setup().run(&add).await?;
    ensure!(!added.ok && added.stderr.contains("one script"), "{added:?}");
    // From before there was such a rule, or from another database.
    let setup = server.kill().await?;
    let store = setup.store().await?;
    store.user_create(NewUser { username: "ad\u{202e}nim".into(), ..new_user("old") }, None).await?;
    drop(store);
    let listed = setup.run(&["user", "list"]).await?;
    ensure!(listed.stdout.contains("ad\\u{202e}nim") && !listed.stdout.contains('\u{202e}'), "{listed:?}");
    Ok(())
}

#[tokio::test]
async fn clients_of_a_trusted_proxy_are_told_apart() -> Result<()> {
    let server = strict()?.set("SERVER__TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8").start().await?;
    let client = server.anonymous();
    let guess = async |number: u32, forwarded: &str| {
        let login = json!({"username": format!("somebody-{number}"), "password": "wrong one"});
        let request = client.request(Method::POST, "/auth/login").header("x-forwarded-for", forwarded).json(&login);
        anyhow::Ok(request.send().await?)
    };
    for number in 0..3 {
        expect_problem(guess(number, "203.0.113.7").await?, 401, "bad_credentials").await?;
    }
    // What the client itself wrote stands at the left, and another proxy of ours at the right.
    for forwarded in ["203.0.113.7", "198.51.100.1, 203.0.113.7", "203.0.113.7, 10.0.0.9"] {
        expect_problem(guess(9, forwarded).await?, 429, "rate_limited").await?;
    }
    expect_problem(guess(9, "203.0.113.8").await?, 401, "bad_credentials").await?;

    let register = async |name: &str, forwarded: &str| {
        let form = json!({"username": name, "email": format!("{name}@example.com"), "password": "correct horse"});
        let request = client.request(Method::POST, "/auth/register").header("x-forwarded-for", forwarded).json(&form);
        anyhow::Ok(request.send().await?)
    };
    for name in ["one", "two"] {
        expect(register(name, "203.0.113.7").await?, StatusCode::CREATED).await?;
    }
    expect_problem(register("three", "203.0.113.7").await?, 429, "rate_limited").await?;
    expect(register("three", "203.0.113.8").await?, StatusCode::CREATED).await?;
    Ok(())
}

#[tokio::test]
async fn nobody_else_says_who_the_client_is() -> Result<()> {
    let server = strict()?.set("SERVER__TRUSTED_PROXIES", "10.0.0.0/8").start().await?;
    let client = server.anonymous();
    let guess = async |number: u32| {
        let login = json!({"username": format!("somebody-{number}"), "password": "wrong one"});
        let request = client.request(Method::POST, "/auth/login").json(&login);
        anyhow::Ok(request.header("x-forwarded-for", format!("203.0.113.{number}")).send().await?)
    };
    for number in 0..3 {
        expect_problem(guess(number).await?, 401, "bad_credentials").await?;
    }
    expect_problem(guess(3).await?, 429, "rate_limited").await?;
    Ok(())
}

#[tokio::test]
async fn the_setup_code_makes_the_first_administrator_once() -> Result<()> {
    let server = Setup::new()?.start().await?;
    // The seed's script registers a published password first: that must not make an administrator.
    let first = server.user("demo_user").await?;
    assert_eq!(first.read("/auth/me").await?["is_admin"], false);
    let line = server.banner.lines().find(|line| line.contains("setup code")).context("a setup code in the banner")?;
    let code = line.split_whitespace().last().context("the code")?;
    let client = server.anonymous();
    let form = |name: &str, code: &str| json!({"username": name, "email": format!("{name}@example.com"), "password": "correct horse", "setup_code": code});
    let wrong = client.post("/auth/register", &form("mallory", "00000-00000-00000-00000")).await?;
    let problem = expect_problem(wrong, 422, "invalid").await?;
    assert_eq!(problem["errors"][0]["field"], "setup_code");
    let admin = expect(client.post("/auth/register", &form("root", code)).await?, StatusCode::CREATED).await?;
    assert_eq!(admin["is_admin"], true);
    expect_problem(client.post("/auth/register", &form("again", code)).await?, 422, "invalid").await?;
    Ok(())
}

#[tokio::test]
async fn a_disabled_account_is_signed_out() -> Result<()> {
    let server = Setup::new()?.start().await?;
    let mut client = server.user("gone").await?;
    let done = server.setup().run(&["user", "disable", "gone"]).await?;
    ensure!(done.ok, "{done:?}");
    // Another process did it: noticed within the five seconds of the session cache.
    loop {
        let response = client.get("/auth/me").await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            expect_problem(response, 401, "session_ended").await?;
            break;
        }
    }
    ensure!(client.sign_in("gone", "correct horse").await.is_err());
    Ok(())
}
