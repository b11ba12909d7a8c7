//! From SQLite to PostgreSQL: everything, or nothing.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result};
use r1_testkit::{
    postgres::{Client, TestDatabase},
    sse::{Frame, text_of},
    upstream::{Script, Upstream},
};
use serde_json::json;

use crate::support::{PATIENCE, Setup, Signal, id_of, stream};

/// What is in the data directory, but for what SQLite keeps for as long as somebody reads.
fn files(setup: &Setup) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(setup.data_dir())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_file() && !name.ends_with("-shm") {
            files.insert(name, std::fs::read(entry.path())?);
        }
    }
    Ok(files)
}

async fn count(client: &Client, table: &str) -> Result<i64> {
    Ok(client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await?.get(0))
}

#[tokio::test]
async fn everything_goes_over() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::new().role().thought("Hm \0.").chunk("An earlier answer.").ending());
    upstream.push(Script::text("An answer with \0 and \u{1} in it."));
    upstream.push(Script::text("In what is deleted."));
    upstream.push(Script::new().role().chunk("The sentence ").chunk("goes ").wait_for("never"));
    let setup = || -> Result<Setup> {
        let setup = Setup::new()?.on_sqlite().set("PROVIDERS__VLLM__BASE_URL", &upstream.base_url());
        Ok(setup.set("PROVIDERS__VLLM__CONTINUES", "vllm").set("DEFAULT_MODEL", "vllm/test-model"))
    };
    let server = setup()?.start().await?;
    let client = server.user("ada").await?;
    let earlier = client.ask_to_end(&json!({"message": "before"})).await?;
    let thought = client.messages(&id_of(&earlier[0].data, "conversation_id")?).await?;
    assert_eq!(thought[1]["parts"].as_array().map(Vec::len), Some(2), "{thought:?}");
    let strange = client.ask_to_end(&json!({"message": "a\u{0}b\u{1}c"})).await?;
    let deleted = client.ask_to_end(&json!({"message": "nothing of it"})).await?;
    let deleted = id_of(&deleted[0].data, "conversation_id")?;
    let path = format!("/conversations/{deleted}");
    assert!(client.request(reqwest::Method::DELETE, &path).send().await?.status().is_success());
    let mut reader = client.ask(&json!({"message": "go"})).await?;
    let seen = reader.collect_until(|frame| frame.id.is_some_and(|id| id.cursor.seq == 3)).await?;

    let database = TestDatabase::make()?;
    let (from, to) = (format!("sqlite:{}", server.setup().data_dir().display()), database.url());
    let migrate = ["migrate", "--from", &from, "--to", &to];
    let refused = server.setup().run(&migrate).await?;
    assert!(!refused.ok && refused.stderr.contains("in use by another gpt-r1"), "{refused:?}");

    let source = server.kill().await?;
    let before = files(&source)?;
    let done = source.run(&migrate).await?;
    assert!(done.ok && done.stdout.contains("message: 8 rows"), "{done:?}");
    assert!(done.stdout.contains("signing-key"), "it says how to stay signed in: {done:?}");
    assert!(files(&source)? == before, "the source is as it was");
    let rows = database.client().await?;
    let documents = "SELECT count(*) FROM message_search WHERE document @@ 'answer'::tsquery";
    let found: i64 = rows.query_one(documents, &[]).await?.get(0);
    assert_eq!((count(&rows, "message_search").await?, found), (7, 2), "what can be found is, but for the unfinished");
    let again = source.run(&migrate).await?;
    assert!(again.ok && again.stdout.contains("already"), "{again:?}");

    let key = std::fs::read_to_string(source.data_dir().join("signing-key"))?;
    upstream.push(Script::text("on."));
    let there = setup()?.env("DATABASE_URL", &to).env("SECRET_KEY", key.trim());
    let server = there.start().await?;
    // The token of before.
    let client = client.at(&server);
    for log in [&earlier, &strange] {
        let generation = id_of(&log[0].data, "generation_id")?;
        let replay = stream(client.attach(&format!("generation_id={generation}")).await?).await?;
        assert_eq!(&replay.collect_to_end().await?, log, "byte for byte");
    }
    assert_eq!(client.messages(&id_of(&earlier[0].data, "conversation_id")?).await?, thought, "parts and all");
    let asked = &client.messages(&id_of(&strange[0].data, "conversation_id")?).await?[0];
    assert_eq!(asked["content"].as_str(), Some("a\u{0}b\u{1}c"));
    assert_eq!(client.get(&format!("/conversations/{deleted}")).await?.status(), 404);
    goes_on(&client, &seen).await?;

    let served = source.run(&migrate).await?;
    assert!(!served.ok && served.stderr.contains("serves from the database"), "{served:?}");
    server.signal(Signal::TERM)?;
    assert!(server.ended().await?.0);
    let other = source.run(&migrate).await?;
    assert!(!other.ok && other.stderr.contains("something else already"), "{other:?}");
    assert!(files(&source)? == before);
    Ok(())
}

/// An answer that was cut off is taken up where it ended: nothing lost, nothing twice.
async fn goes_on(client: &crate::support::Client, seen: &[Frame]) -> Result<()> {
    let generation = id_of(&seen[0].data, "generation_id")?;
    let log = stream(client.attach(&format!("generation_id={generation}")).await?).await?.collect_to_end().await?;
    assert_eq!(log[..seen.len()], *seen, "byte for byte");
    assert_eq!(text_of(&log), "The sentence goes on.");
    let message = &client.messages(&id_of(&seen[0].data, "conversation_id")?).await?[1];
    assert_eq!((message["status"].as_str(), message["content"].as_str()), (Some("completed"), Some(&*text_of(&log))));
    Ok(())
}

#[tokio::test]
async fn what_is_broken_off_has_done_nothing() -> Result<()> {
    let upstream = Upstream::start().await?;
    let server = Setup::with_upstream(&upstream)?.on_sqlite().start().await?;
    let client = server.user("ada").await?;
    for _ in 0..3 {
        upstream.push(Script::text("an answer"));
        client.ask_to_end(&json!({"message": "go"})).await?;
    }
    server.signal(Signal::TERM)?;
    let (ended, source) = server.ended().await?;
    assert!(ended);
    let database = TestDatabase::make()?;
    let to = database.url();
    let key = std::fs::read_to_string(source.data_dir().join("signing-key"))?;
    // A process that served from it once, and left a setup code.
    let there = Setup::with_upstream(&upstream)?.on_sqlite().env("DATABASE_URL", &to).env("SECRET_KEY", key.trim());
    let server = there.start().await?;
    server.signal(Signal::TERM)?;
    assert!(server.ended().await?.0);

    let rows = database.client().await?;
    let held = database.client().await?;
    held.batch_execute("BEGIN; LOCK TABLE generation_log IN SHARE MODE").await?;
    let source = source.env("DATABASE_URL", &to).env("SECRET_KEY", key.trim());
    let mut command = source.command(&["migrate"]).spawn()?;
    let waits = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'generation_log'::regclass)";
    let waiting = async {
        while !rows.query_one(waits, &[]).await?.get::<_, bool>(0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, waiting).await.context("it did not come so far")??;
    command.kill().await?;
    held.batch_execute("ROLLBACK").await?;
    assert_eq!(count(&rows, "account").await?, 0, "not even what went before");

    let done = source.run(&["migrate"]).await?;
    assert!(done.ok && done.stdout.contains("the SECRET_KEY of before"), "{done:?}");
    assert_eq!((count(&rows, "account").await?, count(&rows, "message").await?), (1, 6));
    let codes: i64 = rows.query_one("SELECT count(*) FROM setting WHERE key = 'setup_code'", &[]).await?.get(0);
    assert_eq!(codes, 0, "nobody becomes an administrator by an old code");
    Ok(())
}

#[tokio::test]
async fn bad_arguments_are_explained() -> Result<()> {
    let setup = Setup::new()?.on_sqlite();
    for (args, told) in [
        (&["migrate"][..], "--to"),
        (&["migrate", "--from", "/srv/data"], "sqlite:/var/lib"),
        (&["migrate", "--to", "mysql://ada:hunter2@db/x"], "postgres://"),
        (&["migrate", "--to", "postgres://ada:hunter2@127.0.0.1:9/x"], "there is no database"),
    ] {
        let refused = setup.run(args).await?;
        assert!(!refused.ok && refused.stderr.contains(told), "{refused:?}");
        assert!(!refused.stderr.contains("hunter2"), "{refused:?}");
    }
    Ok(())
}
