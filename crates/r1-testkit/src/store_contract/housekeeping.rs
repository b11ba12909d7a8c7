//! Health, and what is removed when its time has come.

use anyhow::Context;
use r1_domain::{
    id::{ConversationId, SessionId},
    session::{NewSession, Rotation, SessionKind},
    store::{NewTurn, Store, StoreError},
    time::Timestamp,
};

use super::{ALL, SharedStore, answer, append, at, begin, chunks, ending, key, log_of, new_turn, stored, user};

const NEVER: Timestamp = Timestamp::from_micros(0);

async fn purge(
    store: &dyn Store,
    logs: Timestamp,
    keys: Timestamp,
    sessions: Timestamp,
    slice: usize,
) -> anyhow::Result<usize> {
    let mut gone = 0;
    loop {
        match store.purge(logs, keys, sessions, slice).await? {
            0 => return Ok(gone),
            some => gone += some,
        }
    }
}

/// With nothing in it.
pub async fn a_store_answers(store: SharedStore) -> anyhow::Result<()> {
    store.ping().await?;
    assert_eq!(store.purge(at(1000), at(1000), at(1000), 10).await?, 0);
    Ok(())
}

/// What is free is known of a disk of this machine alone.
pub async fn its_size_is_known_and_grows(store: SharedStore) -> anyhow::Result<()> {
    let size = async || store.size().await?.context("a size");
    let before = size().await?;
    assert!(before.bytes > 0 && before.free != Some(0), "{before:?}");
    let owner = user(&store, "demo").await?;
    let turn = NewTurn { question: "word ".repeat(200_000), ..new_turn(owner, "go", at(1)) };
    begin(&store, &turn).await?;
    let after = size().await?;
    assert!(after.bytes > before.bytes, "{before:?} {after:?}");
    Ok(())
}

/// Ended before, and only those.
pub async fn old_logs_are_retired_and_their_text_kept(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let mut turns = Vec::new();
    for i in 0..5 {
        let turn = new_turn(owner, "Question", at(i));
        begin(&store, &turn).await?;
        answer(&store, &turn, "Answer", at(10 + i)).await?;
        turns.push(turn);
    }
    let running = new_turn(owner, "Running", at(1));
    begin(&store, &running).await?;
    stored(&store, vec![append(running.generation_id, 1, 2, &["so far"])]).await?;

    assert!(purge(&*store, at(13), NEVER, NEVER, 2).await? >= 3);
    for (i, turn) in turns.iter().enumerate() {
        let log = store.log_read(owner, turn.generation_id).await?;
        assert_eq!(log.records.is_none(), i < 3, "{i}");
        assert_eq!(log.content, "Answer".into());
        assert!(log.terminal_payload.is_some_and(|payload| payload.contains("completed")));
        assert_eq!(store.message_get(owner, turn.answer_id).await?.content, "Answer");
    }
    assert_eq!(log_of(&store, &running).await?, [&running.start[..], &chunks(&["so far"])].concat());
    Ok(())
}

/// A key that has gone makes anew; a session that has gone is unknown.
pub async fn old_keys_and_sessions_go(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    for i in 0..5u8 {
        let id = ConversationId::new(at(0));
        let made =
            store.conversation_create(owner, id, Some("x"), Some(key(&format!("k{i}"), i)), at(i64::from(i))).await?;
        assert!(made.is_ok());
    }
    let mut ids = Vec::new();
    for i in 0..4u8 {
        let id = SessionId::new(at(0));
        let session = NewSession {
            id,
            user_id: owner,
            kind: SessionKind::Bearer,
            token_hash: [i; 32],
            created_at: at(0),
            expires_at: at(if i == 0 { 5 } else { 100 }),
        };
        store.session_create(session).await?;
        ids.push(id);
    }
    assert!(matches!(store.session_rotate([1; 32], [11; 32], at(100), at(1)).await?, Rotation::Rotated(_)));
    store.session_end(owner, ids[1], at(2)).await?;
    store.session_end(owner, ids[2], at(50)).await?;

    assert_eq!(purge(&*store, NEVER, at(3), at(10), 2).await?, 3 + 2, "three keys; one expired, one ended");
    for i in 0..5u8 {
        let found = store.idempotency_find(owner, &key(&format!("k{i}"), i)).await?;
        assert_eq!(found.is_none(), i < 3, "{i}");
    }
    assert_eq!(store.session_rotate([1; 32], [12; 32], at(100), at(20)).await?, Rotation::Unknown);
    assert!(store.session_get(ids[3], at(20)).await?.is_some());
    assert_eq!(store.conversation_list(owner, ALL).await?.items.len(), 5, "what the keys made stays");
    Ok(())
}

/// To the last row; what was not deleted stays.
pub async fn deleted_conversations_go_in_slices(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let (kept, gone) = (new_turn(owner, "Kept", at(1)), new_turn(owner, "Gone", at(2)));
    for turn in [&kept, &gone] {
        begin(&store, turn).await?;
        answer(&store, turn, "Answer", at(3)).await?;
    }
    store.conversation_delete(owner, gone.conversation_id, at(4)).await?;
    let first = store.purge(NEVER, NEVER, NEVER, 1).await?;
    assert_eq!(first, 1, "a slice is a slice");
    assert!(purge(&*store, NEVER, NEVER, NEVER, 1).await? >= 3);
    let left = store.conversation_list(owner, ALL).await?.items;
    assert_eq!(left.iter().map(|conversation| conversation.id).collect::<Vec<_>>(), [kept.conversation_id]);
    assert_eq!(store.message_list(owner, kept.conversation_id, ALL).await?.items.len(), 2);
    assert!(matches!(store.message_get(owner, gone.answer_id).await, Err(StoreError::NotFound)));
    // The ids are free: nothing of it is left.
    begin(&store, &gone).await?;
    Ok(())
}

/// A deletion that comes in the middle of an answer does not break the writer.
pub async fn what_runs_in_a_deleted_conversation_can_end(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let turn = new_turn(owner, "One", at(1));
    begin(&store, &turn).await?;
    store.conversation_delete(owner, turn.conversation_id, at(2)).await?;
    assert_eq!(store.generation_to_follow(owner, None).await?, None);
    assert_eq!(purge(&*store, at(9), at(9), at(9), 10).await?, 0, "it still runs");
    stored(&store, vec![append(turn.generation_id, 1, 2, &["late"])]).await?;
    stored(&store, vec![ending(&turn, 3, "late", 2, &chunks(&["late"]), at(3))]).await?;
    assert_eq!(store.generation_count_running(owner).await?, 0);
    assert!(purge(&*store, NEVER, NEVER, NEVER, 10).await? >= 4);
    Ok(())
}
