//! Branches as a store seldom holds them: rings of parents, and very long ones.

use r1_domain::{
    branch::{BranchEnd, BranchRequest},
    id::MessageId,
    store::StoreError,
};
use r1_testkit::store_contract::{answer, at, begin, new_turn, next_turn, user};

use super::open;
use crate::{
    column::Id,
    message::{self, NewMessage, Written},
    writer::{Session, Synchronous},
};

#[tokio::test]
async fn a_ring_of_parents_ends() {
    let (_dir, store, shared) = open();
    let owner = user(&shared, "demo").await.unwrap();
    let first = new_turn(owner, "One?", at(1));
    begin(&shared, &first).await.unwrap();
    answer(&shared, &first, "One.", at(2)).await.unwrap();
    let second = next_turn(owner, first.conversation_id, None, "Two?", at(3));
    begin(&shared, &second).await.unwrap();
    answer(&shared, &second, "Two.", at(4)).await.unwrap();
    let (root, end) = (first.question_id, second.answer_id);
    let closed = move |session: &mut Session| {
        session.transaction(|db| {
            db.execute("UPDATE message SET parent_id = ?2 WHERE id = ?1", [root.blob(), end.blob()])?;
            Ok(())
        })
    };
    store.writer.run(Synchronous::Normal, closed).await.unwrap();
    let mut ring = vec![first.question_id, first.answer_id, second.question_id, second.answer_id];
    ring.sort();
    for end in [BranchEnd::Head, BranchEnd::Through(root), BranchEnd::At(end)] {
        let page = shared.message_branch(owner, first.conversation_id, BranchRequest { end, limit: 50 }).await.unwrap();
        let mut ids: Vec<_> = page.messages.iter().map(|message| message.id).collect();
        ids.sort();
        assert_eq!((ids, page.next), (ring.clone(), None), "{end:?}");
    }
    let missing = BranchRequest { end: BranchEnd::At(MessageId::new(at(9))), limit: 50 };
    let refused = shared.message_branch(owner, first.conversation_id, missing).await;
    assert!(matches!(refused, Err(StoreError::NotFound)), "{refused:?}");
}

#[tokio::test]
async fn the_end_of_a_very_long_branch_is_found() {
    let (_dir, store, shared) = open();
    let owner = user(&shared, "demo").await.unwrap();
    let first = new_turn(owner, "One?", at(1));
    begin(&shared, &first).await.unwrap();
    answer(&shared, &first, "One.", at(2)).await.unwrap();
    let conversation = first.conversation_id;
    let ids: Vec<_> = (0..2_500).map(|_| MessageId::new(at(3))).collect();
    let chain = ids.clone();
    let write = move |session: &mut Session| {
        session.transaction(|db| {
            let mut parent = first.answer_id;
            for (second, id) in (10..).zip(&chain) {
                // A version that is older than the one that goes on.
                for (id, second) in [(MessageId::new(at(3)), second - 5), (*id, second)] {
                    let new = NewMessage { id, owner, conversation, parent: Some(parent), created_at: at(second) };
                    message::insert(db, &new, Written::ByPerson("x"))?;
                }
                parent = *id;
            }
            Ok(())
        })
    };
    store.writer.run(Synchronous::Normal, write).await.unwrap();
    for through in [first.question_id, ids[1_000], ids[2_499]] {
        let request = BranchRequest { end: BranchEnd::Through(through), limit: 1 };
        let page = shared.message_branch(owner, conversation, request).await.unwrap();
        assert_eq!((page.messages[0].id, page.siblings[0].len()), (ids[2_499], 2));
    }
}
