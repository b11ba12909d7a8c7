//! SIGTERM and SIGINT: what is running finishes or ends in order, everybody is told, and the
//! process is gone in time whatever its clients do.
//!
//! The server keeps its own deadline, and says by its exit status whether it had to leave something
//! behind: so these tests look at that and not at a clock.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context, Result, ensure};
use r1_testkit::{
    sse::{Frame, Reader, text_of},
    upstream::{Script, Upstream},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    database_lock::DatabaseLock,
    support::{Client, PATIENCE, Server, Setup, Signal, expect, expect_problem, id_of, send_signal, stream},
};

/// Waits until the server says that it takes no new work.
async fn draining(client: &Client) -> Result<()> {
    let drains = async {
        while client.read("/health").await?["status"] != "draining" {
            tokio::task::yield_now().await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, drains).await.context("it goes on as before")?
}

/// A refusal that says when to come back.
async fn refused(response: reqwest::Response) -> Result<()> {
    ensure!(response.headers().contains_key("retry-after"), "{response:?}");
    expect_problem(response, 503, "draining").await?;
    Ok(())
}

/// Whether the database was closed in order: its last connection takes the write-ahead log with it.
fn is_closed(setup: &Setup) -> bool {
    !setup.data_dir().join("gpt-r1.db-wal").exists()
}

/// Two providers at one upstream: `plain` can't continue an answer, `vllm` can.
fn two_providers(upstream: &Upstream) -> Result<Setup> {
    Ok(Setup::new()?
        .set("PROVIDERS__PLAIN__BASE_URL", &upstream.base_url())
        .set("PROVIDERS__VLLM__BASE_URL", &upstream.base_url())
        .set("PROVIDERS__VLLM__CONTINUES", "vllm")
        .set("DEFAULT_MODEL", "plain/test-model"))
}

fn raw(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(|frame| frame.raw.to_vec()).collect()
}

async fn a_running_answer_finishes(signal: Signal) -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().role().chunk("cut").finish("length").done());
    upstream.respond_with(|_| Script::new().role().chunk("nearly ").wait_for("go").chunk("done").ending());
    let server = Setup::with_upstream(&upstream)?.set("SERVER__SHUTDOWN_DEADLINE", "1h").start().await?;
    let client = server.user("ada").await?;
    let cut = client.ask_to_end(&json!({"message": "first"})).await?;
    let cut = id_of(&cut[0].data, "generation_id")?;
    let ask = || {
        let request = client.request(Method::POST, "/chat/stream").header("idempotency-key", "before");
        request.json(&json!({"message": "go"})).send()
    };
    let mut reader = stream(ask().await?).await?;
    let start = reader.next_frame().await?.context("start")?;
    let chunk = reader.next_frame().await?.context("chunk")?;
    let mut whole = JoinSet::new();
    whole.spawn(client.request(Method::POST, "/chat").json(&json!({"message": "go"})).send());
    upstream.wait_requests(3).await?;
    server.signal(signal)?;
    draining(&client).await?;

    // It takes no new work, and says so.
    let question = json!({"message": "more"});
    refused(client.post("/chat/stream", &question).await?).await?;
    refused(client.post("/chat", &question).await?).await?;
    refused(client.post(&format!("/chat/generations/{cut}/continue"), &Value::Null).await?).await?;
    refused(client.post(&format!("/chat/generations/{cut}/retry"), &Value::Null).await?).await?;
    // Everything else goes on, over new connections too.
    let stranger = server.anonymous();
    assert_eq!(stranger.read("/health").await?["status"], "draining");
    assert_eq!(stranger.get("/health/live").await?.status(), StatusCode::NO_CONTENT);
    let mut phone = server.anonymous();
    phone.sign_in("ada", "correct horse").await?;
    assert_eq!(phone.read("/conversations").await?["conversations"].as_array().context("list")?.len(), 3);
    let messages = phone.messages(&id_of(&start.data, "conversation_id")?).await?;
    assert_eq!(messages[1]["content"], "nearly ");
    // A question that was accepted before is no new work: it gets its stream.
    let mut again = stream(ask().await?).await?;
    assert_eq!(again.next_frame().await?.as_ref(), Some(&start));
    // And whoever follows comes in.
    let path =
        format!("generation_id={}&after={}", id_of(&start.data, "generation_id")?, chunk.id.context("id")?.cursor);
    let late = Reader::from_response(phone.attach(&path).await?)?.after(chunk.id.context("an id")?);

    upstream.open("go");
    let rest = reader.collect_to_end().await?;
    let end = rest.last().context("end")?;
    assert_eq!((text_of(&rest).as_str(), end.data["status"].as_str()), ("done", Some("completed")));
    assert_eq!(late.collect_to_end().await?, rest);
    assert_eq!(again.collect_to_end().await?[1..], rest[..]);
    let whole = whole.join_next().await.context("an answer")???;
    assert_eq!(expect(whole, StatusCode::OK).await?["status"], "completed");
    let (well, setup) = server.ended().await?;
    ensure!(well, "exit status 0");
    ensure!(is_closed(&setup), "the database was closed");
    Ok(())
}

#[tokio::test]
async fn sigterm_lets_a_running_answer_finish() -> Result<()> {
    a_running_answer_finishes(Signal::TERM).await
}

#[tokio::test]
async fn sigint_lets_a_running_answer_finish() -> Result<()> {
    a_running_answer_finishes(Signal::INT).await
}

/// One generation that can't go on, one without a word, one that can go on: each has a hundred
/// readers, and all are told what becomes of it.
#[tokio::test]
async fn the_deadline_interrupts_what_can_not_go_on_and_leaves_the_rest_to_the_next_start() -> Result<()> {
    let upstream = Upstream::start().await?;
    let server = two_providers(&upstream)?.set("SERVER__SHUTDOWN_DEADLINE", "10s").start().await?;
    let client = server.user("ada").await?;
    let mut asked = Vec::new();
    for (model, word) in [("plain/a", Some("cut ")), ("plain/b", None), ("vllm/c", Some("The sentence "))] {
        let script = Script::new().role();
        upstream.push(word.map_or(script.clone(), |word| script.chunk(word)).wait_for("never"));
        let mut reader = client.ask(&json!({"message": "go", "model": model})).await?;
        let mut seen = vec![reader.next_frame().await?.context("start")?];
        if word.is_some() {
            seen.push(reader.next_frame().await?.context("chunk")?);
        }
        asked.push((seen, reader));
    }
    upstream.wait_reached("never", 3).await?;
    let mut readers = JoinSet::new();
    for number in 0..300 {
        let id = id_of(&asked[number % 3].0[0].data, "generation_id")?;
        let mut reader = stream(client.attach(&format!("generation_id={id}")).await?).await?;
        readers.spawn(async move {
            let mut frames = Vec::new();
            while let Some(frame) = reader.next_frame().await? {
                frames.push(frame);
            }
            anyhow::Ok((number % 3, frames, reader.retry()))
        });
    }
    server.signal(Signal::TERM)?;
    while let Some(read) = readers.join_next().await {
        let (which, frames, retry) = read??;
        let seen = &asked[which].0;
        assert_eq!(raw(&frames[..seen.len()]), raw(seen));
        match which {
            0 => assert_eq!(frames.last().context("a terminal event")?.data["code"], "interrupted"),
            _ => ensure!(retry.is_some() && frames.len() == seen.len(), "told to come back: {frames:?} {retry:?}"),
        }
    }
    let (well, setup) = server.ended().await?;
    ensure!(well, "exit status 0");
    ensure!(is_closed(&setup), "the database was closed");

    // The next start goes on: under the next epoch, at the next seq.
    upstream.respond_with(|request| {
        Script::text(if request.body["continue_final_message"] == true { "finishes." } else { "after all" })
    });
    let again = setup.start().await?;
    let client = client.at(&again);
    let mut texts = Vec::new();
    for (mut seen, reader) in asked {
        drop(reader);
        let last = seen.last().and_then(|frame| frame.id).context("an id")?;
        let follow = client.request(Method::GET, "/chat/stream").header("last-event-id", last.to_string());
        let rest = Reader::from_response(follow.send().await?)?.after(last).collect_to_end().await?;
        let resumed = rest.iter().find(|frame| frame.kind() == "resumed").and_then(|frame| frame.id);
        seen.extend(rest);
        let id = id_of(&seen[0].data, "generation_id")?;
        let replay = stream(client.attach(&format!("generation_id={id}")).await?).await?.collect_to_end().await?;
        assert_eq!(raw(&seen), raw(&replay), "one seamless answer");
        let message = client.messages(&id_of(&seen[0].data, "conversation_id")?).await?[1].clone();
        assert_eq!(message["content"], text_of(&seen).as_str());
        texts.push((text_of(&seen), message["status"].clone(), resumed.map(|id| (id.cursor.epoch, id.cursor.seq))));
    }
    let expected = [
        ("cut ".to_owned(), json!("interrupted"), None),
        ("after all".to_owned(), json!("completed"), Some((2, 2))),
        ("The sentence finishes.".to_owned(), json!("completed"), Some((2, 3))),
    ];
    assert_eq!(texts, expected);
    Ok(())
}

/// A whole answer is awaited by a client that can't be told to come back in mid-body.
#[tokio::test]
async fn who_waits_for_a_whole_answer_gets_what_there_is() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().role().chunk("so far").wait_for("never"));
    let setup = two_providers(&upstream)?.set("DEFAULT_MODEL", "vllm/test-model");
    let server = setup.set("SERVER__SHUTDOWN_DEADLINE", "4s").start().await?;
    let client = server.user("ada").await?;
    let mut whole = JoinSet::new();
    whole.spawn(client.request(Method::POST, "/chat").json(&json!({"message": "go"})).send());
    upstream.wait_reached("never", 1).await?;
    server.signal(Signal::TERM)?;
    let answer = expect(whole.join_next().await.context("an answer")???, StatusCode::OK).await?;
    assert_eq!((answer["status"].as_str(), answer["content"].as_str()), (Some("running"), Some("so far")));
    ensure!(server.ended().await?.0, "exit status 0");
    Ok(())
}

async fn connect(server: &Server) -> Result<TcpStream> {
    Ok(TcpStream::connect(server.api.trim_start_matches("http://")).await?)
}

fn head(client: &Client, request: &str, more: &str) -> Result<String> {
    let token = client.token.as_deref().context("a token")?;
    Ok(format!("{request} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{more}\r\n"))
}

#[tokio::test]
async fn clients_that_hold_on_do_not_hold_the_process() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::text(&"many words ".repeat(10_000)));
    upstream.push(Script::new().role().chunk("nearly ").wait_for("go").chunk("done").ending());
    let server = Setup::with_upstream(&upstream)?.set("SERVER__SHUTDOWN_DEADLINE", "1h").start().await?;
    let client = server.user("ada").await?;
    let long = client.ask_to_end(&json!({"message": "long"})).await?;
    let long = id_of(&long[0].data, "generation_id")?;

    // Sends half of a request's header, and no more.
    let mut half_a_header = connect(&server).await?;
    half_a_header.write_all(b"GET /api/v1/health HTTP/1.1\r\nHost: loc").await?;
    // Sends half of a body, and no more.
    let mut half_a_body = connect(&server).await?;
    let upload = "Content-Type: application/json\r\nContent-Length: 100000\r\n";
    half_a_body.write_all(head(&client, "POST /api/v1/chat/stream", upload)?.as_bytes()).await?;
    half_a_body.write_all(b"{\"message\": \"").await?;
    // Asks for megabytes, in one go, and reads nothing.
    let mut never_reads = connect(&server).await?;
    let replay = head(&client, &format!("GET /api/v1/chat/stream?generation_id={long}"), "")?;
    never_reads.write_all(replay.repeat(20).as_bytes()).await?;
    // Asked once and stays.
    let mut idle = connect(&server).await?;
    idle.write_all(head(&client, "GET /api/v1/health/live", "")?.as_bytes()).await?;
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).await?;
    assert_eq!(&answer, b"HTTP/1.1 204");
    // Says nothing at all.
    let _silent = connect(&server).await?;
    // Asks again and again, without waiting for the answers.
    let (mut answers, mut asks) = connect(&server).await?.into_split();
    let again = head(&client, "GET /api/v1/auth/me", "")?;
    let mut asking = JoinSet::new();
    asking.spawn(async move { while asks.write_all(again.as_bytes()).await.is_ok() {} });
    asking.spawn(async move {
        let _ = tokio::io::copy(&mut answers, &mut tokio::io::sink()).await;
    });

    let reader = client.ask(&json!({"message": "go"})).await?;
    upstream.wait_reached("go", 1).await?;
    let log = server.log_path();
    server.signal(Signal::TERM)?;
    draining(&client).await?;
    upstream.open("go");
    assert_eq!(text_of(&reader.collect_to_end().await?), "nearly done");
    let (well, setup) = server.ended().await?;
    ensure!(well, "exit status 0");
    ensure!(is_closed(&setup), "nobody held on to the database");
    asking.join_all().await;
    drop((half_a_header, half_a_body, never_reads, idle));
    ensure!(std::fs::read_to_string(log)?.contains("cutting connections"), "some held on");
    Ok(())
}

#[tokio::test]
async fn a_database_that_can_not_be_closed_does_not_hold_the_process() -> Result<()> {
    let server = Setup::new()?.on_sqlite().set("SERVER__SHUTDOWN_DEADLINE", "1s").start().await?;
    let client = server.user("ada").await?;
    let log = server.log_path();
    let _lock = DatabaseLock::take(server.setup()).await?;
    let mut writes = JoinSet::new();
    for _ in 0..5 {
        writes.spawn(client.request(Method::POST, "/conversations").json(&json!({})).send());
    }
    // Once the database fails its check the writer's thread is stuck; it gives nothing up for seconds.
    assert_eq!(client.get("/health").await?.status(), StatusCode::SERVICE_UNAVAILABLE);
    server.signal(Signal::TERM)?;
    let (well, _setup) = server.ended().await?;
    let log = std::fs::read_to_string(log)?;
    ensure!(!well && log.contains("something still hung"), "it says so: {log}");
    Ok(())
}

#[tokio::test]
async fn storage_that_takes_no_end_does_not_hold_the_process() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().role().chunk("kept ").wait_for("never"));
    let server = Setup::with_upstream(&upstream)?.set("SERVER__SHUTDOWN_DEADLINE", "4s").start().await?;
    let client = server.user("ada").await?;
    let mut reader = client.ask(&json!({"message": "go"})).await?;
    let mut seen = vec![reader.next_frame().await?.context("start")?, reader.next_frame().await?.context("chunk")?];
    let log = server.log_path();
    let lock = DatabaseLock::take(server.setup()).await?;
    server.signal(Signal::TERM)?;
    while let Some(frame) = reader.next_frame().await? {
        seen.push(frame);
    }
    ensure!(seen.len() == 2 && reader.retry().is_some(), "no end that is not stored: {seen:?}");
    let (well, setup) = server.ended().await?;
    let log = std::fs::read_to_string(log)?;
    ensure!(!well && log.contains("did not take the ends of 1 answers"), "it says so: {log}");
    drop(lock);

    let again = setup.start().await?;
    let client = client.at(&again);
    let id = id_of(&seen[0].data, "generation_id")?;
    let replay = stream(client.attach(&format!("generation_id={id}")).await?).await?.collect_to_end().await?;
    assert_eq!(raw(&replay[..2]), raw(&seen), "byte for byte");
    assert_eq!(replay.last().context("an end")?.data["code"], "interrupted");
    let message = &client.messages(&id_of(&seen[0].data, "conversation_id")?).await?[1];
    assert_eq!((message["status"].as_str(), message["content"].as_str()), (Some("interrupted"), Some("kept ")));
    Ok(())
}

#[tokio::test]
async fn a_local_model_that_does_not_listen_does_not_hold_the_process() -> Result<()> {
    let setup = Setup::with_local_model()?;
    let folder = setup.data_dir().parent().context("a folder")?.to_owned();
    let (stub, pid_file) = (folder.join("llama-server"), folder.join("pid"));
    // Deaf to SIGTERM, and to the end of its standard input.
    let deaf = format!(
        "import os, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nopen({:?}, 'w').write(str(os.getpid()))\n",
        pid_file.display().to_string()
    );
    let speaks = include_str!("local_model/llama_server_stub.py");
    std::fs::write(&stub, format!("#!/usr/bin/env python3\n{deaf}{speaks}"))?;
    std::fs::set_permissions(&stub, std::fs::Permissions::from_mode(0o700))?;
    let model = folder.join("any.gguf");
    std::fs::write(&model, b"GGUF")?;
    let server = setup
        .set("LOCAL_MODEL__ENGINE", "llama-server")
        .set("LOCAL_MODEL__LLAMA_SERVER_PATH", &stub.display().to_string())
        .set("LOCAL_MODEL__PATH", &model.display().to_string())
        .set("SERVER__SHUTDOWN_DEADLINE", "2s")
        .start()
        .await?;
    let client = server.user("ada").await?;
    assert_eq!(text_of(&client.ask_to_end(&json!({"message": "hello"})).await?), "stub heard: hello");
    let child = std::fs::read_to_string(pid_file)?;
    server.signal(Signal::TERM)?;
    server.ended().await?;
    let gone = async {
        // Nobody may be there to reap it: then it stays as a zombie, which is gone as well.
        while std::fs::read_to_string(format!("/proc/{child}/stat")).is_ok_and(|stat| !stat.contains(") Z ")) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.context("the child outlives the server")
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once_and_nothing_is_lost() -> Result<()> {
    let upstream = Upstream::start().await?;
    let words: Vec<String> = (0..200).map(|i| format!("word{i} ")).collect();
    let script = words.iter().fold(Script::new().role(), |script, word| script.chunk(word.as_str()));
    upstream.respond_with(move |_| script.clone().wait_for("never"));
    for (first, second) in [(Signal::TERM, Signal::TERM), (Signal::INT, Signal::TERM)] {
        let server = Setup::with_upstream(&upstream)?.set("SERVER__SHUTDOWN_DEADLINE", "1h").start().await?;
        let client = server.user("ada").await?;
        let mut reader = client.ask(&json!({"message": "go"})).await?;
        // With a word stored the next start ends it; without one it would ask again.
        let mut seen = vec![reader.next_frame().await?.context("start")?, reader.next_frame().await?.context("chunk")?];
        server.signal(first)?;
        draining(&client).await?;
        server.signal(second)?;
        // As far as the bytes came.
        let reading = async {
            while let Ok(Some(frame)) = reader.next_frame().await {
                seen.push(frame);
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.context("it goes on")?;
        let (well, setup) = server.ended().await?;
        ensure!(well, "exit status 0: it was asked for");
        let again = setup.start().await?;
        let client = client.at(&again);
        let id = id_of(&seen[0].data, "generation_id")?;
        let replay = stream(client.attach(&format!("generation_id={id}")).await?).await?.collect_to_end().await?;
        assert_eq!(raw(&replay[..seen.len()]), raw(&seen), "byte for byte");
        ensure!(replay.last().context("an end")?.is_terminal(), "nothing runs for ever");
    }
    Ok(())
}

/// At any moment of a start with answers to take over.
#[tokio::test]
async fn a_signal_before_it_is_ready_ends_it() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().role().chunk("begun ").wait_for("never"));
    upstream.respond_with(|_| Script::new().role().wait_for("later").chunk("and done").ending());
    let setup = two_providers(&upstream)?.set("DEFAULT_MODEL", "vllm/test-model");
    let server = setup.set("SERVER__SHUTDOWN_DEADLINE", "2s").start().await?;
    let client = server.user("ada").await?;
    let mut reader = client.ask(&json!({"message": "go"})).await?;
    let seen = [reader.next_frame().await?.context("start")?, reader.next_frame().await?.context("chunk")?];
    let setup = server.kill().await?;
    for pause in (0..60).step_by(4) {
        let args = ["serve", "--api-addr", "127.0.0.1:0", "--web-addr", "127.0.0.1:0"];
        let mut child = setup.command(&args).stdout(std::process::Stdio::null()).spawn()?;
        tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
        send_signal(child.id().context("it runs")?, Signal::TERM)?;
        let status = tokio::time::timeout(PATIENCE, child.wait()).await.context("it did not end")??;
        use std::os::unix::process::ExitStatusExt;
        // Before it can hear signals the system ends it.
        ensure!(status.success() || status.signal() == Some(15), "after {pause} ms: {status}");
    }
    upstream.open("later");
    let server = setup.start().await?;
    let client = client.at(&server);
    let id = id_of(&seen[0].data, "generation_id")?;
    let replay = stream(client.attach(&format!("generation_id={id}")).await?).await?.collect_to_end().await?;
    assert_eq!(raw(&replay[..2]), raw(&seen));
    ensure!(replay.last().context("an end")?.is_terminal(), "nothing runs for ever");
    Ok(())
}
