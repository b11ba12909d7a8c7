//! `gpt-r1 user …` beside running servers: what an administrator does with people's accounts.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use r1_testkit::upstream::{Script, Upstream};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, time::timeout};

use crate::support::{Client, Finished, PATIENCE, Server, Setup, expect, expect_problem, id_of};

/// Runs a command with something on its standard input.
async fn with_input(setup: &Setup, args: &[&str], input: &str) -> Result<Finished> {
    let mut command = setup.command(args);
    let piped = std::process::Stdio::piped;
    let mut child = command.stdin(piped()).stdout(piped()).stderr(piped()).spawn()?;
    child.stdin.take().context("standard input")?.write_all(input.as_bytes()).await?;
    let output = timeout(PATIENCE, child.wait_with_output()).await??;
    let text = String::from_utf8;
    Ok(Finished { ok: output.status.success(), stdout: text(output.stdout)?, stderr: text(output.stderr)? })
}

async fn done(setup: &Setup, args: &[&str]) -> Result<Finished> {
    let done = setup.run(args).await?;
    ensure!(done.ok, "{args:?}: {done:?}");
    Ok(done)
}

async fn json_of(setup: &Setup, args: &[&str]) -> Result<Value> {
    let done = done(setup, args).await?;
    serde_json::from_str(&done.stdout).with_context(|| done.stdout.clone())
}

/// Waits until the client's session has ended: another process ended it.
async fn signed_out(client: &Client) -> Result<()> {
    let waiting = async {
        while client.get("/auth/me").await?.status() != StatusCode::UNAUTHORIZED {}
        anyhow::Ok(())
    };
    timeout(Duration::from_secs(8), waiting).await.context("the session goes on")?
}

async fn refuses(server: &Server, name: &str, password: &str) -> Result<()> {
    let login = json!({"username": name, "password": password});
    expect_problem(server.anonymous().post("/auth/login", &login).await?, 401, "bad_credentials").await?;
    Ok(())
}

#[tokio::test]
async fn a_forgotten_password_has_a_way_back() -> Result<()> {
    let server = Setup::new()?.start().await?;
    let client = server.user("ada").await?;
    let setup = server.setup();
    let changed = with_input(setup, &["user", "passwd", "ADA@example.com", "--password-stdin"], "analytical\n").await?;
    ensure!(changed.ok && changed.stdout.contains("signed out everywhere"), "{changed:?}");
    ensure!(!changed.stdout.contains("analytical"), "{changed:?}");
    signed_out(&client).await?;
    refuses(&server, "ada", "correct horse").await?;
    server.anonymous().sign_in("ada", "analytical").await?;

    let made_up = done(setup, &["user", "passwd", "ada"]).await?;
    let password = made_up.stdout.split_whitespace().last().context("a password")?;
    server.anonymous().sign_in("ada", password).await?;
    for (args, input, told) in [
        (&["user", "passwd", "ada", "--password-stdin"][..], "short\n", "8 to 256"),
        (&["user", "passwd", "nobody", "--password-stdin"], "long enough\n", "nobody"),
    ] {
        let refused = with_input(setup, args, input).await?;
        ensure!(!refused.ok && refused.stderr.contains(told), "{refused:?}");
    }
    server.anonymous().sign_in("ada", password).await.context("a refused one changes nothing")?;
    Ok(())
}

#[tokio::test]
async fn a_sign_out_ends_all_sessions_and_leaves_the_account() -> Result<()> {
    let server = Setup::new()?.start().await?;
    let mut client = server.user("ada").await?;
    let other = server.user("bob").await?;
    let out = done(server.setup(), &["user", "sign-out", "ada@example.com"]).await?;
    ensure!(out.stdout.contains("(1 session)"), "{out:?}");
    signed_out(&client).await?;
    client.sign_in("ada", "correct horse").await?;
    other.read("/auth/me").await?;
    Ok(())
}

#[tokio::test]
async fn the_last_administrator_is_not_lost_by_mistake() -> Result<()> {
    let server = Setup::new()?.start().await?;
    let (ada, _) = (server.user("ada").await?, server.user("bob").await?);
    let setup = server.setup();
    done(setup, &["user", "promote", "ada"]).await?;
    let is_admin = async {
        while ada.read("/auth/me").await?["is_admin"] != true {}
        anyhow::Ok(())
    };
    timeout(Duration::from_secs(8), is_admin).await??;
    for args in [&["user", "demote", "ada"][..], &["user", "delete", "ada"]] {
        let refused = with_input(setup, args, "ada\n").await?;
        ensure!(!refused.ok && refused.stderr.contains("last administrator"), "{refused:?}");
        ensure!(refused.stderr.contains("--yes") && refused.stderr.contains("promote"), "{refused:?}");
    }
    done(setup, &["user", "promote", "bob@example.com"]).await?;
    done(setup, &["user", "demote", "ada"]).await?;
    ensure!(!setup.run(&["user", "demote", "bob"]).await?.ok);
    done(setup, &["user", "demote", "bob", "--yes"]).await?;
    let listed = json_of(setup, &["user", "list", "--json"]).await?;
    ensure!(listed.as_array().is_some_and(|all| all.iter().all(|user| user["is_admin"] == false)), "{listed}");
    Ok(())
}

#[tokio::test]
async fn who_does_and_uses_what_is_shown() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::text("one two three"));
    upstream.push(Script::new().role().chunk("not counted by its provider").finish("stop").done());
    upstream.push(Script::error(StatusCode::UNAUTHORIZED, "invalid_api_key", "no"));
    upstream.push(Script::new().role().chunk("still ").wait_for("never"));
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let idle = server.anonymous();
    let form = json!({"username": "idle", "email": "idle@example.com", "password": "correct horse"});
    expect(idle.post("/auth/register", &form).await?, StatusCode::CREATED).await?;
    let first = client.ask_to_end(&json!({"message": "Count"})).await?;
    let conversation = id_of(&first[0].data, "conversation_id")?;
    for message in ["Don't", "Can't"] {
        client.ask_to_end(&json!({"message": message, "conversation_id": conversation})).await?;
    }
    let mut running = client.ask(&json!({"message": "Go on"})).await?;
    running.next_frame().await?.context("a start")?;

    let setup = server.setup();
    let shown = json_of(setup, &["user", "show", "ADA", "--json"]).await?;
    ensure!(shown["last_sign_in_at"].is_string() && shown["state"] == "enabled", "{shown}");
    for (field, number) in [("sessions", 1), ("conversations", 2), ("messages", 8), ("running_answers", 1)] {
        ensure!(shown[field] == number, "{field}: {shown}");
    }
    let usage = shown["usage"].clone();
    for (field, number) in [("answers", 3), ("estimated_answers", 1), ("uncounted_answers", 1)] {
        ensure!(usage[field] == number, "{field}: {shown}");
    }
    ensure!(usage["prompt_tokens"].as_u64() > Some(11), "what was counted, and about what was not: {shown}");
    let text = done(setup, &["user", "show", "ada@example.com"]).await?;
    ensure!(text.stdout.contains("running answers  1") && text.stdout.contains("1 not counted"), "{text:?}");

    let listed = json_of(setup, &["user", "list", "--json"]).await?;
    let names: Vec<_> = listed.as_array().context("a list")?.iter().map(|user| user["username"].as_str()).collect();
    assert_eq!(names, [Some("ada"), Some("idle")]);
    ensure!(listed[1]["last_sign_in_at"].is_null(), "{listed}");
    let text = done(setup, &["user", "list"]).await?;
    let lines: Vec<&str> = text.stdout.lines().collect();
    ensure!(lines[0].contains("LAST SIGN-IN") && lines[2].contains("never"), "{text:?}");

    // A deleted conversation's tokens were used all the same.
    let used = json_of(setup, &["user", "usage", "--json"]).await?;
    ensure!(used[0]["model"] == "openai/test-model" && used[0]["username"] == "ada", "{used}");
    let path = format!("/conversations/{conversation}");
    client.request(reqwest::Method::DELETE, &path).send().await?.error_for_status()?;
    assert_eq!(json_of(setup, &["user", "usage", "ada", "--days", "1", "--json"]).await?, used);
    let text = done(setup, &["user", "usage"]).await?;
    let line = text.stdout.lines().find(|line| line.contains("openai/test-model")).context("a line")?;
    ensure!(line.contains("ada") && line.contains("1 not counted"), "{text:?}");
    assert_eq!(json_of(setup, &["user", "usage", "idle", "--json"]).await?, json!([]));
    let unknown = setup.run(&["user", "show", "nobody"]).await?;
    ensure!(!unknown.ok && unknown.stderr.contains("nobody"), "{unknown:?}");
    Ok(())
}

#[tokio::test]
async fn a_deleted_account_goes_while_it_is_in_use() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|asked| match asked.body.to_string().contains("Go on") {
        true => Script::new().role().chunk("still ").wait_for("never"),
        false => Script::text("an answer"),
    });
    let server = Setup::with_upstream(&upstream)?.start().await?;
    let (client, other) = (server.user("ada").await?, server.user("bob").await?);
    for n in 0..30 {
        client.ask_to_end(&json!({"message": format!("Question {n}")})).await?;
    }
    let kept = id_of(&other.ask_to_end(&json!({"message": "Mine"})).await?[0].data, "conversation_id")?;
    let mut running = client.ask(&json!({"message": "Go on"})).await?;
    running.next_frame().await?.context("a start")?;
    running.next_frame().await?.context("a word")?;

    let setup = server.setup();
    let refused = with_input(setup, &["user", "delete", "ada"], "bob\n").await?;
    ensure!(!refused.ok && refused.stderr.contains("nothing was deleted"), "{refused:?}");
    ensure!(refused.stderr.contains("31 conversations with 62 messages"), "{refused:?}");
    client.read("/auth/me").await?;
    let deleted = with_input(setup, &["user", "delete", "ada@example.com"], "ADA\n").await?;
    ensure!(deleted.ok && deleted.stdout.contains("31 conversations"), "{deleted:?}");
    // Its stream has ended.
    let rest = async { while let Ok(Some(_)) = running.next_frame().await {} };
    timeout(Duration::from_secs(8), rest).await.context("the stream goes on")?;
    signed_out(&client).await?;
    refuses(&server, "ada", "correct horse").await?;
    ensure!(other.messages(&kept).await?.len() == 2);
    let listed = json_of(setup, &["user", "list", "--json"]).await?;
    ensure!(listed.as_array().is_some_and(|all| all.len() == 1), "{listed}");
    ensure!(!setup.run(&["user", "delete", "ada", "--yes"]).await?.ok, "once");
    // Name and address are free again, and nothing of before is there.
    let again = server.user("ada").await?;
    ensure!(again.read("/conversations").await?["conversations"] == json!([]));
    Ok(())
}

#[tokio::test]
async fn an_interrupted_deletion_is_ended_by_the_server_or_the_same_command() -> Result<()> {
    let upstream = Upstream::start().await?;
    let server = Setup::with_upstream(&upstream)?.start().await?;
    for name in ["ada", "bob"] {
        let client = server.user(name).await?;
        for _ in 0..3 {
            client.conversation().await?;
        }
    }
    let setup = server.kill().await?;
    let store = setup.store().await?;
    let now = r1_domain::time::Timestamp::from_micros(1_800_000_000_000_000);
    for name in ["ada", "bob"] {
        let id = store.user_by_login(name).await?.context("an account")?.user.id;
        store.account_delete(id, false, now).await?;
        store.account_erase(Some(id), 1).await?;
    }
    drop(store);
    let listed = json_of(&setup, &["user", "list", "--json"]).await?;
    ensure!(listed[0]["state"] == "deleting" && listed[1]["state"] == "deleting", "{listed}");
    let refused = setup.run(&["user", "enable", "ada"]).await?;
    ensure!(!refused.ok && refused.stderr.contains("being deleted"), "{refused:?}");
    done(&setup, &["user", "delete", "ada", "--yes"]).await?;
    let server = setup.start().await?;
    let gone = async {
        while json_of(server.setup(), &["user", "list", "--json"]).await? != json!([]) {}
        anyhow::Ok(())
    };
    timeout(PATIENCE, gone).await.context("the server does not go on with it")??;
    Ok(())
}

#[tokio::test]
async fn what_nobody_writes_any_more_is_no_obstacle() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|_| Script::new().role().chunk("still ").wait_for("never"));
    let server = Setup::with_upstream(&upstream)?.set("DATABASE__LEASE", "1s").start().await?;
    let client = server.user("ada").await?;
    let mut running = client.ask(&json!({"message": "Go on"})).await?;
    running.next_frame().await?.context("a start")?;
    running.next_frame().await?.context("a word")?;
    let setup = server.kill().await?;
    done(&setup, &["user", "delete", "ada", "--yes"]).await?;
    // Nothing is taken over at the next start.
    let server = setup.start().await?;
    ensure!(!server.log().contains("taken over"), "{}", server.log());
    server.user("ada").await?;
    Ok(())
}

#[tokio::test]
async fn all_nodes_know() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|_| Script::new().role().chunk("still ").wait_for("never"));
    let setup = Setup::with_upstream(&upstream)?.on_postgres()?;
    let second = setup.another()?.start().await?;
    let first = setup.start().await?;
    let one = first.user("ada").await?;
    let other = one.clone().at(&second);
    other.read("/auth/me").await?;
    let changed =
        with_input(first.setup(), &["user", "passwd", "ada", "--password-stdin"], "difference engine\n").await?;
    ensure!(changed.ok && changed.stderr.contains("database: postgres://"), "{changed:?}");
    signed_out(&one).await?;
    signed_out(&other).await?;
    let mut one = first.anonymous();
    one.sign_in("ada", "difference engine").await?;
    let other = one.clone().at(&second);
    let mut here = one.ask(&json!({"message": "here"})).await?;
    let mut there = other.ask(&json!({"message": "there"})).await?;
    here.next_frame().await?.context("a start")?;
    there.next_frame().await?.context("a start")?;
    done(first.setup(), &["user", "delete", "ada", "--yes"]).await?;
    for client in [&one, &other] {
        signed_out(client).await?;
    }
    let store = first.setup().store().await?;
    ensure!(store.user_by_login("ada").await?.is_none());
    Ok(())
}
