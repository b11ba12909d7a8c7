//! Accepting a question: the question, its answer-to-be, the generation, `start`, the key and the
//! conversation's new head, in one commit.

use r1_domain::{
    generation::State,
    id::MessageId,
    message::Role,
    store::{Earlier, NewTurn, StoreError, TurnOutcome, TurnPlace},
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    column::Id, conversation, error::Fault, generation, idempotency, journal, log, search, tail::Tail, writer::Session,
};

/// Begins a turn. Looked at in this order: the key, the conversation, what runs in it, the parent.
pub(crate) fn begin(session: &mut Session, turn: &NewTurn) -> Result<TurnOutcome, Fault> {
    let tails = session.tails()?;
    let start = journal::span(&turn.start, 1, 0).filter(|span| span.next_seq > 1);
    let next_seq = start.ok_or(Fault::Broken("the start of a log is no record"))?.next_seq;
    let outcome = session.transaction(|db| write(db, turn, next_seq))?;
    if outcome == TurnOutcome::Accepted {
        let tail = Tail { epoch: 1, next_seq, folded_to: next_seq, oldest_row: None };
        tails.lock().set(turn.generation_id, Some(tail));
    }
    Ok(outcome)
}

fn write(db: &Connection, turn: &NewTurn, next_seq: u64) -> Result<TurnOutcome, Fault> {
    if let Some(key) = &turn.idempotency
        && let Some(earlier) = idempotency::find(db, turn.owner, key)?
    {
        return Ok(TurnOutcome::Earlier(earlier));
    }
    let parent = match &turn.place {
        TurnPlace::New { title } => {
            conversation::insert(db, turn.owner, turn.conversation_id, title, turn.now)?;
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
    if let Some(key) = &turn.idempotency {
        idempotency::insert(db, turn.owner, key, Earlier::Generation(turn.generation_id), turn.now)?;
    }
    insert_messages(db, turn, parent)?;
    insert_generation(db, turn, next_seq)?;
    db.prepare_cached("UPDATE conversation SET head_message_id = ?2, updated_at = max(updated_at, ?3) WHERE id = ?1")?
        .execute(params![turn.conversation_id.blob(), turn.answer_id.blob(), turn.now.as_micros()])?;
    Ok(TurnOutcome::Accepted)
}

fn check_parent(db: &Connection, turn: &NewTurn, parent: MessageId) -> Result<MessageId, Fault> {
    db.prepare_cached("SELECT 1 FROM message WHERE id = ?1 AND owner_id = ?2 AND conversation_id = ?3")?
        .query_row([parent.blob(), turn.owner.blob(), turn.conversation_id.blob()], |_| Ok(parent))
        .optional()?
        .ok_or_else(|| StoreError::NotFound.into())
}

struct NewMessage<'a> {
    id: MessageId,
    parent: Option<MessageId>,
    role: Role,
    content: &'a str,
    state: State,
    created_at: Timestamp,
}

fn insert_messages(db: &Connection, turn: &NewTurn, parent: Option<MessageId>) -> Result<(), Fault> {
    let question = NewMessage {
        id: turn.question_id,
        parent,
        role: Role::User,
        content: &turn.question,
        state: State::Completed,
        created_at: turn.now,
    };
    let number = insert_message(db, turn, &question)?;
    search::insert(db, number, turn.owner, &turn.question)?;
    let answer = NewMessage {
        id: turn.answer_id,
        parent: Some(turn.question_id),
        role: Role::Assistant,
        content: "",
        state: State::Running,
        created_at: Timestamp::from_micros(turn.now.as_micros().saturating_add(1)),
    };
    insert_message(db, turn, &answer)?;
    Ok(())
}

fn insert_message(db: &Connection, turn: &NewTurn, message: &NewMessage<'_>) -> Result<i64, Fault> {
    let answers = message.role == Role::Assistant;
    let inserted = db
        .prepare_cached(
            "INSERT INTO message (id, conversation_id, owner_id, parent_id, role, content, state, model,
                                  generation_id, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             ON CONFLICT (id) DO NOTHING RETURNING number",
        )?
        .query_row(
            params![
                message.id.blob(),
                turn.conversation_id.blob(),
                turn.owner.blob(),
                message.parent.map(|id| id.blob()),
                message.role.as_str(),
                message.content,
                message.state.as_str(),
                answers.then_some(&turn.request.model),
                answers.then(|| turn.generation_id.blob()),
                message.created_at.as_micros(),
            ],
            |row| row.get(0),
        )
        .optional()?;
    inserted.ok_or_else(|| StoreError::Taken { field: "id" }.into())
}

fn insert_generation(db: &Connection, turn: &NewTurn, next_seq: u64) -> Result<(), Fault> {
    let request = serde_json::to_string(&turn.request).map_err(|_| Fault::Broken("a request is not JSON"))?;
    let inserted = db
        .prepare_cached(
            "INSERT INTO generation (id, owner_id, conversation_id, message_id, state, epoch, node_id, request,
                                     created_at)
             VALUES (?1, ?2, ?3, ?4, 'running', 1, ?5, ?6, ?7) ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![
            turn.generation_id.blob(),
            turn.owner.blob(),
            turn.conversation_id.blob(),
            turn.answer_id.blob(),
            turn.node_id.blob(),
            request,
            turn.now.as_micros(),
        ])?;
    if inserted == 0 {
        return Err(StoreError::Taken { field: "id" }.into());
    }
    log::generation_log_insert(db, turn.generation_id, 1, next_seq, &turn.start)
}
