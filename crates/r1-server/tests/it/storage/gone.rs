//! Somebody moves, replaces or removes the database's files while the server runs.

use std::fs;

use super::*;
use crate::support::Signal;

#[tokio::test]
async fn a_database_that_is_moved_away_takes_nothing_until_it_is_back() -> Result<()> {
    for name in ["gpt-r1.db", "gpt-r1.db-wal"] {
        let upstream = Upstream::start().await?;
        upstream.push(two_words("go"));
        let server = impatient(&upstream)?.start().await?;
        let client = server.user("ada").await?;
        let conversation = client.conversation().await?;
        let mut begun = begin(&client).await?;
        let path = server.setup().data_dir().join(name);
        let aside = path.with_extension("aside");
        fs::rename(&path, &aside)?;
        upstream.open("go");
        expect_refused(send(&client, &conversation).await?, 503, "storage_unavailable").await?;
        begun.is_sent_away().await?;
        expect_unhealthy(&client).await?;
        // Another file in its place is not it.
        fs::copy(&aside, &path)?;
        expect_refused(send(&client, &conversation).await?, 503, "storage_unavailable").await?;
        ensure!(server.log().contains("is not the file any more"), "{}", server.log());

        fs::rename(&aside, &path)?;
        begun.go_on(&client).await?;
        ensure!(text_of(&begun.seen) == "one two ");
        wait_ready(&client).await?;
        ensure!(client.messages(&conversation).await?.is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn a_data_directory_that_is_removed() -> Result<()> {
    let upstream = Upstream::start().await?;
    let server = impatient(&upstream)?.start().await?;
    let client = server.user("ada").await?;
    fs::remove_dir_all(server.setup().data_dir())?;
    let refused = client.post("/chat/stream", &json!({"message": "go"})).await?;
    expect_refused(refused, 503, "storage_unavailable").await?;
    expect_unhealthy(&client).await?;
    ensure!(!server.log().contains("panic"), "{}", server.log());
    server.signal(Signal::TERM)?;
    let (well, _) = server.ended().await?;
    ensure!(well, "exit status 0");
    Ok(())
}
