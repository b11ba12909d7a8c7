//! What alarms are about: the door, the providers, the database and its copies, the local model.

use r1_domain::time::{Clock, SystemClock};

use super::*;
use crate::{
    local_model::child_of,
    support::{Signal, expect, send_signal},
};

/// Seconds since 1970.
fn now() -> f64 {
    SystemClock.now().as_micros() as f64 / 1e6
}

#[tokio::test]
async fn failed_sign_ins_are_counted_by_what_was_wrong() -> Result<()> {
    let setup = Setup::new()?.with_metrics().set("LIMITS__ENABLED", "true");
    let server = setup.set("LIMITS__FAILED_SIGN_INS_PER_ADDRESS", "4").start().await?;
    let metrics = Metrics::of(&server)?;
    let (ada, anonymous) = (server.user("ada").await?, server.anonymous());
    server.user("bob").await?;
    let counted = async || {
        let page = metrics.page().await?;
        ensure!(!page.contains("ada") && !page.contains("nobody-at-all"), "nobody is named: {page}");
        ["password", "unknown", "disabled", "limited"]
            .map(|reason| metrics.value(&page, &format!("gpt_r1_sign_in_failures_total{{reason=\"{reason}\"}}")))
            .into_iter()
            .collect::<Result<Vec<f64>>>()
    };
    assert_eq!(counted().await?, [0.0; 4], "there from the beginning, and good ones are none");
    let try_as = async |name: &str, password: &str| {
        anonymous.post("/auth/login", &json!({"username": name, "password": password})).await
    };
    ensure!(server.setup().run(&["user", "disable", "bob"]).await?.ok);
    expect_problem(try_as("bob", "correct horse").await?, 403, "account_disabled").await?;
    assert_eq!(counted().await?, [0.0, 0.0, 1.0, 0.0]);
    expect_problem(try_as("ada", "wrong horse").await?, 401, "bad_credentials").await?;
    for name in ["nobody-at-all", &"x".repeat(300)] {
        expect_problem(try_as(name, "wrong horse").await?, 401, "bad_credentials").await?;
    }
    assert_eq!(counted().await?, [1.0, 2.0, 1.0, 0.0]);
    let change = json!({"current_password": "wrong horse", "new_password": "difference engine"});
    expect_problem(ada.post("/me/password", &change).await?, 422, "invalid").await?;
    assert_eq!(counted().await?, [2.0, 2.0, 1.0, 0.0]);
    expect_problem(try_as("ada", "correct horse").await?, 429, "rate_limited").await?;
    assert_eq!(counted().await?, [2.0, 2.0, 1.0, 1.0]);
    Ok(())
}

#[tokio::test]
async fn tokens_are_counted_by_models_that_the_configuration_names() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|_| Script::text("three words here"));
    let setup = Setup::with_upstream(&upstream)?.with_metrics();
    let configuration = setup.data_dir().with_file_name("gpt-r1.toml");
    let server = setup.start().await?;
    let (metrics, client) = (Metrics::of(&server)?, server.user("ada").await?);
    let tokens = async |model: &str| {
        let page = metrics.page().await?;
        anyhow::Ok(["prompt", "completion"].map(|direction| {
            let labels = format!("provider=\"openai\",model=\"{model}\",direction=\"{direction}\"");
            value_of(&page, &format!("gpt_r1_tokens_total{{{labels},estimated=\"no\"}}")).unwrap_or_default()
        }))
    };
    client.ask_to_end(&json!({"message": "go"})).await?;
    assert_eq!(tokens("test-model").await?, [11.0, 3.0]);
    for model in ["openai/made-up-1", "openai/made-up-2"] {
        client.ask_to_end(&json!({"message": "go", "model": model})).await?;
    }
    assert_eq!(tokens("other").await?, [22.0, 6.0]);
    ensure!(!metrics.page().await?.contains("made-up"), "no label is made of what somebody wrote");
    // Named from now on.
    std::fs::write(configuration, "[providers.openai.model.\"made-up-2\"]\ncontext = 1000\n")?;
    server.signal(Signal::HUP)?;
    let deadline = Instant::now() + PATIENCE;
    while !server.log().contains("these have changed") {
        ensure!(Instant::now() < deadline, "{}", server.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    client.ask_to_end(&json!({"message": "go", "model": "openai/made-up-2"})).await?;
    assert_eq!((tokens("made-up-2").await?, tokens("other").await?), ([11.0, 3.0], [22.0, 6.0]));
    Ok(())
}

#[tokio::test]
async fn a_provider_is_up_while_what_came_last_was_good() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::text("good"));
    upstream.push(Script::error(StatusCode::UNAUTHORIZED, "key", "no"));
    upstream.push(Script::text("good again"));
    let server = Setup::with_upstream(&upstream)?.with_metrics().start().await?;
    let (metrics, client) = (Metrics::of(&server)?, server.user("ada").await?);
    let (up, success) = (
        r#"gpt_r1_provider_up{provider="openai"}"#,
        r#"gpt_r1_provider_last_success_timestamp_seconds{provider="openai"}"#,
    );
    let page = metrics.page().await?;
    ensure!(!page.contains("gpt_r1_provider_up{") && !page.contains(success), "nobody was asked: {page}");
    let mut last = now() - 2.0;
    for (is_up, moves) in [(1.0, true), (0.0, false), (1.0, true)] {
        client.ask_to_end(&json!({"message": "go"})).await?;
        let page = metrics.page().await?;
        assert_eq!(metrics.value(&page, up)?, is_up, "{page}");
        let at = metrics.value(&page, success)?;
        ensure!(at >= last && at <= now() && (moves || at == last), "{at}, before {last}");
        last = at;
    }
    Ok(())
}

#[tokio::test]
async fn the_database_its_disk_and_its_backup_are_known() -> Result<()> {
    let server = Setup::new()?.on_sqlite().with_metrics().start().await?;
    let (metrics, setup) = (Metrics::of(&server)?, server.setup());
    let page = metrics.page().await?;
    let files = ["gpt-r1.db", "gpt-r1.db-wal"].map(|name| Ok(std::fs::metadata(setup.data_dir().join(name))?.len()));
    let bytes: u64 = files.into_iter().sum::<Result<u64>>()?;
    let size = metrics.value(&page, "gpt_r1_database_size_bytes")?;
    ensure!((bytes as f64 - size).abs() < 1e6 && size > 1e4, "{size} for {bytes}");
    let disk = rustix::fs::statvfs(setup.data_dir())?;
    let free = metrics.value(&page, "gpt_r1_database_free_bytes")?;
    let most = (disk.f_blocks * disk.f_frsize) as f64;
    // Others write meanwhile.
    let is_near = (free - (disk.f_bavail * disk.f_frsize) as f64).abs() < most / 10.0;
    ensure!(is_near && free < most, "{free} of {most}");

    let last_backup = "gpt_r1_last_backup_timestamp_seconds";
    ensure!(!page.contains(last_backup), "there is none: {page}");
    let began = now();
    let name = setup.data_dir().with_file_name("copy");
    let backup = setup.run(&["backup", name.to_str().context("a name")?]).await?;
    ensure!(backup.ok, "{backup:?}");
    let at = metrics.wait_line(last_backup, |_| true).await?;
    ensure!(at + 1.0 >= began && at <= now(), "{at}, begun at {began}");
    // One that fails is none.
    ensure!(!setup.run(&["backup", name.to_str().context("a name")?]).await?.ok);
    assert_eq!(std::fs::read_to_string(setup.data_dir().join("last-backup"))?, format!("{at}\n"));
    // It is a file of the directory's own, and outlives what is restored.
    let (well, setup) = (server.signal(Signal::TERM)?, server.ended().await?).1;
    ensure!(well);
    let restored = setup.run(&["restore", "--replace", name.to_str().context("a name")?]).await?;
    ensure!(restored.ok, "{restored:?}");
    let server = setup.start().await?;
    let page = Metrics::of(&server)?.page().await?;
    assert_eq!(value_of(&page, last_backup), Some(at), "{page}");
    Ok(())
}

#[tokio::test]
async fn of_postgresql_the_size_is_known_and_its_backup_by_your_word() -> Result<()> {
    let server = Setup::new()?.on_postgres()?.with_metrics().start().await?;
    let metrics = Metrics::of(&server)?;
    let page = metrics.page().await?;
    let database = server.setup().database().context("a database")?;
    ensure!(metrics.value(&page, "gpt_r1_database_size_bytes")? > 1e6, "{page}");
    ensure!(!page.contains("gpt_r1_database_free_bytes"), "its disk is another machine's: {page}");
    std::fs::write(server.setup().data_dir().join("last-backup"), "1800000000\n")?;
    metrics.wait_line("gpt_r1_last_backup_timestamp_seconds", |at| at == 1.8e9).await?;
    ensure!(!page.contains(&database.url()));
    Ok(())
}

#[tokio::test]
async fn the_local_models_memory_is_known_while_it_has_some() -> Result<()> {
    let setup = Setup::with_local_model()?.with_metrics().set("LOCAL_MODEL__IDLE_UNLOAD", "1s");
    let server = setup.start().await?;
    let metrics = Metrics::of(&server)?;
    let memory = "gpt_r1_local_model_resident_memory_bytes";
    metrics.wait_line(memory, |bytes| bytes > 2e7).await?;
    send_signal(child_of(server.pid())?, Signal::KILL)?;
    // Started again, and unloaded when nobody has asked for a second.
    metrics.wait_line(r#"gpt_r1_provider_up{provider="local"}"#, |up| up == 1.0).await?;
    metrics.wait_line(memory, |bytes| bytes == 0.0).await?;
    let client = server.user("ada").await?;
    expect(client.post("/chat", &json!({"message": "Hello", "max_tokens": 2})).await?, StatusCode::OK).await?;
    let page = metrics.page().await?;
    let has_tokens = page.contains(r#"gpt_r1_tokens_total{provider="local",model=""#);
    ensure!(has_tokens && !page.contains(r#"model="other""#), "the local model has a name: {page}");
    Ok(())
}
