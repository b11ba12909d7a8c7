//! Logs that a bad disk, or a foreign hand, left damaged: the server starts all the same, and each
//! of them ends where the damage begins.

#![expect(clippy::unwrap_used, reason = "what the tests share fails as they do")]

use std::{path::Path, sync::Arc};

use bytes::Bytes;
use r1_domain::{
    event::Event,
    fold::fold,
    generation::State,
    id::NodeId,
    store::{AppendOutcome, LogAppend, NewTurn, StoredLog},
};
use r1_store_sqlite::{SqliteOptions, SqliteStore};
use r1_testkit::store_contract::{
    SharedStore, append, at, begin, chunks, ending, log_of, new_turn, records, stored, user,
};
use rusqlite::Connection;

fn open(dir: &Path) -> SharedStore {
    Arc::new(SqliteStore::open(&SqliteOptions::new(dir)).unwrap())
}

fn database(dir: &Path) -> Connection {
    Connection::open(dir.join("gpt-r1.db")).unwrap()
}

/// Two answers of five chunks, seq 2 to 6, each seq a journal row; the first two chunks of the first
/// answer are folded.
async fn two_answers(dir: &Path) -> [NewTurn; 2] {
    let store = open(dir);
    let owner = user(&store, "demo").await.unwrap();
    let turns = [new_turn(owner, "One", at(1)), new_turn(owner, "Two", at(2))];
    for turn in &turns {
        begin(&store, turn).await.unwrap();
    }
    for (seq, text) in (2..).zip(["a", "b", "c", "d", "e"]) {
        let fold = (seq == 3).then(|| r1_domain::store::Fold { first_seq: 2, records: chunks(&["a", "b"]) });
        let first = LogAppend { fold, ..append(turns[0].generation_id, 1, seq, &[text]) };
        stored(&store, vec![first, append(turns[1].generation_id, 1, seq, &[text])]).await.unwrap();
    }
    turns
}

fn log(turn: &NewTurn, texts: &[&str]) -> Bytes {
    [&turn.start[..], &chunks(texts)].concat().into()
}

async fn orphan(store: &SharedStore, turn: &NewTurn, node: NodeId) -> StoredLog {
    let orphans = store.generation_list_orphaned(node).await.unwrap();
    orphans.into_iter().find(|orphan| orphan.generation.id == turn.generation_id).unwrap()
}

/// Takes over what can be read of an answer; leaves it running under epoch 2, with its next seq and
/// the record that says so.
async fn take_over(store: &SharedStore, turn: &NewTurn, prefix: &[u8]) -> (u64, Bytes) {
    let node = NodeId::new(at(9));
    assert_eq!(orphan(store, turn, node).await.records.unwrap(), prefix);
    assert_eq!(log_of(store, turn).await.unwrap(), prefix, "what a reader is given meanwhile");
    assert!(store.generation_take_over(turn.generation_id, 1, node, 1).await.unwrap());
    assert_eq!(log_of(store, turn).await.unwrap(), prefix);
    let next_seq = fold(prefix).unwrap().last.seq + 1;
    let resumed = records(&[Event::Resumed { generation_id: turn.generation_id, epoch: 2, discards_reasoning: false }]);
    let zombie = append(turn.generation_id, 1, next_seq, &["zombie"]);
    let goes_on = LogAppend { records: resumed.clone(), ..append(turn.generation_id, 2, next_seq, &[]) };
    let outcomes = store.log_append(vec![zombie, goes_on]).await.unwrap();
    assert_eq!(outcomes, [AppendOutcome::Fenced, AppendOutcome::Stored]);
    (next_seq + 1, resumed)
}

/// Ends it; it is then what it must be, before and after a restart.
async fn end(dir: &Path, store: SharedStore, turn: &NewTurn, prefix: &[u8], (seq, resumed): (u64, Bytes)) {
    let end = LogAppend { epoch: 2, ..ending(turn, seq, "…", seq - 1, &resumed, at(20)) };
    let whole = [prefix, &resumed, &end.records].concat();
    stored(&store, vec![end]).await.unwrap();
    assert_eq!(log_of(&store, turn).await.unwrap(), whole);
    drop(store);
    let store = open(dir);
    assert_eq!(log_of(&store, turn).await.unwrap(), whole);
    let generation = store.generation_get(turn.owner, turn.generation_id).await.unwrap();
    assert_eq!(generation.state, State::Completed);
    let folded = fold(&whole).unwrap();
    assert_eq!((folded.last.epoch, folded.last.seq), (2, seq), "dense");
}

/// Damages the first answer's log alone, which then is `prefix`.
async fn one_is_damaged(sql: &str, prefix: impl Fn(&NewTurn) -> Bytes) {
    let dir = tempfile::tempdir().unwrap();
    let [damaged, other] = two_answers(dir.path()).await;
    let changed = database(dir.path()).execute(sql, [damaged.generation_id.as_uuid().into_bytes()]).unwrap();
    assert!(changed > 0);
    let store = open(dir.path());
    let kept = prefix(&damaged);
    let resumed = take_over(&store, &damaged, &kept).await;
    let whole = log(&other, &["a", "b", "c", "d", "e"]);
    assert_eq!(orphan(&store, &other, NodeId::new(at(9))).await.records.unwrap(), whole);
    let other_resumed = take_over(&store, &other, &whole).await;
    end(dir.path(), store, &damaged, &kept, resumed).await;
    end(dir.path(), open(dir.path()), &other, &whole, other_resumed).await;
}

#[tokio::test]
async fn a_folded_part_that_is_no_log_is_cut() {
    // Its last byte is the text "b" of seq 3.
    let sql = "UPDATE generation_log SET records = substr(records, 1, length(records) - 1)
               WHERE generation_id = ?1 AND first_seq = 2";
    one_is_damaged(sql, |turn| log(turn, &["a"])).await;
    let sql = "UPDATE generation_log SET records = CAST(substr(records, 1, length(records) - 1) || x'ff' AS BLOB)
               WHERE generation_id = ?1 AND first_seq = 2";
    one_is_damaged(sql, |turn| log(turn, &["a"])).await;
}

#[tokio::test]
async fn a_folded_part_that_is_gone_ends_the_log() {
    let sql = "DELETE FROM generation_log WHERE generation_id = ?1 AND first_seq = 1";
    one_is_damaged(sql, |_| Bytes::new()).await;
    let sql = "UPDATE generation_log SET first_seq = 3 WHERE generation_id = ?1 AND first_seq = 2";
    one_is_damaged(sql, |turn| turn.start.clone()).await;
    let sql = "UPDATE generation_log SET next_seq = -1 WHERE generation_id = ?1 AND first_seq = 2";
    one_is_damaged(sql, |turn| log(turn, &["a", "b"])).await;
}

#[tokio::test]
async fn a_part_that_went_before_its_time_leaves_a_gap_to_the_journal() {
    let sql = "DELETE FROM generation_log WHERE generation_id = ?1 AND first_seq = 2";
    // The journal still has seq 2, from before the fold; seq 3 was never there.
    one_is_damaged(sql, |turn| log(turn, &["a"])).await;
}

#[tokio::test]
async fn a_journal_row_with_a_wrong_checksum_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let turns = two_answers(dir.path()).await;
    let db = database(dir.path());
    let rows: Vec<i64> = db
        .prepare("SELECT id FROM journal ORDER BY id")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    // Seq 5 of both, and rows that were never any.
    let damage =
        "UPDATE journal SET entries = CAST(substr(entries, 1, length(entries) - 1) || 'X' AS BLOB) WHERE id = ?1";
    assert_eq!(db.execute(damage, [rows[rows.len() - 2]]).unwrap(), 1);
    let last = rows.last().unwrap();
    db.execute("INSERT INTO journal VALUES (?1, x'0100000000ff'), (?1 + 1, x''), (?1 + 2, x'63')", [last + 1]).unwrap();
    drop(db);

    let store = open(dir.path());
    let kept = turns.each_ref().map(|turn| log(turn, &["a", "b", "c"]));
    let resumed = take_over(&store, &turns[0], &kept[0]).await;
    // Seq 6 of epoch 1 is still in the journal, as long as the other needs its rows: it comes back
    // neither now nor later.
    drop(store);
    let store = open(dir.path());
    let so_far = [&kept[0][..], &resumed.1].concat();
    assert_eq!(log_of(&store, &turns[0]).await.unwrap(), so_far);
    assert_eq!(orphan(&store, &turns[0], NodeId::new(at(10))).await.records.unwrap(), so_far);
    let next = append(turns[0].generation_id, 2, resumed.0, &["f"]);
    stored(&store, vec![next.clone()]).await.unwrap();
    drop(store);
    let store = open(dir.path());
    let so_far = [&so_far[..], &next.records].concat();
    assert_eq!(log_of(&store, &turns[0]).await.unwrap(), so_far);

    let other_resumed = take_over(&store, &turns[1], &kept[1]).await;
    end(dir.path(), store, &turns[1], &kept[1], other_resumed).await;
    let store = open(dir.path());
    assert_eq!(log_of(&store, &turns[0]).await.unwrap(), so_far);
}
