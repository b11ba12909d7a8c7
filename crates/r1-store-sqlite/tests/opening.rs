//! Opening a data directory, and everything that can be wrong with one.

#![expect(clippy::unwrap_used, reason = "what the tests share fails as they do")]

use std::{fs, path::Path, sync::Arc};

use r1_domain::store::{Store, StoreError};
use r1_store_sqlite::{OpenError, SqliteOptions, SqliteStore};
use r1_testkit::store_contract::{
    ALL, SharedStore, append, at, begin, chunks, ending, log_of, new_turn, new_user, stored, user,
};
use secrecy::ExposeSecret;

fn open(dir: &Path) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(&SqliteOptions::new(dir))
}

fn shared(dir: &Path) -> SharedStore {
    Arc::new(open(dir).unwrap())
}

#[tokio::test]
async fn a_reopened_store_has_all_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let store = shared(dir.path());
    let owner = user(&store, "demo").await.unwrap();
    let (running, ended) = (new_turn(owner, "One", at(1)), new_turn(owner, "Two", at(2)));
    begin(&store, &running).await.unwrap();
    begin(&store, &ended).await.unwrap();
    stored(&store, vec![append(running.generation_id, 1, 2, &["a", "b"])]).await.unwrap();
    stored(&store, vec![ending(&ended, 2, "", 2, &[], at(3))]).await.unwrap();
    stored(&store, vec![append(running.generation_id, 1, 4, &["c"])]).await.unwrap();
    let logs = (log_of(&store, &running).await.unwrap(), log_of(&store, &ended).await.unwrap());
    drop(store);
    assert!(!dir.path().join("gpt-r1.db-wal").exists(), "a closed database is one file");

    let store = shared(dir.path());
    assert_eq!((log_of(&store, &running).await.unwrap(), log_of(&store, &ended).await.unwrap()), logs);
    assert_eq!(store.conversation_list(owner, ALL).await.unwrap().items.len(), 2);
    // The journal was read: the log goes on exactly where it was.
    let again = store.log_append(vec![append(running.generation_id, 1, 4, &["c"])]).await.unwrap();
    assert_eq!(again, [r1_domain::store::AppendOutcome::Fenced]);
    stored(&store, vec![append(running.generation_id, 1, 5, &["d"])]).await.unwrap();
    let end = ending(&running, 6, "abcd", 2, &chunks(&["a", "b", "c", "d"]), at(4));
    stored(&store, vec![end]).await.unwrap();
    assert_eq!(store.message_get(owner, running.answer_id).await.unwrap().content, "abcd");
}

#[tokio::test]
async fn a_hash_is_replaced_only_if_it_is_still_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let store = shared(dir.path());
    let owner = user(&store, "demo").await.unwrap();
    let old = "$argon2id$of-demo".to_owned().into();
    store.user_rehash(owner, &old, "$argon2id$second".to_owned().into()).await.unwrap();
    store.user_rehash(owner, &old, "$argon2id$third".to_owned().into()).await.unwrap();
    let found = store.user_by_login("demo").await.unwrap().unwrap();
    assert_eq!(found.password_hash.expose_secret(), "$argon2id$second");
}

#[test]
fn a_directory_serves_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).unwrap();
    let second = open(dir.path()).unwrap_err();
    assert!(matches!(second, OpenError::Locked { .. }), "{second:?}");
    let text = second.to_string();
    assert!(text.contains(dir.path().to_str().unwrap()) && text.contains("--data-dir"), "{text}");
    drop(first);
    open(dir.path()).unwrap();
}

#[cfg(unix)]
#[test]
fn everything_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("new").join("data");
    let _store = open(&data).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    for file in fs::read_dir(&data).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn what_is_no_directory_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let error = open(&file).unwrap_err();
    assert!(matches!(error, OpenError::Directory { .. }), "{error:?}");
    assert!(error.to_string().contains(file.to_str().unwrap()));
    fs::create_dir_all(dir.path().join("data/gpt-r1.db")).unwrap();
    let error = open(&dir.path().join("data")).unwrap_err();
    assert!(matches!(error, OpenError::File { .. }), "{error:?}");
}

#[test]
fn what_is_no_database_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gpt-r1.db");
    let text = "my diary, ".repeat(1000);
    fs::write(&path, &text).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::NotADatabase { .. }), "{error:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);

    fs::remove_file(&path).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE recipe (id INTEGER)").unwrap();
    drop(other);
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
}

/// What a server that was killed leaves behind: a database, and a log that is not copied into it.
async fn killed(dir: &Path) -> std::path::PathBuf {
    let living = dir.join("living");
    let store = shared(&living);
    for name in ["one", "two", "three", "four"] {
        user(&store, name).await.unwrap();
    }
    let left = dir.join("left");
    fs::create_dir(&left).unwrap();
    for file in ["gpt-r1.db", "gpt-r1.db-wal"] {
        fs::copy(living.join(file), left.join(file)).unwrap();
    }
    left
}

async fn names(store: &SqliteStore) -> Vec<String> {
    store.user_list(ALL).await.unwrap().items.into_iter().map(|user| user.username).collect()
}

#[tokio::test]
async fn a_log_without_its_database_is_not_thrown_away() {
    let dir = tempfile::tempdir().unwrap();
    let left = killed(dir.path()).await;
    let (database, wal) = (left.join("gpt-r1.db"), left.join("gpt-r1.db-wal"));
    let (kept, log) = (fs::read(&database).unwrap(), fs::read(&wal).unwrap());
    for empty in [false, true] {
        fs::remove_file(&database).unwrap();
        if empty {
            fs::write(&database, b"").unwrap();
        }
        for opened in [open(&left), SqliteStore::open_guest(&SqliteOptions::new(&left))] {
            let error = opened.unwrap_err();
            assert!(matches!(error, OpenError::LogAlone { .. }), "{error:?}");
            assert!(error.to_string().contains("gpt-r1.db-wal"), "{error}");
        }
        assert_eq!(fs::read(&wal).unwrap(), log);
        assert_eq!(database.exists(), empty, "nothing is made anew");
        fs::write(&database, &kept).unwrap();
    }
    assert_eq!(names(&open(&left).unwrap()).await.len(), 4, "put back, all is there");
}

#[tokio::test]
async fn a_damaged_log_is_kept_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let left = killed(dir.path()).await;
    let (database, wal) = (left.join("gpt-r1.db"), left.join("gpt-r1.db-wal"));
    let (kept, whole) = (fs::read(&database).unwrap(), fs::read(&wal).unwrap());
    let aside = |number: u32| left.join(format!("gpt-r1.db-wal.damaged-{number}"));
    let opened = async |log: &[u8]| {
        fs::write(&wal, log).unwrap();
        fs::write(&database, &kept).unwrap();
        names(&open(&left).unwrap()).await.len()
    };
    assert_eq!(opened(&whole).await, 4);
    // Cut in its last frame, as by a power loss: that never counted, and is not worth a word.
    assert_eq!(opened(&whole[..whole.len() - 100]).await, 3);
    assert!(!aside(1).exists());

    let mut log = whole.clone();
    log[whole.len() / 2] ^= 1;
    for _ in 0..2 {
        assert!(opened(&log).await < 4);
        assert_eq!(fs::read(aside(1)).unwrap(), log);
        assert!(!aside(2).exists(), "once is enough");
    }
    let mut log = whole.clone();
    log[0] ^= 1;
    opened(&log).await;
    assert_eq!(fs::read(aside(2)).unwrap(), log);
}

#[test]
fn another_schema_is_refused_with_a_way_out() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    let change = |sql: &str| {
        rusqlite::Connection::open(dir.path().join("gpt-r1.db")).unwrap().execute_batch(sql).unwrap();
    };
    change("INSERT INTO schema_migration VALUES (99, zeroblob(32), 0)");
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error:?}");
    assert!(error.to_string().contains("newer"));
    change("DELETE FROM schema_migration WHERE version = 99; UPDATE schema_migration SET checksum = zeroblob(32)");
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Differs { version: 1, .. }), "{error:?}");
}

#[tokio::test]
async fn a_guest_works_beside_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new(dir.path());
    let guest = SqliteStore::open_guest_or_make(&options).unwrap();
    guest.user_create(new_user("early"), None).await.unwrap();
    let server = shared(dir.path());
    assert!(server.user_by_login("early").await.unwrap().is_some(), "a guest may come first, and stay");
    let owner = user(&server, "demo").await.unwrap();
    let turn = new_turn(owner, "One", at(1));
    begin(&server, &turn).await.unwrap();

    guest.user_create(new_user("late"), None).await.unwrap();
    guest.user_set_disabled("demo", true, at(2)).await.unwrap();
    assert_eq!(guest.user_list(ALL).await.unwrap().items.len(), 3);
    assert!(server.user_by_login("demo").await.unwrap().unwrap().user.disabled);
    let refused = guest.turn_begin(new_turn(owner, "Two", at(3))).await;
    assert!(matches!(refused, Err(StoreError::Internal(_))), "{refused:?}");
    assert!(guest.log_append(vec![append(turn.generation_id, 1, 2, &["x"])]).await.is_err());
    assert!(guest.log_read(owner, turn.generation_id).await.is_err());
    drop(guest);
    stored(&server, vec![append(turn.generation_id, 1, 2, &["x"])]).await.unwrap();
}

#[test]
fn a_guest_does_not_migrate_under_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let lock = fs::File::create(dir.path().join("lock")).unwrap();
    lock.try_lock().unwrap();
    // Of a server that has no database here: nothing is left behind.
    let options = SqliteOptions::new(dir.path());
    for open in [SqliteStore::open_guest, SqliteStore::open_guest_or_make] {
        let error = open(&options).unwrap_err();
        assert!(matches!(error, OpenError::Missing { .. }), "{error:?}");
        assert!(error.to_string().contains("--data-dir"), "{error}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    fs::File::create(dir.path().join("gpt-r1.db")).unwrap();
    for open in [SqliteStore::open_guest, SqliteStore::open_guest_or_make] {
        let error = open(&options).unwrap_err();
        assert!(matches!(error, OpenError::Older { .. }), "{error:?}");
    }
}

#[test]
fn a_guest_makes_nothing_where_nobody_serves() {
    let dir = tempfile::tempdir().unwrap();
    for options in [SqliteOptions::new(dir.path()), SqliteOptions::new(dir.path().join("none"))] {
        let error = SqliteStore::open_guest(&options).unwrap_err();
        assert!(matches!(error, OpenError::Missing { .. }), "{error:?}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    drop(open(dir.path()).unwrap());
    fs::remove_file(dir.path().join("lock")).unwrap();
    drop(SqliteStore::open_guest(&SqliteOptions::new(dir.path())).unwrap());
    assert!(!dir.path().join("lock").exists(), "no lock either");
}
