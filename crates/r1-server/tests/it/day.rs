//! An administrator's first day, with nothing but the documents: their lines, their files, an empty machine.

mod nginx;

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use r1_testkit::{
    sse::text_of,
    upstream::{Script, Upstream},
};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::time::timeout;

use self::nginx::Nginx;
use crate::{
    documents::{blocks, section},
    root::Root,
    support::{Client, PATIENCE, expect, expect_problem, id_of},
};

const DEPLOYMENT: &str = "docs/deployment.md";
const SETTINGS: &str = "/etc/gpt-r1/gpt-r1.toml";
const SITE: &str = "https://chat.example.com";

/// A machine on which the service was installed as documented, and the function `gpt_r1` of the documents.
async fn installed(upstream: Option<&Upstream>) -> Result<(Root, String)> {
    let root = Root::new()?;
    if let Some(upstream) = upstream {
        root.machine("OPENAI_BASE_URL", &upstream.base_url())?;
    }
    let [install, commands, _] = section::<3>(DEPLOYMENT, "systemd")?;
    root.succeeds(&install).await?;
    let (function, _) = commands.split_once("\n}\n").context("a function")?;
    Ok((root, format!("{function}\n}}\n")))
}

/// Waits until a client gets this status for a request that changes nothing.
async fn until(client: &Client, path: &str, status: StatusCode) -> Result<()> {
    let waiting = async {
        while client.get(path).await?.status() != status {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    };
    timeout(PATIENCE, waiting).await.with_context(|| format!("{path} does not become {status}"))?
}

#[tokio::test]
async fn a_first_day() -> Result<()> {
    let upstream = Upstream::start().await?;
    let (root, gpt_r1) = installed(Some(&upstream)).await?;
    let run = async |line: &str| root.succeeds(&format!("{gpt_r1}{line}")).await;

    // The first administrator by the code that the journal has; the second on the command line.
    ensure!(root.succeeds("journalctl -u gpt-r1").await?.contains(&root.setup_code()?));
    let mut ada = root.client()?;
    let form = json!({
        "username": "ada", "email": "ada@example.com", "password": "correct horse", "setup_code": root.setup_code()?
    });
    let registered = expect(ada.post("/auth/register", &form).await?, StatusCode::CREATED).await?;
    assert_eq!(registered["is_admin"], true);
    ada.sign_in("ada", "correct horse").await?;
    run("echo 'battery staple' | gpt_r1 user add bob --email bob@example.com --admin --password-stdin").await?;
    let mut bob = root.client()?;
    bob.sign_in("bob", "battery staple").await?;
    assert_eq!(bob.read("/auth/me").await?["is_admin"], true);

    // Behind the proxy, with the settings that the documents have for it.
    let behind = blocks(DEPLOYMENT)?;
    let behind = behind.iter().find(|block| block.language == "toml" && block.heading == "systemd");
    let settings = &behind.context("settings")?.text;
    fs::write(root.path(SETTINGS), settings)?;
    // This machine's own port for the page, which the file switches off.
    root.machine("GPT_R1__SERVER__WEB_ADDR", "off")?;
    root.succeeds("sudo systemctl restart gpt-r1").await?;
    proxied(&root, &upstream).await?;
    let stranger = json!({"username": "eve", "email": "eve@example.com", "password": "correct horse"});
    let refused = root.client()?.post("/auth/register", &stranger).await?;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN, "registration is closed");

    // A slip in the file: said, with its line, and tried once.
    fs::write(root.path(SETTINGS), format!("{settings}\n[limits]\nmessage_chars = 0\n"))?;
    let faulty = root.run("sudo systemctl restart gpt-r1").await?;
    ensure!(!faulty.ok && faulty.stderr.contains("gpt-r1.service failed with status 78"), "{faulty:?}");
    let line = settings.lines().count() + 3;
    ensure!(root.log().contains(&format!("gpt-r1.toml:{line}: limits.message_chars")), "{}", root.log());
    let checked = root.run(&format!("{gpt_r1}gpt_r1 config check --quiet")).await?;
    ensure!(!checked.ok && checked.stderr.contains("limits.message_chars"), "{checked:?}");
    fs::write(root.path(SETTINGS), settings)?;
    root.succeeds("sudo systemctl start gpt-r1").await?;

    // Everybody is still signed in; a reload changes what the file says now, without a restart.
    let here = async |client: &Client| -> Result<Client> {
        let mut again = root.client()?;
        again.token = client.token.clone();
        again.read("/auth/me").await?;
        Ok(again)
    };
    let (ada, bob) = (here(&ada).await?, here(&bob).await?);
    let long = json!({"message": "a question of more than thirty characters"});
    upstream.push(Script::text("Gladly."));
    expect(ada.post("/chat", &long).await?, StatusCode::OK).await?;
    fs::write(root.path(SETTINGS), format!("{settings}\n[limits]\nmessage_chars = 30\n"))?;
    root.succeeds("sudo systemctl reload gpt-r1").await?;
    let reloaded = async {
        while !root.log().contains("limits.message_chars") || !root.log().contains("configuration") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        loop {
            upstream.push(Script::text("Gladly."));
            if ada.post("/chat", &long).await?.status() == StatusCode::UNPROCESSABLE_ENTITY {
                return anyhow::Ok(());
            }
        }
    };
    timeout(PATIENCE, reloaded).await.context("nothing was reloaded")??;

    // Backups from tonight on; what somebody deletes by mistake comes back.
    let [nightly, back, _] = section::<3>("docs/operations.md", "Backups")?;
    root.succeeds(&nightly).await?;
    let listed = ada.read("/conversations").await?;
    let conversation = format!("/conversations/{}", id_of(&listed["conversations"][0], "id")?);
    let deleted = ada.request(Method::DELETE, &conversation).send().await?;
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    root.succeeds(&back).await?;
    let (ada, bob) = (here(&ada).await?, here(&bob).await?);
    assert_eq!(ada.read("/conversations").await?, listed);

    // Another signing key, and nobody is signed out.
    ensure!(run("gpt_r1 rotate-key").await?.contains("new signing key"));
    root.succeeds("sudo systemctl restart gpt-r1").await?;
    let (ada, bob) = (here(&ada).await?, here(&bob).await?);

    // Somebody leaves.
    let usage = run("gpt_r1 user usage ada").await?;
    ensure!(usage.contains("ada"), "{usage}");
    run("gpt_r1 user disable bob").await?;
    until(&bob, "/auth/me", StatusCode::UNAUTHORIZED).await?;
    let locked = json!({"username": "bob", "password": "battery staple"});
    expect_problem(root.client()?.post("/auth/login", &locked).await?, 403, "account_disabled").await?;
    run("gpt_r1 user delete bob --yes").await?;
    let listed = run("gpt_r1 user list").await?;
    ensure!(listed.contains("ada@example.com") && !listed.contains("bob"), "{listed}");
    ada.read("/auth/me").await?;
    root.succeeds("sudo systemctl stop gpt-r1").await?;
    Ok(())
}

/// What people have of the server by way of nginx.
async fn proxied(root: &Root, upstream: &Upstream) -> Result<()> {
    let api = root.api()?;
    // scripts/test says so where a machine has none.
    let Some(nginx) = Nginx::start(root, api.trim_start_matches("http://"))? else { return Ok(()) };
    let page = nginx.ask(SITE, &[]).await?;
    ensure!(page.status == 200 && page.head.contains("strict-transport-security"), "{page:?}");
    let plain = nginx.ask("http://chat.example.com/c/1", &[]).await?;
    ensure!(plain.status == 308 && plain.head.contains("location: https://chat.example.com/c/1"), "{plain:?}");
    let form = json!({"username": "ada", "password": "correct horse", "session": "cookie"});
    let same = ["--header", "sec-fetch-site: same-origin"];
    let login = nginx.post(&format!("{SITE}/api/v1/auth/login"), &form, &same).await?;
    ensure!(login.status == 200 && login.head.contains("secure"), "{login:?}");
    let cookie = login.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).context("a cookie")?;
    ensure!(cookie.contains("httponly"), "{cookie}");

    // A stream, and the id by which it is found in both logs.
    let login = nginx
        .post(
            &format!("{SITE}/api/v1/auth/login"),
            &json!({
                "username": "ada", "password": "correct horse"
            }),
            &[],
        )
        .await?;
    let session: serde_json::Value = serde_json::from_str(&login.body)?;
    let token = format!("authorization: Bearer {}", session["access_token"].as_str().context("a token")?);
    upstream.push(Script::text("By way of nginx."));
    let url = format!("{SITE}/api/v1/chat/stream");
    let stream = nginx.post(&url, &json!({"message": "go"}), &["--no-buffer", "--header", &token]).await?;
    ensure!(stream.status == 200 && stream.body.contains("\"type\": \"end\""), "{stream:?}");
    let wrong = nginx.post(&url, &json!({"message": ""}), &["--header", &token]).await?;
    let id = wrong.head.lines().find_map(|line| line.strip_prefix("x-request-id: ")).context("an id")?;
    ensure!(wrong.status == 422 && nginx.log().contains(&format!("id={id}")), "{wrong:?}: {}", nginx.log());
    ensure!(root.log().contains(id), "{id}: {}", root.log());
    Ok(())
}

/// The name of the local model's file.
const MODEL: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

#[tokio::test]
async fn a_pulled_model_is_where_the_service_looks_for_it() -> Result<()> {
    let (root, gpt_r1) = installed(None).await?;
    // No other source has it: what is not in the service's own place is nowhere.
    for (name, value) in
        [("HF_ENDPOINT", "http://127.0.0.1:9"), ("PIP_NO_INDEX", "1"), ("PIP_CONFIG_FILE", "/dev/null")]
    {
        root.machine(name, value)?;
    }
    root.succeeds("sudo systemctl stop gpt-r1").await?;
    let cache = root.path("/var/cache/gpt-r1/models");
    let place = cache.join(MODEL);
    let none = root.run(&format!("{gpt_r1}gpt_r1 model pull")).await?;
    ensure!(!none.ok && cache.join(format!("{MODEL}.lock")).exists(), "{none:?}");

    // As the hub would have left it there.
    let home = std::env::var_os("XDG_CACHE_HOME").map(std::path::PathBuf::from);
    let home = home.or_else(|| Some(std::path::Path::new(&std::env::var_os("HOME")?).join(".cache")));
    let fetched = home.context("a place for caches")?.join("gpt-r1/models").join(MODEL);
    std::os::unix::fs::symlink(fetched.canonicalize()?, &place)?;
    let pulled = root.succeeds(&format!("{gpt_r1}gpt_r1 model pull")).await?;
    assert_eq!(pulled.trim(), place.to_str().context("a path of text")?);
    let listed = root.succeeds(&format!("{gpt_r1}gpt_r1 model list")).await?;
    ensure!(listed.contains("fetched, checksum right"), "{listed}");

    root.succeeds("sudo systemctl start gpt-r1").await?;
    let mut ada = root.client()?;
    let form = json!({"username": "ada", "email": "ada@example.com", "password": "correct horse"});
    expect(ada.post("/auth/register", &form).await?, StatusCode::CREATED).await?;
    ada.sign_in("ada", "correct horse").await?;
    let question = json!({"message": "What is the capital of France?", "temperature": 0});
    let answer = text_of(&ada.ask_to_end(&question).await?);
    ensure!(answer.contains("Paris"), "{answer}");
    Ok(())
}
