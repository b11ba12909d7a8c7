//! Data directories, and what a killed process leaves of one.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Result;
use r1_domain::{
    id::UserId,
    store::Store,
    time::{Clock, SystemClock},
    user::NewUser,
};
use r1_store_sqlite::{SqliteOptions, SqliteStore};
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

const DATABASE: &str = "gpt-r1.db";
const WAL: &str = "gpt-r1.db-wal";

/// A directory that every case begins with a copy of: two users, nothing else.
pub(crate) struct Template {
    dir: TempDir,
    pub(crate) users: [UserId; 2],
}

impl Template {
    pub(crate) fn new() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let store = open(dir.path())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let users = ["ada", "eve"].map(|name| NewUser {
            id: UserId::new(SystemClock.now()),
            username: name.to_owned(),
            email: format!("{name}@example.com"),
            password_hash: "x".into(),
            is_admin: false,
            created_at: SystemClock.now(),
        });
        let ids = [users[0].id, users[1].id];
        for user in users {
            runtime.block_on(store.user_create(user, None))?;
        }
        Ok(Self { dir, users: ids })
    }
}

/// The directories of one case: one per life that ended in a crash, and the present one.
pub(crate) struct Disk {
    root: TempDir,
    crashes: usize,
}

impl Disk {
    pub(crate) fn new(template: &Template) -> Result<Self> {
        let disk = Self { root: tempfile::tempdir()?, crashes: 0 };
        image(template.dir.path(), &disk.dir())?;
        Ok(disk)
    }

    fn dir(&self) -> PathBuf {
        self.root.path().join(self.crashes.to_string())
    }

    pub(crate) fn open(&self) -> Result<Arc<dyn Store>> {
        open(&self.dir())
    }

    /// What makes the image of the present directory, which the next life opens, when a crash comes.
    pub(crate) fn crash(&self) -> impl FnOnce() + Send + 'static {
        let (from, to) = (self.dir(), self.root.path().join((self.crashes + 1).to_string()));
        move || image(&from, &to).expect("the image of a data directory")
    }

    /// The crash came.
    pub(crate) fn crashed(&mut self) {
        self.crashes += 1;
    }
}

fn open(dir: &Path) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(SqliteStore::open(&SqliteOptions { readers: 2, ..SqliteOptions::new(dir) })?))
}

/// What `kill -9` leaves: the database and its write-ahead log as they stand in the system's memory,
/// and no index of the log, which the next process makes anew. The read transaction keeps the log from
/// beginning again between the two copies; pages that a checkpoint moves meanwhile are in both.
fn image(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    let db = Connection::open_with_flags(from.join(DATABASE), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    db.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema")?;
    fs::copy(from.join(DATABASE), to.join(DATABASE))?;
    if from.join(WAL).exists() {
        fs::copy(from.join(WAL), to.join(WAL))?;
    }
    Ok(())
}
