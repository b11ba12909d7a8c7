//! Commands that are run by the wrong person, in the wrong place or without the server's environment do no harm.

use std::{
    collections::BTreeMap,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
};

use anyhow::{Context, Result, ensure};
use r1_testkit::upstream::Upstream;

use crate::support::Setup;

/// The user of whoever has the directory in these tests: not us.
const OTHER: u32 = 64_010;
/// Commands that use what is there.
const USING: [&[&str]; 11] = [
    &["user", "list"],
    &["user", "show", "ada"],
    &["user", "usage", "--json"],
    &["user", "passwd", "ada"],
    &["user", "sign-out", "ada"],
    &["user", "promote", "ada"],
    &["user", "demote", "ada"],
    &["user", "disable", "ada"],
    &["user", "enable", "ada"],
    &["user", "delete", "ada", "--yes"],
    &["rotate-key"],
];

/// What is there, with owner and mode.
fn files(directory: &Path) -> Result<BTreeMap<String, (u32, u32)>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let found = entry.metadata()?;
        files.insert(entry.file_name().to_string_lossy().into_owned(), (found.uid(), found.mode() & 0o777));
    }
    Ok(files)
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?)
}

#[tokio::test]
async fn who_uses_what_is_there_makes_nothing() -> Result<()> {
    let setup = Setup::new()?.on_sqlite();
    for args in USING {
        let refused = setup.run(args).await?;
        ensure!(!refused.ok && refused.stderr.contains("there is no database in"), "{args:?}: {refused:?}");
        ensure!(refused.stderr.contains("--data-dir") && !setup.data_dir().exists(), "{args:?}: {refused:?}");
    }
    // An empty directory, as somebody has it who named the wrong one.
    std::fs::create_dir(setup.data_dir())?;
    for args in USING {
        ensure!(!setup.run(args).await?.ok && files(setup.data_dir())?.is_empty(), "{args:?}");
    }
    // One that is there: no lock and no key are made.
    let added = setup.run(&["user", "add", "ada", "--email", "ada@example.com"]).await?;
    ensure!(added.ok && added.stderr.contains("gpt-r1.db"), "{added:?}");
    std::fs::remove_file(setup.data_dir().join("lock"))?;
    let before = files(setup.data_dir())?;
    assert_eq!(before.keys().collect::<Vec<_>>(), ["gpt-r1.db"]);
    for args in &USING[..9] {
        let done = setup.run(args).await?;
        let is_fine = done.ok || done.stderr.contains("last administrator");
        ensure!(is_fine && done.stderr.contains("database: "), "{args:?}: {done:?}");
        assert_eq!(files(setup.data_dir())?, before, "{args:?}");
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_made_in_postgres_either() -> Result<()> {
    let setup = Setup::new()?.on_postgres()?;
    for args in USING {
        let refused = setup.run(args).await?;
        ensure!(!refused.ok && refused.stderr.contains("there is nothing of gpt-r1"), "{args:?}: {refused:?}");
    }
    let client = setup.database().context("a database")?.client().await?;
    let made: bool = client.query_one("SELECT to_regnamespace('gpt_r1') IS NOT NULL", &[]).await?.get(0);
    ensure!(!made && !setup.data_dir().exists());
    Ok(())
}

#[tokio::test]
async fn what_root_makes_belongs_to_the_directorys_owner() -> Result<()> {
    let setup = Setup::new()?.on_sqlite();
    std::fs::create_dir(setup.data_dir())?;
    set_mode(setup.data_dir(), 0o755)?;
    if chown(setup.data_dir(), Some(OTHER), Some(OTHER)).is_err() {
        // Not root: then such a directory is no place for us, and says so.
        ensure!(std::fs::metadata(setup.data_dir())?.uid() != 0);
        return Ok(());
    }
    let added = setup.run(&["user", "add", "ada", "--email", "ada@example.com"]).await?;
    ensure!(added.ok, "{added:?}");
    let owners = |setup: &Setup| -> Result<()> {
        for (name, (owner, mode)) in files(setup.data_dir())? {
            ensure!(owner == OTHER && mode & 0o077 == 0, "{name}: {owner} {mode:o}");
        }
        ensure!(std::fs::metadata(setup.data_dir())?.mode() & 0o777 == 0o700);
        Ok(())
    };
    owners(&setup)?;
    // The server, its key and its write-ahead log too, and what is put back.
    let server = setup.start().await?;
    server.user("bob").await?;
    owners(server.setup())?;
    let backup = server.setup().data_dir().with_file_name("backup.db");
    let path = backup.to_str().context("a path")?;
    ensure!(server.setup().run(&["backup", path]).await?.ok);
    let setup = server.kill().await?;
    let restored = setup.run(&["restore", path, "--replace"]).await?;
    ensure!(restored.ok, "{restored:?}");
    ensure!(setup.run(&["rotate-key"]).await?.ok);
    owners(&setup)?;
    ensure!(files(setup.data_dir())?.keys().any(|name| name.starts_with("replaced-")));
    Ok(())
}

#[tokio::test]
async fn what_is_restored_is_its_owners_alone() -> Result<()> {
    let setup = Setup::new()?.on_sqlite();
    ensure!(setup.run(&["user", "add", "ada", "--email", "ada@example.com"]).await?.ok);
    let backup = setup.data_dir().with_file_name("backup.db");
    let path = backup.to_str().context("a path")?;
    ensure!(setup.run(&["backup", path]).await?.ok);
    for directory in ["made", "there"] {
        let place = setup.data_dir().with_file_name(directory);
        if directory == "there" {
            std::fs::create_dir(&place)?;
            set_mode(&place, 0o755)?;
        }
        let restored = setup.at(&place).run(&["restore", path]).await?;
        ensure!(restored.ok, "{restored:?}");
        assert_eq!(std::fs::metadata(&place)?.mode() & 0o777, 0o700, "{directory}");
        for (name, (_, mode)) in files(&place)? {
            ensure!(mode & 0o077 == 0, "{name}: {mode:o}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_directory_of_a_server_on_postgres_says_so() -> Result<()> {
    let upstream = Upstream::start().await?;
    let server = Setup::with_upstream(&upstream)?.on_postgres()?.start().await?;
    server.user("ada").await?;
    let listed = server.setup().run(&["user", "list"]).await?;
    ensure!(listed.ok && listed.stderr.contains("database: postgres://"), "{listed:?}");
    let place = listed.stderr.trim().trim_start_matches("database: ").to_owned();
    ensure!(!place.contains('@') && place.contains('/'), "{place}");
    let forgetful = server.setup().at(server.setup().data_dir()).on_sqlite();
    let before = files(forgetful.data_dir())?;
    let ghost = ["user", "add", "ghost", "--email", "ghost@example.com", "--admin"];
    for args in USING.into_iter().chain([&ghost[..], &["serve"], &["backup", "x.db"], &["restore", "x.db"]]) {
        let refused = forgetful.run(args).await?;
        ensure!(!refused.ok && refused.stderr.contains(&place), "{args:?}: {refused:?}");
        ensure!(refused.stderr.contains("DATABASE_URL") && !refused.stderr.contains(".db: "), "{args:?}: {refused:?}");
    }
    assert_eq!(files(forgetful.data_dir())?, before, "nothing is left behind");
    Ok(())
}

#[tokio::test]
async fn what_others_could_replace_is_not_used() -> Result<()> {
    let setup = Setup::new()?.on_sqlite();
    std::fs::create_dir(setup.data_dir())?;
    std::fs::write(setup.data_dir().join("holiday.jpg"), "")?;
    set_mode(setup.data_dir(), 0o777)?;
    for args in [&["serve"][..], &["user", "add", "ada", "--email", "ada@example.com"]] {
        let refused = setup.run(args).await?;
        ensure!(!refused.ok && refused.stderr.contains("open to others"), "{args:?}: {refused:?}");
    }
    assert_eq!(files(setup.data_dir())?.len(), 1);
    std::fs::remove_file(setup.data_dir().join("holiday.jpg"))?;
    let added = setup.run(&["user", "add", "ada", "--email", "ada@example.com"]).await?;
    ensure!(added.ok && added.stderr.contains("alone now"), "{added:?}");
    assert_eq!(std::fs::metadata(setup.data_dir())?.mode() & 0o777, 0o700);
    Ok(())
}

#[tokio::test]
async fn whose_a_file_is_and_what_mends_it_is_said() -> Result<()> {
    let setup = Setup::new()?.on_sqlite();
    ensure!(setup.run(&["user", "add", "ada", "--email", "ada@example.com"]).await?.ok);
    // As the service's user would find it after somebody's command as root.
    let as_other = |args: &[&str]| {
        let mut command = setup.command(args);
        command.uid(OTHER).gid(OTHER);
        command
    };
    let home = setup.data_dir().parent().context("a parent")?;
    if chown(setup.data_dir(), Some(OTHER), Some(OTHER)).is_err() {
        ensure!(std::fs::metadata(home)?.uid() != 0);
        return Ok(());
    }
    set_mode(home, 0o755)?;
    for file in ["gpt-r1.db", "lock", "signing-key"] {
        for name in ["gpt-r1.db", "lock"] {
            chown(setup.data_dir().join(name), Some(OTHER), Some(OTHER))?;
        }
        let path = setup.data_dir().join(file);
        if !path.exists() {
            std::fs::write(&path, "k".repeat(43))?;
            set_mode(&path, 0o600)?;
        }
        chown(&path, Some(0), Some(0))?;
        for args in [&["serve"][..], &["user", "list"], &["user", "add", "bob", "--email", "b@example.com"]] {
            let output = tokio::time::timeout(crate::support::PATIENCE, as_other(args).output()).await??;
            let said = String::from_utf8(output.stderr)?;
            let named = said.contains(&format!("{file} belongs to root, this process is user {OTHER}"));
            ensure!(!output.status.success() && named, "{args:?}: {said}");
            ensure!(said.contains(&format!("chown -R {OTHER} ")), "{said}");
        }
    }
    Ok(())
}
