//! A disk that does not answer.

use super::*;

#[tokio::test]
async fn a_hanging_commit_keeps_nobody_waiting_for_ever() -> Result<()> {
    let upstream = Upstream::start().await?;
    upstream.respond_with(|_| Script::text("at last"));
    let (disk, setup) = on_disk(&upstream)?;
    let server = setup.start().await?;
    let client = server.user("ada").await?;
    let (hanging, waiting) = (client.conversation().await?, client.conversation().await?);
    disk.fail("sync.wal@r1-writer", "hang")?;
    let first = async {
        let refused = send(&client, &hanging).await?;
        expect_refused(refused, 503, "storage_unconfirmed").await
    };
    let others = async {
        disk.wait_for(0, |call| call.is("r1-writer", "sync", "wal", "hang")).await?;
        expect_unhealthy(&client).await?;
        let refused = send(&client, &waiting).await?;
        expect_refused(refused, 503, "storage_unavailable").await?;
        expect_readable(&client, &waiting).await
    };
    let (first, others) = tokio::join!(first, others);
    first?;
    others?;

    disk.mend("sync.wal@r1-writer")?;
    wait_ready(&client).await?;
    // What was in the middle of its commit came to be, and is answered.
    let answered = stream(client.attach(&format!("conversation_id={hanging}")).await?).await?.collect_to_end().await?;
    ensure!(text_of(&answered) == "at last", "{answered:?}");
    // What was told that nothing was changed changed nothing, though its turn came in the end.
    ensure!(client.messages(&waiting).await?.is_empty());
    ensure!(upstream.counters().requests == 1);
    client.ask_to_end(&json!({"message": "go", "conversation_id": waiting})).await?;
    Ok(())
}
