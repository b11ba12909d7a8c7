//! A disk without room.

use super::*;
use crate::metrics::Metrics;

#[tokio::test]
async fn a_full_disk_stalls_answers_until_there_is_room() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(two_words("go"));
    let (disk, setup) = on_disk(&upstream)?;
    let server = setup.with_metrics().start().await?;
    let metrics = Metrics::of(&server)?;
    let client = server.user("ada").await?;
    metrics.wait_line("gpt_r1_database_up", |up| up == 1.0).await?;
    let (elsewhere, needless) = (client.conversation().await?, client.conversation().await?);
    let mut begun = begin(&client).await?;

    disk.fail("write.wal", "ENOSPC")?;
    upstream.open("go");
    expect_refused(send(&client, &elsewhere).await?, 507, "storage_full").await?;
    let delete = || client.request(reqwest::Method::DELETE, &format!("/conversations/{needless}")).send();
    expect_refused(delete().await?, 507, "storage_full").await?;
    begun.is_sent_away().await?;
    expect_unhealthy(&client).await?;
    expect_readable(&client, &begun.conversation).await?;
    // What alarms go by.
    metrics.wait_line("gpt_r1_database_up", |up| up == 0.0).await?;
    metrics.wait_line("gpt_r1_log_commit_failures_total", |failures| failures > 0.0).await?;

    disk.mend("write.wal")?;
    begun.go_on(&client).await?;
    ensure!(begun.last()["status"] == "completed" && text_of(&begun.seen) == "one two ", "{}", begun.last());
    wait_ready(&client).await?;
    metrics.wait_line("gpt_r1_database_up", |up| up == 1.0).await?;
    ensure!(delete().await?.status() == StatusCode::NO_CONTENT);
    ensure!(client.messages(&elsewhere).await?.is_empty(), "a refused question leaves no trace");
    upstream.push(Script::text("room"));
    client.ask_to_end(&json!({"message": "go", "conversation_id": elsewhere})).await?;
    Ok(())
}

#[tokio::test]
async fn what_a_failed_write_means() -> Result<()> {
    let upstream = Upstream::start().await?;
    let (disk, setup) = on_disk(&upstream)?;
    let server = setup.start().await?;
    let client = server.user("ada").await?;
    let conversation = client.conversation().await?;
    for (error, status, code) in [
        ("ENOSPC", 507, "storage_full"),
        ("EDQUOT", 507, "storage_full"),
        ("EIO", 503, "storage_unavailable"),
        ("EROFS", 503, "storage_unavailable"),
    ] {
        disk.fail("write.wal", error)?;
        expect_refused(send(&client, &conversation).await?, status, code).await.context(error)?;
        disk.mend("write.wal")?;
        wait_ready(&client).await?;
    }
    ensure!(client.messages(&conversation).await?.is_empty());
    upstream.push(Script::text("well again"));
    client.ask_to_end(&json!({"message": "go", "conversation_id": conversation})).await?;
    Ok(())
}

#[tokio::test]
async fn a_full_disk_holds_up_a_checkpoint_and_nothing_else() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|_| Script::text("all is well"));
    let (disk, setup) = on_disk(&upstream)?;
    let server = setup.start().await?;
    let client = server.user("ada").await?;
    disk.fail("write.db", "ENOSPC")?;
    let frames = client.ask_to_end(&json!({"message": "go"})).await?;
    let failed = disk.wait_for(0, |call| call.is("r1-checkpoint", "write", "db", "ENOSPC")).await?;
    ensure!(text_of(&frames) == "all is well");
    client.ask_to_end(&json!({"message": "go"})).await?;
    wait_ready(&client).await?;

    disk.mend("write.db")?;
    let copied = disk.wait_for(failed, |call| call.is("r1-checkpoint", "sync", "db", "ok")).await?;
    // And the log is cut.
    disk.wait_for(copied, |call| call.is("r1-checkpoint", "cut", "wal", "ok")).await?;
    let conversation = id_of(&frames[0].data, "conversation_id")?;
    ensure!(client.messages(&conversation).await?[1]["content"] == "all is well");
    Ok(())
}

#[tokio::test]
async fn a_start_without_room_says_so() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(two_words("never"));
    let (disk, setup) = on_disk(&upstream)?;
    disk.fail("write.db", "ENOSPC")?;
    let serve = ["serve", "--api-addr", "127.0.0.1:0", "--web-addr", "127.0.0.1:0"];
    let first = setup.run(&serve).await?;
    ensure!(
        !first.ok && first.stderr.contains("no room on its disk") && first.stderr.contains("--data-dir"),
        "{first:?}"
    );

    // With an answer to take over.
    disk.mend("write.db")?;
    let server = setup.start().await?;
    let client = server.user("ada").await?;
    let mut begun = begin(&client).await?;
    let setup = server.kill().await?;
    disk.fail("write.wal", "ENOSPC")?;
    let refused = setup.run(&serve).await?;
    ensure!(!refused.ok && refused.stderr.contains("is its disk full?"), "{refused:?}");
    disk.mend("write.wal")?;
    let again = setup.start().await?;
    begun.go_on(&client.at(&again)).await?;
    ensure!(begun.last()["code"] == "interrupted", "{}", begun.last());
    Ok(())
}

#[tokio::test]
async fn killed_while_the_disk_is_full() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(two_words("go"));
    let (disk, setup) = on_disk(&upstream)?;
    let server = setup.start().await?;
    let client = server.user("ada").await?;
    let mut begun = begin(&client).await?;
    disk.fail("write.wal", "ENOSPC")?;
    upstream.open("go");
    begun.is_sent_away().await?;
    expect_survival(server, &mut begun, client, || disk.mend("write.wal")).await?;
    Ok(())
}
