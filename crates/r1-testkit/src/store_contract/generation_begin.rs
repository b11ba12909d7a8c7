//! Accepting another generation where one has ended.

use anyhow::Context;
use bytes::Bytes;
use r1_domain::{
    fold::fold,
    generation::State,
    id::{GenerationId, MessageId, NodeId},
    store::{Earlier, LogAppend, NewGeneration, NewTurn, Purpose, StoreError, TurnOutcome},
    time::Timestamp,
};

use super::{
    ALL, SharedStore, answer, append, at, begin, chunks, ending, failing, gone, joined, key, log_of, new_turn,
    next_turn, node, start_record, stored, user,
};

/// Another generation after that of `turn`, and the turn as it is with it, for the log that follows.
fn another(turn: &NewTurn, purpose: Purpose, given: &str, now: Timestamp) -> (NewGeneration, NewTurn) {
    let generation_id = GenerationId::new(now);
    let answer_id = match purpose {
        Purpose::Continue => turn.answer_id,
        Purpose::Retry { answer_id } => answer_id,
    };
    let request = r1_domain::generation::GenerationRequest { given_bytes: given.len(), ..turn.request.clone() };
    let mut start = start_record(turn.conversation_id, generation_id, answer_id, &request.model).to_vec();
    if !given.is_empty() {
        start.extend_from_slice(&chunks(&[given]));
    }
    let start = Bytes::from(start);
    let new = NewGeneration {
        owner: turn.owner,
        earlier: turn.generation_id,
        purpose,
        generation_id,
        request: request.clone(),
        node_id: turn.node_id,
        grammar: turn.grammar,
        start: start.clone(),
        idempotency: None,
        most_running: None,
        now,
    };
    (new, NewTurn { generation_id, answer_id, request, start, ..turn.clone() })
}

fn retry(now: Timestamp) -> Purpose {
    Purpose::Retry { answer_id: MessageId::new(now) }
}

async fn failed(store: &SharedStore, turn: &NewTurn, text: &str, now: Timestamp) -> anyhow::Result<()> {
    let chunk = append(turn.generation_id, 1, 2, &[text]);
    let end = failing(turn, 3, text, 2, &chunk.records, now);
    stored(store, vec![chunk, end]).await
}

/// The message has its text while it runs, and all of it in the end; each log has its own.
pub async fn a_continued_answer_stays_one_message(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let turn = new_turn(owner, "One", at(1));
    begin(&store, &turn).await?;
    let half = append(turn.generation_id, 1, 2, &["half "]);
    let mut end = failing(&turn, 3, "half ", 2, &half.records, at(2));
    end.terminal.as_mut().context("an end")?.remembers_from = Some(turn.question_id);
    stored(&store, vec![half, end]).await?;
    let earlier_log = log_of(&store, &turn).await?;

    let (new, continued) = another(&turn, Purpose::Continue, "half ", at(3));
    assert_eq!(store.generation_begin(new).await?, TurnOutcome::Accepted);
    let running = store.message_get(owner, turn.answer_id).await?;
    assert_eq!((running.state, running.content.as_str()), (State::Running, "half "));
    assert_eq!(running.generation_id, Some(continued.generation_id));
    assert_eq!((running.finish_reason, running.error_code), (None, None));
    let conversation = store.conversation_get(owner, turn.conversation_id).await?;
    assert_eq!((conversation.running, conversation.updated_at), (Some(continued.generation_id), at(3)));
    assert_eq!(store.generation_get(owner, continued.generation_id).await?.request.given_bytes, 5);
    assert_eq!(fold(&log_of(&store, &continued).await?)?.content.text, "half ");

    let chunk = append(continued.generation_id, 1, 3, &["said"]);
    let end = ending(&continued, 4, "half said", 3, &chunk.records, at(4));
    stored(&store, vec![chunk, end]).await?;
    let whole = store.message_get(owner, turn.answer_id).await?;
    assert_eq!((whole.state, whole.content.as_str()), (State::Completed, "half said"));
    assert_eq!(whole.created_at, running.created_at, "and stays where it was");
    assert_eq!(whole.remembers_from, Some(turn.question_id), "half of it was written with no more");
    assert_eq!(store.message_list(owner, turn.conversation_id, ALL).await?.items.len(), 2);
    assert_eq!(log_of(&store, &turn).await?, earlier_log);
    assert_eq!(fold(&log_of(&store, &continued).await?)?.content.text, "half said");
    assert_eq!(store.generation_get(owner, turn.generation_id).await?.state, State::Failed);
    let here = Some(turn.conversation_id);
    assert_eq!(store.generation_to_follow(owner, here).await?, Some(continued.generation_id));
    Ok(())
}

/// Whoever was looking at an older one learns which it is.
pub async fn only_the_newest_generation_is_continued(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let turn = new_turn(owner, "One", at(1));
    begin(&store, &turn).await?;
    failed(&store, &turn, "a", at(2)).await?;
    let (new, second) = another(&turn, Purpose::Continue, "a", at(3));
    assert_eq!(store.generation_begin(new).await?, TurnOutcome::Accepted);
    let end = ending(&second, 3, "a", 3, &[], at(4));
    stored(&store, vec![end]).await?;

    let (mut late, _) = another(&turn, Purpose::Continue, "a", at(5));
    late.idempotency = Some(key("late", 1));
    assert_eq!(store.generation_begin(late).await?, TurnOutcome::Superseded(second.generation_id));
    assert_eq!(store.idempotency_find(owner, &key("late", 1)).await?, None);
    assert_eq!(store.generation_count_running(owner).await?, 0);
    assert_eq!(store.message_get(owner, turn.answer_id).await?.state, State::Completed);
    // Its question may be asked again all the same.
    let (again, _) = another(&turn, retry(at(6)), "", at(6));
    assert_eq!(store.generation_begin(again).await?, TurnOutcome::Accepted);
    Ok(())
}

/// To go on in the middle of a conversation hides nothing of what came after.
pub async fn the_head_moves_only_to_a_last_message(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let first = new_turn(owner, "One", at(1));
    begin(&store, &first).await?;
    failed(&store, &first, "1", at(2)).await?;
    let second = next_turn(owner, first.conversation_id, None, "Two", at(3));
    begin(&store, &second).await?;
    failed(&store, &second, "2", at(4)).await?;
    let branch = next_turn(owner, first.conversation_id, Some(first.answer_id), "Too", at(5));
    begin(&store, &branch).await?;
    answer(&store, &branch, "too", at(6)).await?;

    for (i, (turn, head)) in [(&first, branch.answer_id), (&second, second.answer_id)].into_iter().enumerate() {
        let now = at(7 + i64::try_from(i)?);
        let (new, continued) = another(turn, Purpose::Continue, "x", now);
        assert_eq!(store.generation_begin(new).await?, TurnOutcome::Accepted);
        assert_eq!(store.conversation_get(owner, first.conversation_id).await?.head, Some(head));
        stored(&store, vec![ending(&continued, 3, "x", 3, &[], now)]).await?;
    }
    Ok(())
}

/// With the question as its parent, and the head from now on.
pub async fn a_retry_is_a_sibling(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let turn = new_turn(owner, "One", at(1));
    begin(&store, &turn).await?;
    answer(&store, &turn, "first", at(2)).await?;
    let (mut new, retried) = another(&turn, retry(at(3)), "", at(3));
    new.request.model = "other/model".to_owned();
    assert_eq!(store.generation_begin(new).await?, TurnOutcome::Accepted);
    let sibling = store.message_get(owner, retried.answer_id).await?;
    assert_eq!((sibling.parent_id, sibling.state), (Some(turn.question_id), State::Running));
    assert_eq!((sibling.content.as_str(), sibling.model.as_deref()), ("", Some("other/model")));
    assert_eq!(sibling.generation_id, Some(retried.generation_id));
    assert_eq!(store.conversation_get(owner, turn.conversation_id).await?.head, Some(retried.answer_id));
    let history = store.history(owner, retried.answer_id, 1000).await?;
    assert_eq!(history.turns.iter().map(|past| past.turn.content.as_str()).collect::<Vec<_>>(), ["One"]);
    answer(&store, &retried, "second", at(4)).await?;
    let texts = store.message_list(owner, turn.conversation_id, ALL).await?.items;
    assert_eq!(texts.iter().map(|m| m.content.as_str()).collect::<Vec<_>>(), ["One", "first", "second"]);
    Ok(())
}

/// And comes before all other refusals.
pub async fn a_key_makes_one_generation(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let turn = new_turn(owner, "One", at(1));
    begin(&store, &turn).await?;
    failed(&store, &turn, "a", at(2)).await?;
    for (i, purpose) in [Purpose::Continue, retry(at(3))].into_iter().enumerate() {
        let name = format!("k{i}");
        let now = at(3 + i64::try_from(i)?);
        let (mut first, continued) = another(&turn, purpose, "", now);
        first.idempotency = Some(key(&name, 1));
        assert_eq!(store.generation_begin(first).await?, TurnOutcome::Accepted);
        let made = Earlier::Generation(continued.generation_id);
        let (mut again, _) = another(&turn, purpose, "", now);
        again.idempotency = Some(key(&name, 1));
        assert_eq!(store.generation_begin(again.clone()).await?, TurnOutcome::Earlier(made));
        again.idempotency = Some(key(&name, 2));
        assert_eq!(store.generation_begin(again).await?, TurnOutcome::Earlier(Earlier::OtherRequest));
        stored(&store, vec![ending(&continued, 2, "", 2, &[], now)]).await?;
    }
    Ok(())
}

/// Whichever: the earlier one itself, or another.
pub async fn one_runs_in_a_conversation(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let first = new_turn(owner, "One", at(1));
    begin(&store, &first).await?;
    for purpose in [Purpose::Continue, retry(at(2))] {
        let (new, _) = another(&first, purpose, "", at(2));
        assert_eq!(store.generation_begin(new).await?, TurnOutcome::Busy(first.generation_id));
    }
    failed(&store, &first, "a", at(3)).await?;
    let second = next_turn(owner, first.conversation_id, None, "Two", at(4));
    begin(&store, &second).await?;
    for purpose in [Purpose::Continue, retry(at(5))] {
        let (mut new, _) = another(&first, purpose, "a", at(5));
        new.idempotency = Some(key("busy", 1));
        assert_eq!(store.generation_begin(new).await?, TurnOutcome::Busy(second.generation_id));
        assert_eq!(store.idempotency_find(owner, &key("busy", 1)).await?, None);
    }
    assert_eq!(store.message_list(owner, first.conversation_id, ALL).await?.items.len(), 4);
    Ok(())
}

/// Nor does the owner in a deleted conversation.
pub async fn another_user_finds_nothing_to_go_on_with(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let stranger = user(&store, "stranger").await?;
    let turn = new_turn(owner, "One", at(1));
    begin(&store, &turn).await?;
    failed(&store, &turn, "a", at(2)).await?;
    for purpose in [Purpose::Continue, retry(at(3))] {
        let (mut new, _) = another(&turn, purpose, "a", at(3));
        new.owner = stranger;
        let refused = store.generation_begin(new.clone()).await;
        assert!(matches!(refused, Err(StoreError::NotFound)), "{refused:?}");
        new.owner = owner;
        new.earlier = GenerationId::new(at(9));
        let refused = store.generation_begin(new).await;
        assert!(matches!(refused, Err(StoreError::NotFound)), "{refused:?}");
    }
    store.conversation_delete(owner, turn.conversation_id, at(4)).await?;
    let (new, _) = another(&turn, Purpose::Continue, "a", at(5));
    assert!(matches!(store.generation_begin(new).await, Err(StoreError::NotFound)));
    assert_eq!(store.generation_count_running(owner).await?, 0);
    Ok(())
}

/// What it began with is in its own log.
pub async fn a_continued_run_is_taken_over_with_its_text(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let turn = new_turn(owner, "One", at(1));
    begin(&store, &turn).await?;
    failed(&store, &turn, "half ", at(2)).await?;
    let (new, continued) = another(&turn, Purpose::Continue, "half ", at(3));
    assert_eq!(store.generation_begin(new).await?, TurnOutcome::Accepted);
    stored(&store, vec![append(continued.generation_id, 1, 3, &["sa"])]).await?;
    gone(&store, node()).await?;
    let node = joined(&store, NodeId::new(at(4))).await?;
    let orphans = store.generation_list_orphaned(node).await?;
    assert_eq!(orphans.len(), 1);
    assert_eq!(fold(orphans[0].records.as_deref().unwrap_or_default())?.content.text, "half sa");
    assert_eq!(orphans[0].generation.request.given_bytes, 5);
    assert!(store.generation_take_over(continued.generation_id, 1, node, 1).await?);
    stored(&store, vec![LogAppend { epoch: 2, ..append(continued.generation_id, 2, 4, &["id"]) }]).await?;
    assert_eq!(fold(&log_of(&store, &continued).await?)?.content.text, "half said");
    Ok(())
}

/// A reader that comes back to an earlier generation is told what that one left, however long the
/// message is by then.
pub async fn a_retired_log_keeps_to_its_own_text(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let turn = new_turn(owner, "One", at(1));
    begin(&store, &turn).await?;
    failed(&store, &turn, "half ", at(2)).await?;
    let (second, second_turn) = another(&turn, Purpose::Continue, "half ", at(3));
    assert_eq!(store.generation_begin(second).await?, TurnOutcome::Accepted);
    let end = failing(&second_turn, 3, "half ", 3, &[], at(4));
    stored(&store, vec![end]).await?;
    let (third, third_turn) = another(&second_turn, Purpose::Continue, "half ", at(5));
    assert_eq!(store.generation_begin(third).await?, TurnOutcome::Accepted);
    let chunk = append(third_turn.generation_id, 1, 3, &["whole"]);
    let end = ending(&third_turn, 4, "half whole", 3, &chunk.records, at(6));
    stored(&store, vec![chunk, end]).await?;
    let never = Timestamp::from_micros(0);
    assert_eq!(store.purge(at(9), never, never, 10).await?, 3);
    for (turn, text) in [(&turn, "half "), (&second_turn, "half "), (&third_turn, "half whole")] {
        let log = store.log_read(owner, turn.generation_id).await?;
        assert_eq!((log.records, log.content.text.as_str()), (None, text));
    }
    Ok(())
}
