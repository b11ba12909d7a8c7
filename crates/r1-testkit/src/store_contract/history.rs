//! The path from an answer's question up to the root.

use r1_domain::{
    id::MessageId,
    message::{Role, Turn},
    store::{NewTurn, StoreError, TurnOutcome},
};

use super::{SharedStore, answer, at, begin, new_turn, next_turn, user};

fn said(role: Role, content: &str) -> Turn {
    Turn { role, content: content.to_owned() }
}

/// `q0 a0 (q1 a1 | q1' a1')`, and the last question's answer still to come.
async fn branched(store: &SharedStore) -> anyhow::Result<(NewTurn, NewTurn, NewTurn)> {
    let owner = user(store, "demo").await?;
    let root = new_turn(owner, "question 0", at(0));
    begin(store, &root).await?;
    answer(store, &root, "answer 0", at(1)).await?;
    let left = next_turn(owner, root.conversation_id, None, "left", at(2));
    begin(store, &left).await?;
    answer(store, &left, "of left", at(3)).await?;
    let right = next_turn(owner, root.conversation_id, Some(root.answer_id), "right", at(4));
    begin(store, &right).await?;
    Ok((root, left, right))
}

/// Its own branch alone, oldest first, without the answer itself.
pub async fn the_path_goes_from_the_question_to_the_root(store: SharedStore) -> anyhow::Result<()> {
    let (root, left, right) = branched(&store).await?;
    let before = [said(Role::User, "question 0"), said(Role::Assistant, "answer 0")];
    let of_right = store.history(root.owner, right.answer_id, 1000).await?;
    assert_eq!(of_right, [&before[..], &[said(Role::User, "right")]].concat());
    let of_left = store.history(root.owner, left.answer_id, 1000).await?;
    assert_eq!(of_left, [&before[..], &[said(Role::User, "left")]].concat());
    assert_eq!(store.history(root.owner, root.answer_id, 1000).await?, before[..1]);
    Ok(())
}

/// A turn goes in whole or not at all; the question always does.
pub async fn the_path_ends_where_the_bytes_do(store: SharedStore) -> anyhow::Result<()> {
    let (root, _, right) = branched(&store).await?;
    let whole = [said(Role::User, "question 0"), said(Role::Assistant, "answer 0"), said(Role::User, "right")];
    for (bytes, turns) in [(0, 1), (4, 1), (5, 1), (12, 1), (13, 2), (22, 2), (23, 3)] {
        let path = store.history(root.owner, right.answer_id, bytes).await?;
        assert_eq!(path, whole[3 - turns..], "{bytes} bytes");
    }
    answer(&store, &right, "of right", at(5)).await?;
    let umlauts = next_turn(root.owner, root.conversation_id, None, "äöü", at(6));
    begin(&store, &umlauts).await?;
    assert_eq!(store.history(root.owner, umlauts.answer_id, 13).await?.len(), 1, "bytes, not characters");
    assert_eq!(store.history(root.owner, umlauts.answer_id, 14).await?.len(), 2);
    Ok(())
}

/// Nor is there one in a deleted conversation.
pub async fn another_user_has_no_history(store: SharedStore) -> anyhow::Result<()> {
    let (root, _, right) = branched(&store).await?;
    let stranger = user(&store, "stranger").await?;
    assert!(matches!(store.history(stranger, right.answer_id, 100).await, Err(StoreError::NotFound)));
    assert!(matches!(store.history(root.owner, MessageId::new(at(9)), 100).await, Err(StoreError::NotFound)));
    store.conversation_delete(root.owner, root.conversation_id, at(9)).await?;
    assert!(matches!(store.history(root.owner, right.answer_id, 100).await, Err(StoreError::NotFound)));
    Ok(())
}

/// Begins this turn, and answers it with `answer to` and its question.
async fn answered(store: &SharedStore, turn: NewTurn, now: i64) -> anyhow::Result<NewTurn> {
    begin(store, &turn).await?;
    answer(store, &turn, &format!("answer to {}", turn.question), at(now)).await?;
    Ok(turn)
}

/// Every question of the path was asked thirty times over, the one that goes on in the middle.
pub async fn a_path_among_many_branches(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let mut tip = answered(&store, new_turn(owner, "root", at(0)), 0).await?;
    let mut path = vec![said(Role::User, "root"), said(Role::Assistant, "answer to root")];
    for depth in 1..4 {
        let mut goes_on = None;
        for branch in 0..30 {
            let (question, now) = (format!("{depth}.{branch}"), depth * 100 + branch);
            let turn = next_turn(owner, tip.conversation_id, Some(tip.answer_id), &question, at(now));
            let turn = answered(&store, turn, now).await?;
            if branch == 15 {
                path.push(said(Role::User, &question));
                path.push(said(Role::Assistant, &format!("answer to {question}")));
                goes_on = Some(turn);
            }
        }
        tip = goes_on.unwrap_or(tip);
    }
    path.pop();
    assert_eq!(store.history(owner, tip.answer_id, 10_000).await?, path);
    let newest: usize = path[3..].iter().map(|turn| turn.content.len()).sum();
    assert_eq!(store.history(owner, tip.answer_id, newest).await?, path[3..]);
    assert_eq!(store.history(owner, tip.answer_id, newest - 1).await?, path[4..]);
    Ok(())
}

/// A message may be older, by its time, than the one that it follows.
pub async fn a_path_whose_clock_was_set_back(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let mut turn = answered(&store, new_turn(owner, "0", at(50)), 50).await?;
    let mut path = vec![said(Role::User, "0"), said(Role::Assistant, "answer to 0")];
    for (question, now) in [("1", 60), ("2", 20), ("3", 30), ("4", 10), ("5", 55)] {
        turn = answered(&store, next_turn(owner, turn.conversation_id, None, question, at(now)), now).await?;
        path.push(said(Role::User, question));
        path.push(said(Role::Assistant, &format!("answer to {question}")));
    }
    path.pop();
    assert_eq!(store.history(owner, turn.answer_id, 10_000).await?, path);
    Ok(())
}

/// Whoever asks for it beside the commit gets the same, if it is given there; and nothing of a turn that
/// was not accepted.
pub async fn what_is_read_on_the_way_is_the_history(store: SharedStore) -> anyhow::Result<()> {
    let (root, _, right) = branched(&store).await?;
    let busy = next_turn(root.owner, root.conversation_id, None, "too soon", at(5));
    let (outcome, read) = store.turn_begin_with_history(busy, 1000).await?;
    assert!(matches!(outcome, TurnOutcome::Busy(_)) && read.is_none(), "{outcome:?}");
    answer(&store, &right, "of right", at(5)).await?;
    for max_bytes in [0, 30, 1000] {
        let turns = [
            new_turn(root.owner, "another conversation", at(6)),
            next_turn(root.owner, root.conversation_id, None, "after the head", at(7)),
            next_turn(root.owner, root.conversation_id, Some(root.answer_id), "after the first answer", at(8)),
        ];
        for turn in turns {
            let (outcome, read) = store.turn_begin_with_history(turn.clone(), max_bytes).await?;
            assert_eq!(outcome, TurnOutcome::Accepted);
            let stored = store.history(turn.owner, turn.answer_id, max_bytes).await?;
            if let Some(read) = read {
                assert_eq!(read.await?, stored, "{max_bytes} bytes");
            }
            answer(&store, &turn, "Yes.", at(9)).await?;
        }
    }
    Ok(())
}
