//! The path from an answer's question up to the root.

use anyhow::Context;
use r1_domain::{
    history::History,
    id::MessageId,
    message::{Message, Role, Turn},
    store::{NewTurn, StoreError, TurnOutcome},
};

use super::{ALL, SharedStore, answer, at, begin, ending, new_turn, next_turn, stored, user};

/// What the path says, and whether it is whole.
async fn path(store: &SharedStore, turn: &NewTurn, max_bytes: usize) -> anyhow::Result<(Vec<Turn>, bool)> {
    let History { turns, whole } = store.history(turn.owner, turn.answer_id, max_bytes).await?;
    Ok((turns.into_iter().map(|past| past.turn).collect(), whole))
}

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
    let of_right = [&before[..], &[said(Role::User, "right")]].concat();
    assert_eq!(path(&store, &right, 1000).await?, (of_right, true));
    let of_left = [&before[..], &[said(Role::User, "left")]].concat();
    assert_eq!(path(&store, &left, 1000).await?, (of_left, true));
    assert_eq!(path(&store, &root, 1000).await?, (before[..1].to_vec(), true));
    let turns = store.history(root.owner, right.answer_id, 1000).await?.turns;
    let ids: Vec<_> = turns.iter().map(|past| past.id).collect();
    assert_eq!(ids, [root.question_id, root.answer_id, right.question_id]);
    Ok(())
}

/// A turn goes in whole or not at all; the question always does.
pub async fn the_path_ends_where_the_bytes_do(store: SharedStore) -> anyhow::Result<()> {
    let (root, _, right) = branched(&store).await?;
    let whole = [said(Role::User, "question 0"), said(Role::Assistant, "answer 0"), said(Role::User, "right")];
    for (bytes, turns) in [(0, 1), (4, 1), (5, 1), (12, 1), (13, 2), (22, 2), (23, 3)] {
        let expected = (whole[3 - turns..].to_vec(), turns == 3);
        assert_eq!(path(&store, &right, bytes).await?, expected, "{bytes} bytes");
    }
    answer(&store, &right, "of right", at(5)).await?;
    let umlauts = next_turn(root.owner, root.conversation_id, None, "äöü", at(6));
    begin(&store, &umlauts).await?;
    assert_eq!(path(&store, &umlauts, 13).await?.0.len(), 1, "bytes, not characters");
    assert_eq!(path(&store, &umlauts, 14).await?.0.len(), 2);
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
    let mut turns = vec![said(Role::User, "root"), said(Role::Assistant, "answer to root")];
    for depth in 1..4 {
        let mut goes_on = None;
        for branch in 0..30 {
            let (question, now) = (format!("{depth}.{branch}"), depth * 100 + branch);
            let turn = next_turn(owner, tip.conversation_id, Some(tip.answer_id), &question, at(now));
            let turn = answered(&store, turn, now).await?;
            if branch == 15 {
                turns.push(said(Role::User, &question));
                turns.push(said(Role::Assistant, &format!("answer to {question}")));
                goes_on = Some(turn);
            }
        }
        tip = goes_on.unwrap_or(tip);
    }
    turns.pop();
    assert_eq!(path(&store, &tip, 10_000).await?, (turns.clone(), true));
    let newest: usize = turns[3..].iter().map(|turn| turn.content.len()).sum();
    assert_eq!(path(&store, &tip, newest).await?, (turns[3..].to_vec(), false));
    assert_eq!(path(&store, &tip, newest - 1).await?, (turns[4..].to_vec(), false));
    Ok(())
}

/// A message may be older, by its time, than the one that it follows.
pub async fn a_path_whose_clock_was_set_back(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let mut turn = answered(&store, new_turn(owner, "0", at(50)), 50).await?;
    let mut turns = vec![said(Role::User, "0"), said(Role::Assistant, "answer to 0")];
    for (question, now) in [("1", 60), ("2", 20), ("3", 30), ("4", 10), ("5", 55)] {
        turn = answered(&store, next_turn(owner, turn.conversation_id, None, question, at(now)), now).await?;
        turns.push(said(Role::User, question));
        turns.push(said(Role::Assistant, &format!("answer to {question}")));
    }
    turns.pop();
    assert_eq!(path(&store, &turn, 10_000).await?, (turns, true));
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

/// It comes with the answer's end, and is the newest end's.
pub async fn where_a_memory_begins_is_kept_with_the_answer(store: SharedStore) -> anyhow::Result<()> {
    let (root, _, right) = branched(&store).await?;
    assert_eq!(store.message_get(root.owner, root.answer_id).await?.remembers_from, None);
    let mut end = ending(&right, 2, "", 2, &[], at(5));
    end.terminal.as_mut().context("an end")?.remembers_from = Some(root.answer_id);
    stored(&store, vec![end]).await?;
    let listed = store.message_list(root.owner, root.conversation_id, ALL).await?.items;
    let marks =
        |messages: &[Message]| messages.iter().filter_map(|m| Some((m.id, m.remembers_from?))).collect::<Vec<_>>();
    assert_eq!(marks(&listed), [(right.answer_id, root.answer_id)]);
    assert_eq!(store.message_get(root.owner, right.answer_id).await?.remembers_from, Some(root.answer_id));
    Ok(())
}
