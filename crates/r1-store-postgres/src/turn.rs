//! Accepting a question: the question, its answer-to-be, the generation, `start`, the key and the
//! conversation's new head, in one commit.

use r1_domain::{
    conversation::TitledBy,
    id::MessageId,
    store::{Earlier, NewTurn, StoreError, TurnOutcome, TurnPlace},
    time::Timestamp,
};

use crate::{
    connection::Db,
    conversation,
    error::Fault,
    generation, idempotency,
    message::{self, Written},
    search,
};

/// Begins a turn. Looked at in this order: the key, how many run, the conversation, what runs in it, the parent.
pub(crate) async fn begin(db: &Db, turn: &NewTurn) -> Result<TurnOutcome, Fault> {
    let made = Earlier::Generation(turn.generation_id);
    if let Some(earlier) = idempotency::claim(db, turn.owner, turn.idempotency.as_ref(), made, turn.now).await? {
        return Ok(TurnOutcome::Earlier(earlier));
    }
    generation::check_running(db, turn.owner, turn.most_running).await?;
    let parent = match &turn.place {
        TurnPlace::New => {
            let (id, title) = (turn.conversation_id, &turn.title);
            conversation::insert(db, turn.owner, id, title, TitledBy::Question, turn.now).await?;
            None
        }
        TurnPlace::Existing { parent } => {
            // Only what is looked at once it is locked has been decided.
            let head = conversation::lock(db, turn.owner, turn.conversation_id).await?;
            if let Some(running) = generation::running_in(db, turn.conversation_id).await? {
                return Err(Fault::Refused(TurnOutcome::Busy(running)));
            }
            match parent {
                Some(parent) => Some(check_parent(db, turn, *parent).await?),
                None => head,
            }
        }
    };
    insert_messages(db, turn, parent).await?;
    let generation = generation::NewRow {
        id: turn.generation_id,
        owner: turn.owner,
        conversation: turn.conversation_id,
        message: turn.answer_id,
        node_id: turn.node_id,
        grammar: turn.grammar,
        request: &turn.request,
        created_at: turn.now,
        start: &turn.start,
    };
    generation::insert(db, &generation).await?;
    conversation::written_to(db, turn.conversation_id, Some(turn.answer_id), Some(&turn.title), turn.now).await?;
    Ok(TurnOutcome::Accepted)
}

const PARENT: &str = "SELECT 1 FROM message WHERE id = $1 AND owner_id = $2 AND conversation_id = $3";

async fn check_parent(db: &Db, turn: &NewTurn, parent: MessageId) -> Result<MessageId, Fault> {
    let params = [parent.as_uuid(), turn.owner.as_uuid(), turn.conversation_id.as_uuid()];
    let found = db.maybe(PARENT, &[&params[0], &params[1], &params[2]]).await?;
    found.map(|_| parent).ok_or_else(|| StoreError::NotFound.into())
}

async fn insert_messages(db: &Db, turn: &NewTurn, parent: Option<MessageId>) -> Result<(), Fault> {
    let question = message::NewMessage {
        id: turn.question_id,
        owner: turn.owner,
        conversation: turn.conversation_id,
        parent,
        created_at: turn.now,
    };
    message::insert(db, &question, Written::ByPerson(&turn.question)).await?;
    search::insert(db, turn.question_id, turn.owner, &turn.question).await?;
    let answer = message::NewMessage {
        id: turn.answer_id,
        parent: Some(turn.question_id),
        created_at: Timestamp::from_micros(turn.now.as_micros().saturating_add(1)),
        ..question
    };
    message::insert(db, &answer, Written::By(turn.generation_id, &turn.request.model)).await
}
