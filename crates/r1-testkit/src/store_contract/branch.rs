//! One branch of a conversation, page by page.

use anyhow::Context;
use r1_domain::{
    branch::{BranchEnd, BranchPage, BranchRequest, MOST_SIBLINGS},
    conversation::ConversationChange,
    id::{ConversationId, MessageId, UserId},
    store::{NewTurn, StoreError, StoreResult},
};

use super::{ALL, SharedStore, answer, at, begin, new_turn, next_turn, user};

/// More than any branch here has.
const WHOLE: usize = 200;

/// Asks this, and answers it with `answer to` and the question.
async fn answered(store: &SharedStore, turn: NewTurn) -> anyhow::Result<NewTurn> {
    begin(store, &turn).await?;
    answer(store, &turn, &format!("answer to {}", turn.question), turn.now).await?;
    Ok(turn)
}

async fn read(store: &SharedStore, root: &NewTurn, end: BranchEnd, limit: usize) -> StoreResult<BranchPage> {
    store.message_branch(root.owner, root.conversation_id, BranchRequest { end, limit }).await
}

fn texts(page: &BranchPage) -> Vec<&str> {
    page.messages.iter().map(|message| message.content.as_str()).collect()
}

/// `0 → 1 → (2 → 3 | 2b)`, each a question and its answer. The last question asked is `3`.
async fn tree(store: &SharedStore) -> anyhow::Result<[NewTurn; 5]> {
    let owner = user(store, "demo").await?;
    let root = answered(store, new_turn(owner, "0", at(0))).await?;
    let id = root.conversation_id;
    let one = answered(store, next_turn(owner, id, None, "1", at(1))).await?;
    let two = answered(store, next_turn(owner, id, None, "2", at(2))).await?;
    let beside = answered(store, next_turn(owner, id, Some(one.answer_id), "2b", at(3))).await?;
    let three = answered(store, next_turn(owner, id, Some(two.answer_id), "3", at(4))).await?;
    Ok([root, one, two, beside, three])
}

/// Oldest first within a page; whatever is written meanwhile, a message comes once.
pub async fn the_shown_branch_comes_newest_page_first(store: SharedStore) -> anyhow::Result<()> {
    let [root, .., three] = tree(&store).await?;
    let whole = ["0", "answer to 0", "1", "answer to 1", "2", "answer to 2", "3", "answer to 3"];
    let all = read(&store, &root, BranchEnd::Head, WHOLE).await?;
    assert_eq!((texts(&all), all.next), (whole.to_vec(), None));
    let listed = store.message_list(root.owner, root.conversation_id, ALL).await?.items;
    for message in &all.messages {
        assert!(listed.contains(message), "as it is listed: {message:?}");
    }
    for limit in [1, 3, 8] {
        let mut end = BranchEnd::Head;
        let mut pages = Vec::new();
        loop {
            let page = read(&store, &root, end, limit).await?;
            assert!(page.messages.len() <= limit && page.siblings.len() == page.messages.len());
            pages.push(page.messages);
            let Some(next) = page.next else { break };
            end = BranchEnd::At(next);
        }
        pages.reverse();
        assert_eq!(pages.concat(), all.messages, "{limit} a page");
    }
    // A page goes on from its cursor, whatever follows that message by now.
    let newest = read(&store, &root, BranchEnd::Head, 2).await?;
    let next = newest.next.context("an older page")?;
    let again = next_turn(root.owner, root.conversation_id, Some(next), "3b", at(5));
    begin(&store, &again).await?;
    assert_eq!(texts(&read(&store, &root, BranchEnd::At(next), 2).await?), ["2", "answer to 2"]);
    // One that is being written is the end.
    let running = read(&store, &root, BranchEnd::Head, 2).await?;
    assert_eq!(running.messages[1].id, again.answer_id);
    assert_eq!(running.siblings[0], [three.question_id, again.question_id]);
    Ok(())
}

/// As a chosen head does.
pub async fn a_message_leads_to_its_newest_end(store: SharedStore) -> anyhow::Result<()> {
    let [root, one, two, beside, three] = tree(&store).await?;
    for (through, end) in [
        (root.question_id, beside.answer_id),
        (one.answer_id, beside.answer_id),
        (beside.question_id, beside.answer_id),
        (two.question_id, three.answer_id),
        (three.answer_id, three.answer_id),
    ] {
        let page = read(&store, &root, BranchEnd::Through(through), WHOLE).await?;
        assert_eq!(page.messages.last().map(|message| message.id), Some(end));
        let change = ConversationChange { title: None, head: Some(through) };
        let chosen = store.conversation_change(root.owner, root.conversation_id, change, at(9)).await?;
        assert_eq!(chosen.context("it is there")?.head, Some(end));
        assert_eq!(read(&store, &root, BranchEnd::Head, WHOLE).await?, page);
    }
    // The newest by its time, also where a clock was set back.
    let late = answered(&store, next_turn(root.owner, root.conversation_id, Some(one.answer_id), "2c", at(2))).await?;
    let page = read(&store, &root, BranchEnd::Through(one.answer_id), 1).await?;
    assert_eq!(page.messages[0].id, beside.answer_id);
    assert!(page.next.is_some());
    assert_eq!(read(&store, &root, BranchEnd::Head, 1).await?.messages[0].id, late.answer_id);
    Ok(())
}

/// Oldest first, of the same role, itself among them.
pub async fn versions_stand_side_by_side(store: SharedStore) -> anyhow::Result<()> {
    let [root, one, two, beside, three] = tree(&store).await?;
    let page = read(&store, &root, BranchEnd::Head, WHOLE).await?;
    let alone = |turn: &NewTurn| [vec![turn.question_id], vec![turn.answer_id]];
    let both = vec![two.question_id, beside.question_id];
    let expected = [&alone(&root)[..], &alone(&one), &[both.clone(), vec![two.answer_id]], &alone(&three)].concat();
    assert_eq!(page.siblings, expected);
    let other = read(&store, &root, BranchEnd::Through(beside.answer_id), 2).await?;
    assert_eq!(other.siblings, [both, vec![beside.answer_id]]);
    // A question that follows a question is no version of its answer.
    let odd =
        answered(&store, next_turn(root.owner, root.conversation_id, Some(three.question_id), "odd", at(6))).await?;
    let page = read(&store, &root, BranchEnd::Through(odd.answer_id), 2).await?;
    assert_eq!(page.siblings, alone(&odd));
    Ok(())
}

/// A message that is older than all that are told comes before them.
pub async fn of_very_many_versions_the_newest_are_told(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let root = answered(&store, new_turn(owner, "root", at(0))).await?;
    let mut versions = Vec::new();
    for second in 1..=i64::try_from(MOST_SIBLINGS)? + 2 {
        let turn = next_turn(owner, root.conversation_id, Some(root.answer_id), "again", at(second));
        versions.push(answered(&store, turn).await?);
    }
    let ids: Vec<MessageId> = versions.iter().map(|turn| turn.question_id).collect();
    for (number, told) in
        [(0, [&ids[..1], &ids[2..]].concat()), (1, [&ids[1..2], &ids[2..]].concat()), (2, ids[2..].to_vec())]
    {
        let page = read(&store, &root, BranchEnd::Through(ids[number]), 2).await?;
        assert_eq!(page.siblings[0], told, "version {number}");
    }
    Ok(())
}

/// Counted from its end; a message that is longer is a page by itself.
pub async fn a_page_of_a_branch_ends_at_a_mebibyte(store: SharedStore) -> anyhow::Result<()> {
    const MIB: usize = 1 << 20;
    let owner = user(&store, "demo").await?;
    let mut first = None;
    for (second, (question, text)) in (0..).zip([(4, 3), (2, MIB + 1), (MIB / 2, MIB / 2), (1, MIB - 1)]) {
        let question = "ä".repeat(question / 2) + &"q".repeat(question % 2);
        let turn = match &first {
            None => new_turn(owner, &question, at(second)),
            Some(id) => next_turn(owner, *id, None, &question, at(second)),
        };
        begin(&store, &turn).await?;
        answer(&store, &turn, &"a".repeat(text), at(second)).await?;
        first.get_or_insert(turn.conversation_id);
    }
    let id = first.context("a conversation")?;
    let mut end = BranchEnd::Head;
    let mut pages = Vec::new();
    loop {
        let page = store.message_branch(owner, id, BranchRequest { end, limit: WHOLE }).await?;
        pages.push(page.messages.iter().map(|message| message.content.len()).collect::<Vec<_>>());
        let Some(next) = page.next else { break };
        end = BranchEnd::At(next);
    }
    assert_eq!(pages, [vec![1, MIB - 1], vec![MIB / 2, MIB / 2], vec![MIB + 1], vec![4, 3, 2]]);
    Ok(())
}

/// It is no error to ask for it.
pub async fn an_empty_conversation_has_an_empty_branch(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let id = ConversationId::new(at(0));
    assert!(store.conversation_create(owner, id, None, None, at(0)).await?.is_ok());
    let head = BranchRequest { end: BranchEnd::Head, limit: WHOLE };
    assert_eq!(store.message_branch(owner, id, head).await?, BranchPage::default());
    Ok(())
}

/// Nor does their own conversation lead to it; and what was deleted is gone.
pub async fn another_user_finds_no_branch(store: SharedStore) -> anyhow::Result<()> {
    let [root, one, ..] = tree(&store).await?;
    let stranger: UserId = user(&store, "stranger").await?;
    let own = answered(&store, new_turn(stranger, "mine", at(1))).await?;
    let message = one.question_id;
    let ends = [BranchEnd::Head, BranchEnd::Through(message), BranchEnd::At(message)];
    for end in ends {
        let request = BranchRequest { end, limit: WHOLE };
        let refused = store.message_branch(stranger, root.conversation_id, request).await;
        assert!(matches!(refused, Err(StoreError::NotFound)), "{end:?}: {refused:?}");
        if end != BranchEnd::Head {
            let refused = read(&store, &own, end, WHOLE).await;
            assert!(matches!(refused, Err(StoreError::NotFound)), "{end:?}: {refused:?}");
        }
    }
    let other = answered(&store, new_turn(root.owner, "elsewhere", at(2))).await?;
    for end in [BranchEnd::Through(other.answer_id), BranchEnd::At(other.answer_id)] {
        let refused = read(&store, &root, end, WHOLE).await;
        assert!(matches!(refused, Err(StoreError::NotFound)), "of another conversation: {refused:?}");
    }
    store.conversation_delete(root.owner, root.conversation_id, at(3)).await?;
    for end in ends {
        let refused = read(&store, &root, end, WHOLE).await;
        assert!(matches!(refused, Err(StoreError::NotFound)), "{end:?}: {refused:?}");
    }
    Ok(())
}
