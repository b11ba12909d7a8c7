//! Starting, stopping, health: what an operator sees.

use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result, ensure};
use r1_testkit::upstream::{Script, Upstream};
use reqwest::StatusCode;
use serde_json::json;

use crate::support::{Setup, Signal, expect};

#[tokio::test]
async fn health_tells_the_parts_apart() -> Result<()> {
    let upstream = Upstream::start().await?;
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.anonymous();
    // Strangers and users learn whether it works, and nothing else.
    for client in [&client, &server.user("bob").await?] {
        assert_eq!(client.read("/health").await?, json!({"status": "ok"}));
    }
    let admin = server.admin("ada").await?;
    let health = admin.read("/health").await?;
    assert_eq!((health["status"].as_str(), health["database"]["status"].as_str()), (Some("ok"), Some("ok")));
    assert_eq!(
        (&health["providers"][0]["name"], &health["providers"][0]["status"]),
        (&json!("openai"), &json!("unknown"))
    );
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    admin.ask_to_end(&json!({"message": "go"})).await?;
    assert_eq!(admin.read("/health").await?["providers"][0]["status"], "ok");
    for path in ["/health/live", "/health/ready"] {
        assert_eq!(client.get(path).await?.status(), StatusCode::NO_CONTENT, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn both_ports_serve_the_page_and_the_api() -> Result<()> {
    let server = Setup::new()?.start().await?;
    for base in [&server.api, &server.web] {
        let page = reqwest::get(format!("{base}/")).await?;
        let kind = page.headers()["content-type"].to_str()?.to_owned();
        ensure!(page.status() == StatusCode::OK && kind.starts_with("text/html"), "{kind}");
        ensure!(page.headers().contains_key("content-security-policy"));
        let health = reqwest::get(format!("{base}/api/v1/health")).await?;
        assert_eq!(health.status(), StatusCode::OK);
        let docs = reqwest::get(format!("{base}/api/docs")).await?.text().await?;
        ensure!(docs.contains("/api/v1/chat/stream"), "the documentation names the routes");
    }
    Ok(())
}

#[tokio::test]
async fn one_process_per_data_directory() -> Result<()> {
    let server = Setup::new()?.on_sqlite().start().await?;
    let second = server.setup().run(&["serve", "--api-addr", "127.0.0.1:0", "--web-addr", "127.0.0.1:0"]).await?;
    ensure!(!second.ok && second.stderr.contains("in use by another gpt-r1 process"), "{second:?}");
    ensure!(second.stderr.contains("--data-dir"), "and what to do: {second:?}");
    Ok(())
}

#[tokio::test]
async fn a_port_in_use_is_named() -> Result<()> {
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port();
    let finished = Setup::new()?.run(&["serve", "--api-addr", &format!("127.0.0.1:{port}")]).await?;
    ensure!(!finished.ok && finished.stderr.contains(&format!("port {port}")), "{finished:?}");
    ensure!(finished.stderr.contains("--api-addr"), "{finished:?}");
    Ok(())
}

#[tokio::test]
async fn a_data_directory_that_can_not_be_used() -> Result<()> {
    let setup = Setup::new()?.on_sqlite();
    std::fs::write(setup.data_dir(), "a file, not a directory")?;
    let finished = setup.run(&["serve", "--api-addr", "127.0.0.1:0", "--web-addr", "127.0.0.1:0"]).await?;
    ensure!(!finished.ok && finished.stderr.contains("data directory"), "{finished:?}");

    let setup = Setup::new()?.on_sqlite();
    std::fs::create_dir_all(setup.data_dir())?;
    std::fs::write(setup.data_dir().join("gpt-r1.db"), "this is no database, whatever its name says. ".repeat(100))?;
    let finished = setup.run(&["serve", "--api-addr", "127.0.0.1:0", "--web-addr", "127.0.0.1:0"]).await?;
    ensure!(!finished.ok && finished.stderr.contains("is no SQLite database"), "{finished:?}");
    Ok(())
}

#[tokio::test]
async fn what_it_keeps_is_private() -> Result<()> {
    let server = Setup::new()?.start().await?;
    let dir = server.setup().data_dir().to_owned();
    let mode = |path: &std::path::Path| Ok::<_, std::io::Error>(std::fs::metadata(path)?.permissions().mode() & 0o777);
    assert_eq!(mode(&dir)?, 0o700);
    for entry in std::fs::read_dir(&dir)? {
        let path = entry?.path();
        assert_eq!(mode(&path)? & 0o077, 0, "{}", path.display());
    }
    Ok(())
}

#[tokio::test]
async fn logs_are_structured_and_keep_secrets() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::text("a private answer"));
    let server = Setup::with_upstream(&upstream)?
        .env("OPENAI_API_KEY", "sk-very-secret")
        .set("LOG__FORMAT", "json")
        .set("LOG__LEVEL", "debug")
        .start()
        .await?;
    let client = server.user("ada").await?;
    client.ask_to_end(&json!({"message": "a private question"})).await?;
    let token = client.token.clone().context("a token")?;
    server.signal(Signal::TERM)?;
    let log = server.log();
    for line in log.lines() {
        serde_json::from_str::<serde_json::Value>(line).with_context(|| line.to_owned())?;
    }
    ensure!(!log.is_empty());
    for secret in ["sk-very-secret", "a private", "correct horse", "ada@example.com", &token] {
        ensure!(!log.contains(secret), "{secret} in the log");
    }
    Ok(())
}

#[tokio::test]
async fn cors_is_off_unless_configured() -> Result<()> {
    let allowed = |base: String| async move {
        let client = reqwest::Client::new();
        let request = client
            .request(reqwest::Method::OPTIONS, format!("{base}/api/v1/conversations"))
            .header("origin", "https://app.example.com")
            .header("access-control-request-method", "POST");
        anyhow::Ok(request.send().await?.headers().get("access-control-allow-origin").cloned())
    };
    let server = Setup::new()?.start().await?;
    assert_eq!(allowed(server.api.clone()).await?, None);
    let server = Setup::new()?.set("SERVER__CORS_ORIGINS", "https://app.example.com").start().await?;
    assert_eq!(allowed(server.api.clone()).await?.context("allowed")?, "https://app.example.com");

    // The page may read what it needs to come back, and to report a fault.
    let request = reqwest::Client::new().get(format!("{}/api/v1/auth/me", server.api));
    let response = request.header("origin", "https://app.example.com").send().await?;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let exposed = response.headers()["access-control-expose-headers"].to_str()?.to_lowercase();
    ensure!(exposed.contains("retry-after") && exposed.contains("x-request-id"), "{exposed}");
    Ok(())
}

#[tokio::test]
async fn memory_stays_small() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|_| Script::text(&"word ".repeat(200)));
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    for _ in 0..20 {
        expect(client.post("/chat", &json!({"message": "go"})).await?, StatusCode::OK).await?;
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid()))?;
    // Without the pages of the binary's file, of which an unoptimised build has four times as many: a
    // release's are some 15 MB, so that this bound keeps all of it under the walk-through's 50.
    let line = status.lines().find(|line| line.starts_with("RssAnon")).context("RssAnon")?;
    let kib: u64 = line.split_whitespace().nth(1).context("a number")?.parse()?;
    ensure!(kib < 35 * 1024, "{line}");
    Ok(())
}
