//! Coming back: every cursor at every kind of log, from every device.

mod crowd;

use anyhow::{Context, Result, ensure};
use r1_domain::{
    cursor::Cursor,
    time::{Clock, SystemClock, Timestamp},
};
use r1_testkit::{
    sse::Frame,
    upstream::{Script, Upstream},
};
use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use serde_json::json;

use crate::support::{Client, Server, Setup, expect, expect_problem, id_of, stream};

/// One provider that can go on from a partial answer, and one that can't.
fn two_providers(upstream: &Upstream) -> Result<Setup> {
    Ok(Setup::new()?
        .set("PROVIDERS__STEADY__BASE_URL", &upstream.base_url())
        .set("PROVIDERS__STEADY__CONTINUES", "vllm")
        .set("PROVIDERS__BRITTLE__BASE_URL", &upstream.base_url())
        .set("DEFAULT_MODEL", "brittle/m"))
}

/// One sign-in of a user: by a token, or by the page's cookie.
struct Device {
    client: Client,
    cookie: Option<String>,
}

impl Device {
    fn follow(&self, query: &str) -> RequestBuilder {
        let request = self.client.request(Method::GET, &format!("/chat/stream?{query}"));
        match &self.cookie {
            Some(cookie) => request.header(header::COOKIE, cookie),
            None => request,
        }
    }
}

/// The device that asked, another one of the same person, and a browser.
async fn devices(server: &Server, first: Client) -> Result<[Device; 3]> {
    let mut second = server.anonymous();
    second.sign_in("ada", "correct horse").await?;
    let form = json!({"username": "ada", "password": "correct horse", "session": "cookie"});
    let browser = server.anonymous();
    let login = browser.request(Method::POST, "/auth/login").header("sec-fetch-site", "same-origin").json(&form);
    let login = login.send().await?.error_for_status()?;
    let cookie = login.headers()[header::SET_COOKIE].to_str()?.split(';').next().context("a cookie")?.to_owned();
    Ok([
        Device { client: first, cookie: None },
        Device { client: second, cookie: None },
        Device { client: browser, cookie: Some(cookie) },
    ])
}

/// A log as its first reader got it.
struct Log {
    name: &'static str,
    generation: String,
    conversation: String,
    frames: Vec<Frame>,
}

impl Log {
    fn new(name: &'static str, frames: Vec<Frame>) -> Result<Self> {
        let start = &frames.first().context("a start")?.data;
        let (generation, conversation) = (id_of(start, "generation_id")?, id_of(start, "conversation_id")?);
        Ok(Self { name, generation, conversation, frames })
    }

    fn bytes(&self, from: usize) -> Vec<u8> {
        self.frames[from..].iter().flat_map(|frame| frame.raw.to_vec()).collect()
    }

    fn is_running(&self) -> bool {
        !self.frames.last().is_some_and(Frame::is_terminal)
    }
}

/// What an attach must come to.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Outcome {
    /// The log's frames from this one on; then its end, or silence while it runs.
    From(usize),
    /// 204.
    Nothing,
    /// A problem document.
    Refused(u16, &'static str),
}
use Outcome::{From, Nothing, Refused};

async fn check(log: &Log, response: Response, expected: Outcome) -> Result<()> {
    match expected {
        Nothing => ensure!(response.status() == StatusCode::NO_CONTENT, "{} instead of 204", response.status()),
        Refused(status, code) => {
            expect_problem(response, status, code).await?;
        }
        From(first) => {
            ensure!(response.status() == StatusCode::OK, "{}: {}", response.status(), response.text().await?);
            same_bytes(response, &log.bytes(first), log.is_running()).await?;
        }
    }
    Ok(())
}

/// Compares as it comes, and keeps nothing.
async fn same_bytes(mut response: Response, expected: &[u8], goes_on: bool) -> Result<()> {
    let mut at = 0;
    while !(goes_on && at == expected.len()) {
        let Some(bytes) = response.chunk().await? else { break };
        let rest = &expected[at..];
        ensure!(rest.starts_with(&bytes), "at byte {at}: {:?}", String::from_utf8_lossy(&bytes));
        at += bytes.len();
    }
    ensure!(at == expected.len(), "the body ends at {at} of {}", expected.len());
    Ok(())
}

/// The query, the `Last-Event-ID`s, what must come of it.
type Case = (String, Vec<Vec<u8>>, Outcome);

/// Every cursor at this log.
fn cases(log: &Log, other: &str) -> Result<Vec<Case>> {
    let id = &log.generation;
    let mut cases = vec![
        (format!("generation_id={id}"), vec![], From(0)),
        (format!("generation_id={id}&after=0"), vec![], From(0)),
        (format!("conversation_id={}&generation_id={id}", log.conversation), vec![], Refused(400, "bad_parameter")),
        // An EventSource that has had no event with an id yet.
        (format!("generation_id={id}"), vec![vec![]], From(0)),
        (format!("generation_id={other}"), vec![format!("{id}:1.1").into()], Refused(400, "bad_parameter")),
        (format!("generation_id={id}&after=1.1&after=1.2"), vec![], Refused(400, "malformed")),
        (format!("generation_id={id}&since=1.1"), vec![], Refused(400, "malformed")),
    ];
    let cursors: Vec<Cursor> =
        log.frames.iter().map(|frame| frame.id.map(|id| id.cursor)).collect::<Option<_>>().context("ids")?;
    let last = *cursors.last().context("an end")?;
    for (n, cursor) in cursors.iter().enumerate() {
        let then = if log.frames[n].is_terminal() { Nothing } else { From(n + 1) };
        let header = || vec![format!("{id}:{cursor}").into_bytes()];
        cases.push((format!("generation_id={id}&after={cursor}"), vec![], then));
        cases.push((String::new(), header(), then));
        cases.push((format!("generation_id={id}"), header(), then));
        // An EventSource goes on asking for its first address.
        cases.push((format!("generation_id={id}&after={}", cursors[0]), header(), then));
        cases.push((format!("conversation_id={}", log.conversation), header(), then));
        let foreign = Cursor { epoch: cursor.epoch + 7, ..*cursor };
        cases.push((format!("generation_id={id}&after={foreign}"), vec![], From(0)));
    }
    let resumed = cursors.iter().find(|cursor| cursor.epoch > cursors[0].epoch);
    let rewound = resumed.map(|cursor| Cursor { epoch: cursors[0].epoch, ..*cursor });
    let beyond = [Cursor { seq: last.seq + 1, ..last }, Cursor { seq: u64::MAX, ..last }];
    for cursor in beyond.into_iter().chain(rewound).chain([Cursor { epoch: u32::MAX, seq: u64::MAX }]) {
        cases.push((format!("generation_id={id}&after={cursor}"), vec![], From(0)));
        cases.push((String::new(), vec![format!("{id}:{cursor}").into()], From(0)));
    }
    for bad in [
        "",
        "x",
        "1",
        "1.",
        ".1",
        "1.0",
        "0.1",
        "01.1",
        "1.01",
        "-1.1",
        "1.1.1",
        "1.1e0",
        "0x1.1",
        "00",
        "1,1",
        "%2B1.1",
        "%201.1",
        "1.1%00",
        "%D9%A1.1",
        "4294967296.1",
        "1.18446744073709551616",
    ] {
        cases.push((format!("generation_id={id}&after={bad}"), vec![], Refused(400, "bad_parameter")));
    }
    let huge = format!("{id}:1.{}", "1".repeat(8_000));
    let twice = format!("{id}:1.1, {id}:1.1");
    let dashed = id.replace('-', "");
    for bad in [
        "0",
        "1.1",
        ":1.1",
        "x:1.1",
        &format!("{id}:"),
        &format!("{id}:0"),
        &format!("{id}:0.0"),
        &format!("{id}1.1"),
        &format!("{id}:1.1:1.1"),
        &format!("{{{id}}}:1.1"),
        &format!("{dashed}:1.1"),
        &huge,
        &twice,
        "ünïcode",
        "\u{1f600}",
    ] {
        cases.push((String::new(), vec![bad.as_bytes().to_vec()], Refused(400, "bad_parameter")));
        cases.push((format!("generation_id={id}"), vec![bad.as_bytes().to_vec()], Refused(400, "bad_parameter")));
    }
    let good = || format!("{id}:1.1").into_bytes();
    cases.push((String::new(), vec![good(), good()], Refused(400, "bad_parameter")));
    cases.push((String::new(), vec![vec![], good()], Refused(400, "bad_parameter")));
    cases.push((String::new(), vec![vec![0xff, 0xfe]], Refused(400, "bad_parameter")));
    cases.push((format!("after={}", cursors[0]), vec![], Refused(400, "bad_parameter")));
    let nobody = "0198f1c2-7c1e-7d3a-9a5e-3f1b2c4d5e6f";
    cases.push((String::new(), vec![format!("{nobody}:1.1").into()], Refused(404, "not_found")));
    cases.push((format!("generation_id={nobody}&after=1.1"), vec![], Refused(404, "not_found")));
    cases.push((format!("conversation_id={nobody}"), vec![], Refused(404, "not_found")));
    cases.push(("generation_id=none".to_owned(), vec![], Refused(400, "bad_parameter")));
    Ok(cases)
}

/// Follows a running answer until it has said this much.
async fn half(client: &Client, model: &str, chunks: usize) -> Result<Vec<Frame>> {
    let mut reader = client.ask(&json!({"message": "go", "model": model})).await?;
    let mut seen = 0;
    reader
        .collect_until(|frame| {
            seen += usize::from(frame.kind() == "chunk");
            seen == chunks
        })
        .await
}

async fn whole(client: &Client, generation: &str) -> Result<Vec<Frame>> {
    stream(client.attach(&format!("generation_id={generation}")).await?).await?.collect_to_end().await
}

/// Retires the logs of all answers that have ended, as housekeeping does after their time.
async fn retire_logs(setup: &Setup) -> Result<()> {
    let store = setup.store().await?;
    let never = Timestamp::from_micros(0);
    while store.purge(SystemClock.now(), never, never, 100).await? > 0 {}
    Ok(())
}

#[tokio::test]
async fn every_cursor_of_every_log_from_every_device() -> Result<()> {
    let upstream = Upstream::start().await?;
    let server = two_providers(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    upstream.push(Script::text("gone in time"));
    let retired = Log::new("retired", client.ask_to_end(&json!({"message": "go"})).await?)?;
    let setup = server.kill().await?;
    retire_logs(&setup).await?;
    let server = setup.start().await?;
    let client = client.at(&server);

    upstream.push(Script::text("one two \u{2028} three"));
    let ended = Log::new("ended", client.ask_to_end(&json!({"message": "go"})).await?)?;
    upstream.push(Script::new().role().chunk("The sun").chunk(" is").finish("length").done());
    let older = Log::new("older", client.ask_to_end(&json!({"message": "go"})).await?)?;
    upstream.push(Script::text(" hot."));
    let go_on = client.request(Method::POST, &format!("/chat/generations/{}/continue", older.generation)).send();
    let newer = Log::new("newer", stream(go_on.await?).await?.collect_to_end().await?)?;
    upstream.push(Script::new().role().chunk("half ").chunk("an ").wait_for("never"));
    let before = half(&client, "steady/m", 2).await?;
    let taken_over = id_of(&before[0].data, "generation_id")?;
    upstream.push(Script::new().role().chunk("cut ").chunk("off").wait_for("never"));
    let cut = half(&client, "brittle/m", 2).await?;
    upstream.push(Script::text("answer, whole"));
    let server = server.kill().await?.start().await?;
    let client = client.at(&server);
    let taken_over = Log::new("taken over", whole(&client, &taken_over).await?)?;
    ensure!(taken_over.bytes(0).starts_with(&before.iter().flat_map(|frame| frame.raw.to_vec()).collect::<Vec<_>>()));
    ensure!(taken_over.frames.iter().any(|frame| frame.kind() == "resumed"));
    let interrupted = Log::new("interrupted", whole(&client, &id_of(&cut[0].data, "generation_id")?).await?)?;
    assert_eq!(interrupted.frames.last().context("an end")?.data["code"], "interrupted");
    upstream.push(Script::new().role().chunk("still ").chunk("at ").chunk("it").wait_for("never"));
    let running = Log::new("running", half(&client, "brittle/m", 3).await?)?;
    // Made again from what outlives it; no cursor of before is one of it.
    let gone = retired.frames.iter().filter_map(|frame| frame.id).map(|id| id.to_string()).collect::<Vec<_>>();
    let retired = Log::new("retired", whole(&client, &retired.generation).await?)?;

    let devices = devices(&server, client.clone()).await?;
    for id in gone {
        let response = devices[1].follow("").header("last-event-id", id).send().await?;
        check(&retired, response, From(0)).await?;
    }
    let logs = [&ended, &older, &newer, &taken_over, &interrupted, &retired, &running];
    let mut turn = devices.iter().cycle();
    for log in logs {
        let other = if log.name == "ended" { &older } else { &ended };
        for (query, ids, outcome) in cases(log, &other.generation)? {
            let device = turn.next().context("a device")?;
            let request =
                ids.iter().fold(device.follow(&query), |request, id| request.header("last-event-id", &id[..]));
            let shown =
                ids.iter().map(|id| String::from_utf8_lossy(id).chars().take(60).collect()).collect::<Vec<String>>();
            check(log, request.send().await?, outcome)
                .await
                .with_context(|| format!("{}: ?{query}, Last-Event-ID {shown:?}: not {outcome:?}", log.name))?;
        }
    }
    // Without a name: what runs, else nothing; of a conversation what runs, else its newest.
    for device in &devices {
        for query in ["", "after=0"] {
            check(&running, device.follow(query).send().await?, From(0)).await?;
        }
        let newest = |log: &Log| device.follow(&format!("conversation_id={}", log.conversation)).send();
        for log in [&ended, &newer, &taken_over, &interrupted, &retired, &running] {
            check(log, newest(log).await?, From(0)).await?;
        }
        check(&newer, newest(&older).await?, From(0)).await?;
    }
    let empty = client.conversation().await?;
    assert_eq!(client.attach(&format!("conversation_id={empty}")).await?.status(), StatusCode::NO_CONTENT);
    let stop = format!("/chat/generations/{}/stop", running.generation);
    expect(client.post(&stop, &json!(null)).await?, StatusCode::OK).await?;
    assert_eq!(client.get("/chat/stream").await?.status(), StatusCode::NO_CONTENT);
    Ok(())
}
