//! Who comes first at the writer, and who shares a commit.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use r1_domain::store::StoreError;
use rusqlite::Connection;

use super::{is_pending, keep_busy, open};
use crate::{
    error::Fault,
    writer::{Session, Synchronous, Wait},
};

#[tokio::test]
async fn words_come_before_the_requests_that_wait() {
    let (_dir, store, _shared) = open();
    let (busy, release) = keep_busy(&store).await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let job = |name: &'static str| {
        let order = order.clone();
        move |_: &mut Session| {
            order.lock().push(name);
            Ok(())
        }
    };
    let mut first = Box::pin(store.writer.run(Synchronous::Full, job("a request")));
    let mut second = Box::pin(store.writer.run(Synchronous::Normal, job("another one")));
    let mut words = Box::pin(store.writer.run_and_wait(Wait::Append, Synchronous::Normal, job("words")));
    assert!(is_pending(first.as_mut()) && is_pending(second.as_mut()) && is_pending(words.as_mut()));
    release.send(()).unwrap();
    busy.await.unwrap();
    for job in [first.await, second.await] {
        job.unwrap();
    }
    words.await.unwrap();
    assert_eq!(*order.lock(), ["words", "a request", "another one"]);
}

#[tokio::test]
async fn requests_that_wait_share_a_commit_and_nothing_else() {
    let (_dir, store, _shared) = open();
    let commits = Arc::new(AtomicUsize::new(0));
    let counter = commits.clone();
    let prepare = move |session: &mut Session| {
        session.db.execute_batch("CREATE TABLE t (name TEXT PRIMARY KEY)")?;
        let count = move || {
            counter.fetch_add(1, Ordering::Relaxed);
            false
        };
        Ok(session.db.commit_hook(Some(count))?)
    };
    store.writer.run(Synchronous::Normal, prepare).await.unwrap();
    let ask = |name: &'static str| {
        let work = move |db: &Connection| {
            db.execute("INSERT INTO t (name) VALUES (?1)", [name])?;
            match name {
                "refused" => Err(StoreError::NotFound.into()),
                "broken" => Err(Fault::Broken("on purpose")),
                name => Ok(name),
            }
        };
        Box::pin(store.writer.share(work, |_| {}))
    };
    for (names, commits_of_all) in [
        (["a", "refused", "b"], 1),
        // The database fails: each is carried out alone, and has its own outcome.
        (["c", "broken", "d"], 2),
        (["e", "e", "f"], 2),
    ] {
        let (busy, release) = keep_busy(&store).await;
        let mut all = names.map(ask);
        assert!(all.iter_mut().all(|one| is_pending(one.as_mut())));
        commits.store(0, Ordering::Relaxed);
        release.send(()).unwrap();
        busy.await.unwrap();
        for (name, (number, one)) in names.iter().zip(all.into_iter().enumerate()) {
            let is_good = !["refused", "broken"].contains(name) && names[..number].iter().all(|before| before != name);
            assert_eq!(one.await.is_ok(), is_good, "{name}");
        }
        assert_eq!(commits.load(Ordering::Relaxed), commits_of_all, "{names:?}");
    }
    let read = |session: &mut Session| {
        let stored = session.db.query_row("SELECT group_concat(name, '' ORDER BY name) FROM t", [], |row| row.get(0));
        Ok(stored?)
    };
    let stored: String = store.writer.run(Synchronous::Normal, read).await.unwrap();
    assert_eq!(stored, "abcdef");
}

#[tokio::test]
async fn who_left_before_a_shared_commit_is_not_in_it() {
    let (_dir, store, _shared) = open();
    let prepare = |session: &mut Session| Ok(session.db.execute_batch("CREATE TABLE t (name TEXT)")?);
    store.writer.run(Synchronous::Normal, prepare).await.unwrap();
    let ask = |name: &'static str| {
        let work = move |db: &Connection| Ok(db.execute("INSERT INTO t (name) VALUES (?1)", [name])?);
        Box::pin(store.writer.share(work, |_| {}))
    };
    let (busy, release) = keep_busy(&store).await;
    tokio::time::pause();
    let (mut first, mut second) = (ask("late"), ask("late too"));
    assert!(is_pending(first.as_mut()) && is_pending(second.as_mut()));
    tokio::time::advance(Duration::from_secs(11)).await;
    assert!(matches!(first.await, Err(StoreError::Unavailable(_))));
    let (mut third, mut fourth) = (ask("in time"), ask("in time too"));
    assert!(is_pending(third.as_mut()) && is_pending(fourth.as_mut()));
    assert!(matches!(second.await, Err(StoreError::Unavailable(_))));
    tokio::time::resume();
    release.send(()).unwrap();
    // Time has passed for this one too, unless the writer is quicker than the clock.
    drop(busy.await);
    assert_eq!((third.await.unwrap(), fourth.await.unwrap()), (1, 1));
    let count =
        |session: &mut Session| Ok(session.db.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0))?);
    assert_eq!(store.writer.run(Synchronous::Normal, count).await.unwrap(), 2);
}
