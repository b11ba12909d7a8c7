//! Signals, and what a manager of services hears and is told by exit statuses.

use std::{os::unix::fs::MetadataExt, path::PathBuf};

use anyhow::{Context, Result, ensure};
use r1_testkit::upstream::{Script, Upstream};
use reqwest::StatusCode;
use serde_json::json;

use crate::{
    manager::Manager,
    support::{Server, Setup, Signal, expect},
};

/// The file that a server reads in its working directory.
fn file(setup: &Setup) -> Result<PathBuf> {
    Ok(setup.data_dir().parent().context("a directory")?.join("gpt-r1.toml"))
}

/// Has the server read its configuration again, and waits until it has.
async fn hang_up(server: &Server, manager: &Manager) -> Result<()> {
    server.signal(Signal::HUP)?;
    let told = manager.hears("RELOADING=1\n").await?;
    ensure!(told.contains("\nMONOTONIC_USEC="), "{told}");
    manager.hears("READY=1").await?;
    Ok(())
}

#[tokio::test]
async fn a_hangup_changes_what_can_change_and_running_answers_go_on() -> Result<()> {
    let manager = Manager::new()?;
    let (first, second) = (Upstream::start().await?, Upstream::start().await?);
    let setup = Setup::with_upstream(&first)?.env("NOTIFY_SOCKET", &manager.address);
    let path = file(&setup)?;
    std::fs::write(&path, "[limits]\nmessage_chars = 30\n")?;
    let server = setup.start().await?;
    let ada = server.user("ada").await?;
    manager.hears("READY=1").await?;
    let long = json!({"message": "a question of more than thirty characters"});
    assert_eq!(ada.post("/chat", &long).await?.status(), StatusCode::UNPROCESSABLE_ENTITY);
    ensure!(!server.log().contains("DEBUG"), "{}", server.log());

    first.push(Script::new().role().chunk("begun, ").wait_for("reloaded").chunk("ended").ending());
    let running = ada.ask(&json!({"message": "a short one"})).await?;
    first.wait_reached("reloaded", 1).await?;
    let text = format!(
        "[limits]\nmessage_chars = 60\n[log]\nlevel = \"debug\"\n[stream]\nheartbeat = \"20s\"\n\
         [server]\ntrusted_proxies = [\"127.0.0.1\"]\n\
         [providers.second]\nbase_url = \"{}\"\napi_key = \"sk-very-secret\"\nmodels = [\"m\"]\n",
        second.base_url()
    );
    std::fs::write(&path, text)?;
    hang_up(&server, &manager).await?;

    first.open("reloaded");
    let frames = running.collect_to_end().await?;
    let answer: String = frames.iter().filter_map(|frame| frame.content()).collect();
    ensure!(answer.contains("begun, ended"), "{answer}");
    second.push(Script::text("of the second"));
    let mut asked = long.clone();
    asked["model"] = json!("second/m");
    let answered = expect(ada.post("/chat", &asked).await?, StatusCode::OK).await?;
    ensure!(answered.to_string().contains("of the second"), "{answered}");
    let log = server.log();
    for word in ["limits.message_chars", "log.level", "providers.second.api_key", "server.trusted_proxies", "DEBUG"] {
        ensure!(log.contains(word), "{word}: {log}");
    }
    ensure!(log.contains("need a restart") && log.contains("stream.heartbeat"), "{log}");
    ensure!(!log.contains("sk-very-secret"));

    // All or nothing.
    std::fs::write(&path, "[limits]\nmessage_chars = 0\n[providers.third]\nbase_url = \"http://127.0.0.1:9/v1\"\n")?;
    hang_up(&server, &manager).await?;
    let log = server.log();
    ensure!(log.contains("nothing was changed") && log.contains("gpt-r1.toml:2: limits.message_chars"), "{log}");
    second.push(Script::text("still there"));
    expect(ada.post("/chat", &asked).await?, StatusCode::OK).await?;
    Ok(())
}

#[tokio::test]
async fn a_hangup_without_a_change_says_so_and_user_signals_do_no_harm() -> Result<()> {
    let manager = Manager::new()?;
    let server = Setup::new()?.env("NOTIFY_SOCKET", &manager.address).start().await?;
    manager.hears("READY=1").await?;
    hang_up(&server, &manager).await?;
    ensure!(server.log().contains("no setting has changed"), "{}", server.log());
    for signal in [Signal::USR1, Signal::USR2] {
        server.signal(signal)?;
    }
    hang_up(&server, &manager).await?;
    let ada = server.user("ada").await?;
    ada.read("/auth/me").await?;
    ensure!(server.log().contains("SIGUSR1 has no meaning") && server.log().contains("SIGUSR2"), "{}", server.log());
    server.signal(Signal::TERM)?;
    manager.hears("STOPPING=1").await?;
    let (well, _) = server.ended().await?;
    ensure!(well);
    Ok(())
}

#[tokio::test]
async fn a_watchdog_is_fed() -> Result<()> {
    let manager = Manager::new()?;
    let setup = Setup::new()?.env("NOTIFY_SOCKET", &manager.address).env("WATCHDOG_USEC", "200000");
    let server = setup.start().await?;
    manager.hears("READY=1").await?;
    for _ in 0..3 {
        manager.hears("WATCHDOG=1").await?;
    }
    drop(server);
    Ok(())
}

#[tokio::test]
async fn exit_statuses_tell_a_faulty_configuration_from_other_faults() -> Result<()> {
    let setup = Setup::new()?;
    let status = async |setup: &Setup, args: &[&str]| anyhow::Ok(setup.command(args).output().await?.status.code());
    let faulty = Setup::new()?.set("STREAM__HEARTBEAT", "soon");
    for args in [&["serve"][..], &["config", "check"], &["user", "list"]] {
        assert_eq!(status(&faulty, args).await?, Some(78), "{args:?}");
    }
    let loud = Setup::new()?.env("RUST_LOG", "loud");
    assert_eq!(status(&loud, &["serve"]).await?, Some(78));
    assert_eq!(status(&setup, &["nonsense"]).await?, Some(2));
    assert_eq!(status(&setup, &["config", "check"]).await?, Some(0));
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.to_string();
    assert_eq!(status(&setup, &["serve", "--api-addr", &port]).await?, Some(1));
    Ok(())
}

#[tokio::test]
async fn the_journal_gets_priorities_and_no_times() -> Result<()> {
    let manager = Manager::new()?;
    let setup = Setup::new()?.env("NOTIFY_SOCKET", &manager.address);
    let path = setup.data_dir().with_file_name("journal");
    let journal = std::fs::File::create(&path)?;
    let about = journal.metadata()?;
    let mut child = setup
        .command(&["serve", "--api-addr", "127.0.0.1:0", "--web-addr", "127.0.0.1:0"])
        .env("JOURNAL_STREAM", format!("{}:{}", about.dev(), about.ino()))
        .stdout(std::process::Stdio::null())
        .stderr(journal)
        .spawn()?;
    manager.hears("READY=1").await?;
    child.kill().await?;
    let log = std::fs::read_to_string(path)?;
    ensure!(log.lines().count() > 1 && log.contains("<4>WARN"), "{log}");
    for line in log.lines() {
        let rest = line.strip_prefix('<').and_then(|line| line.get(1..)).context("a priority")?;
        ensure!(rest.starts_with(">INFO ") || rest.starts_with(">WARN "), "{line}");
    }
    Ok(())
}
