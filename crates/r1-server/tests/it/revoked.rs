//! Access that ends while a stream is open: the stream ends too, wherever access ended, and within five seconds.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use r1_testkit::upstream::{Script, Upstream};
use reqwest::Response;
use serde_json::json;
use tokio::time::timeout;

use crate::{
    raw::{Raw, get},
    support::{Client, Server, Setup, expect_problem, id_of, stream},
};

/// What is promised.
const PROMISED: Duration = Duration::from_secs(5);
/// A little for a busy machine, and far less than the answers here would take.
const MARGIN: Duration = Duration::from_secs(3);

/// Ends a body.
const LAST_CHUNK: &str = "\r\n0\r\n\r\n";

/// An upstream whose answers have a first word, and no last one before "go" is opened.
async fn halting() -> Result<Upstream> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|_| Script::new().role().chunk("one ").wait_for("go").chunk("two").ending());
    Ok(upstream)
}

/// An answer that is being followed, after its first word; with its generation's id.
async fn following(client: &Client) -> Result<(r1_testkit::sse::Reader, String)> {
    let mut reader = client.ask(&json!({"message": "go"})).await?;
    let start = reader.next_frame().await?.context("a start")?;
    reader.next_frame().await?.context("a word")?;
    Ok((reader, id_of(&start.data, "generation_id")?))
}

/// The body ends in time, and says no more than when to come back.
async fn ends(response: &mut Response, since: Instant) -> Result<()> {
    let rest = async {
        let mut rest = Vec::new();
        while let Some(bytes) = response.chunk().await? {
            rest.extend_from_slice(&bytes);
        }
        anyhow::Ok(String::from_utf8(rest)?)
    };
    let rest = timeout(PROMISED + MARGIN, rest).await.context("the stream goes on")??;
    ensure!(since.elapsed() <= PROMISED + MARGIN);
    ensure!(rest.ends_with("retry: 1000\n\n") && !rest.contains(r#""type": "end""#), "{rest:?}");
    Ok(())
}

/// Follows the newest answer, up to its first word.
async fn attached(client: &Client) -> Result<Response> {
    let mut response = client.get("/chat/stream").await?.error_for_status()?;
    let mut got = Vec::new();
    while !String::from_utf8_lossy(&got).contains("one ") {
        got.extend_from_slice(&response.chunk().await?.context("a word")?);
    }
    Ok(response)
}

#[tokio::test]
async fn signing_out_ends_the_sessions_streams_and_no_others() -> Result<()> {
    let upstream = halting().await?;
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let phone = server.user("ada").await?;
    let mut laptop = server.anonymous();
    laptop.sign_in("ada", "correct horse").await?;
    let (stays, _) = following(&laptop).await?;
    let mut leaves = attached(&phone).await?;
    let signed_out = Instant::now();
    phone.post("/auth/logout", &json!({})).await?.error_for_status()?;
    ends(&mut leaves, signed_out).await?;
    expect_problem(phone.get("/chat/stream").await?, 401, "session_ended").await?;
    upstream.open("go");
    let rest = stays.collect_to_end().await?;
    ensure!(rest.last().is_some_and(|frame| frame.data["status"] == "completed"), "{rest:?}");
    Ok(())
}

#[tokio::test]
async fn a_disabled_users_answers_are_stopped_by_another_process_too() -> Result<()> {
    let upstream = halting().await?;
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let other = server.user("bob").await?;
    let conversation = client.conversation().await?;
    let whole = json!({"message": "go"});
    let whole = client.post("/chat", &whole);
    let mut whole = std::pin::pin!(whole);
    // It is sent, and has no answer.
    ensure!(timeout(Duration::from_secs(1), whole.as_mut()).await.is_err());
    let mut asked = client.post("/chat/stream", &json!({"message": "go", "conversation_id": conversation})).await?;
    let (stays, _) = following(&other).await?;
    let disabled = Instant::now();
    let done = server.setup().run(&["user", "disable", "ada"]).await?;
    ensure!(done.ok, "{done:?}");
    let mut rest = Vec::new();
    let reading = async {
        while let Ok(Some(bytes)) = asked.chunk().await {
            rest.extend_from_slice(&bytes);
        }
    };
    timeout(PROMISED + MARGIN, reading).await.context("the stream goes on")?;
    ensure!(disabled.elapsed() <= PROMISED + MARGIN);
    let refused = timeout(MARGIN, whole).await.context("POST /chat goes on")??;
    expect_problem(refused, 401, "session_ended").await?;
    expect_problem(client.get("/auth/me").await?, 401, "session_ended").await?;
    // What was written is there for whoever is let in again.
    let done = server.setup().run(&["user", "enable", "ada"]).await?;
    ensure!(done.ok, "{done:?}");
    let mut again = server.anonymous();
    again.sign_in("ada", "correct horse").await?;
    let answer = again.messages(&conversation).await?.pop().context("an answer")?;
    ensure!(answer["status"] == "stopped" && answer["content"] == "one ", "{answer}");
    upstream.open("go");
    ensure!(stays.collect_to_end().await?.last().is_some_and(|frame| frame.data["status"] == "completed"));
    Ok(())
}

#[tokio::test]
async fn another_nodes_streams_end_too() -> Result<()> {
    let upstream = halting().await?;
    let setup = Setup::with_upstream(&upstream)?.on_postgres()?;
    let second = setup.another()?.start().await?;
    let first = setup.start().await?;
    let client = first.user("ada").await?;
    let there = client.clone().at(&second);
    let (reader, id) = following(&client).await?;
    drop(reader);
    let mut followed = attached(&there).await?;
    let signed_out = Instant::now();
    client.post("/auth/logout", &json!({})).await?.error_for_status()?;
    ends(&mut followed, signed_out).await?;
    expect_problem(there.get("/chat/stream").await?, 401, "session_ended").await?;

    // An account that is disabled has no answer running anywhere.
    let mut again = second.anonymous();
    again.sign_in("ada", "correct horse").await?;
    let mut followed = attached(&again).await?;
    let disabled = Instant::now();
    let done = second.setup().run(&["user", "disable", "ada"]).await?;
    ensure!(done.ok, "{done:?}");
    let reading = async { while let Ok(Some(_)) = followed.chunk().await {} };
    timeout(PROMISED + MARGIN, reading).await.context("the stream goes on")?;
    ensure!(disabled.elapsed() <= PROMISED + MARGIN);
    let store = first.setup().store().await?;
    let owner = store.user_by_login("ada").await?.context("ada")?.user.id;
    let stopped = async {
        while store.generation_get(owner, id.parse()?).await?.state.as_str() != "stopped" {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    };
    timeout(MARGIN, stopped).await.context("it still runs")??;
    Ok(())
}

#[tokio::test]
async fn an_access_token_that_expires_lets_its_stream_finish() -> Result<()> {
    let upstream = halting().await?;
    let server = Setup::with_upstream(&upstream)?.set("AUTH__ACCESS_TOKEN_TTL", "1s").start().await?;
    let client = server.user("ada").await?;
    let (reader, _) = following(&client).await?;
    let expired = async {
        while client.get("/auth/me").await?.status() != 401 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    };
    timeout(PROMISED, expired).await??;
    // It is looked at every second.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    upstream.open("go");
    let rest = reader.collect_to_end().await?;
    ensure!(rest.last().is_some_and(|frame| frame.data["status"] == "completed"), "{rest:?}");
    Ok(())
}

/// A reader that is far behind in an answer, and the answer's conversation.
async fn far_behind(server: &Server, client: &Client) -> Result<(Raw, String)> {
    let frames = client.ask_to_end(&json!({"message": "go"})).await?;
    let conversation = id_of(&frames[0].data, "conversation_id")?;
    let mut raw = Raw::connect_small(server).await?;
    raw.send(get(&format!("/chat/stream?conversation_id={conversation}"), client)).await?;
    raw.read_until("piece 9 ").await?;
    Ok((raw, conversation))
}

#[tokio::test]
async fn who_is_far_behind_gets_no_more_either() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|_| {
        (0..20_000).fold(Script::new().role(), |script, n| script.chunk(format!("piece {n} "))).ending()
    });
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let (mut reader, conversation) = far_behind(&server, &client).await?;
    client
        .request(reqwest::Method::DELETE, &format!("/conversations/{conversation}"))
        .send()
        .await?
        .error_for_status()?;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let rest = reader.read_until(LAST_CHUNK).await?;
    ensure!(rest.contains("retry: 1000") && !rest.contains("piece 19999 "), "{} bytes", rest.len());

    let (mut reader, _) = far_behind(&server, &client).await?;
    client.post("/auth/logout", &json!({})).await?.error_for_status()?;
    let rest = reader.read_until(LAST_CHUNK).await?;
    ensure!(rest.contains("retry: 1000") && !rest.contains("piece 19999 "), "{} bytes", rest.len());
    Ok(())
}

#[tokio::test]
async fn the_pages_session_is_no_exception() -> Result<()> {
    let upstream = halting().await?;
    let server = Setup::with_upstream(&upstream)?.start().await?;
    server.user("ada").await?;
    let page = reqwest::Client::builder().no_proxy().build()?;
    let send = |path: &str, body: serde_json::Value| {
        let request = page.post(format!("{}/api/v1{path}", server.web)).header("sec-fetch-site", "same-origin");
        request.json(&body)
    };
    let login = send("/auth/login", json!({"username": "ada", "password": "correct horse"})).send().await?;
    let cookie = login.headers()["set-cookie"].to_str()?.split(';').next().context("a cookie")?.to_owned();
    let asked = send("/chat/stream", json!({"message": "go"})).header("cookie", &cookie).send().await?;
    let mut reader = stream(asked).await?;
    reader.next_frame().await?;
    let mut followed = page.get(format!("{}/api/v1/chat/stream", server.web)).header("cookie", &cookie).send().await?;
    let signed_out = Instant::now();
    send("/auth/logout", json!({})).header("cookie", &cookie).send().await?.error_for_status()?;
    ends(&mut followed, signed_out).await?;
    let again = page.get(format!("{}/api/v1/chat/stream", server.web)).header("cookie", &cookie).send().await?;
    expect_problem(again, 401, "session_ended").await?;
    Ok(())
}
