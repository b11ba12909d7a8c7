//! Backups as docs/operations.md has them: its own lines, played from the set-up to the night after the damage.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use anyhow::{Context, Result, ensure};
use r1_domain::time::{Clock, SystemClock};
use r1_testkit::upstream::{Script, Upstream};
use reqwest::StatusCode;
use serde_json::json;

use crate::{
    documents::section,
    root::{Root, repository},
    support::{Client, GPT_R1, SECRET_KEY, Setup, expect},
};

const OPERATIONS: &str = "docs/operations.md";

/// When a backup was last begun of what is in this data directory, in seconds since 1970.
fn last_backup(data_dir: &Path) -> Result<i64> {
    Ok(fs::read_to_string(data_dir.join("last-backup"))?.trim().parse()?)
}

fn names(directory: &Path) -> Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(directory)?
        .map(|entry| entry?.file_name().into_string().ok().context("a name"))
        .collect::<Result<_>>()?;
    names.sort_unstable();
    Ok(names)
}

async fn registered(root: &Root, name: &str) -> Result<Client> {
    let mut client = root.client()?;
    let form = json!({"username": name, "email": format!("{name}@example.com"), "password": "correct horse"});
    expect(client.post("/auth/register", &form).await?, StatusCode::CREATED).await?;
    client.sign_in(name, "correct horse").await?;
    Ok(client)
}

#[tokio::test]
async fn the_documented_lines_bring_back_last_night_and_nobody_is_signed_out() -> Result<()> {
    let upstream = Upstream::start().await?;
    let root = Root::new()?;
    root.machine("OPENAI_BASE_URL", &upstream.base_url())?;
    root.machine("GPT_R1__SERVER__FIRST_LOOK", "off")?;
    let [install, ..] = section::<3>("docs/deployment.md", "systemd")?;
    let [nightly, back, elsewhere] = section::<3>(OPERATIONS, "Backups")?;
    root.succeeds(&install).await?;
    let ada = registered(&root, "ada").await?;
    upstream.push(Script::text("Kept."));
    ada.ask_to_end(&json!({"message": "before the night"})).await?;
    let listed = ada.read("/conversations").await?;
    let conversation = listed["conversations"][0]["id"].as_str().context("an id")?.to_owned();
    let messages = ada.messages(&conversation).await?;

    let shown = root.succeeds(&nightly).await?;
    let shelf = root.path("/var/lib/gpt-r1-backup");
    let [made] = &names(&shelf)?[..] else { anyhow::bail!("one backup: {shown}") };
    ensure!(shown.contains(made.as_str()), "{shown}");
    for path in [shelf.clone(), shelf.join(made)] {
        assert_eq!(fs::metadata(&path)?.permissions().mode() & 0o077, 0, "{}", path.display());
    }
    let data = root.path("/var/lib/gpt-r1");
    let (database, key) = (data.join("gpt-r1.db"), data.join("signing-key"));
    let made_at = last_backup(&data)?;
    let now = SystemClock.now().unix_seconds();
    ensure!((now - 60..=now).contains(&made_at), "{made_at}");

    // What was said since is not in it; then both files go bad.
    upstream.push(Script::text("Lost."));
    ada.ask_to_end(&json!({"message": "after the night"})).await?;
    root.succeeds(&format!("sudo gpt-r1 --data-dir /var/lib/gpt-r1 backup --quiet {}", root.path("whole").display()))
        .await?;
    let signing = fs::read(&key)?;
    root.succeeds("sudo systemctl stop gpt-r1").await?;
    fs::write(&database, "bits that a disk made up. ".repeat(1000))?;
    fs::remove_file(&key)?;
    let damaged = root.run("sudo systemctl start gpt-r1").await?;
    ensure!(!damaged.ok && root.log().contains("restore a backup"), "{damaged:?} {}", root.log());

    root.succeeds(&back).await?;
    assert_eq!(fs::read(&key)?, signing, "the key came back");
    assert_eq!(fs::metadata(&key)?.permissions().mode() & 0o777, 0o600);
    let mut again = root.client()?;
    again.token = ada.token;
    let ada = again;
    assert_eq!(ada.read("/conversations").await?["conversations"].as_array().context("a list")?.len(), 1);
    assert_eq!(ada.messages(&conversation).await?, messages);
    ensure!(names(&data)?.iter().any(|name| name.starts_with("replaced-")), "the damaged one is kept");
    // The key is no part of the database that is served.
    let text = fs::read(&database)?;
    let word = signing.trim_ascii();
    ensure!(!text.windows(word.len()).any(|window| window == word), "the key is in the database");

    root.succeeds(&elsewhere).await?;
    root.succeeds(&format!("gunzip --test {}", root.path("src/gpt-r1.db.gz").display())).await?;
    ensure!(last_backup(&data)? >= made_at);
    Ok(())
}

#[tokio::test]
async fn the_newest_are_kept_and_what_goes_wrong_removes_none() -> Result<()> {
    let setup = Setup::new()?.on_sqlite();
    ensure!(setup.run(&["user", "add", "ada", "--email", "ada@example.com"]).await?.ok);
    let shelf = setup.data_dir().with_file_name("shelf");
    fs::create_dir(&shelf)?;
    let place = shelf.to_str().context("a name")?;
    for day in 1..=3 {
        fs::write(shelf.join(format!("gpt-r1-2020-01-0{day}T000000Z.db")), "an older one")?;
    }
    fs::write(shelf.join("letter.db"), "not ours")?;
    let kept = setup.run(&["backup", "--keep", "2", place]).await?;
    ensure!(kept.ok && kept.stdout.contains("2 older backups were removed"), "{kept:?}");
    let left = names(&shelf)?;
    ensure!(left.len() == 3 && left.contains(&"gpt-r1-2020-01-03T000000Z.db".to_owned()), "{left:?}");
    ensure!(left.contains(&"letter.db".to_owned()), "{left:?}");

    let nowhere = setup.run(&["backup", &format!("{place}/none/one.db")]).await?;
    ensure!(!nowhere.ok && nowhere.stderr.contains("there is no directory"), "{nowhere:?}");

    // A database that can't be read whole makes no backup, and removes none.
    let database = setup.data_dir().join("gpt-r1.db");
    let mut bytes = fs::read(&database)?;
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0xa5);
    fs::write(&database, bytes)?;
    let failed = setup.run(&["backup", "--keep", "1", place]).await?;
    ensure!(!failed.ok, "{failed:?}");
    assert_eq!(names(&shelf)?, left);

    let refused = setup.run(&["backup", "--keep", "1", &format!("{place}/one.db")]).await?;
    ensure!(!refused.ok && refused.stderr.contains("--keep is for a directory"), "{refused:?}");
    let none = setup.run(&["backup", "--keep", "0", place]).await?;
    ensure!(!none.ok && none.stderr.contains("1..=100000"), "{none:?}");
    assert_eq!(names(&shelf)?, left);
    Ok(())
}

#[tokio::test]
async fn a_backup_goes_to_standard_output_whole_and_alone() -> Result<()> {
    let setup = Setup::new()?.on_sqlite();
    ensure!(setup.run(&["user", "add", "ada", "--email", "ada@example.com"]).await?.ok);
    let written = setup.command(&["backup", "-"]).output().await?;
    ensure!(written.status.success() && written.stdout.starts_with(b"SQLite format 3\0"));
    let about = String::from_utf8(written.stderr)?;
    ensure!(about.contains("1 users") && !about.contains("signing key"), "{about}");
    let quiet = setup.command(&["backup", "--quiet", "-"]).output().await?;
    ensure!(quiet.status.success() && quiet.stderr.is_empty());

    // Nothing of it stays, and what was written can be put back elsewhere.
    let left = names(setup.data_dir())?;
    ensure!(!left.iter().any(|name| name.starts_with(".gpt-r1-backup-")), "{left:?}");
    let file = setup.data_dir().with_file_name("copy");
    fs::write(&file, &written.stdout)?;
    let other = setup.another()?;
    let restored = other.run(&["restore", file.to_str().context("a name")?]).await?;
    ensure!(restored.ok && restored.stdout.contains("1 users"), "{restored:?}");
    ensure!(!other.data_dir().join("signing-key").exists(), "it was not asked for");

    // Whoever reads it has gone: that is no backup, and nothing says that there was one.
    fs::remove_file(setup.data_dir().join("last-backup"))?;
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let child = setup.command(&["backup", "-"]).stdout(writer).stderr(std::process::Stdio::piped()).spawn()?;
    let cut = child.wait_with_output().await?;
    ensure!(!cut.status.success());
    let said = String::from_utf8(cut.stderr)?;
    ensure!(said.contains("not taken to its end"), "{said}");
    ensure!(last_backup(setup.data_dir()).is_err());

    // A terminal is no place for it.
    let data = setup.data_dir().to_str().context("a name")?;
    let line = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    let mut terminal = tokio::process::Command::new("python3");
    terminal.args(["-c", line, GPT_R1, "backup", "-", "--data-dir", data]).stdin(std::process::Stdio::null());
    let refused = terminal.output().await?;
    let said = String::from_utf8_lossy(&refused.stdout).into_owned();
    ensure!(refused.status.code() == Some(1) && said.contains("no text for a terminal"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_key_comes_back_where_there_is_none_and_replaces_none() -> Result<()> {
    let server = Setup::new()?.on_sqlite().start().await?;
    let ada = server.user("ada").await?;
    let data = server.setup().data_dir().to_owned();
    let file = data.with_file_name("backup");
    let name = file.to_str().context("a name")?;
    let made = server.setup().run(&["backup", "--with-key", name]).await?;
    ensure!(made.ok && made.stdout.contains("the signing key"), "{made:?}");
    let key = fs::read(data.join("signing-key"))?;

    // On another machine.
    let elsewhere = server.setup().another()?;
    ensure!(elsewhere.run(&["restore", name]).await?.ok);
    assert_eq!(fs::read(elsewhere.data_dir().join("signing-key"))?, key);
    let other = elsewhere.start().await?;
    ada.clone().at(&other).read("/auth/me").await?;

    // Where a key was made since, that one stays.
    ensure!(server.setup().run(&["rotate-key", "--forget"]).await?.ok);
    let newer = fs::read(data.join("signing-key"))?;
    let setup = server.kill().await?;
    ensure!(setup.run(&["restore", "--replace", name]).await?.ok);
    assert_eq!(fs::read(data.join("signing-key"))?, newer);

    // Of a key in the environment there is nothing to take along, and none is put beside it.
    let given = setup.another()?.env("SECRET_KEY", SECRET_KEY);
    ensure!(given.run(&["restore", name]).await?.ok);
    ensure!(!given.data_dir().join("signing-key").exists());
    let plain = format!("{name}-plain");
    let without = given.run(&["backup", "--with-key", &plain]).await?;
    ensure!(without.ok && without.stderr.contains("SECRET_KEY"), "{without:?}");
    ensure!(!without.stdout.contains("the signing key"), "{without:?}");
    // The same of a command that has not heard of it.
    let unheard = setup.at(given.data_dir()).run(&["backup", "--with-key", &format!("{name}-unheard")]).await?;
    ensure!(unheard.ok && unheard.stderr.contains("SECRET_KEY"), "{unheard:?}");
    Ok(())
}

#[tokio::test]
async fn what_a_killed_backup_has_left_goes_with_the_next_one() -> Result<()> {
    let setup = Setup::new()?.on_sqlite();
    ensure!(setup.run(&["user", "add", "ada", "--email", "ada@example.com"]).await?.ok);
    let shelf = setup.data_dir().with_file_name("shelf");
    fs::create_dir(&shelf)?;
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_600_000_000);
    let make = |name: &str| -> Result<fs::File> {
        let file = fs::File::create(shelf.join(name))?;
        file.set_modified(long_ago)?;
        Ok(file)
    };
    make(".gpt-r1-backup-killed")?;
    make("letter")?;
    let running = make(".gpt-r1-backup-running")?;
    running.lock()?;
    fs::write(shelf.join(".gpt-r1-backup-begins"), "")?;
    let made = setup.run(&["backup", shelf.to_str().context("a name")?]).await?;
    ensure!(made.ok, "{made:?}");
    let left = names(&shelf)?;
    let hidden: Vec<_> = left.iter().filter(|name| !name.starts_with("gpt-r1-")).collect();
    assert_eq!(hidden, [".gpt-r1-backup-begins", ".gpt-r1-backup-running", "letter"]);
    Ok(())
}

/// The settings of a unit in deploy.
fn unit(name: &str) -> Result<Vec<String>> {
    let text = fs::read_to_string(repository().join("deploy").join(name))?;
    Ok(text.lines().filter(|line| line.contains('=') && !line.starts_with('#')).map(str::to_owned).collect())
}

#[test]
fn the_units_backup_is_as_shut_in_as_the_server_and_reads_where_it_writes() -> Result<()> {
    let (server, backup, timer) =
        (unit("gpt-r1.service")?, unit("gpt-r1-backup.service")?, unit("gpt-r1-backup.timer")?);
    let from = server.iter().position(|line| line == "NoNewPrivileges=yes").context("the sandbox")?;
    let until = server.iter().position(|line| line.starts_with("WantedBy=")).context("its end")?;
    let sandbox: Vec<_> = server[from..until].iter().filter(|line| !line.starts_with("RestrictAddress")).collect();
    ensure!(sandbox.len() > 20, "{sandbox:?}");
    for line in sandbox {
        ensure!(backup.contains(line), "{line}");
    }
    for line in ["User=gpt-r1", "UMask=0077", "StateDirectoryMode=0700", "EnvironmentFile=-%E/gpt-r1/environment"] {
        ensure!(server.iter().chain(&backup).filter(|there| *there == line).count() == 2, "{line}");
    }
    let directory = |unit: &[String], command: &str| -> Result<String> {
        let line = unit.iter().find(|line| line.starts_with(command)).context("a command")?;
        let mut words = line.split_whitespace().skip_while(|word| *word != "--data-dir");
        words.nth(1).map(str::to_owned).context("a data directory")
    };
    assert_eq!(directory(&server, "ExecStart=")?, directory(&backup, "ExecStart=")?);
    ensure!(timer.contains(&"Persistent=true".to_owned()) && timer.iter().any(|line| line.starts_with("OnCalendar=")));
    Ok(())
}
