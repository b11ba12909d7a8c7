//! Leases: who has one may write, who has none can't, and what was written is seen by whoever comes next.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use r1_domain::{
    id::{GenerationId, NodeId},
    nodes::Nodes,
    store::{AppendOutcome, LogAppend, NewTurn, StoreError},
};
use r1_store_postgres::{PostgresOptions, PostgresStore};
use r1_testkit::{
    postgres::TestDatabase,
    store_contract::{SharedStore, answer, append, at, begin, chunks, ending, new_turn, next_turn, stored, user},
};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::support;

const HOUR: Duration = Duration::from_secs(3600);
/// A lease that has run out by the time anybody looks.
const NO_TIME: Duration = Duration::ZERO;

async fn two() -> Result<(TestDatabase, Arc<PostgresStore>, SharedStore, NodeId, NodeId)> {
    let database = support::database().await?;
    let store = Arc::new(support::open(&database).await?);
    let (one, other) = (NodeId::new(at(1)), NodeId::new(at(2)));
    store.join(one, HOUR, 1).await?;
    store.join(other, HOUR, 1).await?;
    Ok((database, store.clone(), store, one, other))
}

#[tokio::test]
async fn a_lease_is_renewed_until_it_is_ended() -> Result<()> {
    let (_database, nodes, _, one, other) = two().await?;
    let renewal = nodes.renew(one, HOUR).await?;
    assert!(renewal.held && !renewal.orphans && renewal.stops.is_empty());
    assert_eq!(renewal.others, 1);
    assert!(renewal.next_expiry.is_some_and(|left| left > HOUR / 2 && left <= HOUR), "{renewal:?}");
    assert_eq!(nodes.reap().await?, 0);

    // Run out, but nobody has ended it: renewed, it holds.
    nodes.renew(other, NO_TIME).await?;
    let renewal = nodes.renew(one, HOUR).await?;
    assert_eq!((renewal.others, renewal.next_expiry), (0, Some(Duration::ZERO)));
    assert!(nodes.renew(other, HOUR).await?.held);
    assert_eq!(nodes.reap().await?, 0);

    nodes.renew(other, NO_TIME).await?;
    assert_eq!(nodes.reap().await?, 1);
    assert!(!nodes.renew(other, HOUR).await?.held, "for ever");
    nodes.leave(one).await?;
    assert!(!nodes.renew(one, HOUR).await?.held);
    Ok(())
}

/// What all know is what the least of them knows; builds from before grammars can't join.
#[tokio::test]
async fn a_lease_names_the_newest_grammar_that_its_node_knows() -> Result<()> {
    let (database, nodes, _, one, other) = two().await?;
    assert_eq!(nodes.renew(one, HOUR).await?.grammar, 1);
    for (node, grammar) in [(one, 3), (other, 2)] {
        nodes.leave(node).await?;
        nodes.join(node, HOUR, grammar).await?;
    }
    assert_eq!((nodes.renew(one, HOUR).await?.grammar, nodes.renew(other, HOUR).await?.grammar), (2, 2));
    nodes.leave(other).await?;
    assert_eq!(nodes.renew(one, HOUR).await?.grammar, 3);
    let of_before = "INSERT INTO lease (node_id, place, expires_at) VALUES ($1, NULL, 0)";
    let refused = database.client().await?.execute(of_before, &[&other.as_uuid()]).await;
    let code = refused.err().and_then(|error| error.code().cloned());
    assert_eq!(code.context("it joined")?.code(), "23502", "a value is missing");
    Ok(())
}

/// A node of schema 5 serves on while one of this schema starts beside it; only joining is over.
#[tokio::test]
async fn a_node_of_before_keeps_its_lease() -> Result<()> {
    let database = support::of_schema(5).await?;
    let client = database.client().await?;
    let (before, now) = (NodeId::new(at(1)), NodeId::new(at(2)));
    let join = "INSERT INTO lease (node_id, place, expires_at) VALUES ($1, NULL, 9223372036854775807)";
    client.execute(join, &[&before.as_uuid()]).await?;
    let store = support::open(&database).await?;
    store.join(now, HOUR, 2).await?;
    let renewal = store.renew(now, HOUR).await?;
    assert_eq!((renewal.others, renewal.grammar), (1, 1), "nothing is begun that it would not know");
    let renew = "UPDATE lease SET expires_at = 1 WHERE node_id = $1";
    assert_eq!(client.execute(renew, &[&before.as_uuid()]).await?, 1);
    assert_eq!(store.reap().await?, 1);
    assert!(client.execute(join, &[&before.as_uuid()]).await.is_err(), "it comes back as a newer one, or not");
    assert_eq!(store.renew(now, HOUR).await?.grammar, 2);
    Ok(())
}

#[tokio::test]
async fn what_nobody_has_is_seen_by_all() -> Result<()> {
    let (_database, nodes, store, one, other) = two().await?;
    let owner = user(&store, "demo").await?;
    let turn = NewTurn { node_id: one, ..new_turn(owner, "One", at(1)) };
    begin(&store, &turn).await?;
    assert!(store.generation_list_orphaned(other).await?.is_empty());
    assert!(!nodes.renew(other, HOUR).await?.orphans);

    nodes.release(one, vec![turn.generation_id]).await?;
    assert!(nodes.renew(one, HOUR).await?.orphans && nodes.renew(other, HOUR).await?.orphans);
    // Given up is given up, though the lease is there.
    assert_eq!(store.log_append(vec![append(turn.generation_id, 1, 2, &["x"])]).await?, [AppendOutcome::Fenced]);
    assert_eq!(store.generation_list_orphaned(other).await?.len(), 1);
    assert!(store.generation_take_over(turn.generation_id, 1, other, 1).await?);
    assert!(!nodes.renew(one, HOUR).await?.orphans);
    // What another has can't be given up.
    nodes.release(one, vec![turn.generation_id]).await?;
    assert!(!nodes.renew(one, HOUR).await?.orphans);
    Ok(())
}

#[tokio::test]
async fn who_has_no_lease_writes_nothing() -> Result<()> {
    let (_database, nodes, store, one, other) = two().await?;
    let owner = user(&store, "demo").await?;
    let turn = NewTurn { node_id: one, ..new_turn(owner, "One", at(1)) };
    let mine = NewTurn { node_id: other, ..new_turn(owner, "Two", at(1)) };
    begin(&store, &turn).await?;
    begin(&store, &mine).await?;
    nodes.leave(one).await?;
    let batch = vec![append(turn.generation_id, 1, 2, &["zombie"]), append(mine.generation_id, 1, 2, &["fine"])];
    assert_eq!(store.log_append(batch).await?, [AppendOutcome::Fenced, AppendOutcome::Stored]);
    let refused = store.turn_begin(NewTurn { node_id: one, ..new_turn(owner, "Three", at(2)) }).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    let refused = store.generation_take_over(mine.generation_id, 1, one, 1).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert_eq!(store.generation_count_running(owner).await?, 2);
    Ok(())
}

/// A node's last append and the end of its lease meet in any order: the next node sees the append, or the
/// append was refused. Never neither, never both.
#[tokio::test]
async fn an_append_is_seen_or_refused() -> Result<()> {
    let (database, nodes, store, _, other) = two().await?;
    let owner = user(&store, "demo").await?;
    let zombie: SharedStore = Arc::new(support::open(&database).await?);
    let mut conversation = None;
    let (mut refused, mut seen) = (0, 0);
    for round in 0..60 {
        let one = NodeId::new(at(round));
        nodes.join(one, HOUR, 1).await?;
        let turn = match conversation {
            None => new_turn(owner, "One", at(round)),
            Some(conversation) => next_turn(owner, conversation, None, "Again", at(round)),
        };
        let turn = NewTurn { node_id: one, ..turn };
        conversation = Some(turn.conversation_id);
        begin(&store, &turn).await?;
        let id = turn.generation_id;
        // What the first append of a connection costs more would decide it.
        stored(&zombie, vec![append(id, 1, 2, &["before"])]).await?;
        // A timer would be too coarse for who comes first.
        let wait = async |turns: i64| {
            for _ in 0..turns.max(0) {
                tokio::time::sleep(Duration::ZERO).await;
                tokio::task::yield_now().await;
            }
        };
        let last = async {
            wait((round % 12) - 6).await;
            zombie.log_append(vec![append(id, 1, 3, &["last"])]).await
        };
        let end = async {
            wait(6 - (round % 12)).await;
            nodes.leave(one).await?;
            store.generation_list_orphaned(other).await
        };
        let (appended, orphans) = tokio::join!(last, end);
        let orphans = orphans?;
        assert_eq!(orphans.len(), 1);
        let has = orphans[0].records.as_deref().is_some_and(|records| records.ends_with(&chunks(&["last"])));
        assert_eq!(appended?, [if has { AppendOutcome::Stored } else { AppendOutcome::Fenced }], "round {round}");
        if has {
            seen += 1;
        } else {
            refused += 1;
        }
        assert!(store.generation_take_over(id, 1, other, 1).await?);
        let next = if has { 4 } else { 3 };
        stored(&store, vec![append(id, 2, next, &["next"])]).await?;
        assert_eq!(zombie.log_append(vec![append(id, 1, next, &["x"])]).await?, [AppendOutcome::Fenced]);
        let end = LogAppend { epoch: 2, ..ending(&turn, next + 1, "…", 2, &[], at(round)) };
        stored(&store, vec![end]).await?;
    }
    assert!(refused > 0 && seen > 0, "both were tried: {refused} refused, {seen} seen");
    Ok(())
}

#[tokio::test]
async fn a_stop_reaches_who_runs_it() -> Result<()> {
    let (_database, nodes, store, one, other) = two().await?;
    let (owner, stranger) = (user(&store, "demo").await?, user(&store, "other").await?);
    let turn = NewTurn { node_id: one, ..new_turn(owner, "One", at(1)) };
    begin(&store, &turn).await?;
    for (asking, id) in [(stranger, turn.generation_id), (owner, GenerationId::new(at(9)))] {
        assert!(matches!(nodes.request_stop(asking, id).await, Err(StoreError::NotFound)));
    }
    assert!(nodes.renew(one, HOUR).await?.stops.is_empty());
    nodes.request_stop(owner, turn.generation_id).await?;
    nodes.request_stop(owner, turn.generation_id).await?;
    assert_eq!(nodes.renew(one, HOUR).await?.stops, [turn.generation_id]);
    assert!(nodes.renew(other, HOUR).await?.stops.is_empty());
    // It is not forgotten with the node.
    nodes.leave(one).await?;
    assert!(store.generation_take_over(turn.generation_id, 1, other, 1).await?);
    assert_eq!(nodes.renew(other, HOUR).await?.stops, [turn.generation_id]);

    let ended = NewTurn { node_id: other, ..new_turn(owner, "Two", at(2)) };
    begin(&store, &ended).await?;
    answer(&store, &ended, "done", at(3)).await?;
    nodes.request_stop(owner, ended.generation_id).await?;
    assert_eq!(nodes.renew(other, HOUR).await?.stops, [turn.generation_id]);
    Ok(())
}

#[tokio::test]
async fn logs_are_read_on_from_where_one_is() -> Result<()> {
    let (_database, nodes, store, one, _) = two().await?;
    let owner = user(&store, "demo").await?;
    let (a, b) = (new_turn(owner, "a", at(1)), new_turn(owner, "b", at(1)));
    let (a, b) = (NewTurn { node_id: one, ..a }, NewTurn { node_id: one, ..b });
    for turn in [&a, &b] {
        begin(&store, turn).await?;
        for seq in 2..200 {
            stored(&store, vec![append(turn.generation_id, 1, seq, &["word"])]).await?;
        }
    }
    let mut cursors = [(a.generation_id, 1), (b.generation_id, 150)];
    let mut read = [Vec::new(), Vec::new()];
    loop {
        let parts = nodes.read_on(&cursors).await?;
        if parts.is_empty() {
            break;
        }
        for part in parts {
            let at = usize::from(part.generation_id == b.generation_id);
            assert_eq!(part.first_seq, cursors[at].1, "dense");
            cursors[at].1 += 1;
            read[at].extend_from_slice(part.records.as_deref().unwrap_or_default());
        }
    }
    let words = |count: usize| chunks(&vec!["word"; count]);
    assert_eq!(read[0], [&a.start[..], &words(198)].concat());
    assert_eq!(read[1], words(50));
    // What is not there is said to be gone.
    let nobody = GenerationId::new(at(9));
    let parts = nodes.read_on(&[(nobody, 1)]).await?;
    assert_eq!((parts.len(), parts[0].generation_id, parts[0].records.is_none()), (1, nobody, true));
    assert!(nodes.read_on(&[]).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_place_has_one_node() -> Result<()> {
    let database = support::database().await?;
    let at_place = |place| PostgresOptions { place: Some(Uuid::from_u128(place)), ..support::options(database.url()) };
    let (here, there) = (PostgresStore::open(&at_place(1)).await?, PostgresStore::open(&at_place(2)).await?);
    let (first, elsewhere, second) = (NodeId::new(at(1)), NodeId::new(at(1)), NodeId::new(at(2)));
    here.join(first, HOUR, 1).await?;
    there.join(elsewhere, HOUR, 1).await?;
    let again = PostgresStore::open(&at_place(1)).await?;
    again.join(second, HOUR, 1).await?;
    assert!(!here.renew(first, HOUR).await?.held);
    assert!(there.renew(elsewhere, HOUR).await?.held && again.renew(second, HOUR).await?.held);
    Ok(())
}

/// An append that hangs in the middle of its statement holds the lease.
#[tokio::test]
async fn the_end_of_a_lease_waits_for_what_is_under_way() -> Result<()> {
    let (database, nodes, store, one, other) = two().await?;
    let owner = user(&store, "demo").await?;
    let turn = NewTurn { node_id: one, ..new_turn(owner, "One", at(1)) };
    begin(&store, &turn).await?;
    let id = turn.generation_id;
    // The same row, by somebody who will not commit it: the append's own waits for that.
    let mut client = database.client().await?;
    let in_the_way = client.transaction().await?;
    let insert = "INSERT INTO generation_log (generation_id, first_seq, next_seq, records) VALUES ($1, 2, 3, '')";
    in_the_way.execute(insert, &[&id.as_uuid()]).await?;
    let appender = store.clone();
    let tasks = TaskTracker::new();
    let append = tasks.spawn(async move { appender.log_append(vec![append(id, 1, 2, &["last"])]).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let leaver = nodes.clone();
    let mut leave = tasks.spawn(async move { leaver.leave(one).await });
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut leave).await.is_err(), "it waits");
    // Renewals don't.
    assert!(nodes.renew(other, HOUR).await?.held);
    in_the_way.rollback().await?;
    assert_eq!(append.await??, [AppendOutcome::Stored]);
    leave.await??;
    let orphans = store.generation_list_orphaned(other).await?;
    assert!(orphans[0].records.as_deref().is_some_and(|records| records.ends_with(&chunks(&["last"]))));
    Ok(())
}
