//! The commands beside `serve`.

use std::{path::Path, process::Stdio};

use anyhow::{Context, Result, ensure};

use crate::support::Setup;

#[tokio::test]
async fn config_check_shows_what_is_in_force_and_hides_secrets() -> Result<()> {
    let setup = Setup::new()?.env("OPENAI_API_KEY", "sk-very-secret").set("SERVER__SHUTDOWN_DEADLINE", "7s");
    let checked = setup.run(&["config", "check"]).await?;
    ensure!(checked.ok, "{checked:?}");
    ensure!(checked.stdout.contains("shutdown_deadline") && checked.stdout.contains("7s"), "{}", checked.stdout);
    ensure!(!checked.stdout.contains("sk-very-secret"), "{}", checked.stdout);
    Ok(())
}

#[tokio::test]
async fn all_faults_are_reported_at_once() -> Result<()> {
    let setup = Setup::new()?
        .set("SERVER__HOTS", "x")
        .set("STREAM__HEARTBEAT", "soon")
        .set("LIMITS__MAX_TOKENS", "-3")
        .env("DATABASE_URL", "mysql://x");
    for args in [&["config", "check"][..], &["serve"]] {
        let checked = setup.run(args).await?;
        ensure!(!checked.ok);
        for word in ["GPT_R1__SERVER__HOTS", "GPT_R1__STREAM__HEARTBEAT", "GPT_R1__LIMITS__MAX_TOKENS", "DATABASE_URL"]
        {
            ensure!(checked.stderr.contains(word) || checked.stdout.contains(word), "{word}: {checked:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_public_url_with_a_path_is_refused_at_the_start() -> Result<()> {
    let setup = Setup::new()?.set("SERVER__PUBLIC_URL", "https://example.com/chat");
    for args in [&["config", "check"][..], &["serve"]] {
        let checked = setup.run(args).await?;
        let said = format!("{}{}", checked.stderr, checked.stdout);
        ensure!(!checked.ok && said.contains("GPT_R1__SERVER__PUBLIC_URL"), "{said}");
        ensure!(said.contains("can't be served below one") && said.contains("host name of its own"), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn users_are_made_listed_and_locked() -> Result<()> {
    let server = Setup::new()?.start().await?;
    // Beside the running server.
    let setup = server.setup();
    let added = setup.run(&["user", "add", "boss", "--email", "boss@example.com", "--admin"]).await?;
    ensure!(added.ok, "{added:?}");
    let password = added.stdout.split_whitespace().last().unwrap_or_default().to_owned();
    let mut client = server.anonymous();
    client.sign_in("boss", &password).await?;
    assert_eq!(client.read("/auth/me").await?["is_admin"], true);
    let again = setup.run(&["user", "add", "Boss", "--email", "other@example.com"]).await?;
    ensure!(!again.ok && again.stderr.contains("already"), "{again:?}");
    let listed = setup.run(&["user", "list"]).await?;
    ensure!(listed.ok && listed.stdout.contains("boss@example.com"), "{listed:?}");
    ensure!(setup.run(&["user", "disable", "boss"]).await?.ok);
    ensure!(client.sign_in("boss", &password).await.is_err());
    ensure!(setup.run(&["user", "enable", "boss"]).await?.ok);
    client.sign_in("boss", &password).await?;
    let unknown = setup.run(&["user", "disable", "nobody"]).await?;
    ensure!(!unknown.ok && unknown.stderr.contains("nobody"), "{unknown:?}");
    Ok(())
}

#[tokio::test]
async fn the_api_document_is_the_checked_in_one() -> Result<()> {
    let printed = Setup::new()?.run(&["openapi"]).await?;
    ensure!(printed.ok);
    let checked_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api/openapi.json");
    ensure!(printed.stdout == std::fs::read_to_string(checked_in)?, "gpt-r1 openapi > docs/api/openapi.json");
    let version = Setup::new()?.run(&["--version"]).await?;
    assert_eq!(version.stdout.trim(), format!("gpt-r1 {}", env!("CARGO_PKG_VERSION")));
    Ok(())
}

#[tokio::test]
async fn models_are_listed_without_a_server() -> Result<()> {
    let listed = Setup::with_local_model()?.run(&["model", "list"]).await?;
    ensure!(listed.ok && listed.stdout.contains("SmolLM2-135M-Instruct"), "{listed:?}");
    let missing =
        Setup::with_local_model()?.set("LOCAL_MODEL__PATH", "/nowhere/model.gguf").run(&["model", "pull"]).await?;
    ensure!(!missing.ok && missing.stderr.contains("GPT_R1__LOCAL_MODEL__PATH"), "{missing:?}");
    Ok(())
}

/// What bash offers for a line whose last word is being typed.
async fn offered(script: &str, line: &[&str]) -> Result<Vec<String>> {
    let ask = r#"source /dev/stdin; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
        "$(complete -p gpt-r1 | grep -o ' -F [^ ]*' | cut -d ' ' -f 3)" gpt-r1 "${!#}" "${@: -2:1}"; echo "${COMPREPLY[*]}""#;
    let mut bash = tokio::process::Command::new("bash");
    bash.args(["-c", ask, "bash"]).args(line).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut bash = bash.spawn()?;
    tokio::io::AsyncWriteExt::write_all(&mut bash.stdin.take().context("a way in")?, script.as_bytes()).await?;
    let answered = bash.wait_with_output().await?;
    ensure!(answered.status.success(), "{answered:?}");
    Ok(String::from_utf8(answered.stdout)?.split_whitespace().map(str::to_owned).collect())
}

#[tokio::test]
async fn bash_completes_what_is_typed() -> Result<()> {
    let printed = Setup::new()?.run(&["completions", "bash"]).await?;
    ensure!(printed.ok, "{printed:?}");
    assert_eq!(offered(&printed.stdout, &["gpt-r1", "rot"]).await?, ["rotate-key"]);
    assert_eq!(offered(&printed.stdout, &["gpt-r1", "user", "pas"]).await?, ["passwd"]);
    assert_eq!(offered(&printed.stdout, &["gpt-r1", "user", "sign-out", "--c"]).await?, ["--config"]);
    ensure!(!printed.stdout.contains("local-model"), "that is for the server alone");
    assert_eq!(offered(&printed.stdout, &["gpt-r1", "backup", "--wi"]).await?, ["--with-key"]);
    for (shell, word) in [("zsh", "#compdef gpt-r1"), ("fish", "complete -c gpt-r1")] {
        let printed = Setup::new()?.run(&["completions", shell]).await?;
        ensure!(printed.ok && printed.stdout.contains(word), "{printed:?}");
    }
    let unknown = Setup::new()?.run(&["completions", "cmd.exe"]).await?;
    ensure!(!unknown.ok && unknown.stderr.contains("[possible values: bash"), "{unknown:?}");
    Ok(())
}

#[tokio::test]
async fn every_command_has_a_manual_page() -> Result<()> {
    let setup = Setup::new()?;
    let directory = setup.data_dir().with_file_name("man/man1");
    let made = setup.run(&["man", "--dir", directory.to_str().context("a name")?]).await?;
    ensure!(made.ok && made.stdout.is_empty(), "{made:?}");
    let one = setup.run(&["man"]).await?;
    assert_eq!(one.stdout, std::fs::read_to_string(directory.join("gpt-r1.1"))?);
    for page in ["gpt-r1-serve.1", "gpt-r1-config-check.1", "gpt-r1-user-passwd.1", "gpt-r1-restore.1"] {
        let text = std::fs::read_to_string(directory.join(page))?;
        ensure!(text.contains(".TH ") && text.contains(".SH SYNOPSIS"), "{page}: {text}");
    }
    ensure!(!directory.join("gpt-r1-local-model.1").exists(), "that is for the server alone");
    // A formatter has nothing to say against any of them, where there is one.
    let pages: Vec<_> = std::fs::read_dir(&directory)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    if let Ok(formatted) =
        tokio::process::Command::new("groff").args(["-man", "-Tascii", "-P-cbou", "-ww"]).args(pages).output().await
    {
        let shown = String::from_utf8_lossy(&formatted.stdout).into_owned();
        ensure!(
            formatted.status.success() && formatted.stderr.is_empty(),
            "{}",
            String::from_utf8_lossy(&formatted.stderr)
        );
        ensure!(shown.contains("rotate-key") && shown.contains("--with-key"), "{shown}");
    }
    Ok(())
}
