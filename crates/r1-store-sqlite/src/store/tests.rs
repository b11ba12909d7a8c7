//! What can only be seen from inside: query plans, the writer's settings, a full disk, a panic.

use std::{
    pin::Pin,
    sync::{Arc, mpsc},
    task::{Context, Waker},
};

use parking_lot::Mutex;
use r1_domain::{
    fold::fold,
    generation::State,
    id::{GenerationId, MessageId, NodeId, UserId},
    store::{AppendOutcome, NewGeneration, NewTurn, Purpose, StoreError, TurnOutcome},
};
use r1_testkit::store_contract::{
    SharedStore, answer, append, at, begin, chunks, ending, log_of, new_turn, new_user, next_turn, stored, user,
};

use crate::{
    SqliteOptions, SqliteStore, account, branch, conversation, error::Fault, generation, job, message, recovery,
    search, tail::Tails, writer::Synchronous,
};

mod branches;
mod sharing;

fn open() -> (tempfile::TempDir, Arc<SqliteStore>, SharedStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(&SqliteOptions::new(dir.path())).unwrap());
    (dir, store.clone(), store)
}

/// What a search must look like; see [`search`].
const SEARCH: &str = "SELECT m.id, m.conversation_id FROM message_search s
     JOIN message m ON m.number = s.rowid
     JOIN conversation c ON c.id = m.conversation_id AND c.deleted_at IS NULL
     WHERE message_search MATCH ?1 ORDER BY s.rowid DESC LIMIT 20";

#[tokio::test]
async fn every_query_of_a_list_uses_its_index() {
    let (_dir, store, _) = open();
    for (sql, index) in [
        (account::BY_LOGIN, "INDEX"),
        (account::LIST, "user_by_age"),
        (account::activity::ACTIVITY, "session_of_user"),
        (account::activity::ACTIVITY, "conversation_of_owner"),
        (account::activity::ACTIVITY, "generation_running_by_owner"),
        (conversation::LIST, "conversation_by_update"),
        (conversation::LIST, "generation_running"),
        (message::LIST, "message_by_conversation"),
        (branch::MESSAGE, "INDEX"),
        (branch::NEWEST, "message_by_conversation"),
        (branch::NEWEST_AFTER, "message_by_parent"),
        (branch::SIBLINGS, "message_by_parent"),
        (branch::TREE, "message_by_conversation"),
        (message::HISTORY_START, "INDEX"),
        (message::HISTORY_PLACE, "INDEX"),
        (message::HISTORY_BACK, "message_by_conversation"),
        (generation::COUNT_RUNNING, "generation_running_by_owner"),
        (generation::RUNNING_IN, "generation_running"),
        (generation::NEWEST_IN, "generation_by_conversation"),
        (generation::NEWEST_RUNNING, "generation_running_by_owner"),
        (conversation::LIST, "job_of_conversation"),
        (job::DUE, "job_due"),
        (SEARCH, "VIRTUAL TABLE INDEX"),
    ] {
        let plan = store
            .readers
            .read(move |db| {
                let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
                let parameters = vec![rusqlite::types::Null; statement.parameter_count()];
                let rows = statement.query_map(rusqlite::params_from_iter(parameters), |row| row.get(3))?;
                Ok(rows.collect::<Result<Vec<String>, _>>()?)
            })
            .await
            .unwrap();
        assert!(plan.iter().any(|step| step.contains(index)), "{sql}\n{plan:?}");
        for step in &plan {
            let walks = step.starts_with("SCAN") && !step.contains("VIRTUAL TABLE INDEX");
            assert!(!walks && !step.contains("TEMP B-TREE"), "{sql}\n{plan:?}");
        }
        let keyset = sql.contains("(created_at, id) ") || sql.contains("(updated_at, id) <");
        assert_eq!(keyset, plan[0].contains("_at,id)"), "a page starts where it starts: {plan:?}");
    }
}

/// Not by another look at the store afterwards; and the commit does not wait for it.
#[tokio::test]
async fn the_history_is_read_beside_the_commit() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&SqliteOptions { readers: 1, ..SqliteOptions::new(dir.path()) }).unwrap();
    let store = Arc::new(store);
    let shared: SharedStore = store.clone();
    let owner = user(&shared, "demo").await.unwrap();
    let first = new_turn(owner, "One?", at(1));
    let (_, read) = shared.turn_begin_with_history(first.clone(), 1000).await.unwrap();
    assert_eq!(read.expect("of a new conversation").await.unwrap().turns.len(), 1);
    answer(&shared, &first, "One.", at(2)).await.unwrap();

    // The only connection that reads is in use.
    let (let_go, held) = mpsc::channel::<()>();
    let mut busy = Box::pin(store.readers.read(move |_| Ok(held.recv().is_ok())));
    assert!(is_pending(busy.as_mut()));
    let second = next_turn(owner, first.conversation_id, None, "Two?", at(3));
    let (outcome, read) = shared.turn_begin_with_history(second, 1000).await.unwrap();
    assert_eq!(outcome, TurnOutcome::Accepted);
    let mut read = read.expect("of an old one");
    assert!(is_pending(read.as_mut()));
    let_go.send(()).unwrap();
    assert!(busy.await.unwrap());
    assert_eq!(read.await.unwrap().turns.len(), 3);
}

async fn find(store: &SqliteStore, owner: UserId, words: &str) -> usize {
    let query = format!("owner : \"{}\" AND content : ({words})", search::owner_term(owner));
    store
        .readers
        .read(move |db| {
            let mut statement = db.prepare(SEARCH)?;
            Ok(statement.query_map([query], |_| Ok(()))?.count())
        })
        .await
        .unwrap()
}

#[tokio::test]
async fn a_search_finds_finished_messages_of_its_user_alone() {
    let (_dir, store, shared) = open();
    let (owner, stranger) = (user(&shared, "demo").await.unwrap(), user(&shared, "stranger").await.unwrap());
    let turn = new_turn(owner, "Where do pelicans live?", at(1));
    begin(&shared, &turn).await.unwrap();
    assert_eq!(find(&store, owner, "pelicans").await, 1);
    assert_eq!(find(&store, stranger, "pelicans").await, 0);
    // The owner's term is no word of anybody's text.
    let spy = new_turn(stranger, &search::owner_term(owner), at(1));
    begin(&shared, &spy).await.unwrap();
    assert_eq!(find(&store, owner, &search::owner_term(owner)).await, 0);

    stored(&shared, vec![append(turn.generation_id, 1, 2, &["In CAFÉS."])]).await.unwrap();
    assert_eq!(find(&store, owner, "cafes").await, 0, "still being written");
    stored(&shared, vec![ending(&turn, 3, "In CAFÉS.", 2, &chunks(&["In CAFÉS."]), at(2))]).await.unwrap();
    assert_eq!(find(&store, owner, "cafes").await, 1);
    shared.conversation_delete(owner, turn.conversation_id, at(3)).await.unwrap();
    assert_eq!(find(&store, owner, "cafes").await, 0);
    while shared.purge(at(0), at(0), at(0), 3).await.unwrap() > 0 {}
    let rows = store
        .readers
        .read(|db| {
            let sql = "SELECT count(*) FROM message_search('cafes OR pelicans')";
            Ok(db.query_row(sql, [], |row| row.get::<_, i64>(0))?)
        })
        .await;
    assert_eq!(rows.unwrap(), 0);
}

#[tokio::test]
async fn a_continued_answer_is_found_once_when_it_has_ended() {
    let (_dir, store, shared) = open();
    let owner = user(&shared, "demo").await.unwrap();
    let turn = new_turn(owner, "Where?", at(1));
    begin(&shared, &turn).await.unwrap();
    stored(&shared, vec![ending(&turn, 2, "In cafes", 2, &[], at(2))]).await.unwrap();
    assert_eq!(find(&store, owner, "cafes").await, 1);
    let new = NewGeneration {
        owner,
        earlier: turn.generation_id,
        purpose: Purpose::Continue,
        generation_id: GenerationId::new(at(3)),
        request: turn.request.clone(),
        node_id: turn.node_id,
        grammar: turn.grammar,
        start: chunks(&["In cafes"]),
        idempotency: None,
        most_running: None,
        now: at(3),
    };
    let continued = NewTurn { generation_id: new.generation_id, ..turn };
    shared.generation_begin(new).await.unwrap();
    assert_eq!(find(&store, owner, "cafes").await, 0, "still being written");
    stored(&shared, vec![ending(&continued, 2, "In cafes and zoos", 2, &[], at(4))]).await.unwrap();
    assert_eq!((find(&store, owner, "cafes").await, find(&store, owner, "zoos").await), (1, 1));
}

#[tokio::test]
async fn only_what_counts_waits_for_the_disk() {
    let level = |store: Arc<SqliteStore>| async move {
        let job = |session: &mut crate::writer::Session| {
            Ok(session.db.query_row("PRAGMA synchronous", [], |row| row.get::<_, i64>(0))?)
        };
        // Both ways through the queue change the level themselves: look at what each leaves.
        (
            store.writer.run(Synchronous::Normal, job).await.unwrap(),
            store.writer.run(Synchronous::Full, job).await.unwrap(),
        )
    };
    let (_dir, store, _) = open();
    assert_eq!(level(store).await, (1, 2));
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteOptions { sync_all: true, ..SqliteOptions::new(dir.path()) };
    assert_eq!(level(Arc::new(SqliteStore::open(&options).unwrap())).await, (2, 2));
}

async fn limit_pages(store: &SqliteStore, more: i64) {
    store
        .writer
        .run(Synchronous::Normal, move |session| {
            let pages: i64 = session.db.query_row("PRAGMA page_count", [], |row| row.get(0))?;
            session.db.pragma_update_and_check(None, "max_page_count", pages + more, |_| Ok(()))?;
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_full_database_loses_nothing_and_works_again() {
    let (_dir, store, shared) = open();
    let owner = user(&shared, "demo").await.unwrap();
    let turn = new_turn(owner, "One", at(1));
    begin(&shared, &turn).await.unwrap();
    limit_pages(&store, 4).await;
    let long = "x".repeat(3000);
    let mut seq = 2;
    let refused = loop {
        let batch = vec![append(turn.generation_id, 1, seq, &[&long])];
        match shared.log_append(batch.clone()).await {
            Ok(outcomes) => assert_eq!(outcomes, [AppendOutcome::Stored]),
            Err(error) => {
                assert!(matches!(error, StoreError::Full(_)), "{error:?}");
                break batch;
            }
        }
        seq += 1;
    };
    let begun = shared.turn_begin(next_turn(owner, turn.conversation_id, None, &long, at(2))).await;
    assert!(begun.is_ok(), "busy needs no room: {begun:?}");
    let begun = shared.turn_begin(new_turn(owner, &long.repeat(10), at(2))).await;
    assert!(matches!(begun, Err(StoreError::Full(_))), "{begun:?}");
    assert_eq!(shared.generation_count_running(owner).await.unwrap(), 1);
    assert_eq!(fold(&log_of(&shared, &turn).await.unwrap()).unwrap().last.seq, seq - 1, "all that was acknowledged");

    limit_pages(&store, 10_000).await;
    stored(&shared, refused).await.unwrap();
    assert_eq!(fold(&log_of(&shared, &turn).await.unwrap()).unwrap().last.seq, seq);
    shared.ping().await.unwrap();
}

#[tokio::test]
async fn a_job_that_panics_is_rolled_back_and_the_writer_goes_on() {
    let (_dir, store, shared) = open();
    let owner = user(&shared, "demo").await.unwrap();
    let turn = new_turn(owner, "One", at(1));
    begin(&shared, &turn).await.unwrap();
    stored(&shared, vec![append(turn.generation_id, 1, 2, &["a"])]).await.unwrap();
    let panicked: Result<(), _> = store
        .writer
        .write(|db| {
            account::create(db, new_user("ghost"), None)?;
            panic!("a test's");
        })
        .await;
    assert!(matches!(panicked, Err(StoreError::Internal(_))), "{panicked:?}");
    assert!(shared.user_by_login("ghost").await.unwrap().is_none());
    stored(&shared, vec![append(turn.generation_id, 1, 3, &["b"])]).await.unwrap();
    let end = ending(&turn, 4, "ab", 2, &chunks(&["a", "b"]), at(2));
    stored(&shared, vec![end]).await.unwrap();
    assert_eq!(shared.generation_get(owner, turn.generation_id).await.unwrap().state, State::Completed);
}

#[tokio::test]
async fn a_failed_write_makes_ping_write() {
    let (_dir, store, shared) = open();
    shared.ping().await.unwrap();
    let failed: Result<(), _> = store.writer.write(|_| Err(Fault::Store(StoreError::Full("a test's".into())))).await;
    assert!(failed.is_err());
    shared.ping().await.unwrap();
    let wrote =
        store.readers.read(|db| Ok(db.prepare("SELECT 1 FROM setting WHERE key = 'write_check'")?.exists([])?));
    assert!(wrote.await.unwrap());
}

fn is_pending<F: Future + ?Sized>(future: Pin<&mut F>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

/// Keeps the writer busy until told otherwise.
async fn keep_busy(store: &SqliteStore) -> (Pin<Box<impl Future<Output = Result<(), StoreError>>>>, mpsc::Sender<()>) {
    let (began, begun) = tokio::sync::oneshot::channel();
    let (release, released) = mpsc::channel();
    let mut busy = Box::pin(store.writer.run(Synchronous::Normal, move |_| {
        began.send(()).unwrap();
        released.recv().unwrap();
        Ok(())
    }));
    assert!(is_pending(busy.as_mut()));
    begun.await.unwrap();
    (busy, release)
}

#[tokio::test]
async fn a_flood_of_pings_is_one_job() {
    let (_dir, store, shared) = open();
    let (busy, release) = keep_busy(&store).await;
    // More than the writer's queue can hold.
    let mut pings: Vec<_> = (0..1000).map(|_| shared.ping()).collect();
    assert!(pings.iter_mut().all(|ping| is_pending(ping.as_mut())));
    assert_eq!(store.writer.waiting(), 1);
    // The one who put it there goes away, and others come.
    drop(pings.drain(..500));
    assert!(is_pending(shared.ping().as_mut()));
    assert_eq!(store.writer.waiting(), 1);
    release.send(()).unwrap();
    busy.await.unwrap();
    for ping in pings {
        ping.await.unwrap();
    }
}

#[tokio::test]
async fn a_ping_that_never_came_into_the_queue_is_made_by_the_next() {
    let (_dir, store, shared) = open();
    let (busy, release) = keep_busy(&store).await;
    let mut jobs = Vec::new();
    while store.writer.waiting() < 256 {
        let mut job = Box::pin(store.writer.run(Synchronous::Normal, |_| Ok(())));
        assert!(is_pending(job.as_mut()));
        jobs.push(job);
    }
    let mut first = shared.ping();
    let mut second = shared.ping();
    assert!(is_pending(first.as_mut()) && is_pending(second.as_mut()));
    drop(first);
    release.send(()).unwrap();
    second.await.unwrap();
    busy.await.unwrap();
}

#[tokio::test]
async fn a_writer_that_cannot_write_is_noticed_at_once() {
    let (_dir, store, shared) = open();
    let owner = user(&shared, "demo").await.unwrap();
    shared.ping().await.unwrap();
    let read_only = |on: bool| {
        store.writer.run(Synchronous::Normal, move |session| Ok(session.db.pragma_update(None, "query_only", on)?))
    };
    read_only(true).await.unwrap();
    let refused = shared.turn_begin(new_turn(owner, "One", at(1))).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    for _ in 0..2 {
        let found = shared.ping().await;
        assert!(matches!(found, Err(StoreError::Unavailable(_))), "{found:?}");
    }
    read_only(false).await.unwrap();
}

/// What a piece of work logs on this thread.
fn logged(work: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, work);
    let bytes = lines.0.lock().clone();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn damage_is_logged_once_with_its_place() {
    let (dir, store, shared) = open();
    let owner = user(&shared, "demo").await.unwrap();
    let turns = [new_turn(owner, "One", at(1)), new_turn(owner, "Two", at(2))];
    for (turn, last) in turns.iter().zip([5, 3]) {
        begin(&shared, turn).await.unwrap();
        for seq in 2..last {
            stored(&shared, vec![append(turn.generation_id, 1, seq, &["a"])]).await.unwrap();
        }
    }
    drop((store, shared));
    let db = rusqlite::Connection::open(dir.path().join("gpt-r1.db")).unwrap();
    // The second of the first answer's three.
    db.execute("UPDATE journal SET entries = x'01' WHERE id = 2", []).unwrap();
    let mut tails = None;
    let lines = logged(|| tails = Some(Tails::load(&db).unwrap()));
    assert_eq!((lines.lines().count(), lines.matches("ERROR").count()), (1, 1), "{lines}");
    assert!(lines.contains("journal row 2 is left out"), "{lines}");
    let tails = Mutex::new(tails.unwrap());
    let lines = logged(|| assert_eq!(recovery::list_orphaned(&db, &tails, NodeId::new(at(9))).unwrap().len(), 2));
    assert_eq!((lines.lines().count(), lines.matches("ERROR").count()), (1, 1), "{lines}");
    let id = turns[0].generation_id;
    assert!(
        lines.contains(&format!("the log of generation {id} is damaged: it has a gap; it ends after seq 2")),
        "{lines}"
    );
}

#[tokio::test]
async fn the_instructions_stay_whatever_is_left_out() {
    let (_dir, store, shared) = open();
    let owner = user(&shared, "demo").await.unwrap();
    let first = new_turn(owner, "question", at(1));
    begin(&shared, &first).await.unwrap();
    answer(&shared, &first, "answer", at(2)).await.unwrap();
    let next = next_turn(owner, first.conversation_id, None, "next", at(3));
    begin(&shared, &next).await.unwrap();
    let said = async |max_bytes| {
        let history = shared.history(owner, next.answer_id, max_bytes).await.unwrap();
        (history.turns.into_iter().map(|past| past.turn.content).collect::<Vec<_>>(), history.whole)
    };
    assert_eq!(said(0).await, (vec!["next".to_owned()], false), "there are none");
    let ids = [
        MessageId::new(at(0)).as_uuid(),
        first.conversation_id.as_uuid(),
        owner.as_uuid(),
        first.question_id.as_uuid(),
    ];
    let [system, conversation, owner_id, question] = ids.map(|id| id.into_bytes());
    let written = store.writer.run(Synchronous::Normal, move |session| {
        session.db.execute(
            "INSERT INTO message (id, conversation_id, owner_id, role, content, state, created_at)
             VALUES (?1, ?2, ?3, 'system', 'be brief', 'completed', 0)",
            [system, conversation, owner_id],
        )?;
        Ok(session.db.execute("UPDATE message SET parent_id = ?1 WHERE id = ?2", [system, question])?)
    });
    assert_eq!(written.await.unwrap(), 1);
    for (bytes, turns, whole) in [
        (0, &["be brief", "next"][..], false),
        (10, &["be brief", "answer", "next"], false),
        (18, &["be brief", "question", "answer", "next"], true),
        (100, &["be brief", "question", "answer", "next"], true),
    ] {
        assert_eq!(said(bytes).await, (turns.iter().map(|turn| (*turn).to_owned()).collect(), whole), "{bytes}");
    }
}
