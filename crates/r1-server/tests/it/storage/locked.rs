//! Another program holds the database's write lock.

use rusqlite::Connection;

use super::*;
use crate::metrics::Metrics;

/// Holds the lock until it is dropped.
fn lock(server: &Server) -> Result<Connection> {
    let db = Connection::open(server.setup().data_dir().join("gpt-r1.db"))?;
    db.busy_timeout(PATIENCE)?;
    db.execute_batch("BEGIN EXCLUSIVE")?;
    Ok(db)
}

#[tokio::test]
async fn a_locked_database_stalls_answers_and_loses_nothing() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(two_words("go"));
    // More than may be read ahead, by far.
    let flood = (0..4096)
        .fold(Script::new().role().chunk("one ").wait_for("go"), |script, _| script.chunk("x".repeat(1 << 16)));
    upstream.push(flood);
    let server = impatient(&upstream)?.set("LIMITS__ANSWER_SIZE", "512MiB").with_metrics().start().await?;
    let metrics = Metrics::of(&server)?;
    let client = server.user("ada").await?;
    let elsewhere = client.conversation().await?;
    let mut begun = begin(&client).await?;
    let mut flooded = begin(&client).await?;

    let before = memory_kib(&server)?;
    let lock = lock(&server)?;
    upstream.open("go");
    begun.is_sent_away().await?;
    ensure!(begun.reader.comments() > 0, "heartbeats go on");
    flooded.is_sent_away().await?;
    let (refused, unhealthy) = tokio::join!(send(&client, &elsewhere), expect_unhealthy(&client));
    expect_refused(refused?, 503, "storage_unavailable").await?;
    unhealthy?;
    expect_readable(&client, &begun.conversation).await?;
    // What the alarm of a stalled log goes by.
    metrics.wait_line("gpt_r1_log_writer_queue", |waiting| waiting == 2.0).await?;
    let commits = "gpt_r1_log_commit_seconds_count";
    let stalled = metrics.wait_line(commits, |_| true).await?;
    metrics.wait_line("gpt_r1_database_up", |up| up == 0.0).await?;
    metrics.wait_line("gpt_r1_database_free_bytes", |free| free > 0.0).await?;
    assert_eq!(metrics.wait_line(commits, |_| true).await?, stalled, "nothing is stored");
    ensure!(begun.answer(&client).await?["content"] == "one ", "what is not stored is not shown");
    let grown = memory_kib(&server)?.saturating_sub(before);
    ensure!(grown < 24 * 1024, "{grown} KiB more: the upstream is read without bound");
    // A stop closes the upstream, whatever the storage does.
    let stop = || async {
        let path = format!("/chat/generations/{}/stop", flooded.generation);
        client.post(&path, &Value::Null).await
    };
    expect_refused(stop().await?, 503, "stop_not_stored").await?;
    upstream.wait_closed(1).await?;

    drop(lock);
    begun.go_on(&client).await?;
    ensure!(begun.last()["status"] == "completed" && text_of(&begun.seen) == "one two ", "{}", begun.last());
    wait_ready(&client).await?;
    ensure!(client.messages(&elsewhere).await?.is_empty(), "a refused question leaves no trace");
    let stopped = stop().await?;
    ensure!(stopped.status() == StatusCode::OK, "{}", stopped.text().await?);
    flooded.go_on(&client).await?;
    ensure!(flooded.last()["status"] == "stopped", "{}", flooded.last());
    upstream.push(Script::text("as if nothing had happened"));
    let after = client.ask_to_end(&json!({"message": "go", "conversation_id": elsewhere})).await?;
    ensure!(text_of(&after) == "as if nothing had happened");
    Ok(())
}

fn memory_kib(server: &Server) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid()))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS")).context("VmRSS")?;
    Ok(line.split_whitespace().nth(1).context("a number")?.parse()?)
}

#[tokio::test]
async fn killed_while_the_database_is_locked() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.push(two_words("go"));
    let server = impatient(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    let mut begun = begin(&client).await?;
    let lock = lock(&server)?;
    upstream.open("go");
    begun.is_sent_away().await?;
    expect_survival(server, &mut begun, client, || {
        drop(lock);
        Ok(())
    })
    .await?;
    Ok(())
}
