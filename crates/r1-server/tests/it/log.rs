//! What an administrator finds in the log.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use r1_testkit::upstream::{Script, Upstream};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Server, Setup, Signal, id_of};

/// The lines of a log in JSON.
fn lines(server: &Server) -> Vec<Value> {
    server.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn find<'a>(lines: &'a [Value], part: &str) -> Result<&'a Value> {
    let says = |line: &&Value| line["message"].as_str().is_some_and(|message| message.contains(part));
    lines.iter().find(says).with_context(|| format!("no line with {part}: {lines:#?}"))
}

#[tokio::test]
async fn a_failed_answers_line_says_whose_and_why() -> Result<()> {
    let upstream = Upstream::start().await?;
    let setup = Setup::with_upstream(&upstream)?.env("OPENAI_API_KEY", "sk-very-secret").set("LOG__FORMAT", "json");
    let server = setup.start().await?;
    let ada = server.user("ada").await?;
    let me = id_of(&ada.read("/auth/me").await?, "id")?;
    for (status, code, level) in [(401, "provider_auth", "ERROR"), (404, "model_not_found", "WARN")] {
        let conversation = ada.conversation().await?;
        upstream.push(Script::error(StatusCode::from_u16(status)?, "x", "x"));
        let asked = ada.request(Method::POST, "/chat/stream").header("x-request-id", format!("request-{status}"));
        let asked =
            asked.json(&json!({"message": "a private question", "conversation_id": conversation})).send().await?;
        let frames = crate::support::stream(asked).await?.collect_to_end().await?;
        let generation = id_of(&frames[0].data, "generation_id")?;
        let lines = lines(&server);
        let line = find(
            &lines,
            &format!("generation {generation} failed: {code}: openai (model test-model) answered {status}: "),
        )?;
        assert_eq!((line["level"].as_str(), line["code"].as_str()), (Some(level), Some(code)), "{line}");
        let told =
            ["provider", "model", "user_id", "conversation_id", "generation_id", "request_id"].map(|id| &line[id]);
        let wanted = ["openai", "test-model", &me, &conversation, &generation, &format!("request-{status}")];
        assert_eq!(told, wanted.map(|id| json!(id)).each_ref(), "{line}");
        assert_eq!(line["status"], status);
        let places_key = line["message"].as_str().is_some_and(|message| message.ends_with("(api_key, OPENAI_API_KEY)"));
        assert_eq!(places_key, status == 401, "{line}");
    }
    // Asked for, and nobody's fault.
    ada.ask_to_end(&json!({"message": "go", "use_invalid_key": true})).await?;
    let lines = lines(&server);
    let errors = lines.iter().filter(|line| line["level"] == "ERROR").count();
    assert_eq!(errors, 1, "{lines:#?}");
    ensure!(!server.log().contains("private") && !server.log().contains("sk-very-secret"));
    Ok(())
}

#[tokio::test]
async fn refusals_have_a_line_and_others_where_that_is_wanted() -> Result<()> {
    for access in ["false", "true"] {
        let server = Setup::new()?.set("LOG__FORMAT", "json").set("LOG__ACCESS", access).start().await?;
        let ada = server.user("ada").await?;
        let me = id_of(&ada.read("/auth/me").await?, "id")?;
        let unknown = "/conversations/0190a5d6-0000-7000-8000-000000000000";
        for (client, method, path, status) in [
            (server.anonymous(), Method::GET, "/auth/me", 401),
            (ada.clone(), Method::POST, "/chat/stream", 422),
            (ada.clone(), Method::GET, unknown, 404),
            (ada.clone(), Method::GET, "/auth/me", 200),
        ] {
            let id = format!("{access}-{status}");
            let request =
                client.request(method.clone(), path).header("x-request-id", &id).json(&json!({"message": ""}));
            assert_eq!(request.send().await?.status(), status, "{path}");
            let lines = lines(&server);
            let about: Vec<&Value> =
                lines.iter().filter(|line| line["request_id"] == json!(id) && line["status"].is_number()).collect();
            if status == 200 && access == "false" {
                assert!(about.is_empty(), "{about:?}");
                continue;
            }
            assert_eq!(about.len(), 1, "{about:?}");
            let line = about[0];
            assert_eq!(
                (line["level"].as_str(), &line["method"], &line["status"]),
                (Some("INFO"), &json!(method.as_str()), &json!(status))
            );
            assert!(
                line["ms"].is_f64() && line["route"].as_str().is_some_and(|route| !route.contains("0190a5d6")),
                "{line}"
            );
            let user = if status == 401 { &Value::Null } else { &json!(me) };
            assert_eq!(&line["user_id"], user, "{line}");
        }
    }
    Ok(())
}

/// What reads the filter as fail2ban does: it takes the time away, and puts the shape of an address in.
const FAIL2BAN: &str = r#"
import configparser, re, sys
filter = configparser.ConfigParser(interpolation=None)
filter.read(sys.argv[1])
definition = dict(filter["Definition"])
rules = definition["failregex"].replace("%(_failed)s", definition["_failed"])
rules = [rule.strip().replace("<ADDR>", r"(?P<address>[0-9a-fA-F:.]+)") for rule in rules.splitlines()]
time = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
for line in open(sys.argv[2]):
    line = time.sub("", line, count=1)
    for rule in rules:
        found = re.search(rule, line)
        if found:
            print(found.group("address"))
"#;

#[tokio::test]
async fn failed_sign_ins_are_found_by_the_filter_for_fail2ban() -> Result<()> {
    let filter = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/fail2ban/filter.d/gpt-r1.conf");
    for format in ["text", "json"] {
        let setup = Setup::new()?.set("LOG__FORMAT", format).set("SERVER__TRUSTED_PROXIES", "127.0.0.1");
        let server = setup.start().await?;
        server.user("ada").await?;
        let client = server.anonymous();
        for (address, name) in [("203.0.113.7", "ada"), ("2001:db8::7", "failed sign-in from 198.51.100.1: too many")] {
            let request = client.request(Method::POST, "/auth/login").header("x-forwarded-for", address);
            let form =
                json!({"username": name, "password": "failed sign-in from 198.51.100.2: wrong name or password"});
            assert_eq!(request.json(&form).send().await?.status(), StatusCode::UNAUTHORIZED);
        }
        let code = json!({"username": "mallory", "email": "mallory@example.com", "password": "correct horse", "setup_code": "nonsense"});
        let request = client.request(Method::POST, "/auth/register").header("x-forwarded-for", "203.0.113.9");
        ensure!(request.json(&code).send().await?.status().is_client_error());
        let log = server.log();
        ensure!(!log.contains("198.51.100") && !log.contains("mallory"), "{log}");
        let found = Command::new("python3").args(["-c", FAIL2BAN]).args([&filter, &server.log_path()]).output()?;
        ensure!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
        let found = String::from_utf8(found.stdout)?;
        assert_eq!(found.lines().collect::<Vec<_>>(), ["203.0.113.7", "2001:db8::7", "203.0.113.9"], "{log}");
    }
    Ok(())
}

#[tokio::test]
async fn a_proxy_that_is_not_trusted_is_said_once() -> Result<()> {
    let server = Setup::new()?.start().await?;
    for _ in 0..3 {
        let request = server.anonymous().request(Method::GET, "/health/live").header("x-forwarded-for", "203.0.113.7");
        request.send().await?;
    }
    let said = server.log().matches("127.0.0.1 sends X-Forwarded-For and is not in server.trusted_proxies").count();
    assert_eq!(said, 1, "{}", server.log());
    let trusting = Setup::new()?.set("SERVER__TRUSTED_PROXIES", "127.0.0.1").start().await?;
    let request = trusting.anonymous().request(Method::GET, "/health/live").header("x-forwarded-for", "203.0.113.7");
    request.send().await?;
    ensure!(!trusting.log().contains("X-Forwarded-For"), "{}", trusting.log());
    Ok(())
}

#[tokio::test]
async fn what_a_shutdown_interrupts_is_named() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().role().chunk("a word").wait_for("never"));
    let server = Setup::with_upstream(&upstream)?.set("SERVER__SHUTDOWN_DEADLINE", "1s").start().await?;
    let ada = server.user("ada").await?;
    let mut stream = ada.ask(&json!({"message": "go"})).await?;
    let start = stream.next_frame().await?.context("a start")?;
    let generation = id_of(&start.data, "generation_id")?;
    while stream.next_frame().await?.context("a word")?.content().is_none() {}
    server.signal(Signal::TERM)?;
    let path = server.log_path();
    let (well, _setup) = server.ended().await?;
    let log = std::fs::read_to_string(path)?;
    ensure!(well && log.contains(&format!("the shutdown interrupts generation {generation}")), "{log}");
    Ok(())
}
