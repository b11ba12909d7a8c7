//! An fsync that fails: nothing that it covered is believed before it was written again.

use rusqlite::Connection;

use super::*;

#[tokio::test]
async fn a_question_that_the_disk_does_not_confirm_is_refused() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|_| Script::text("at last"));
    let (disk, setup) = on_disk(&upstream)?;
    let server = setup.start().await?;
    let client = server.user("ada").await?;
    let conversation = client.conversation().await?;

    disk.fail_once("sync.wal@r1-writer", "EIO")?;
    expect_refused(send(&client, &conversation).await?, 503, "storage_unavailable").await?;
    ensure!(client.messages(&conversation).await?.is_empty());
    // What was lost has been written again, so the next one is believed.
    wait_ready(&client).await?;
    let frames = client.ask_to_end(&json!({"message": "go", "conversation_id": conversation})).await?;
    ensure!(text_of(&frames) == "at last");
    ensure!(disk.check()? > 0, "something was lost");
    ensure!(upstream.counters().requests == 1, "the refused one asked nobody");
    Ok(())
}

#[tokio::test]
async fn a_disk_that_confirms_nothing_takes_no_questions() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(two_words("go"));
    let (disk, setup) = on_disk(&upstream)?;
    let server = setup.start().await?;
    let client = server.user("ada").await?;
    let conversation = client.conversation().await?;
    let mut begun = begin(&client).await?;
    disk.fail("sync.wal", "EIO")?;
    for _ in 0..3 {
        expect_refused(send(&client, &conversation).await?, 503, "storage_unavailable").await?;
    }
    expect_unhealthy(&client).await?;
    expect_readable(&client, &conversation).await?;
    // Chunks never promised to be on the disk.
    upstream.open("go");
    begun.go_on(&client).await?;
    ensure!(text_of(&begun.seen) == "one two ");

    // What was refused is not found by the next process either.
    let setup = server.kill().await?;
    disk.mend("sync.wal")?;
    let again = setup.start().await?;
    let client = client.at(&again);
    ensure!(client.messages(&conversation).await?.is_empty(), "a refused question came back");
    ensure!(text_of(&begun.seen) == begun.answer(&client).await?["content"]);
    upstream.push(Script::text("at last"));
    client.ask_to_end(&json!({"message": "go", "conversation_id": conversation})).await?;
    ensure!(disk.check()? > 0, "something was lost");
    Ok(())
}

#[tokio::test]
async fn an_answer_that_the_disk_does_not_confirm_fails() -> Result<()> {
    // In mid-answer, and with the end alone left.
    let begun = || Script::new().role().chunk("one ").wait_for("go");
    for (script, runs) in [(begun().chunk("two ").wait_for("never"), true), (begun().ending(), false)] {
        let upstream = Upstream::start().await?;
        upstream.push(script);
        let (disk, setup) = on_disk(&upstream)?;
        let server = setup.set("DATABASE__SYNC_ALL", "true").start().await?;
        let client = server.user("ada").await?;
        let mut begun = begin(&client).await?;
        disk.fail("sync.wal@r1-writer", "EIO")?;
        upstream.open("go");
        begun.is_sent_away().await?;
        // Who comes is sent away as well, without an end that is not stored.
        let query = format!("generation_id={}", begun.generation);
        let mut other = stream(client.attach(&query).await?).await?;
        while let Some(frame) = other.next_frame().await? {
            ensure!(begun.seen.contains(&frame), "{frame:?}");
        }
        if runs {
            upstream.wait_closed(1).await?;
        }

        disk.mend("sync.wal@r1-writer")?;
        begun.go_on(&client).await?;
        let end = begun.last();
        ensure!((&end["code"], &end["retryable"]) == (&json!("storage_failed"), &json!(true)), "{end}");
        ensure!(begun.answer(&client).await?["status"] == "failed" && text_of(&begun.seen) == "one ");
        wait_ready(&client).await?;
        ensure!(disk.check()? > 0, "something was lost");
    }
    Ok(())
}

#[tokio::test]
async fn killed_while_the_disk_confirms_nothing() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(two_words("go"));
    let (disk, setup) = on_disk(&upstream)?;
    let server = setup.set("DATABASE__SYNC_ALL", "true").start().await?;
    let client = server.user("ada").await?;
    let mut begun = begin(&client).await?;
    disk.fail("sync.wal@r1-writer", "EIO")?;
    upstream.open("go");
    begun.is_sent_away().await?;
    let _again = expect_survival(server, &mut begun, client, || disk.mend("sync.wal@r1-writer")).await?;
    ensure!(disk.check()? > 0, "something was lost");
    Ok(())
}

#[tokio::test]
async fn a_checkpoint_believes_no_sync_after_a_failed_one() -> Result<()> {
    for file in ["wal", "db"] {
        let upstream = Upstream::start().await?;
        upstream.push(two_words("go"));
        upstream.respond_with(|_| Script::text("all is well"));
        let (disk, setup) = on_disk(&upstream)?;
        let server = setup.start().await?;
        let client = server.user("ada").await?;
        let mut begun = begin(&client).await?;
        let rule = format!("sync.{file}@r1-checkpoint");
        disk.fail(&rule, "EIO")?;
        upstream.open("go");
        // The second one has all to lose that was written again after the first.
        let mut failed = disk.calls()?.len();
        for _ in 0..2 {
            failed = disk.wait_for(failed, |call| call.is("r1-checkpoint", "sync", file, "EIO")).await?;
        }
        disk.mend(&rule)?;
        begun.go_on(&client).await?;
        let copied = disk.wait_for(failed, |call| call.is("r1-checkpoint", "sync", "db", "ok")).await?;
        disk.wait_for(copied, |call| call.is("r1-checkpoint", "cut", "wal", "ok")).await?;
        ensure!(disk.check()? > 0, "something was lost");
        wait_ready(&client).await?;
        client.ask_to_end(&json!({"message": "go"})).await?;
    }
    Ok(())
}

/// SQLite counts pages as copied that an earlier checkpoint copied and did not sync, since a reader kept it
/// from copying all.
#[tokio::test]
async fn pages_of_a_partial_checkpoint_are_written_again() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|_| Script::text("all is well"));
    let (disk, setup) = on_disk(&upstream)?;
    let server = setup.start().await?;
    let client = server.user("ada").await?;
    let reader = || -> Result<Connection> {
        let db = Connection::open(server.setup().data_dir().join("gpt-r1.db"))?;
        db.execute_batch("BEGIN; SELECT count(*) FROM setting")?;
        Ok(db)
    };
    let first = reader()?;
    client.ask_to_end(&json!({"message": "copied, not synced"})).await?;
    let second = reader()?;
    client.ask_to_end(&json!({"message": "copied later"})).await?;
    let seen = disk.calls()?.len();
    drop(first);
    let partly = disk.wait_for(seen, |call| call.is("r1-checkpoint", "write", "db", "ok")).await?;
    disk.fail_once("sync.db@r1-checkpoint", "EIO")?;
    drop(second);
    let failed = disk.wait_for(partly, |call| call.is("r1-checkpoint", "sync", "db", "EIO")).await?;
    ensure!(
        !disk.calls()?[seen..failed].iter().any(|call| call.is("r1-checkpoint", "sync", "db", "ok")),
        "it was partial"
    );
    disk.wait_for(failed, |call| call.is("r1-checkpoint", "sync", "db", "ok")).await?;
    ensure!(disk.check()? > 0, "something was lost");
    Ok(())
}
