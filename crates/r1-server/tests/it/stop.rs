//! Stop, from any connection of the owner and in every phase of a run: the upstream's socket closes,
//! the message keeps the log's text, and everybody is told the same.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use r1_testkit::{
    sse::{Frame, Reader, text_of},
    upstream::{Script, Upstream},
};
use reqwest::{Method, Response, StatusCode, header};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, net::TcpListener};

use crate::{
    database_lock::DatabaseLock,
    support::{Client, PATIENCE, Server, Setup, Signal, expect, expect_problem, id_of, stream},
};

fn path(generation: &str) -> String {
    format!("/chat/generations/{generation}/stop")
}

async fn stop(client: &Client, generation: &str) -> Result<Response> {
    client.post(&path(generation), &Value::Null).await
}

/// Stops it, and gives back how it then stands.
async fn stopped(client: &Client, generation: &str) -> Result<String> {
    id_of(&expect(stop(client, generation).await?, StatusCode::OK).await?, "status")
}

/// Asks; gives back the reader after the `start`, and the ids of generation and conversation.
async fn begun(client: &Client, question: &Value) -> Result<(Reader, String, String)> {
    let mut reader = client.ask(question).await?;
    let start = reader.next_frame().await?.context("start")?.data;
    Ok((reader, id_of(&start, "generation_id")?, id_of(&start, "conversation_id")?))
}

async fn started(upstream: &Upstream) -> Result<(Server, Client)> {
    let server = Setup::with_upstream(upstream)?.start().await?;
    let client = server.user("ada").await?;
    Ok((server, client))
}

/// That the message is what its log says, to the last character, and stopped.
async fn is_the_log(client: &Client, generation: &str, conversation: &str) -> Result<String> {
    let replay = stream(client.attach(&format!("generation_id={generation}")).await?).await?.collect_to_end().await?;
    let message = client.messages(conversation).await?[1].clone();
    assert_eq!((message["content"].as_str(), message["status"].as_str()), (Some(&*text_of(&replay)), Some("stopped")));
    is_stopped(replay.last().context("an end")?)?;
    Ok(text_of(&replay))
}

fn is_stopped(end: &Frame) -> Result<()> {
    let raw = String::from_utf8_lossy(&end.raw);
    ensure!(raw.contains(r#"{"type": "end", "message": "Response stopped", "#), "{raw}");
    ensure!(raw.contains(r#""status": "stopped", "finish_reason": null"#), "{raw}");
    Ok(())
}

/// The same user as the page: a session cookie in place of a token.
async fn cookie(server: &Server) -> Result<String> {
    let login = json!({"username": "ada", "password": "correct horse"});
    let request = server.anonymous().request(Method::POST, "/auth/login").header("sec-fetch-site", "same-origin");
    let response = request.json(&login).send().await?;
    let cookie = response.headers().get(header::SET_COOKIE).context("a cookie")?.to_str()?.to_owned();
    Ok(cookie.split(';').next().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn any_connection_of_the_owner_stops_it_and_the_text_is_kept() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|_| Script::new().role().chunk("half an ").chunk("answer").wait_for("never"));
    let (server, client) = started(&upstream).await?;
    let mut phone = server.anonymous();
    phone.sign_in("ada", "correct horse").await?;
    let cookie = cookie(&server).await?;
    let page = |generation: &str| {
        let request = server.anonymous().request(Method::POST, &path(generation)).header(header::COOKIE, &cookie);
        request.header("sec-fetch-site", "same-origin")
    };
    for (closed, from) in ["the same connection", "another device", "the page"].into_iter().enumerate() {
        let (mut reader, generation, conversation) = begun(&client, &json!({"message": "go"})).await?;
        reader.next_frame().await?;
        reader.next_frame().await?;
        let response = match from {
            "another device" => stop(&phone, &generation).await?,
            "the page" => page(&generation).send().await?,
            _ => stop(&client, &generation).await?,
        };
        let body = expect(response, StatusCode::OK).await.context(from)?;
        assert_eq!((&body["status"], &body["generation_id"]), (&json!("stopped"), &json!(generation)));
        upstream.wait_closed(closed as u64 + 1).await?;
        let rest = reader.collect_to_end().await?;
        assert_eq!(rest.len(), 1, "{rest:?}");
        is_stopped(&rest[0])?;
        assert_eq!(is_the_log(&client, &generation, &conversation).await?, "half an answer");
        assert_eq!(stopped(&phone, &generation).await?, "stopped", "again: the final state");
    }
    Ok(())
}

#[tokio::test]
async fn nobody_else_stops_it() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().role().chunk("mine").wait_for("go").ending());
    let (server, client) = started(&upstream).await?;
    let (reader, generation, _) = begun(&client, &json!({"message": "go"})).await?;
    let mallory = server.user("mallory").await?;
    expect_problem(stop(&mallory, &generation).await?, 404, "not_found").await?;
    expect_problem(stop(&server.anonymous(), &generation).await?, 401, "unauthenticated").await?;
    let other_site = server.anonymous().request(Method::POST, &path(&generation));
    let other_site = other_site.header(header::COOKIE, cookie(&server).await?).header("sec-fetch-site", "cross-site");
    expect_problem(other_site.send().await?, 403, "cross_site").await?;
    for id in ["0198f1c2-7c1e-7d3a-9a5e-3f1b2c4d5e6f", "garbage", "..%2f..", "%00", "1"] {
        expect_problem(stop(&client, id).await?, 404, "not_found").await.context(id)?;
    }
    upstream.open("go");
    assert_eq!(reader.collect_to_end().await?.last().context("an end")?.data["status"], "completed");
    // And what has ended is theirs alone, too.
    expect_problem(stop(&mallory, &generation).await?, 404, "not_found").await?;
    Ok(())
}

#[tokio::test]
async fn what_has_ended_stays_as_it_is() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::text("whole"));
    upstream.push(Script::new().role().chunk("half").cut());
    upstream.push(Script::new().role().chunk("half").wait_for("never"));
    let (server, client) = started(&upstream).await?;
    let mut ids = Vec::new();
    for (question, state) in [("a", "completed"), ("b", "failed")] {
        let (reader, generation, _) = begun(&client, &json!({"message": question})).await?;
        let frames = reader.collect_to_end().await?;
        assert_eq!(stopped(&client, &generation).await?, state);
        ids.push((generation, state, Some(frames)));
    }
    let (mut reader, generation, _) = begun(&client, &json!({"message": "c"})).await?;
    reader.next_frame().await?;
    ids.push((generation, "interrupted", None));
    let server = server.kill().await?.start().await?;
    let client = client.at(&server);
    for (generation, state, frames) in ids {
        assert_eq!(stopped(&client, &generation).await?, state);
        let replay = stream(client.attach(&format!("generation_id={generation}")).await?).await?;
        let replay = replay.collect_to_end().await?;
        ensure!(frames.is_none_or(|frames| replay[1..] == frames), "nothing was added: {replay:?}");
    }
    Ok(())
}

#[tokio::test]
async fn fifty_at_once_are_one_and_the_conversation_is_free() -> Result<()> {
    let upstream = Upstream::start().await?;
    let (_server, client) = started(&upstream).await?;
    let conversation = client.conversation().await?;
    let question = json!({"message": "go", "conversation_id": conversation});
    for round in 1..=5 {
        upstream.push(Script::new().role().chunk("The sun ").wait_for("never"));
        let (mut reader, generation, _) = begun(&client, &question).await?;
        reader.next_frame().await?;
        let stops = (0..50).map(|_| stopped(&client, &generation));
        for state in futures::future::join_all(stops).await {
            assert_eq!(state?, "stopped");
        }
        let rest = reader.collect_to_end().await?;
        assert_eq!(rest.len(), 1, "one terminal event: {rest:?}");
        is_stopped(&rest[0])?;
        // At once: no 409.
        upstream.push(Script::text("is hot"));
        if round % 2 == 0 {
            client.ask_to_end(&question).await?;
        } else {
            let path = format!("/chat/generations/{generation}/continue");
            let frames = stream(client.request(Method::POST, &path).send().await?).await?.collect_to_end().await?;
            assert_eq!(text_of(&frames), "The sun is hot", "round {round}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_stop_beside_the_natural_end_agrees_with_it() -> Result<()> {
    let upstream = Upstream::start().await?;
    let (_server, client) = started(&upstream).await?;
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    for round in 0..60u64 {
        let gate = format!("gate-{round}");
        upstream.push(Script::new().role().chunk("one ").wait_for(&gate).chunk("two").ending());
        let (mut reader, generation, conversation) = begun(&client, &json!({"message": "go"})).await?;
        reader.next_frame().await?;
        upstream.open(&gate);
        tokio::time::sleep(Duration::from_micros(round * 100)).await;
        let state = stopped(&client, &generation).await?;
        let rest = reader.collect_to_end().await?;
        let ends: Vec<_> = rest.iter().filter(|frame| frame.is_terminal()).collect();
        assert_eq!((ends.len(), ends[0].data["status"].as_str()), (1, Some(state.as_str())), "round {round}");
        let message = client.messages(&conversation).await?[1].clone();
        assert_eq!(message["status"].as_str(), Some(state.as_str()));
        assert_eq!(message["content"], format!("one {}", text_of(&rest)));
        *seen.entry(state).or_default() += 1;
    }
    ensure!(seen.keys().all(|state| state == "stopped" || state == "completed"), "{seen:?}");
    Ok(())
}

/// Stops it before its first token; then it has none, and the conversation is free.
async fn stop_first(client: &Client, begun: (Reader, String, String)) -> Result<()> {
    let (reader, generation, conversation) = begun;
    assert_eq!(stopped(client, &generation).await?, "stopped");
    let rest = reader.collect_to_end().await?;
    assert_eq!(rest.len(), 1, "{rest:?}");
    is_stopped(&rest[0])?;
    assert_eq!(is_the_log(client, &generation, &conversation).await?, "");
    Ok(())
}

async fn with_provider_at(address: std::net::SocketAddr) -> Result<(Server, Client)> {
    let setup = Setup::new()?.set("PROVIDERS__RAW__BASE_URL", &format!("http://{address}/v1"));
    let server = setup.set("DEFAULT_MODEL", "raw/test-model").start().await?;
    let client = server.user("ada").await?;
    Ok((server, client))
}

/// Sockets of this machine that wait for this port to answer.
fn connecting_to(port: u16) -> Result<usize> {
    let table = std::fs::read_to_string("/proc/net/tcp")?;
    // SYN_SENT is state 2 (proc(5), include/net/tcp_states.h).
    let waits = |line: &&str| {
        let mut fields = line.split_whitespace().skip(2);
        let remote = fields.next().is_some_and(|remote| remote.ends_with(&format!(":{port:04X}")));
        remote && fields.next() == Some("02")
    };
    Ok(table.lines().filter(waits).count())
}

async fn until(what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let waiting = async {
        while !condition()? {
            tokio::task::yield_now().await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, waiting).await.with_context(|| what.to_owned())?
}

#[tokio::test]
async fn while_it_connects() -> Result<()> {
    // Nobody accepts, and the kernel's queue is full: connecting takes for ever.
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind("127.0.0.1:0".parse()?)?;
    let listener = socket.listen(0)?;
    let address = listener.local_addr()?;
    let mut queue = Vec::new();
    while let Ok(connected) =
        tokio::time::timeout(Duration::from_millis(300), tokio::net::TcpStream::connect(address)).await
    {
        queue.push(connected?);
    }
    let (_server, client) = with_provider_at(address).await?;
    until("our own attempt is over", || Ok(connecting_to(address.port())? == 0)).await?;
    let begun = begun(&client, &json!({"message": "go"})).await?;
    until("the server connects", || Ok(connecting_to(address.port())? == 1)).await?;
    stop_first(&client, begun).await?;
    until("it has given up", || Ok(connecting_to(address.port())? == 0)).await
}

#[tokio::test]
async fn while_it_waits_for_headers() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (_server, client) = with_provider_at(listener.local_addr()?).await?;
    let begun = begun(&client, &json!({"message": "go"})).await?;
    let (mut upstream, _) = tokio::time::timeout(PATIENCE, listener.accept()).await??;
    let mut request = vec![0; 4];
    upstream.read_exact(&mut request).await?;
    assert_eq!(request, b"POST");
    stop_first(&client, begun).await?;
    let closed = async { while upstream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {} };
    tokio::time::timeout(PATIENCE, closed).await.context("its connection stays open")
}

#[tokio::test]
async fn while_it_pauses_between_two_attempts() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::rate_limited("9"));
    let (server, client) = started(&upstream).await?;
    let begun = begun(&client, &json!({"message": "go"})).await?;
    until("it is going to try again", || Ok(server.log().contains("is tried again"))).await?;
    stop_first(&client, begun).await?;
    // Its pause would end before the server does.
    server.signal(Signal::TERM)?;
    ensure!(server.ended().await?.0, "exit status 0");
    assert_eq!(upstream.requests().len(), 1);
    Ok(())
}

#[tokio::test]
async fn before_the_first_chunk() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().role().wait_for("never"));
    let (_server, client) = started(&upstream).await?;
    let begun = begun(&client, &json!({"message": "go"})).await?;
    upstream.wait_reached("never", 1).await?;
    stop_first(&client, begun).await?;
    Ok(upstream.wait_closed(1).await?)
}

/// The upstream closes at once; the end waits for storage, and the answer says so.
#[tokio::test]
async fn while_storage_takes_nothing() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(
        Script::new()
            .role()
            .chunk("first ")
            .wait_for("flood")
            .then(r1_testkit::upstream::Step::Paced { count: 10_000_000, every: Duration::ZERO }),
    );
    let server = Setup::with_upstream(&upstream)?.set("LIMITS__ANSWER_SIZE", "16MiB").start().await?;
    let client = server.user("ada").await?;
    let (mut reader, generation, conversation) = begun(&client, &json!({"message": "go"})).await?;
    let first = reader.next_frame().await?.context("a chunk")?;
    let lock = DatabaseLock::take(server.setup()).await?;
    upstream.open("flood");
    // No commit carries a word of the flood by now, or ever before the lock is gone.
    let stopping = stop(&client, &generation);
    let response = tokio::time::timeout(PATIENCE, stopping).await.context("an answer, storage or no storage")??;
    ensure!(response.headers().contains_key("retry-after"), "{response:?}");
    expect_problem(response, 503, "stop_not_stored").await?;
    upstream.wait_closed(1).await?;
    let message = client.messages(&conversation).await?[1].clone();
    assert_eq!((message["status"].as_str(), message["content"].as_str()), (Some("running"), Some("first ")));
    drop(lock);

    let rest = reader.collect_to_end().await?;
    is_stopped(rest.last().context("an end")?)?;
    assert_eq!(stopped(&client, &generation).await?, "stopped");
    let text = is_the_log(&client, &generation, &conversation).await?;
    assert_eq!(text, text_of(&[&[first][..], &rest].concat()), "what its reader saw");
    // The upstream writes as fast as it is read: more would have come.
    ensure!(text.len() < 3 << 20, "{} bytes: at most 1 MiB is read ahead", text.len());
    Ok(())
}

/// The local model's child is told by the closing of its connection, and so stops computing.
#[tokio::test]
async fn the_local_model_stops_computing() -> Result<()> {
    let server = Setup::with_local_model()?.start().await?;
    let client = server.user("ada").await?;
    let question = json!({"message": "Write a very long story", "max_tokens": 100_000, "temperature": 0});
    let (mut reader, generation, conversation) = begun(&client, &question).await?;
    reader.next_frame().await?.context("a chunk")?;
    let child = crate::local_model::child_of(server.pid())?;
    let spent = || -> Result<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat"))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let (Some(user), Some(system)) = (fields.get(11), fields.get(12)) else { bail!("{stat}") };
        Ok(user.parse::<u64>()? + system.parse::<u64>()?)
    };
    assert_eq!(stopped(&client, &generation).await?, "stopped");
    is_the_log(&client, &generation, &conversation).await?;
    let rests = async {
        loop {
            let before = spent()?;
            tokio::time::sleep(Duration::from_millis(500)).await;
            if spent()? == before {
                return anyhow::Ok(());
            }
        }
    };
    tokio::time::timeout(PATIENCE, rests).await.context("it goes on computing")?
}
