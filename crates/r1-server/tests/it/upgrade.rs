//! Another version on one node, as docs/operations.md has it, and the way back; the version before is played by a
//! database of its schema.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use r1_testkit::{
    sse::text_of,
    upstream::{Script, Upstream},
};
use rusqlite::Connection;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    documents::section,
    root::{Root, repository},
    support::{Setup, Signal},
};

/// The schema's steps, each with its version.
fn steps() -> Result<Vec<(i64, PathBuf)>> {
    let step = |path: PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).context("a name")?;
        Ok((name.split('_').next().context("a number")?.parse()?, path))
    };
    let files = fs::read_dir(repository().join("crates/r1-store-sqlite/migrations"))?;
    let mut steps = files.map(|entry| step(entry?.path())).collect::<Result<Vec<_>>>()?;
    steps.sort_unstable();
    Ok(steps)
}

/// Makes of a database that nobody uses one as a build made it that knew all steps but the last. Gives back both
/// versions.
fn older(newer: &Path, path: &Path) -> Result<(i64, i64)> {
    let db = Connection::open(path)?;
    db.execute_batch(
        "PRAGMA foreign_keys = off; PRAGMA journal_mode = wal; PRAGMA application_id = 0x47505231;
         CREATE TABLE schema_migration (
             version INTEGER NOT NULL PRIMARY KEY, checksum BLOB NOT NULL, applied_at INTEGER NOT NULL
         ) STRICT",
    )?;
    let steps = steps()?;
    let ((newest, _), before) = steps.split_last().context("steps")?;
    for (version, step) in before {
        let sql = fs::read_to_string(step)?;
        db.execute_batch(&sql)?;
        let checksum: [u8; 32] = Sha256::digest(sql.as_bytes()).into();
        db.execute("INSERT INTO schema_migration VALUES (?1, ?2, 0)", (version, checksum))?;
    }
    db.execute("ATTACH ?1 AS newer", [newer.to_str().context("a path of text")?])?;
    let tables: Vec<String> = db
        .prepare(
            "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL %'
             AND name <> 'schema_migration'",
        )?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for table in tables {
        let columns: String =
            db.query_row("SELECT group_concat(name) FROM pragma_table_info(?1)", [&table], |row| row.get(0))?;
        // The search index has rows of its own from the first moment.
        db.execute(&format!("DELETE FROM main.'{table}'"), [])?;
        db.execute(&format!("INSERT INTO main.'{table}' ({columns}) SELECT {columns} FROM newer.'{table}'"), [])?;
    }
    Ok((before.last().context("a step before")?.0, *newest))
}

fn schema(database: &Path) -> Result<i64> {
    Ok(Connection::open(database)?.query_row("SELECT max(version) FROM schema_migration", [], |row| row.get(0))?)
}

#[tokio::test]
async fn an_upgrade_keeps_everything_and_the_way_back_is_as_documented() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::text("An answer of the version before."));
    let server = Setup::with_upstream(&upstream)?.on_sqlite().start().await?;
    let ada = server.user("ada").await?;
    ada.ask_to_end(&json!({"message": "a question of before"})).await?;
    let conversations = ada.read("/conversations").await?;
    let conversation = conversations["conversations"][0]["id"].as_str().context("an id")?.to_owned();
    let messages = ada.messages(&conversation).await?;
    server.signal(Signal::TERM)?;
    let (well, setup) = server.ended().await?;
    ensure!(well);

    // The machine as the version before has left it.
    let root = Root::new()?;
    root.machine("OPENAI_BASE_URL", &upstream.base_url())?;
    root.machine("GPT_R1__SERVER__FIRST_LOOK", "off")?;
    let [install, ..] = section::<3>("docs/deployment.md", "systemd")?;
    let [upgrade, back] = section::<2>("docs/operations.md", "Another version on one node")?;
    root.succeeds(&format!("{install}\nsudo systemctl stop gpt-r1")).await?;
    let data = root.path("/var/lib/gpt-r1");
    let database = data.join("gpt-r1.db");
    fs::remove_file(&database)?;
    let (older, newest) = older(&setup.data_dir().join("gpt-r1.db"), &database)?;
    fs::copy(setup.data_dir().join("signing-key"), data.join("signing-key"))?;
    let same = async || -> Result<()> {
        let mut again = root.client()?;
        again.token = ada.token.clone();
        assert_eq!(again.messages(&conversation).await?, messages);
        upstream.push(Script::text("An answer of now."));
        let again = again.ask_to_end(&json!({"message": "and now?", "conversation_id": conversation})).await;
        ensure!(text_of(&again?) == "An answer of now.");
        Ok(())
    };

    root.succeeds(&upgrade).await?;
    assert_eq!(schema(&database)?, newest);
    same().await?;
    let before = root.path("/var/lib/gpt-r1-before");
    ensure!(before.join("gpt-r1").is_file(), "the binary of before");
    let kept = fs::read_dir(&before)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let kept: Vec<_> = kept.filter(|name| name.ends_with(".db")).collect();
    let [backup] = &kept[..] else { anyhow::bail!("one backup: {kept:?}") };
    assert_eq!(schema(&before.join(backup))?, older, "a backup does not migrate");

    // What the version before says of the newer database; here it is this one that is the older.
    root.succeeds("sudo systemctl stop gpt-r1").await?;
    Connection::open(&database)?.execute("INSERT INTO schema_migration VALUES (99, zeroblob(32), 0)", [])?;
    let refused = root.run("sudo systemctl start gpt-r1").await?;
    let log = root.log();
    let newer = format!("newer gpt-r1 (schema 99, this one knows up to {newest})");
    ensure!(!refused.ok && log.contains(&newer), "{refused:?} {log}");
    ensure!(log.contains("restore a backup from before the upgrade"), "{log}");
    let newer = root.run("sudo gpt-r1 --data-dir /var/lib/gpt-r1 backup newer.db").await?;
    ensure!(!newer.ok && newer.stderr.contains("newer gpt-r1"), "{newer:?}");
    assert_eq!(schema(&database)?, 99, "it was left alone");

    root.succeeds(&back).await?;
    same().await?;
    Ok(())
}
