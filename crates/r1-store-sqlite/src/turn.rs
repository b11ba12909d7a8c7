//! Accepting a question: the question, its answer-to-be, the generation, `start`, the key and the
//! conversation's new head, in one commit.

use r1_domain::{
    conversation::TitledBy,
    id::MessageId,
    store::{Earlier, NewTurn, StoreError, TurnOutcome, TurnPlace},
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension};

use crate::{
    column::Id,
    conversation,
    error::Fault,
    generation, idempotency,
    message::{self, Written},
    search,
};

/// Begins a turn. Looked at in this order: the key, how many run, the conversation, what runs in it, the
/// parent. Before it is committed, `follows` is told which message the question follows: what precedes it is stored, and
/// changes no more while this turn runs.
pub(crate) fn begin(
    db: &Connection,
    turn: &NewTurn,
    next_seq: u64,
    follows: impl FnOnce(Option<MessageId>),
) -> Result<TurnOutcome, Fault> {
    if let Some(key) = &turn.idempotency
        && let Some(earlier) = idempotency::find(db, turn.owner, key)?
    {
        return Ok(TurnOutcome::Earlier(earlier));
    }
    if generation::too_many_run(db, turn.owner, turn.most_running)? {
        return Ok(TurnOutcome::TooMany);
    }
    let parent = match &turn.place {
        TurnPlace::New => {
            conversation::insert(db, turn.owner, turn.conversation_id, &turn.title, TitledBy::Question, turn.now)?;
            None
        }
        TurnPlace::Existing { parent } => {
            let conversation = conversation::get(db, turn.owner, turn.conversation_id)?;
            if let Some(running) = generation::running_in(db, turn.conversation_id)? {
                return Ok(TurnOutcome::Busy(running));
            }
            match parent {
                Some(parent) => Some(check_parent(db, turn, *parent)?),
                None => conversation.head,
            }
        }
    };
    follows(parent);
    if let Some(key) = &turn.idempotency {
        idempotency::insert(db, turn.owner, key, Earlier::Generation(turn.generation_id), turn.now)?;
    }
    insert_messages(db, turn, parent)?;
    let generation = generation::NewRow {
        id: turn.generation_id,
        owner: turn.owner,
        conversation: turn.conversation_id,
        message: turn.answer_id,
        node_id: turn.node_id,
        grammar: turn.grammar,
        request: &turn.request,
        created_at: turn.now,
    };
    generation::insert(db, &generation, next_seq, &turn.start)?;
    conversation::written_to(db, turn.conversation_id, Some(turn.answer_id), Some(&turn.title), turn.now)?;
    Ok(TurnOutcome::Accepted)
}

fn check_parent(db: &Connection, turn: &NewTurn, parent: MessageId) -> Result<MessageId, Fault> {
    db.prepare_cached("SELECT 1 FROM message WHERE id = ?1 AND owner_id = ?2 AND conversation_id = ?3")?
        .query_row([parent.blob(), turn.owner.blob(), turn.conversation_id.blob()], |_| Ok(parent))
        .optional()?
        .ok_or_else(|| StoreError::NotFound.into())
}

fn insert_messages(db: &Connection, turn: &NewTurn, parent: Option<MessageId>) -> Result<(), Fault> {
    let question = message::NewMessage {
        id: turn.question_id,
        owner: turn.owner,
        conversation: turn.conversation_id,
        parent,
        created_at: turn.now,
    };
    let number = message::insert(db, &question, Written::ByPerson(&turn.question))?;
    search::insert(db, number, turn.owner, &turn.question)?;
    let answer = message::NewMessage {
        id: turn.answer_id,
        parent: Some(turn.question_id),
        created_at: Timestamp::from_micros(turn.now.as_micros().saturating_add(1)),
        ..question
    };
    message::insert(db, &answer, Written::By(turn.generation_id, &turn.request.model))?;
    Ok(())
}
