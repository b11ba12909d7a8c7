//! The database as one file: taken while answers stream, put in place elsewhere.

use anyhow::{Context, Result};
use r1_testkit::{
    sse::text_of,
    upstream::{Script, Upstream},
};
use serde_json::json;

use crate::support::{Setup, id_of, stream};

#[tokio::test]
async fn a_backup_is_taken_while_answers_stream() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(Script::text("An earlier answer."));
    upstream.push(Script::paced(400, std::time::Duration::from_millis(5)));
    let server = Setup::with_upstream(&upstream)?.on_sqlite().start().await?;
    let client = server.user("ada").await?;
    let earlier = client.ask_to_end(&json!({"message": "before"})).await?;
    let mut reader = client.ask(&json!({"message": "go"})).await?;
    let mut seen = reader.collect_until(|frame| frame.id.is_some_and(|id| id.cursor.seq == 50)).await?;
    let file = server.setup().data_dir().with_file_name("backup");
    let name = file.to_str().context("a name")?;
    let backup = server.setup().run(&["backup", name]).await?;
    assert!(backup.ok && backup.stdout.contains("1 answers that were being written"), "{backup:?}");
    let again = server.setup().run(&["backup", name]).await?;
    assert!(!again.ok && again.stderr.contains("exists already"), "{again:?}");
    seen.extend(reader.collect_to_end().await?);
    assert_eq!(seen.len(), 402, "the stream was not disturbed");

    // In place of the one that goes on meanwhile: refused.
    let refused = server.setup().run(&["restore", "--replace", name]).await?;
    assert!(!refused.ok, "{refused:?}");
    let (well, setup) = (server.signal(crate::support::Signal::TERM)?, server.ended().await?).1;
    assert!(well);
    let kept = setup.run(&["restore", name]).await?;
    assert!(!kept.ok && kept.stderr.contains("--replace"), "{kept:?}");
    let asked = upstream.requests().len();
    let restored = setup.run(&["restore", "--replace", name]).await?;
    assert!(restored.ok && restored.stdout.contains("the database before it is in"), "{restored:?}");
    assert_eq!(upstream.requests().len(), asked, "nothing is run again");

    let server = setup.start().await?;
    let client = client.at(&server);
    let generation = id_of(&seen[0].data, "generation_id")?;
    let log = stream(client.attach(&format!("generation_id={generation}")).await?).await?.collect_to_end().await?;
    let last = log.last().context("an end")?;
    assert_eq!((last.data["code"].as_str(), upstream.requests().len()), (Some("interrupted"), asked));
    let shown = log.len() - 2;
    assert!(shown >= 50, "what was seen before it was taken is in it: {shown}");
    assert_eq!(log[..shown], seen[..shown], "byte for byte");
    let message = &client.messages(&id_of(&seen[0].data, "conversation_id")?).await?[1];
    assert_eq!((message["status"].as_str(), message["content"].as_str()), (Some("interrupted"), Some(&*text_of(&log))));
    let before = id_of(&earlier[0].data, "generation_id")?;
    let replay = stream(client.attach(&format!("generation_id={before}")).await?).await?.collect_to_end().await?;
    assert_eq!(replay, earlier);
    upstream.push(Script::text("and more"));
    let path = format!("/chat/generations/{generation}/continue");
    let more = stream(client.post(&path, &json!({})).await?).await?.collect_to_end().await?;
    assert!(text_of(&more).ends_with("and more"), "{more:?}");
    Ok(())
}

#[tokio::test]
async fn what_is_no_backup_is_not_put_in_place() -> Result<()> {
    let setup = Setup::new()?.on_sqlite();
    let missing = setup.run(&["backup", "file"]).await?;
    assert!(!missing.ok && missing.stderr.contains("--data-dir"), "{missing:?}");
    assert!(setup.run(&["user", "add", "ada", "--email", "ada@example.com"]).await?.ok);
    let directory = setup.data_dir().parent().context("a parent")?.to_owned();
    let (good, bad) = (directory.join("good"), directory.join("bad"));
    let good_name = good.to_str().context("a name")?;
    assert!(setup.run(&["backup", good_name]).await?.ok);
    let whole = std::fs::read(&good)?;
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 4096].fill(0xa5);
    let cut = whole[..middle].to_vec();
    for content in [b"no database".to_vec(), Vec::new(), damaged, cut] {
        std::fs::write(&bad, content)?;
        let refused = setup.run(&["restore", "--replace", bad.to_str().context("a name")?]).await?;
        assert!(!refused.ok && refused.stderr.contains("bad"), "{refused:?}");
    }
    let listed = setup.run(&["user", "list"]).await?;
    assert!(listed.stdout.contains("ada"), "{listed:?}");
    // Nothing is left of the attempts.
    let left: Vec<_> =
        std::fs::read_dir(setup.data_dir())?.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    assert!(!left.iter().any(|name| name.starts_with("restoring-") || name.starts_with("replaced-")), "{left:?}");
    Ok(())
}
