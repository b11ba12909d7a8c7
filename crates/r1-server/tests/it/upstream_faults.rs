//! Upstreams that fail, each in its own way: one defined end, the text kept, nothing asked again once
//! a word is said, and nothing that an upstream or a configuration keeps to itself in any text.

mod table;

use std::{collections::HashMap, sync::Arc};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use r1_testkit::{
    raw::{Act, RawUpstream},
    sse::{Frame, text_of},
    tls::{Authority, Identity},
    upstream::{RecordedRequest, Script, Step, Upstream},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpSocket;

use crate::support::{Client, Server, Setup, Signal, expect, id_of, stream};
use table::{Certificate, End, From, Row, whole};

/// The key of every provider here.
const KEY: &str = "sk-planted-4f1c9b";
/// In an upstream's words, stands for the key that came with the request.
const ECHO: &str = "{echo}";
/// What upstreams say here that nobody is to read.
const UPSTREAM_WORDS: &str = "upstream-words";
/// Stands in every question.
const QUESTION_WORDS: &str = "question-words";

/// Upstreams of all kinds, a provider each, behind one server.
struct Bench {
    scripted: Upstream,
    raw: HashMap<usize, RawUpstream>,
    server: Server,
    client: Client,
    /// Who may read of the providers how they are.
    admin: Client,
    /// Ports that are taken and that nobody listens on.
    _nobodies: Vec<TcpSocket>,
    /// Whom the server trusts.
    _certificates: tempfile::NamedTempFile,
}

impl Bench {
    /// The provider of the nth source is `f<n>`; `settings` are its own.
    async fn start(setup: Setup, sources: Vec<From>) -> Result<Self> {
        let (scripted, authority) = (Upstream::start().await?, Authority::new()?);
        let mut setup = setup.env("RUST_LOG", "trace").set("SERVER__SHUTDOWN_DEADLINE", "1s");
        let certificates = tempfile::NamedTempFile::new()?;
        std::fs::write(certificates.path(), authority.pem())?;
        setup = setup.env("SSL_CERT_FILE", &certificates.path().to_string_lossy());
        let (mut scripts, mut raw, mut nobodies) = (HashMap::new(), HashMap::new(), Vec::new());
        for (number, source) in sources.into_iter().enumerate() {
            let answer = || vec![vec![Act::Read, Act::send(whole("whole"))]];
            let url = match source {
                From::Script(script) => {
                    scripts.insert(question(number), script);
                    scripted.base_url()
                }
                From::Raw(acts) => raw.entry(number).insert_entry(RawUpstream::start(acts).await?).get().base_url(),
                From::Tls(certificate) => {
                    let identity = match certificate {
                        Certificate::Good => authority.identity("127.0.0.1")?,
                        Certificate::SelfSigned => Identity::self_signed("127.0.0.1")?,
                        Certificate::Expired => authority.expired("127.0.0.1")?,
                        Certificate::OtherHost => authority.identity("example.com")?,
                    };
                    let upstream = RawUpstream::start_tls(answer(), &identity).await?;
                    raw.entry(number).insert_entry(upstream).get().base_url().replace("http:", "https:")
                }
                From::Url(url) => url.to_owned(),
                From::Nobody => {
                    let socket = TcpSocket::new_v4()?;
                    socket.bind(([127, 0, 0, 1], 0).into())?;
                    let url = format!("http://{}/v1", socket.local_addr()?);
                    nobodies.push(socket);
                    url
                }
                From::PlainByHttps => scripted.base_url().replace("http:", "https:"),
            };
            setup = setup
                .set(&format!("PROVIDERS__F{number}__BASE_URL"), &url)
                .set(&format!("PROVIDERS__F{number}__MODELS"), "model")
                .set(&format!("PROVIDERS__F{number}__API_KEY"), KEY);
        }
        let scripts = Arc::new(scripts);
        scripted.respond_with(move |request| match scripts.get(request.question()) {
            Some(script) => echoing(script, request),
            None => Script::text("unexpected"),
        });
        let server = setup.start().await?;
        let (admin, client) = (server.admin("ada").await?, server.user("ben").await?);
        Ok(Self { scripted, raw, server, client, admin, _nobodies: nobodies, _certificates: certificates })
    }

    async fn ask(&self, number: usize) -> Result<Vec<Frame>> {
        self.client.ask_to_end(&json!({"message": question(number), "model": format!("f{number}/model")})).await
    }

    /// How often the nth upstream was asked.
    fn requests(&self, number: usize) -> usize {
        match self.raw.get(&number) {
            Some(raw) => raw.requests().len(),
            None => self.scripted.requests().iter().filter(|request| request.question() == question(number)).count(),
        }
    }

    /// That nobody can read what is nobody's business: in these texts, or in the log at its most
    /// talkative.
    fn assert_discreet(&self, shown: &[String]) -> Result<()> {
        ensure!(self.server.log().contains("TRACE"), "the log tells all it can");
        for (text, secrets) in [
            (shown.concat(), &[KEY, UPSTREAM_WORDS, "127.0.0.1", "hyper", "rustls", "reqwest"][..]),
            (self.server.log(), &[KEY, UPSTREAM_WORDS, QUESTION_WORDS, "half said", "Bearer"]),
        ] {
            for secret in secrets {
                let found = text.find(secret).map(|at| &text[at.saturating_sub(300)..(at + 100).min(text.len())]);
                ensure!(found.is_none(), "{secret} in {found:?}");
            }
        }
        Ok(())
    }
}

fn question(number: usize) -> String {
    format!("{QUESTION_WORDS} {number}")
}

/// The script, with the key of the request in place of [`ECHO`].
fn echoing(script: &Script, request: &RecordedRequest) -> Script {
    let mut script = script.clone();
    for step in &mut script.steps {
        if let Step::Raw(bytes) = step
            && let Ok(text) = std::str::from_utf8(bytes)
            && text.contains(ECHO)
        {
            *step = Step::Raw(text.replace(ECHO, request.bearer().unwrap_or("none")).into());
        }
    }
    script.headers.remove("content-length");
    script
}

/// Asks for every row at once, and looks at everything that can be seen of it afterwards.
async fn check(rows: Vec<Row>) -> Result<Bench> {
    let mut setup = Setup::new()?;
    for (number, row) in rows.iter().enumerate() {
        // Where silence is what it is about, it need not be long.
        let idle = if row.name.starts_with("silence") { "5s" } else { "60s" };
        setup = setup.set(&format!("PROVIDERS__F{number}__IDLE_TIMEOUT"), idle);
    }
    let (mut sources, mut wanted) = (Vec::new(), Vec::new());
    for row in rows {
        wanted.push((row.name, row.text, row.end, row.requests, row.healthy));
        sources.push(row.from);
    }
    let bench = Bench::start(setup, sources).await?;
    let answers = try_join_all((0..wanted.len()).map(|number| bench.ask(number))).await?;
    let health = bench.admin.read("/health").await?;
    let mut shown = vec![health.to_string(), bench.client.read("/models").await?.to_string()];
    for (number, ((name, text, end, requests, healthy), frames)) in wanted.iter().zip(&answers).enumerate() {
        shown.extend(frames.iter().map(|frame| String::from_utf8_lossy(&frame.raw).into_owned()));
        let last = frames.last().context("events")?;
        assert_eq!(frames.iter().filter(|frame| frame.is_terminal()).count(), 1, "{name}");
        assert_eq!(text_of(frames), *text, "{name}: {}", last.data);
        let message = stored(&bench.client, frames).await.context(*name)?;
        assert_eq!(message["content"], *text, "{name}");
        let code = match end {
            End::Completed(reason) => {
                assert_eq!(
                    (&last.data["status"], &last.data["finish_reason"]),
                    (&json!("completed"), &json!(reason)),
                    "{name}: {}",
                    last.data
                );
                assert_eq!(
                    (&message["status"], &message["finish_reason"]),
                    (&json!("completed"), &json!(reason)),
                    "{name}"
                );
                None
            }
            End::Failed(code, retryable) => {
                assert_eq!(
                    (&last.data["code"], &last.data["retryable"]),
                    (&json!(code), &json!(retryable)),
                    "{name}: {}",
                    last.data
                );
                assert_eq!((&message["status"], &message["error_code"]), (&json!("failed"), &json!(code)), "{name}");
                Some(*code)
            }
        };
        let wait = match *name {
            "429 at once" => json!(0),
            name if name.ends_with("in an hour") => json!(3600),
            _ => Value::Null,
        };
        assert_eq!(last.data["retry_after"], wait, "{name}");
        assert_eq!(bench.requests(number), *requests, "{name}: requests");
        let provider =
            health["providers"].as_array().into_iter().flatten().find(|one| one["name"] == format!("f{number}"));
        let provider = provider.with_context(|| format!("a provider in {health}"))?;
        assert_eq!(provider["status"], if *healthy { "ok" } else { "degraded" }, "{name}");
        if let (Some(code), false) = (code, healthy) {
            assert_eq!(provider["detail"], format!("the last request ended with {code}"), "{name}");
        }
    }
    bench.assert_discreet(&shown)?;
    Ok(bench)
}

/// The answer's row, once its replay has been compared with what was read.
async fn stored(client: &Client, frames: &[Frame]) -> Result<Value> {
    let generation = id_of(&frames[0].data, "generation_id")?;
    let replay = stream(client.attach(&format!("generation_id={generation}&after=0")).await?).await?;
    let replay = replay.collect_to_end().await?;
    ensure!(
        replay.iter().map(|frame| &frame.raw).eq(frames.iter().map(|frame| &frame.raw)),
        "the log is what was read"
    );
    let messages = client.messages(&id_of(&frames[0].data, "conversation_id")?).await?;
    messages.into_iter().nth(1).context("an answer")
}

#[tokio::test]
async fn before_the_answer() -> Result<()> {
    check(table::before_the_answer()).await.map(drop)
}

#[tokio::test]
async fn in_mid_answer() -> Result<()> {
    let bench = check(table::in_mid_answer()).await?;
    ensure!(bench.server.log().matches("not everything could be used").count() == 1, "said, once an answer");
    Ok(())
}

#[tokio::test]
async fn answers_all_the_same() -> Result<()> {
    check(table::answers_all_the_same()).await.map(drop)
}

#[tokio::test]
async fn the_limit_on_the_whole_answers_time_ends_what_goes_on_for_ever() -> Result<()> {
    let (mut sources, mut wanted) = (Vec::new(), Vec::new());
    for (name, source, text) in table::for_ever() {
        sources.push(source);
        wanted.push((name, text));
    }
    let bench = Bench::start(Setup::new()?.set("LIMITS__ANSWER_TIME", "6s"), sources).await?;
    let answers = try_join_all((0..wanted.len()).map(|number| bench.ask(number))).await?;
    for (number, ((name, text), frames)) in wanted.iter().zip(&answers).enumerate() {
        let last = &frames.last().context("events")?.data;
        assert_eq!((&last["code"], &last["retryable"]), (&json!("generation_timeout"), &json!(true)), "{name}");
        assert_eq!(text_of(frames), *text, "{name}");
        assert_eq!(stored(&bench.client, frames).await?["content"], *text, "{name}");
        assert_eq!(bench.requests(number), 1, "{name}");
    }
    let health = bench.admin.read("/health").await?.to_string();
    let degraded = health.matches("degraded").count();
    ensure!(degraded == 1 && health.contains("provider_rate_limited"), "only what was said counts: {health}");
    bench.assert_discreet(&[])
}

#[tokio::test]
async fn a_retry_that_works_is_not_seen() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::error(StatusCode::BAD_GATEWAY, "x", "y"));
    upstream.push(Script::text("second try"));
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.admin("ada").await?;
    let frames = client.ask_to_end(&json!({"message": "go"})).await?;
    assert_eq!(text_of(&frames), "second try");
    assert_eq!(upstream.requests().len(), 2);
    assert_eq!(client.read("/health").await?["providers"][0]["status"], "ok", "what came last counts");
    Ok(())
}

#[tokio::test]
async fn a_pooled_connection_that_ends_when_it_is_used_is_replaced() -> Result<()> {
    let answer = |text| Act::send(whole(text));
    let upstream = RawUpstream::start(vec![
        // Closed after the second request came, which may have been carried out.
        vec![Act::Read, answer("one"), Act::Read],
        // Closed at once, while the next request is on its way or not yet.
        vec![Act::Read, answer("two")],
        vec![Act::Read, answer("three"), Act::Hang],
    ]);
    let upstream = upstream.await?;
    let setup = Setup::new()?
        .set("PROVIDERS__NOBODY__BASE_URL", &upstream.base_url())
        .set("PROVIDERS__NOBODY__MODELS", "model")
        .set("DEFAULT_MODEL", "nobody/model");
    let server = setup.start().await?;
    let client = server.user("ada").await?;
    for text in ["one", "two", "three"] {
        assert_eq!(text_of(&client.ask_to_end(&json!({"message": "go"})).await?), text);
    }
    Ok(())
}

#[tokio::test]
async fn stop_and_shutdown_end_the_pause_before_a_retry() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|_| Script::rate_limited("9"));
    let setup = Setup::with_upstream(&upstream)?.set("SERVER__SHUTDOWN_DEADLINE", "4s").env("RUST_LOG", "info");
    let server = setup.start().await?;
    let client = server.user("ada").await?;
    let mut reader = client.ask(&json!({"message": "go"})).await?;
    let start = reader.next_frame().await?.context("start")?;
    upstream.wait_requests(1).await?;
    let path = format!("/chat/generations/{}/stop", id_of(&start.data, "generation_id")?);
    let stopped = expect(client.request(Method::POST, &path).send().await?, StatusCode::OK).await?;
    assert_eq!(stopped["status"], "stopped", "{stopped}");
    assert_eq!(reader.collect_to_end().await?.last().context("end")?.data["status"], "stopped");
    assert_eq!(upstream.requests().len(), 1);

    let _waiting = client.ask(&json!({"message": "go"})).await?;
    upstream.wait_requests(2).await?;
    server.signal(Signal::TERM)?;
    let (well, _setup) = server.ended().await?;
    ensure!(well, "it ends well, and before the pause does");
    assert_eq!(upstream.requests().len(), 2);
    Ok(())
}

#[tokio::test]
async fn neither_a_redirect_nor_a_proxy_learns_of_it() -> Result<()> {
    let elsewhere = RawUpstream::start(vec![vec![Act::Read, Act::send(whole("elsewhere"))]]).await?;
    let upstream = Upstream::start().await?;
    let redirect = Script { status: StatusCode::TEMPORARY_REDIRECT, ..Script::new() };
    upstream.push(redirect.header("location", &format!("{}/chat/completions", elsewhere.base_url())));
    upstream.push(Script::text("here"));
    let mut setup = Setup::with_upstream(&upstream)?.env("OPENAI_API_KEY", KEY);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        let proxy = format!("http://{}", elsewhere.address());
        setup = setup.env(name, &proxy).env(&name.to_lowercase(), &proxy);
    }
    let server = setup.start().await?;
    let client = server.user("ada").await?;
    let frames = client.ask_to_end(&json!({"message": "go"})).await?;
    assert_eq!(frames.last().context("end")?.data["code"], "upstream_invalid");
    assert_eq!(text_of(&client.ask_to_end(&json!({"message": "go"})).await?), "here");
    assert_eq!(elsewhere.connections(), 0);
    Ok(())
}

#[tokio::test]
async fn the_invalid_key_switch_shows_an_error_and_harms_nobody() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.require_key(KEY);
    upstream.respond_with(|_| Script::text("fine"));
    let server = Setup::with_upstream(&upstream)?.env("OPENAI_API_KEY", KEY).start().await?;
    let client = server.admin("ada").await?;
    let frames = client.ask_to_end(&json!({"message": "Test message", "use_invalid_key": true})).await?;
    assert_eq!(frames.iter().map(Frame::kind).collect::<Vec<_>>(), ["start", "error"]);
    let last = &frames[1].data;
    assert_eq!((&last["code"], &last["retryable"]), (&json!("provider_auth"), &json!(false)));
    let health = client.read("/health").await?;
    assert_eq!(health["providers"][0]["status"], "unknown", "not the provider's fault: {health}");
    assert_eq!(text_of(&client.ask_to_end(&json!({"message": "Test message"})).await?), "fine");
    Ok(())
}
