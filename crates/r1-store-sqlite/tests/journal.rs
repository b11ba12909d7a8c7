//! The journal under load: folded, pruned, copied in the middle of writing.

#![expect(clippy::unwrap_used, reason = "what the tests share fails as they do")]

use std::{fs, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use r1_domain::{
    fold::fold,
    store::{Fold, LogAppend, NewTurn},
};
use r1_store_sqlite::{SqliteOptions, SqliteStore};
use r1_testkit::store_contract::{SharedStore, append, at, begin, chunks, ending, log_of, new_turn, stored, user};
use tokio::sync::watch;

fn open(dir: &Path) -> SharedStore {
    Arc::new(SqliteStore::open(&SqliteOptions::new(dir)).unwrap())
}

fn journal_rows(dir: &Path) -> i64 {
    let db = rusqlite::Connection::open(dir.join("gpt-r1.db")).unwrap();
    db.query_row("SELECT count(*) FROM journal", [], |row| row.get(0)).unwrap()
}

/// Chunk number `seq` of any log here.
fn word(seq: u64) -> String {
    format!("word{seq} ")
}

fn words(from: u64, to: u64) -> Bytes {
    let texts: Vec<String> = (from..to).map(word).collect();
    chunks(&texts.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Appends one word; with a fold where `fold_from` says so.
fn next(turn: &NewTurn, seq: u64, fold_from: Option<u64>) -> LogAppend {
    let fold = fold_from.map(|first_seq| Fold { first_seq, records: words(first_seq, seq + 1) });
    LogAppend { fold, ..append(turn.generation_id, 1, seq, &[&word(seq)]) }
}

#[tokio::test]
async fn the_journal_holds_what_is_not_folded_and_little_more() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let owner = user(&store, "demo").await.unwrap();
    let turns = [new_turn(owner, "One", at(1)), new_turn(owner, "Two", at(2))];
    for turn in &turns {
        begin(&store, turn).await.unwrap();
    }
    let mut most = 0;
    for seq in 2..2002 {
        let due = |every: u64| (seq % every == 0).then(|| if seq == every { 2 } else { seq + 1 - every });
        stored(&store, vec![next(&turns[0], seq, due(50)), next(&turns[1], seq, due(40))]).await.unwrap();
        if seq % 100 == 0 {
            most = most.max(journal_rows(dir.path()));
        }
    }
    assert!(most < 400, "{most} rows");
    for turn in &turns {
        assert_eq!(log_of(&store, turn).await.unwrap(), [&turn.start[..], &words(2, 2002)].concat());
        // 2000 is a multiple of both.
        let end = ending(turn, 2002, "…", 2001, &words(2001, 2002), at(3));
        stored(&store, vec![end]).await.unwrap();
    }
    // The writer deletes the rest when it has nothing else to do.
    let emptied = async {
        while journal_rows(dir.path()) > 0 {
            store.generation_count_running(owner).await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), emptied).await.unwrap();
}

#[tokio::test]
async fn a_fold_that_is_not_what_is_unfolded_is_made_from_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let owner = user(&store, "demo").await.unwrap();
    let turn = new_turn(owner, "One", at(1));
    begin(&store, &turn).await.unwrap();
    stored(&store, vec![next(&turn, 2, None)]).await.unwrap();
    stored(&store, vec![next(&turn, 3, None), next(&turn, 4, Some(4))]).await.unwrap();
    stored(&store, vec![next(&turn, 5, None)]).await.unwrap();
    stored(&store, vec![next(&turn, 6, Some(2))]).await.unwrap();
    stored(&store, vec![next(&turn, 7, None)]).await.unwrap();
    let short = LogAppend { fold: Some(Fold { first_seq: 7, records: words(7, 8) }), ..next(&turn, 8, None) };
    stored(&store, vec![short]).await.unwrap();
    stored(&store, vec![next(&turn, 9, None)]).await.unwrap();
    let whole = [&turn.start[..], &words(2, 10)].concat();
    assert_eq!(log_of(&store, &turn).await.unwrap(), whole);
    let end = LogAppend { fold: None, ..ending(&turn, 10, "…", 2, &[], at(2)) };
    let last = end.records.clone();
    stored(&store, vec![end]).await.unwrap();
    assert_eq!(log_of(&store, &turn).await.unwrap(), [&whole[..], &last].concat());
    drop(store);
    assert_eq!(log_of(&open(dir.path()), &turn).await.unwrap(), [&whole[..], &last].concat());
}

/// Appends words, with folds at odd times, up to `most` or until told to stop; shows the newest
/// acknowledged seq.
async fn write_on(store: SharedStore, turns: Arc<Vec<NewTurn>>, newest: watch::Sender<u64>, most: u64) {
    let mut folded_to: Vec<u64> = vec![2; turns.len()];
    for seq in 2..most {
        let mut batch = Vec::new();
        for (i, turn) in turns.iter().enumerate() {
            let due = seq % (7 + i as u64) == 0;
            batch.push(next(turn, seq, due.then_some(folded_to[i])));
            if due {
                folded_to[i] = seq + 1;
            }
        }
        stored(&store, batch).await.unwrap();
        if newest.send(seq).is_err() {
            return;
        }
    }
    newest.closed().await;
}

async fn begin_some(store: &SharedStore) -> Arc<Vec<NewTurn>> {
    let owner = user(store, "demo").await.unwrap();
    let mut turns = Vec::new();
    for i in 0..5 {
        let turn = new_turn(owner, "Question", at(i));
        begin(store, &turn).await.unwrap();
        turns.push(turn);
    }
    Arc::new(turns)
}

/// The log is a whole beginning of what is written, at least up to `acknowledged`.
async fn check(store: &SharedStore, turn: &NewTurn, acknowledged: u64) {
    let log = log_of(store, turn).await.unwrap();
    let newest = fold(&log).unwrap().last.seq;
    assert!(newest >= acknowledged, "{newest} < {acknowledged}");
    assert_eq!(log, [&turn.start[..], &words(2, newest + 1)].concat());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_never_see_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let turns = begin_some(&store).await;
    let (newest, mut seen) = watch::channel(1);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(write_on(store.clone(), turns.clone(), newest, u64::MAX));
    for _ in 0..60 {
        for turn in turns.iter() {
            let acknowledged = *seen.borrow_and_update();
            check(&store, turn, acknowledged).await;
        }
        seen.changed().await.unwrap();
    }
    drop(seen);
    assert!(tasks.join_next().await.unwrap().is_ok());
}

/// What a killed process leaves: the files as the system has them, at any moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_taken_while_writing_has_all_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let turns = begin_some(&store).await;
    // Files are copied one after the other: an old reader keeps a checkpoint from moving pages
    // from the one to the other in between.
    let reader = rusqlite::Connection::open(dir.path().join("gpt-r1.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM journal").unwrap();

    // What that reader keeps only grows: a writer without an end would outrun copies on a loaded machine.
    let (newest, mut seen) = watch::channel(1);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(write_on(store.clone(), turns.clone(), newest, 2_000));
    for round in 1..8 {
        let acknowledged = *seen.wait_for(|seq| *seq >= round * 40).await.unwrap();
        let copy = tempfile::tempdir().unwrap();
        for file in ["gpt-r1.db", "gpt-r1.db-wal"] {
            fs::copy(dir.path().join(file), copy.path().join(file)).unwrap();
        }
        let copied = open(copy.path());
        for turn in turns.iter() {
            check(&copied, turn, acknowledged).await;
        }
        let orphans = copied.generation_list_orphaned(r1_domain::id::NodeId::new(at(9))).await.unwrap();
        assert_eq!(orphans.len(), turns.len());
        for orphan in orphans {
            assert!(fold(&orphan.records.unwrap()).unwrap().last.seq >= acknowledged);
        }
    }
    drop(seen);
    assert!(tasks.join_next().await.unwrap().is_ok());
}
