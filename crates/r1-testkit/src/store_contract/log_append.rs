//! Logs: appended to, folded, ended.

use r1_domain::{
    event::{Event, Usage},
    fold::fold,
    generation::{Spent, State},
    id::GenerationId,
    store::{AppendOutcome, Fold, LogAppend, StoreError},
};

use super::{
    ALL, SharedStore, append, at, begin, chunks, ending, failing, failure, log_of, new_turn, next_turn, stored, user,
};
use AppendOutcome::{Fenced, Stored};

/// Several logs, several commits, several appends of one log in one commit.
pub async fn what_is_appended_is_read_back(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let (one, two) = (new_turn(owner, "One", at(1)), new_turn(owner, "Two", at(2)));
    begin(&store, &one).await?;
    begin(&store, &two).await?;
    let (a, b) = (one.generation_id, two.generation_id);
    stored(&store, vec![append(a, 1, 2, &["a2"]), append(b, 1, 2, &["b2", "b3"])]).await?;
    stored(&store, vec![append(b, 1, 4, &["b4"]), append(b, 1, 5, &[""]), append(a, 1, 3, &["ä3"])]).await?;
    assert_eq!(log_of(&store, &one).await?, [&one.start[..], &chunks(&["a2", "ä3"])].concat());
    assert_eq!(log_of(&store, &two).await?, [&two.start[..], &chunks(&["b2", "b3", "b4", ""])].concat());
    let folded = fold(&log_of(&store, &two).await?)?;
    assert_eq!((folded.content.text.as_str(), folded.last.seq), ("b2b3b4", 5));
    let refused = store.log_read(owner, GenerationId::new(at(3))).await;
    assert!(matches!(refused, Err(StoreError::NotFound)), "{refused:?}");
    Ok(())
}

/// Repeated, too early, too late, of no generation: fenced, and nowhere.
pub async fn an_append_goes_in_once_and_in_order(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let turn = new_turn(owner, "One", at(1));
    begin(&store, &turn).await?;
    let id = turn.generation_id;
    stored(&store, vec![append(id, 1, 2, &["x", "y"])]).await?;
    for refused in [
        append(id, 1, 2, &["x", "y"]),
        append(id, 1, 1, &["again"]),
        append(id, 1, 3, &["overlap"]),
        append(id, 1, 5, &["gap"]),
        append(id, 2, 4, &["not taken over"]),
        append(id, 0, 4, &["no lease"]),
        append(GenerationId::new(at(1)), 1, 2, &["unknown"]),
    ] {
        assert_eq!(store.log_append(vec![refused.clone()]).await?, [Fenced], "{refused:?}");
    }
    stored(&store, vec![append(id, 1, 4, &["z"])]).await?;
    assert_eq!(log_of(&store, &turn).await?, [&turn.start[..], &chunks(&["x", "y", "z"])].concat());
    Ok(())
}

/// One outcome per append, in order.
pub async fn a_fenced_append_does_not_hold_up_the_others(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let (one, two) = (new_turn(owner, "One", at(1)), new_turn(owner, "Two", at(2)));
    begin(&store, &one).await?;
    begin(&store, &two).await?;
    let batch = vec![
        append(one.generation_id, 1, 9, &["gap"]),
        append(two.generation_id, 1, 2, &["b"]),
        append(one.generation_id, 1, 2, &["a"]),
        append(two.generation_id, 7, 3, &["another's"]),
    ];
    assert_eq!(store.log_append(batch).await?, [Fenced, Stored, Stored, Fenced]);
    assert_eq!(log_of(&store, &one).await?, [&one.start[..], &chunks(&["a"])].concat());
    assert_eq!(log_of(&store, &two).await?, [&two.start[..], &chunks(&["b"])].concat());
    Ok(())
}

/// A fold repeats what is known; the log stays what it was.
pub async fn folds_change_nothing_that_a_reader_sees(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let (turn, other) = (new_turn(owner, "One", at(1)), new_turn(owner, "Two", at(1)));
    begin(&store, &turn).await?;
    begin(&store, &other).await?;
    let id = turn.generation_id;
    let with_fold = |first_seq, text: &str, fold_from, all: &[&str]| LogAppend {
        fold: Some(Fold { first_seq: fold_from, records: chunks(all) }),
        ..append(id, 1, first_seq, &[text])
    };
    stored(&store, vec![append(id, 1, 2, &["a"]), append(other.generation_id, 1, 2, &["x"])]).await?;
    stored(&store, vec![append(id, 1, 3, &["b"])]).await?;
    stored(&store, vec![with_fold(4, "c", 2, &["a", "b", "c"]), append(other.generation_id, 1, 3, &["y"])]).await?;
    assert_eq!(log_of(&store, &turn).await?, [&turn.start[..], &chunks(&["a", "b", "c"])].concat());
    stored(&store, vec![append(id, 1, 5, &["d"]), with_fold(6, "e", 5, &["d", "e"]), append(id, 1, 7, &["f"])]).await?;
    let all = chunks(&["a", "b", "c", "d", "e", "f"]);
    assert_eq!(log_of(&store, &turn).await?, [&turn.start[..], &all].concat());
    assert_eq!(log_of(&store, &other).await?, [&other.start[..], &chunks(&["x", "y"])].concat());

    let end = ending(&turn, 8, "abcdef", 7, &chunks(&["f"]), at(2));
    let last = end.records.clone();
    stored(&store, vec![end]).await?;
    assert_eq!(log_of(&store, &turn).await?, [&turn.start[..], &all, &last].concat());
    Ok(())
}

/// State, text, reason and the conversation's place in the list.
pub async fn the_terminal_event_ends_all_at_once(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let turn = new_turn(owner, "One", at(1));
    begin(&store, &turn).await?;
    stored(&store, vec![append(turn.generation_id, 1, 2, &["Hello", ", you"])]).await?;
    let running = Spent { usage: None, first_token_ms: None, created_at: at(1), ended_at: None };
    assert_eq!(store.generation_spent(owner, turn.generation_id).await?, running);
    let unfolded = chunks(&["Hello", ", you", "!"]);
    let mut end = ending(&turn, 5, "Hello, you!", 2, &unfolded, at(9));
    let usage = Some(Usage { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3, estimated: true });
    if let Some(terminal) = &mut end.terminal {
        (terminal.usage, terminal.first_token_ms) = (usage, Some(812));
    }
    let event = end.terminal.as_ref().map(|terminal| terminal.event.clone());
    stored(&store, vec![append(turn.generation_id, 1, 4, &["!"]), end]).await?;

    assert_eq!(store.generation_get(owner, turn.generation_id).await?.state, State::Completed);
    let spent = Spent { usage, first_token_ms: Some(812), ended_at: Some(at(9)), ..running };
    assert_eq!(store.generation_spent(owner, turn.generation_id).await?, spent);
    let message = store.message_get(owner, turn.answer_id).await?;
    assert_eq!((message.content.as_str(), message.state), ("Hello, you!", State::Completed));
    assert_eq!((message.finish_reason.as_deref(), message.error_code), (Some("stop"), None));
    assert_eq!(store.conversation_get(owner, turn.conversation_id).await?.updated_at, at(9));
    assert_eq!(store.generation_count_running(owner).await?, 0);
    let log = store.log_read(owner, turn.generation_id).await?;
    assert_eq!((log.content.text.as_str(), log.terminal_payload), ("Hello, you!", event.as_ref().map(Event::payload)));
    let folded = fold(&log.records.unwrap_or_default())?;
    assert_eq!(folded.content.text, "Hello, you!");
    assert_eq!(folded.terminal, event);
    Ok(())
}

/// An error keeps the text so far, and all that is said of it, for as long as the message.
pub async fn a_failure_leaves_its_code(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let turn = new_turn(owner, "One", at(1));
    begin(&store, &turn).await?;
    stored(&store, vec![append(turn.generation_id, 1, 2, &["Half"])]).await?;
    stored(&store, vec![failing(&turn, 3, "Half", 2, &chunks(&["Half"]), at(2))]).await?;
    let message = store.message_get(owner, turn.answer_id).await?;
    assert_eq!((message.content.as_str(), message.state), ("Half", State::Failed));
    assert_eq!((message.finish_reason, message.error_code.as_deref()), (None, Some("provider_auth")));
    assert_eq!(message.failure, Some(failure()));
    let listed = store.message_list(owner, turn.conversation_id, ALL).await?.items;
    assert_eq!(listed.iter().map(|message| message.failure.clone()).collect::<Vec<_>>(), [None, Some(failure())]);
    assert_eq!(store.generation_get(owner, turn.generation_id).await?.state, State::Failed);
    Ok(())
}

/// Neither in the same batch nor later.
pub async fn nothing_follows_a_terminal_event(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let turn = new_turn(owner, "One", at(1));
    begin(&store, &turn).await?;
    let end = || ending(&turn, 2, "", 2, &[], at(2));
    let late = || append(turn.generation_id, 1, 3, &["late"]);
    assert_eq!(store.log_append(vec![end(), late()]).await?, [Stored, Fenced]);
    assert_eq!(store.log_append(vec![late()]).await?, [Fenced]);
    assert_eq!(store.log_append(vec![end()]).await?, [Fenced]);
    let whole = log_of(&store, &turn).await?;
    assert_eq!(whole, [&turn.start[..], &end().records].concat());
    assert_eq!(fold(&whole)?.content.text, "");
    let next = next_turn(owner, turn.conversation_id, None, "Two", at(3));
    begin(&store, &next).await?;
    Ok(())
}

/// And writes nothing.
pub async fn an_empty_batch_is_fine(store: SharedStore) -> anyhow::Result<()> {
    assert_eq!(store.log_append(Vec::new()).await?, []);
    Ok(())
}
