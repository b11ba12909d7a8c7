//! The path from an answer's question up to the root.

use r1_domain::{
    id::MessageId,
    message::{Role, Turn},
    store::{NewTurn, StoreError},
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
