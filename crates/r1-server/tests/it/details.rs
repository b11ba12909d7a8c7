//! What is said of a fault besides its kind: the request's id, and to those who may read it the provider's own words,
//! without a key in whatever spelling and without addresses.

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use r1_testkit::upstream::{RecordedRequest, Script, Upstream};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Client, Server, Setup, expect, id_of, stream};

const KEY: &str = "sk-planted-4f1c9b7d20e8";
/// Another provider's.
const OTHER: &str = "gw_9Zx81Lq0Pw7T";
const SHOWS: &str = "GENERATION__SHOW_DETAILS";

async fn start(upstream: &Upstream, change: impl FnOnce(Setup) -> Setup) -> Result<Server> {
    let setup = Setup::with_upstream(upstream)?.env("OPENAI_API_KEY", KEY);
    let setup = setup.set("PROVIDERS__OTHER__BASE_URL", "http://gateway.acme.example/v1");
    change(setup.set("PROVIDERS__OTHER__API_KEY", OTHER)).start().await
}

async fn administrator(server: &Server) -> Result<Client> {
    let added = server.setup().run(&["user", "add", "boss", "--email", "boss@example.com", "--admin"]).await?;
    let mut client = server.anonymous();
    client.sign_in("boss", added.stdout.split_whitespace().last().context("a password")?).await?;
    Ok(client)
}

/// What comes of a request for a stream, under this id.
async fn ask(client: &Client, path: &str, body: &Value, id: &str) -> Result<(Value, Value)> {
    let response = client.request(Method::POST, path).header("x-request-id", id).json(body).send().await?;
    let frames = stream(response).await?.collect_to_end().await?;
    Ok((frames[0].data.clone(), frames.last().context("an end")?.data.clone()))
}

async fn question(client: &Client, id: &str) -> Result<(Value, Value)> {
    ask(client, "/chat/stream", &json!({"message": "go"}), id).await
}

/// The error of the newest message, as the list has it.
async fn listed(client: &Client, start: &Value) -> Result<Value> {
    let messages = client.messages(&id_of(start, "conversation_id")?).await?;
    Ok(messages.last().context("an answer")?["error"].clone())
}

/// An event as a message has it.
fn without_type(event: &Value) -> Value {
    let mut error = event.clone();
    error.as_object_mut().map(|fields| fields.remove("type"));
    error
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect()
}

#[tokio::test]
async fn an_error_names_its_request_and_tells_administrators_more() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|_: &RecordedRequest| {
        Script::error(StatusCode::BAD_REQUEST, "bad_tool", "tools.0.name is 'x y':\nuse [a-z] 🙂")
    });
    let server = start(&upstream, |setup| setup).await?;
    let (ada, boss) = (server.user("ada").await?, administrator(&server).await?);

    let (start_of_ada, event) = question(&ada, "ada-1").await?;
    assert_eq!(keys(&event), ["type", "code", "message", "retryable", "request_id"]);
    assert_eq!((&event["code"], &event["request_id"]), (&json!("provider_rejected"), &json!("ada-1")));
    assert_eq!(listed(&ada, &start_of_ada).await?, without_type(&event));

    let (start, event) = question(&boss, "boss-1").await?;
    assert_eq!(keys(&event), ["type", "code", "message", "retryable", "request_id", "detail"]);
    assert_eq!(event["detail"], "tools.0.name is 'x y': use [a-z] 🙂");
    assert_eq!(listed(&boss, &start).await?, without_type(&event));
    let replay = boss.attach(&format!("generation_id={}&after=0", id_of(&start, "generation_id")?)).await?;
    assert_eq!(stream(replay).await?.collect_to_end().await?.last().context("an end")?.data, event);

    // Asked again, it is another request's; whole answers say the same.
    let path = format!("/chat/generations/{}/retry", id_of(&start, "generation_id")?);
    let (_, event) = ask(&boss, &path, &json!({}), "boss-2").await?;
    assert_eq!(
        (&event["request_id"], &event["detail"]),
        (&json!("boss-2"), &json!("tools.0.name is 'x y': use [a-z] 🙂"))
    );
    for (client, has_detail) in [(&ada, false), (&boss, true)] {
        let request =
            client.request(Method::POST, "/chat").header("x-request-id", "whole").json(&json!({"message": "go"}));
        let error = expect(request.send().await?, StatusCode::OK).await?["error"].clone();
        assert_eq!((&error["request_id"], error.get("detail").is_some()), (&json!("whole"), has_detail));
    }
    ensure!(!server.log().contains("use [a-z]"), "the log has our words alone");

    // For everybody, from the next question on.
    let server = server.kill().await?.set(SHOWS, "true").start().await?;
    let ada = ada.at(&server);
    ensure!(question(&ada, "ada-2").await?.1["detail"].is_string());
    assert_eq!(listed(&ada, &start_of_ada).await?.get("detail"), None, "what was written stays as it is");
    Ok(())
}

#[tokio::test]
async fn a_failure_in_mid_answer_and_its_continuation_have_them_too() -> Result<()> {
    let upstream = Upstream::start().await?;
    let fails = |said: &str| {
        let error = json!({"error": {"message": "CUDA out of memory", "code": 500, "trace": "secret"}});
        Script::new().role().chunk(said).raw(format!("data: {error}\n\n"))
    };
    let server =
        start(&upstream, |setup| setup.set(SHOWS, "true").set("PROVIDERS__OPENAI__CONTINUES", "plain")).await?;
    let ada = server.user("ada").await?;
    upstream.push(fails("Half"));
    let (start, event) = question(&ada, "first").await?;
    assert_eq!((&event["request_id"], &event["detail"]), (&json!("first"), &json!("CUDA out of memory")));
    upstream.push(fails(" of it"));
    let path = format!("/chat/generations/{}/continue", id_of(&start, "generation_id")?);
    let (_, event) = ask(&ada, &path, &json!({}), "second").await?;
    assert_eq!((&event["request_id"], &event["detail"]), (&json!("second"), &json!("CUDA out of memory")));

    // A fault of ours has no provider's words; the next process knows who asked.
    upstream.push(Script::new().role().chunk("Half").wait_for("never"));
    let request =
        ada.request(Method::POST, "/chat/stream").header("x-request-id", "third").json(&json!({"message": "go"}));
    let mut reader = stream(request.send().await?).await?;
    let start = reader.next_frame().await?.context("a start")?.data;
    reader.next_frame().await?.context("a chunk")?;
    let setup = server.kill().await?.set("PROVIDERS__OPENAI__CONTINUES", "none");
    let server = setup.start().await?;
    let replay = ada.at(&server).attach(&format!("generation_id={}", id_of(&start, "generation_id")?)).await?;
    let event = stream(replay).await?.collect_to_end().await?.last().context("an end")?.data.clone();
    assert_eq!(keys(&event), ["type", "code", "message", "retryable", "request_id"]);
    assert_eq!((&event["code"], &event["request_id"]), (&json!("interrupted"), &json!("third")));
    Ok(())
}

#[tokio::test]
async fn no_words_of_a_provider_give_a_key_or_an_address_away() -> Result<()> {
    let upstream = Upstream::start().await?;
    let server = start(&upstream, |setup| setup.set(SHOWS, "true")).await?;
    let ada = server.user("ada").await?;
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let percent = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let unicode = |text: &str| text.bytes().map(|byte| format!("\\u{byte:04x}")).collect::<String>();
    let mut planted = Vec::new();
    for key in [KEY, OTHER] {
        for piece in [key, &key[..8], &key[3..13], &key[key.len() - 8..]] {
            planted.extend([piece.to_owned(), piece.to_uppercase(), piece.chars().rev().collect()]);
            planted.extend([STANDARD.encode(piece), STANDARD.encode(format!("user:{piece}")), hex(piece)]);
            planted.extend([percent(piece), unicode(piece)]);
        }
    }
    for address in ["https://internal.acme.example/v1?k=1", "10.20.30.40:8080", "[2001:db8::7]:443", "ops@acme.example"]
    {
        planted.push(address.to_owned());
    }
    planted.extend(["gateway.acme.example".to_owned(), upstream.base_url()]);
    for secret in planted {
        let words = format!("Refused <{secret}> for good.");
        upstream.push(Script::error(StatusCode::BAD_REQUEST, "x", &words));
        let (start, event) = question(&ada, "planted").await?;
        assert_eq!(event["detail"], "Refused <[…]> for good.", "{secret}");
        assert_eq!(listed(&ada, &start).await?["detail"], event["detail"]);
    }
    // What is long is cut, and what is no message stays away.
    upstream.push(Script::error(StatusCode::BAD_REQUEST, "x", &"wörter ".repeat(500)));
    let detail = question(&ada, "long").await?.1["detail"].as_str().context("a detail")?.to_owned();
    ensure!(detail.chars().count() <= 500 && detail.ends_with('…'), "{detail}");
    upstream.push(Script::html(StatusCode::BAD_GATEWAY));
    upstream.push(Script::html(StatusCode::BAD_GATEWAY));
    upstream.push(Script::html(StatusCode::BAD_GATEWAY));
    assert_eq!(question(&ada, "page").await?.1.get("detail"), None);
    Ok(())
}
