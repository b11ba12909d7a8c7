use std::{
    fs,
    path::{Path, PathBuf},
};

use super::*;
use crate::checkpoint::{Checkpointer, Gate, Signal};

/// A database with two commits in its log, and the files of one that has a third: what a commit leaves
/// whose sync failed.
struct Bench {
    _dir: tempfile::TempDir,
    db: Connection,
    path: PathBuf,
    resync: Resync,
    /// The log's length after the second commit, and after the third.
    lengths: (u64, u64),
}

fn wal(path: &Path) -> PathBuf {
    path.with_extension("db-wal")
}

fn values(db: &Connection) -> Vec<i64> {
    let mut statement = db.prepare("SELECT x FROM t ORDER BY x").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// What a process would find that opened the files as they are, after everybody else was killed.
fn found(path: &Path) -> Vec<i64> {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy.db");
    fs::copy(path, &copy).unwrap();
    fs::copy(wal(path), wal(&copy)).unwrap();
    values(&Connection::open(copy).unwrap())
}

fn bench() -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.db");
    Connection::open(&path).unwrap().pragma_update(None, "journal_mode", "wal").unwrap();
    let db = connection::open(&path, Purpose::Write).unwrap();
    db.execute_batch("CREATE TABLE t (x); CREATE TABLE u (x); INSERT INTO t VALUES (1)").unwrap();
    let elsewhere = dir.path().join("elsewhere.db");
    fs::copy(&path, &elsewhere).unwrap();
    fs::copy(wal(&path), wal(&elsewhere)).unwrap();
    let other = connection::open(&elsewhere, Purpose::Write).unwrap();
    other.execute_batch("INSERT INTO t VALUES (2)").unwrap();
    let lengths = (fs::metadata(wal(&path)).unwrap().len(), fs::metadata(wal(&elsewhere)).unwrap().len());
    fs::copy(wal(&elsewhere), wal(&path)).unwrap();
    assert_eq!((values(&db), found(&path)), (vec![1], vec![1, 2]), "rolled back here, and not for the next process");
    let resync = Resync::new(Arc::new(Files::hold(&path).unwrap()));
    Bench { _dir: dir, db, path, resync, lengths }
}

#[test]
fn what_a_failed_commit_left_is_taken_back() {
    let bench = bench();
    assert_eq!(bench.resync.take_back().unwrap(), Room::Enough);
    assert_eq!(found(&bench.path), [1]);
    assert_eq!(fs::metadata(wal(&bench.path)).unwrap().len(), bench.lengths.0);
    bench.db.execute_batch("INSERT INTO t VALUES (3)").unwrap();
    assert_eq!((values(&bench.db), found(&bench.path)), (vec![1, 3], vec![1, 3]));
}

#[test]
fn the_log_is_written_again_as_it_was() {
    let bench = bench();
    let before = fs::read(wal(&bench.path)).unwrap();
    bench.resync.suspect();
    bench.resync.mend().unwrap();
    assert!(!bench.resync.is_suspect());
    let length = usize::try_from(bench.lengths.0).unwrap();
    assert_eq!(fs::read(wal(&bench.path)).unwrap(), before[..length]);
    assert!(bench.lengths.1 > bench.lengths.0);
}

#[test]
fn a_log_that_lost_a_commit_is_not_believed() {
    let bench = bench();
    // As a file system gives it back that shows the old content after a failed write.
    let frame = (bench.lengths.0 - 32) / 4120 - 1;
    bench.resync.files.wal.file.write_all_at(&[7; 64], 32 + frame * 4120 + 1000).unwrap();
    bench.resync.suspect();
    assert!(bench.resync.mend().is_err() && bench.resync.is_suspect());
    assert!(bench.resync.ready(Synchronous::Full).is_err());
    assert!(bench.resync.ready(Synchronous::Normal).is_ok());
}

#[test]
fn a_log_that_is_not_believed_outlives_a_clean_end() {
    let bench = bench();
    bench.resync.take_back().unwrap();
    bench.resync.files.wal.file.write_all_at(&[7; 64], bench.lengths.0 - 4120 + 1000).unwrap();
    bench.resync.suspect();
    let Bench { _dir, db, path, resync, .. } = bench;
    let before = (fs::read(&path).unwrap(), fs::read(wal(&path)).unwrap());
    let checkpointer = Checkpointer::start(&path, Signal::default(), Gate::default(), Arc::new(resync)).unwrap();
    drop(checkpointer);
    drop(db);
    assert!((fs::read(&path).unwrap(), fs::read(wal(&path)).unwrap()) == before);
}

#[test]
fn pages_that_were_copied_are_written_again() {
    let bench = bench();
    bench.resync.take_back().unwrap();
    let reader = connection::open(&bench.path, Purpose::Read).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM t").unwrap();
    bench.db.execute_batch("INSERT INTO t VALUES (3)").unwrap();
    let copied = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
    let (frames, partly) = bench.db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], copied).unwrap();
    assert!(0 < partly && partly < frames, "{partly} of {frames}");
    let before = fs::read(&bench.path).unwrap();
    // The disk has lost them.
    fs::OpenOptions::new().write(true).open(&bench.path).unwrap().write_all_at(&[0; 4096], 8192).unwrap();
    bench.resync.suspect();
    bench.resync.mend().unwrap();
    assert!(fs::read(&bench.path).unwrap() == before, "and nothing newer, which a reader must not see");
}

#[test]
fn an_empty_log_needs_nothing() {
    let bench = bench();
    bench.resync.take_back().unwrap();
    bench.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    bench.resync.suspect();
    bench.resync.mend().unwrap();
    bench.db.execute_batch("INSERT INTO t VALUES (3)").unwrap();
    assert_eq!(found(&bench.path), [1, 3]);
}
