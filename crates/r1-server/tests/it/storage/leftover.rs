//! What a killed server left behind is not as it was: that is said before anything is written.

use std::fs;

use super::*;

#[tokio::test]
async fn a_log_without_its_database_and_a_damaged_one_are_said() -> Result<()> {
    let server = Setup::new()?.on_sqlite().start().await?;
    for name in ["ada", "bob", "carl"] {
        server.user(name).await?;
    }
    let setup = server.kill().await?;
    let (database, wal) = (setup.data_dir().join("gpt-r1.db"), setup.data_dir().join("gpt-r1.db-wal"));
    let (kept, mut log) = (fs::read(&database)?, fs::read(&wal)?);
    fs::write(&database, b"")?;
    let started = setup.run(&["serve", "--api-addr", "127.0.0.1:0", "--web-addr", "127.0.0.1:0"]).await?;
    ensure!(!started.ok && started.stderr.contains("its write-ahead log"), "{started:?}");
    assert_eq!(fs::read(&wal)?, log);

    fs::write(&database, &kept)?;
    let middle = log.len() / 2;
    log[middle] ^= 1;
    fs::write(&wal, &log)?;
    let server = setup.start().await?;
    let said = server.log();
    ensure!(said.contains("ERROR") && said.contains("gpt-r1.db-wal.damaged-1"), "{said}");
    assert_eq!(fs::read(server.setup().data_dir().join("gpt-r1.db-wal.damaged-1"))?, log);
    Ok(())
}
