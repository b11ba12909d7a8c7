//! Taking over what another process left.

use r1_domain::{
    event::Event,
    fold::fold,
    generation::State,
    id::NodeId,
    store::{AppendOutcome, Fold, LogAppend, NewTurn},
};

use super::{
    SharedStore, answer, append, at, begin, chunks, eight_at_once, ending, gone, joined, log_of, new_turn, records,
    stored, user,
};
use AppendOutcome::{Fenced, Stored};

/// Running ones with their whole logs, whatever part of them is folded.
pub async fn orphans_are_those_of_other_nodes(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let dead = joined(&store, NodeId::new(at(0))).await?;
    let alive = joined(&store, NodeId::new(at(1))).await?;
    let on = |node_id, question: &str, seconds| NewTurn { node_id, ..new_turn(owner, question, at(seconds)) };
    let (one, two, ended, mine) = (on(dead, "1", 1), on(dead, "2", 2), on(dead, "3", 3), on(alive, "4", 4));
    for turn in [&one, &two, &ended, &mine] {
        begin(&store, turn).await?;
    }
    answer(&store, &ended, "done", at(5)).await?;
    stored(&store, vec![append(one.generation_id, 1, 2, &["a"]), append(mine.generation_id, 1, 2, &["x"])]).await?;
    let folding = LogAppend {
        fold: Some(Fold { first_seq: 2, records: chunks(&["a", "b"]) }),
        ..append(one.generation_id, 1, 3, &["b"])
    };
    stored(&store, vec![folding]).await?;
    stored(&store, vec![append(one.generation_id, 1, 4, &["c"])]).await?;

    gone(&store, dead).await?;
    let mut orphans = store.generation_list_orphaned(alive).await?;
    orphans.sort_by_key(|orphan| orphan.generation.created_at);
    assert_eq!(orphans.len(), 2);
    assert_eq!(orphans[0].generation, store.generation_get(owner, one.generation_id).await?);
    assert_eq!(orphans[0].records.as_deref(), Some(&[&one.start[..], &chunks(&["a", "b", "c"])].concat()[..]));
    assert_eq!(orphans[1].generation.id, two.generation_id);
    assert_eq!(orphans[1].records, Some(two.start));
    gone(&store, alive).await?;
    assert_eq!(store.generation_list_orphaned(NodeId::new(at(2))).await?.len(), 3);
    Ok(())
}

/// The first to come; the epoch says which.
pub async fn one_node_takes_an_orphan_over(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let turn = new_turn(owner, "One", at(1));
    begin(&store, &turn).await?;
    let a = joined(&store, NodeId::new(at(1))).await?;
    let b = joined(&store, NodeId::new(at(1))).await?;
    let id = turn.generation_id;
    assert!(store.generation_take_over(id, 1, a, 1).await?);
    assert!(!store.generation_take_over(id, 1, b, 1).await?, "somebody else did");
    let taken = store.generation_get(owner, id).await?;
    assert_eq!((taken.epoch, taken.node_id, taken.state), (2, a, State::Running));
    assert!(store.generation_list_orphaned(a).await?.is_empty());
    assert!(store.generation_take_over(id, 2, b, 1).await?);
    assert_eq!(store.generation_get(owner, id).await?.epoch, 3);

    let ended = new_turn(owner, "Two", at(2));
    begin(&store, &ended).await?;
    answer(&store, &ended, "done", at(3)).await?;
    assert!(!store.generation_take_over(ended.generation_id, 1, a, 1).await?, "nothing is left to do");
    Ok(())
}

/// The old lease is fenced; the new one's folds begin where the log was taken over.
pub async fn a_log_goes_on_after_a_take_over(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let turn = new_turn(owner, "One", at(1));
    begin(&store, &turn).await?;
    let id = turn.generation_id;
    stored(&store, vec![append(id, 1, 2, &["a"])]).await?;
    stored(&store, vec![append(id, 1, 3, &["b"])]).await?;
    let next = joined(&store, NodeId::new(at(1))).await?;
    assert!(store.generation_take_over(id, 1, next, 1).await?);

    let resumed = LogAppend {
        records: records(&[Event::Resumed { generation_id: id, epoch: 2, discards_reasoning: false }]),
        ..append(id, 2, 4, &[])
    };
    let batch = vec![append(id, 1, 4, &["zombie"]), resumed.clone(), append(id, 1, 5, &["zombie"])];
    assert_eq!(store.log_append(batch).await?, [Fenced, Stored, Fenced]);
    stored(&store, vec![append(id, 2, 5, &["c"])]).await?;
    let so_far = [&turn.start[..], &chunks(&["a", "b"]), &resumed.records, &chunks(&["c"])].concat();
    assert_eq!(log_of(&store, &turn).await?, so_far);

    let unfolded = [&resumed.records[..], &chunks(&["c"])].concat();
    let end = LogAppend { epoch: 2, ..ending(&turn, 6, "abc", 4, &unfolded, at(4)) };
    let last = end.records.clone();
    stored(&store, vec![end]).await?;
    let whole = log_of(&store, &turn).await?;
    assert_eq!(whole, [&so_far[..], &last].concat());
    let folded = fold(&whole)?;
    assert_eq!((folded.content.text.as_str(), folded.last.epoch, folded.last.seq), ("abc", 2, 6));
    assert_eq!(store.generation_get(owner, id).await?.state, State::Completed);
    Ok(())
}

/// Whoever it is, the epoch rises by one.
pub async fn of_many_that_take_over_one_does(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let turn = new_turn(owner, "One", at(1));
    begin(&store, &turn).await?;
    let id = turn.generation_id;
    let taken = eight_at_once(&store, move |store, number| async move {
        let node = NodeId::new(at(i64::from(number)));
        let joined = joined(&store, node).await;
        assert!(joined.is_ok(), "{joined:?}");
        (node, store.generation_take_over(id, 1, node, 1).await)
    })
    .await?;
    let winners: Vec<NodeId> = taken.iter().filter(|(_, won)| matches!(won, Ok(true))).map(|(node, _)| *node).collect();
    assert_eq!(winners.len(), 1, "{taken:?}");
    assert!(taken.iter().all(|(_, won)| won.is_ok()), "{taken:?}");
    let generation = store.generation_get(owner, id).await?;
    assert_eq!((generation.epoch, generation.node_id), (2, winners[0]));
    Ok(())
}
