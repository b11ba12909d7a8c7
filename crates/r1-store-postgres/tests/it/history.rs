//! What the contract can't make: a conversation that begins with a system turn.

use anyhow::Result;
use r1_domain::id::MessageId;
use r1_testkit::store_contract::{SharedStore, answer, at, begin, joined, new_turn, next_turn, node, user};

use crate::support;

const SYSTEM: &str = "INSERT INTO gpt_r1.message
    (id, conversation_id, owner_id, role, content, state, created_at) VALUES ($1, $2, $3, 'system', 'be brief', 'completed', 0)";
const FOLLOWS: &str = "UPDATE gpt_r1.message SET parent_id = $1 WHERE id = $2";

#[tokio::test]
async fn the_instructions_stay_whatever_is_left_out() -> Result<()> {
    let database = support::database().await?;
    let store: SharedStore = std::sync::Arc::new(support::open(&database).await?);
    joined(&store, node()).await?;
    let owner = user(&store, "demo").await?;
    let first = new_turn(owner, "question", at(1));
    begin(&store, &first).await?;
    answer(&store, &first, "answer", at(2)).await?;
    let next = next_turn(owner, first.conversation_id, None, "next", at(3));
    begin(&store, &next).await?;
    let said = async |max_bytes| -> Result<(Vec<String>, bool)> {
        let history = store.history(owner, next.answer_id, max_bytes).await?;
        Ok((history.turns.into_iter().map(|past| past.turn.content).collect(), history.whole))
    };
    assert_eq!(said(0).await?, (vec!["next".to_owned()], false), "there are none");
    let system = MessageId::new(at(0)).as_uuid();
    let client = database.client().await?;
    client.execute(SYSTEM, &[&system, &first.conversation_id.as_uuid(), &owner.as_uuid()]).await?;
    client.execute(FOLLOWS, &[&system, &first.question_id.as_uuid()]).await?;
    for (bytes, turns, whole) in [
        (0, &["be brief", "next"][..], false),
        (10, &["be brief", "answer", "next"], false),
        (18, &["be brief", "question", "answer", "next"], true),
        (100, &["be brief", "question", "answer", "next"], true),
    ] {
        assert_eq!(said(bytes).await?, (turns.iter().map(|turn| (*turn).to_owned()).collect(), whole), "{bytes}");
    }
    Ok(())
}
