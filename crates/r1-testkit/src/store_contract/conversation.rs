//! Conversations: the rows of the list.

use r1_domain::{
    conversation::{Conversation, ConversationChange, DEFAULT_TITLE, TitledBy},
    id::{ConversationId, MessageId, UserId},
    page::PageRequest,
    store::{Earlier, StoreError, StoreResult},
    time::Timestamp,
};

use super::{ALL, SharedStore, answer, at, begin, key, new_turn, next_turn, user};

/// Gives one a title.
///
/// # Errors
/// What the store says.
pub(super) async fn rename(
    store: &SharedStore,
    owner: UserId,
    id: ConversationId,
    title: &str,
    now: Timestamp,
) -> StoreResult<Conversation> {
    let change = ConversationChange { title: Some(title.to_owned()), head: None };
    // Only a head can be one that is not there.
    store.conversation_change(owner, id, change, now).await?.ok_or(StoreError::NotFound)
}

/// The plain course of one conversation.
pub async fn one_is_made_read_renamed_and_deleted(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let id = ConversationId::new(at(1));
    let made = store.conversation_create(owner, id, Some("A title"), None, at(1)).await?;
    let expected = Conversation {
        id,
        title: Some("A title".to_owned()),
        titled_by: TitledBy::Person,
        title_pending: false,
        head: None,
        running: None,
        created_at: at(1),
        updated_at: at(1),
    };
    assert_eq!(made, Ok(expected.clone()));
    assert_eq!(store.conversation_get(owner, id).await?, expected);
    assert_eq!(store.conversation_list(owner, ALL).await?.items, std::slice::from_ref(&expected));
    assert!(store.message_list(owner, id, ALL).await?.items.is_empty());

    let expected = Conversation { title: Some("Another".to_owned()), updated_at: at(2), ..expected };
    assert_eq!(rename(&store, owner, id, "Another", at(2)).await?, expected);
    assert_eq!(store.conversation_get(owner, id).await?, expected);

    store.conversation_delete(owner, id, at(3)).await?;
    assert!(store.conversation_list(owner, ALL).await?.items.is_empty());
    assert!(matches!(store.conversation_get(owner, id).await, Err(StoreError::NotFound)));
    assert!(matches!(rename(&store, owner, id, "x", at(4)).await, Err(StoreError::NotFound)));
    assert!(matches!(store.conversation_delete(owner, id, at(4)).await, Err(StoreError::NotFound)));
    assert!(matches!(store.message_list(owner, id, ALL).await, Err(StoreError::NotFound)));
    Ok(())
}

/// Every method that takes an id.
pub async fn another_user_finds_nothing(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let stranger = user(&store, "stranger").await?;
    let turn = new_turn(owner, "Mine", at(1));
    begin(&store, &turn).await?;
    answer(&store, &turn, "Yours", at(2)).await?;
    let id = turn.conversation_id;
    assert!(store.conversation_list(stranger, ALL).await?.items.is_empty());
    assert!(matches!(store.conversation_get(stranger, id).await, Err(StoreError::NotFound)));
    assert!(matches!(rename(&store, stranger, id, "x", at(3)).await, Err(StoreError::NotFound)));
    assert!(matches!(store.conversation_delete(stranger, id, at(3)).await, Err(StoreError::NotFound)));
    assert!(matches!(store.message_list(stranger, id, ALL).await, Err(StoreError::NotFound)));
    assert_eq!(store.conversation_get(owner, id).await?.title.as_deref(), Some("Mine"));
    Ok(())
}

/// The same key again names what it made; with another request it is a mistake; another user's
/// key is another key.
pub async fn a_key_makes_one_conversation(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let stranger = user(&store, "stranger").await?;
    let id = ConversationId::new(at(1));
    assert_eq!(store.idempotency_find(owner, &key("k", 1)).await?, None);
    assert!(store.conversation_create(owner, id, Some("One"), Some(key("k", 1)), at(1)).await?.is_ok());

    let again = ConversationId::new(at(2));
    let earlier = store.conversation_create(owner, again, Some("One"), Some(key("k", 1)), at(2)).await?;
    assert_eq!(earlier, Err(Earlier::Conversation(id)));
    let earlier = store.conversation_create(owner, again, Some("Two"), Some(key("k", 2)), at(2)).await?;
    assert_eq!(earlier, Err(Earlier::OtherRequest));
    assert_eq!(store.idempotency_find(owner, &key("k", 1)).await?, Some(Earlier::Conversation(id)));
    assert_eq!(store.idempotency_find(owner, &key("k", 2)).await?, Some(Earlier::OtherRequest));
    assert_eq!(store.conversation_list(owner, ALL).await?.items.len(), 1);

    assert_eq!(store.idempotency_find(stranger, &key("k", 1)).await?, None);
    assert!(store.conversation_create(stranger, again, Some("One"), Some(key("k", 1)), at(2)).await?.is_ok());
    Ok(())
}

/// Nor does the refused attempt use up its key.
pub async fn an_id_is_not_given_twice(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let id = ConversationId::new(at(1));
    assert!(store.conversation_create(owner, id, Some("One"), None, at(1)).await?.is_ok());
    let refused = store.conversation_create(owner, id, Some("Two"), Some(key("k", 1)), at(2)).await;
    assert!(matches!(refused, Err(StoreError::Taken { .. })), "{refused:?}");
    assert_eq!(store.idempotency_find(owner, &key("k", 1)).await?, None);
    Ok(())
}

/// Pages neither repeat nor skip a row, whatever is touched between them.
pub async fn the_list_is_newest_first_and_paged(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let mut made = Vec::new();
    for seconds in [5, 3, 3, 9, 1, 3, 7] {
        let id = ConversationId::new(at(seconds));
        made.extend(store.conversation_create(owner, id, Some("x"), None, at(seconds)).await?);
    }
    made.sort_by_key(|c| std::cmp::Reverse((c.updated_at, c.id)));
    let mut request = PageRequest { after: None, limit: 3 };
    let first = store.conversation_list(owner, request).await?;
    assert_eq!(first.items, made[..3]);
    // The newest moves to the top: what was listed after it does not move.
    rename(&store, owner, made[1].id, "y", at(20)).await?;
    request.after = first.next;
    let second = store.conversation_list(owner, request).await?;
    assert_eq!(second.items, made[3..6]);
    request.after = second.next;
    let third = store.conversation_list(owner, request).await?;
    assert_eq!(third.items, made[6..]);
    assert_eq!(third.next, None);
    assert_eq!(store.conversation_list(owner, ALL).await?.items[0].id, made[1].id);
    let whole = store.conversation_list(owner, PageRequest { after: None, limit: 7 }).await?;
    assert_eq!((whole.items.len(), whole.next), (7, None), "a full last page is the last");
    Ok(())
}

/// In the list, alone, and after a change; not in another, and not for ever.
pub async fn what_runs_in_it_is_named(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let (runs, ends) = (new_turn(owner, "Runs", at(1)), new_turn(owner, "Ends", at(2)));
    begin(&store, &runs).await?;
    begin(&store, &ends).await?;
    answer(&store, &ends, "text", at(3)).await?;
    let running = Some(runs.generation_id);
    let listed = store.conversation_list(owner, ALL).await?.items;
    let listed: Vec<_> = listed.iter().map(|conversation| (conversation.id, conversation.running)).collect();
    assert_eq!(listed, [(ends.conversation_id, None), (runs.conversation_id, running)]);
    assert_eq!(store.conversation_get(owner, runs.conversation_id).await?.running, running);
    assert_eq!(rename(&store, owner, runs.conversation_id, "x", at(4)).await?.running, running);
    answer(&store, &runs, "text", at(5)).await?;
    assert_eq!(store.conversation_get(owner, runs.conversation_id).await?.running, None);
    Ok(())
}

/// Once; a title that somebody gave stays, whatever it is.
pub async fn the_first_question_names_it_unless_somebody_did(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let made = |seconds| (ConversationId::new(at(seconds)), at(seconds));
    for ((id, now), given, expected) in
        [(made(1), None, "What is AI?"), (made(2), Some("Mine"), "Mine"), (made(3), Some(DEFAULT_TITLE), DEFAULT_TITLE)]
    {
        assert!(store.conversation_create(owner, id, given, None, now).await?.is_ok());
        assert_eq!(store.conversation_get(owner, id).await?.title.as_deref(), given);
        for question in ["What is AI?", "And then?"] {
            let turn = next_turn(owner, id, None, question, at(10));
            begin(&store, &turn).await?;
            answer(&store, &turn, "text", at(11)).await?;
            assert_eq!(store.conversation_get(owner, id).await?.title.as_deref(), Some(expected));
        }
    }
    let renamed = made(4).0;
    assert!(store.conversation_create(owner, renamed, None, None, at(4)).await?.is_ok());
    rename(&store, owner, renamed, "Renamed", at(5)).await?;
    begin(&store, &next_turn(owner, renamed, None, "What is AI?", at(6))).await?;
    assert_eq!(store.conversation_get(owner, renamed).await?.title.as_deref(), Some("Renamed"));
    Ok(())
}

/// A branch is chosen by any of its messages, and shown to its end; an answer may be written elsewhere meanwhile.
pub async fn the_chosen_branch_is_the_shown_one(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let first = new_turn(owner, "One", at(1));
    let id = first.conversation_id;
    begin(&store, &first).await?;
    answer(&store, &first, "1", at(2)).await?;
    let old = next_turn(owner, id, None, "Two", at(3));
    begin(&store, &old).await?;
    answer(&store, &old, "2", at(4)).await?;
    let end_of_old = next_turn(owner, id, None, "Three", at(5));
    begin(&store, &end_of_old).await?;
    answer(&store, &end_of_old, "3", at(6)).await?;
    // Another branch, which is being written.
    let new = next_turn(owner, id, Some(first.answer_id), "Too", at(7));
    begin(&store, &new).await?;
    let before = store.conversation_get(owner, id).await?;
    assert_eq!((before.head, before.running), (Some(new.answer_id), Some(new.generation_id)));

    let choose = async |message| {
        let change = ConversationChange { title: None, head: Some(message) };
        store.conversation_change(owner, id, change, at(8)).await
    };
    for (chosen, head) in [
        (old.question_id, end_of_old.answer_id),
        (new.question_id, new.answer_id),
        (old.answer_id, end_of_old.answer_id),
        (end_of_old.answer_id, end_of_old.answer_id),
        // Both go through it: the newer one.
        (first.answer_id, new.answer_id),
        (first.question_id, new.answer_id),
        (old.question_id, end_of_old.answer_id),
    ] {
        let expected = Conversation { head: Some(head), ..before.clone() };
        assert_eq!(choose(chosen).await?, Some(expected.clone()));
        assert_eq!(store.conversation_get(owner, id).await?, expected, "and no list is sorted anew by it");
    }
    // The end of the other one changes nothing here, and what is asked next follows what is shown.
    answer(&store, &new, "too", at(9)).await?;
    assert_eq!(store.conversation_get(owner, id).await?.head, Some(end_of_old.answer_id));
    let next = next_turn(owner, id, None, "Four", at(10));
    begin(&store, &next).await?;
    assert_eq!(store.message_get(owner, next.question_id).await?.parent_id, Some(end_of_old.answer_id));
    answer(&store, &next, "4", at(11)).await?;

    // What is not in it changes nothing, the title neither.
    let elsewhere = new_turn(owner, "Elsewhere", at(12));
    begin(&store, &elsewhere).await?;
    let now = store.conversation_get(owner, id).await?;
    for message in [elsewhere.answer_id, MessageId::new(at(13))] {
        let change = ConversationChange { title: Some("Another".to_owned()), head: Some(message) };
        assert_eq!(store.conversation_change(owner, id, change, at(14)).await?, None);
        assert_eq!(store.conversation_get(owner, id).await?, now);
    }
    let stranger = user(&store, "stranger").await?;
    let change = ConversationChange { title: None, head: Some(new.answer_id) };
    let refused = store.conversation_change(stranger, id, change.clone(), at(14)).await;
    assert!(matches!(refused, Err(StoreError::NotFound)), "{refused:?}");
    // Both at once.
    let change = ConversationChange { title: Some("Another".to_owned()), ..change };
    let both = store.conversation_change(owner, id, change, at(15)).await?;
    let title = Some("Another".to_owned());
    let titled_by = TitledBy::Person;
    assert_eq!(both, Some(Conversation { title, titled_by, head: Some(new.answer_id), updated_at: at(15), ..now }));
    Ok(())
}
