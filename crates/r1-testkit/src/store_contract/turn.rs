//! Accepting questions.

use anyhow::Context;
use r1_domain::{
    generation::{Generation, State},
    id::{ConversationId, MessageId},
    message::{Message, Role},
    page::PageRequest,
    part::Content,
    store::{Earlier, NewTurn, StoreError, TurnOutcome},
    time::Timestamp,
};

use super::{
    ALL, SharedStore, answer, at, begin, conversation::rename, eight_at_once, key, log_of, new_turn, next_turn, user,
};

fn plus_one(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.as_micros() + 1)
}

/// Conversation, question, answer, generation and `start`.
pub async fn a_new_turn_is_there_as_a_whole(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let turn = new_turn(owner, "What is AI?", at(1));
    begin(&store, &turn).await?;

    let conversation = store.conversation_get(owner, turn.conversation_id).await?;
    assert_eq!((conversation.title.as_deref(), conversation.head), (Some("What is AI?"), Some(turn.answer_id)));
    assert_eq!((conversation.created_at, conversation.updated_at), (at(1), at(1)));

    let question = Message {
        id: turn.question_id,
        parent_id: None,
        role: Role::User,
        content: "What is AI?".to_owned(),
        parts: Vec::new(),
        state: State::Completed,
        model: None,
        generation_id: None,
        last_event: None,
        finish_reason: None,
        error_code: None,
        failure: None,
        remembers_from: None,
        created_at: at(1),
    };
    let running = Message {
        id: turn.answer_id,
        parent_id: Some(turn.question_id),
        role: Role::Assistant,
        content: String::new(),
        parts: Vec::new(),
        state: State::Running,
        model: Some("local/tiny".to_owned()),
        generation_id: Some(turn.generation_id),
        created_at: plus_one(at(1)),
        ..question.clone()
    };
    assert_eq!(store.message_get(owner, turn.question_id).await?, question);
    assert_eq!(store.message_get(owner, turn.answer_id).await?, running);
    let listed = store.message_list(owner, turn.conversation_id, ALL).await?;
    assert_eq!((listed.items, listed.next), (vec![question, running], None));

    let generation = Generation {
        id: turn.generation_id,
        owner,
        conversation_id: turn.conversation_id,
        message_id: turn.answer_id,
        state: State::Running,
        epoch: 1,
        node_id: turn.node_id,
        grammar: turn.grammar,
        request: turn.request.clone(),
        created_at: at(1),
    };
    assert_eq!(store.generation_get(owner, turn.generation_id).await?, generation);
    let log = store.log_read(owner, turn.generation_id).await?;
    assert_eq!((log.generation, log.records.as_ref()), (generation, Some(&turn.start)));
    assert_eq!((log.content, log.terminal_payload), (Content::default(), None));
    assert_eq!(store.generation_count_running(owner).await?, 1);
    Ok(())
}

/// An edit is a sibling; the branch that was written to last is the head.
pub async fn a_turn_goes_after_the_head_or_the_named_parent(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let first = new_turn(owner, "One", at(1));
    begin(&store, &first).await?;
    answer(&store, &first, "1", at(2)).await?;

    let second = next_turn(owner, first.conversation_id, None, "Two", at(3));
    begin(&store, &second).await?;
    answer(&store, &second, "2", at(4)).await?;
    assert_eq!(store.message_get(owner, second.question_id).await?.parent_id, Some(first.answer_id));

    let edit = next_turn(owner, first.conversation_id, Some(first.answer_id), "Two, said better", at(5));
    begin(&store, &edit).await?;
    answer(&store, &edit, "2!", at(6)).await?;
    assert_eq!(store.message_get(owner, edit.question_id).await?.parent_id, Some(first.answer_id));
    let conversation = store.conversation_get(owner, first.conversation_id).await?;
    assert_eq!((conversation.head, conversation.updated_at), (Some(edit.answer_id), at(6)));
    assert_eq!(conversation.title.as_deref(), Some("One"), "the first question named it");
    assert_eq!(store.message_list(owner, first.conversation_id, ALL).await?.items.len(), 6);

    let empty = ConversationId::new(at(7));
    assert!(store.conversation_create(owner, empty, Some("Empty"), None, at(7)).await?.is_ok());
    let into_empty = next_turn(owner, empty, None, "Hello", at(8));
    begin(&store, &into_empty).await?;
    assert_eq!(store.message_get(owner, into_empty.question_id).await?.parent_id, None);
    Ok(())
}

/// The second send learns which one runs.
pub async fn one_generation_runs_in_a_conversation(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let first = new_turn(owner, "One", at(1));
    begin(&store, &first).await?;
    let second = next_turn(owner, first.conversation_id, None, "Two", at(2));
    let busy = store.turn_begin(second.clone()).await?;
    assert_eq!(busy, TurnOutcome::Busy(first.generation_id));
    assert_eq!(store.message_list(owner, first.conversation_id, ALL).await?.items.len(), 2);

    begin(&store, &new_turn(owner, "Elsewhere", at(2))).await.context("another conversation is free")?;
    assert_eq!(store.generation_count_running(owner).await?, 2);
    answer(&store, &first, "1", at(3)).await?;
    begin(&store, &second).await.context("free again")?;
    assert_eq!(store.generation_count_running(owner).await?, 2);
    Ok(())
}

/// The key comes before the limit, the limit before what runs in the conversation.
pub async fn as_many_run_as_one_may_have(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let stranger = user(&store, "other").await?;
    let within = |most, turn| NewTurn { most_running: Some(most), ..turn };
    let first = NewTurn { idempotency: Some(key("k", 1)), ..new_turn(owner, "One", at(1)) };
    begin(&store, &within(2, first.clone())).await?;
    begin(&store, &within(1, new_turn(stranger, "Mine", at(1)))).await?;
    begin(&store, &within(2, new_turn(owner, "Two", at(1)))).await?;
    for turn in [new_turn(owner, "Three", at(2)), next_turn(owner, first.conversation_id, None, "Three", at(2))] {
        assert_eq!(store.turn_begin(within(2, turn.clone())).await?, TurnOutcome::TooMany);
        assert!(matches!(store.generation_get(owner, turn.generation_id).await, Err(StoreError::NotFound)));
    }
    let again = NewTurn { idempotency: Some(key("k", 1)), ..new_turn(owner, "One", at(2)) };
    let made = Earlier::Generation(first.generation_id);
    assert_eq!(store.turn_begin(within(2, again)).await?, TurnOutcome::Earlier(made));
    answer(&store, &first, "1", at(3)).await?;
    begin(&store, &within(2, new_turn(owner, "Three", at(4)))).await.context("there is room again")?;
    assert_eq!(store.generation_count_running(owner).await?, 2);
    Ok(())
}

/// Nobody slips through while another is counted.
pub async fn of_many_at_once_as_many_run_as_one_may_have(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let outcomes = eight_at_once(&store, move |store, _| async move {
        store.turn_begin(NewTurn { most_running: Some(3), ..new_turn(owner, "Now", at(1)) }).await
    })
    .await?;
    let outcomes: Vec<TurnOutcome> = outcomes.into_iter().collect::<Result<_, _>>()?;
    let count = |wanted: &TurnOutcome| outcomes.iter().filter(|outcome| *outcome == wanted).count();
    assert_eq!((count(&TurnOutcome::Accepted), count(&TurnOutcome::TooMany)), (3, 5), "{outcomes:?}");
    assert_eq!(store.generation_count_running(owner).await?, 3);
    Ok(())
}

/// A client that lost the first reply must not be told that it is busy with its own question.
pub async fn a_key_makes_one_generation_and_comes_before_busy(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let first = NewTurn { idempotency: Some(key("k", 1)), ..new_turn(owner, "One", at(1)) };
    begin(&store, &first).await?;
    let made = Earlier::Generation(first.generation_id);

    let again = NewTurn { idempotency: Some(key("k", 1)), ..new_turn(owner, "One", at(2)) };
    assert_eq!(store.turn_begin(again.clone()).await?, TurnOutcome::Earlier(made));
    let missing = store.conversation_get(owner, again.conversation_id).await;
    assert!(matches!(missing, Err(StoreError::NotFound)), "{missing:?}");
    let into_it =
        NewTurn { idempotency: Some(key("k", 1)), ..next_turn(owner, first.conversation_id, None, "One", at(2)) };
    assert_eq!(store.turn_begin(into_it).await?, TurnOutcome::Earlier(made));
    let other =
        NewTurn { idempotency: Some(key("k", 2)), ..next_turn(owner, first.conversation_id, None, "Two", at(2)) };
    assert_eq!(store.turn_begin(other).await?, TurnOutcome::Earlier(Earlier::OtherRequest));
    assert_eq!(store.idempotency_find(owner, &key("k", 1)).await?, Some(made));
    assert_eq!(store.generation_count_running(owner).await?, 1);
    Ok(())
}

/// Neither busy nor not found: no key, no row.
pub async fn a_refused_turn_leaves_nothing(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let first = new_turn(owner, "One", at(1));
    begin(&store, &first).await?;
    let busy =
        NewTurn { idempotency: Some(key("busy", 1)), ..next_turn(owner, first.conversation_id, None, "Two", at(2)) };
    assert!(matches!(store.turn_begin(busy).await?, TurnOutcome::Busy(_)));
    assert_eq!(store.idempotency_find(owner, &key("busy", 1)).await?, None);
    answer(&store, &first, "1", at(3)).await?;

    let elsewhere = new_turn(owner, "Elsewhere", at(4));
    begin(&store, &elsewhere).await?;
    for parent in [MessageId::new(at(4)), elsewhere.answer_id] {
        let lost = NewTurn {
            idempotency: Some(key("lost", 1)),
            ..next_turn(owner, first.conversation_id, Some(parent), "Two", at(5))
        };
        let refused = store.turn_begin(lost).await;
        assert!(matches!(refused, Err(StoreError::NotFound)), "a parent must be of the conversation: {refused:?}");
        assert_eq!(store.idempotency_find(owner, &key("lost", 1)).await?, None);
    }
    assert_eq!(store.message_list(owner, first.conversation_id, ALL).await?.items.len(), 2);
    assert_eq!(store.conversation_get(owner, first.conversation_id).await?.updated_at, at(3));
    Ok(())
}

/// Conversation, messages, generation, log.
pub async fn another_user_finds_no_turn(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let stranger = user(&store, "stranger").await?;
    let turn = new_turn(owner, "Mine", at(1));
    begin(&store, &turn).await?;
    let intruding = store.turn_begin(next_turn(stranger, turn.conversation_id, None, "Ours?", at(2))).await;
    assert!(matches!(intruding, Err(StoreError::NotFound)), "not even busy: {intruding:?}");
    assert!(matches!(store.message_get(stranger, turn.question_id).await, Err(StoreError::NotFound)));
    assert!(matches!(store.generation_get(stranger, turn.generation_id).await, Err(StoreError::NotFound)));
    assert!(matches!(store.log_read(stranger, turn.generation_id).await, Err(StoreError::NotFound)));
    assert_eq!(store.generation_count_running(stranger).await?, 0);

    store.conversation_delete(owner, turn.conversation_id, at(3)).await?;
    let deleted = store.turn_begin(next_turn(owner, turn.conversation_id, None, "Still?", at(4))).await;
    assert!(matches!(deleted, Err(StoreError::NotFound)), "{deleted:?}");
    assert!(matches!(store.message_get(owner, turn.question_id).await, Err(StoreError::NotFound)));
    assert!(matches!(store.generation_get(owner, turn.generation_id).await, Err(StoreError::NotFound)));
    assert!(log_of(&store, &turn).await.is_err());
    Ok(())
}

/// All branches together, each message once.
pub async fn messages_are_paged_oldest_first(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let first = new_turn(owner, "q0", at(0));
    begin(&store, &first).await?;
    answer(&store, &first, "a0", at(0)).await?;
    for i in 1..4 {
        let turn = next_turn(owner, first.conversation_id, None, &format!("q{i}"), at(i));
        begin(&store, &turn).await?;
        answer(&store, &turn, &format!("a{i}"), at(i)).await?;
    }
    let mut request = PageRequest { after: None, limit: 3 };
    let mut texts = Vec::new();
    loop {
        let page = store.message_list(owner, first.conversation_id, request).await?;
        assert!(page.items.len() <= 3);
        texts.extend(page.items.into_iter().map(|message| message.content));
        request.after = page.next;
        if request.after.is_none() {
            break;
        }
    }
    assert_eq!(texts, ["q0", "a0", "q1", "a1", "q2", "a2", "q3", "a3"]);
    Ok(())
}

/// However many messages are asked for; one that is longer is a page by itself.
pub async fn a_page_of_messages_ends_at_a_mebibyte(store: SharedStore) -> anyhow::Result<()> {
    const MIB: usize = 1 << 20;
    let owner = user(&store, "demo").await?;
    let first = new_turn(owner, &"ä".repeat(MIB / 4), at(0));
    let id = first.conversation_id;
    begin(&store, &first).await?;
    answer(&store, &first, &"a".repeat(MIB / 2), at(0)).await?;
    for (i, (question, text)) in [(1, MIB - 1), (2, MIB + 1), (3, 4)].into_iter().enumerate() {
        let now = at(1 + i64::try_from(i)?);
        let turn = next_turn(owner, id, None, &"q".repeat(question), now);
        begin(&store, &turn).await?;
        answer(&store, &turn, &"a".repeat(text), now).await?;
    }
    let mut request = ALL;
    let mut pages = Vec::new();
    loop {
        let page = store.message_list(owner, id, request).await?;
        pages.push(page.items.iter().map(|message| message.content.len()).collect::<Vec<_>>());
        request.after = page.next;
        if request.after.is_none() {
            break;
        }
    }
    assert_eq!(pages, [vec![MIB / 2, MIB / 2], vec![1, MIB - 1], vec![2], vec![MIB + 1], vec![3, 4]]);
    request = PageRequest { after: None, limit: 1 };
    let page = store.message_list(owner, id, request).await?;
    assert_eq!((page.items.len(), page.next.is_some()), (1, true), "the limit holds as before");
    Ok(())
}

/// What runs, else what was newest; without a conversation only what runs.
pub async fn the_generation_to_follow(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let stranger = user(&store, "stranger").await?;
    assert_eq!(store.generation_to_follow(owner, None).await?, None);
    let empty = ConversationId::new(at(0));
    assert!(store.conversation_create(owner, empty, Some("Empty"), None, at(0)).await?.is_ok());
    assert_eq!(store.generation_to_follow(owner, Some(empty)).await?, None);

    let old = new_turn(owner, "Old", at(1));
    begin(&store, &old).await?;
    let new = new_turn(owner, "New", at(2));
    begin(&store, &new).await?;
    let here = Some(old.conversation_id);
    assert_eq!(store.generation_to_follow(owner, None).await?, Some(new.generation_id));
    assert_eq!(store.generation_to_follow(owner, here).await?, Some(old.generation_id));
    assert_eq!(store.generation_to_follow(stranger, None).await?, None);
    let refused = store.generation_to_follow(stranger, here).await;
    assert!(matches!(refused, Err(StoreError::NotFound)), "{refused:?}");

    answer(&store, &new, "n", at(3)).await?;
    assert_eq!(store.generation_to_follow(owner, None).await?, Some(old.generation_id));
    answer(&store, &old, "o", at(4)).await?;
    assert_eq!(store.generation_to_follow(owner, None).await?, None);
    let newer = next_turn(owner, old.conversation_id, None, "Newer", at(5));
    begin(&store, &newer).await?;
    answer(&store, &newer, "n", at(6)).await?;
    assert_eq!(store.generation_to_follow(owner, here).await?, Some(newer.generation_id));
    Ok(())
}

/// The others learn which: with one key, in one conversation, and with both.
pub async fn of_many_at_once_one_is_accepted(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let empty = ConversationId::new(at(1));
    assert!(store.conversation_create(owner, empty, None, None, at(1)).await?.is_ok());
    let asked = eight_at_once(&store, move |store, _| {
        let turn = next_turn(owner, empty, None, "Me first", at(2));
        async move { (turn.generation_id, store.turn_begin(turn).await) }
    })
    .await?;
    let accepted: Vec<_> = asked.iter().filter(|(_, outcome)| matches!(outcome, Ok(TurnOutcome::Accepted))).collect();
    assert_eq!(accepted.len(), 1, "{asked:?}");
    let winner = accepted[0].0;
    let busy = |outcome: &TurnOutcome| *outcome == TurnOutcome::Busy(winner);
    assert_eq!(asked.iter().filter(|(_, outcome)| outcome.as_ref().is_ok_and(busy)).count(), 7, "{asked:?}");
    assert_eq!(store.message_list(owner, empty, ALL).await?.items.len(), 2);

    let asked = eight_at_once(&store, move |store, _| {
        let turn = NewTurn { idempotency: Some(key("k", 1)), ..new_turn(owner, "Once", at(3)) };
        async move { (turn.generation_id, store.turn_begin(turn).await) }
    })
    .await?;
    let accepted: Vec<_> = asked.iter().filter(|(_, outcome)| matches!(outcome, Ok(TurnOutcome::Accepted))).collect();
    assert_eq!(accepted.len(), 1, "{asked:?}");
    let made = TurnOutcome::Earlier(Earlier::Generation(accepted[0].0));
    let told = |outcome: &TurnOutcome| *outcome == made;
    assert_eq!(asked.iter().filter(|(_, outcome)| outcome.as_ref().is_ok_and(told)).count(), 7, "{asked:?}");
    assert_eq!(store.generation_count_running(owner).await?, 2);
    assert_eq!(store.conversation_list(owner, ALL).await?.items.len(), 2, "nothing is left of the others");
    Ok(())
}

/// Character by character, the ones that databases stumble over included; nothing that is looked up by
/// such a text is an error.
pub async fn any_text_comes_back(store: SharedStore) -> anyhow::Result<()> {
    const TEXT: &str = "a\0b \u{1}0 \u{1}\u{1}1 'quoted' \"%_\\ \u{202e}\u{feff}\u{10ffff} 🦀\r\n\t";
    let owner = user(&store, "demo").await?;
    let turn = NewTurn { idempotency: Some(key(TEXT, 1)), ..new_turn(owner, TEXT, at(1)) };
    begin(&store, &turn).await?;
    answer(&store, &turn, TEXT, at(2)).await?;
    let conversation = store.conversation_get(owner, turn.conversation_id).await?;
    assert_eq!(conversation.title.as_deref(), Some(TEXT));
    let texts = store.message_list(owner, turn.conversation_id, ALL).await?.items;
    assert_eq!(texts.iter().map(|message| message.content.as_str()).collect::<Vec<_>>(), [TEXT, TEXT]);
    assert_eq!(store.history(owner, turn.answer_id, 1000).await?.turns[0].turn.content, TEXT);
    assert_eq!(store.log_read(owner, turn.generation_id).await?.content.text, TEXT);
    let renamed = rename(&store, owner, turn.conversation_id, &TEXT[1..], at(3)).await?;
    assert_eq!(renamed.title.as_deref(), Some(&TEXT[1..]));
    let made = Some(Earlier::Generation(turn.generation_id));
    assert_eq!(store.idempotency_find(owner, &key(TEXT, 1)).await?, made);
    assert_eq!(store.idempotency_find(owner, &key(&TEXT[1..], 1)).await?, None);
    assert!(store.user_by_login(TEXT).await?.is_none());
    let missing = store.user_set_disabled(TEXT, true, at(4)).await;
    assert!(matches!(missing, Err(StoreError::NotFound)), "{missing:?}");
    Ok(())
}
