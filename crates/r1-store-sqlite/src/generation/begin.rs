//! Accepting generations: the first of a turn, or another one where one has ended.

use parking_lot::Mutex;
use r1_domain::{
    cursor::Cursor,
    generation::{Generation, GenerationRequest, State},
    id::{ConversationId, GenerationId, MessageId, NodeId, UserId},
    log::check,
    store::{Earlier, NewGeneration, Purpose, StoreError, TurnOutcome},
    time::Timestamp,
};
use rusqlite::{Connection, params};

use super::{get, running_in, too_many_run};
use crate::{
    column::{self, Id},
    conversation,
    error::Fault,
    idempotency, log,
    message::{self, Written},
    search,
    tail::{Tail, Tails},
};

/// The log of a generation to be: it begins with its first records, in the commit that accepts the generation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beginning {
    id: GenerationId,
    /// The seq that comes after them.
    pub(crate) next_seq: u64,
}

impl Beginning {
    /// # Errors
    /// The records are none.
    pub(crate) fn of(id: GenerationId, records: &[u8]) -> Result<Self, Fault> {
        let span = check(records, Cursor::BEGINNING);
        if !span.is_whole || span.next_seq() == 1 {
            return Err(Fault::Broken("the start of a log is no record"));
        }
        Ok(Self { id, next_seq: span.next_seq() })
    }

    /// Takes the log into the table of running ones, once the commit is made.
    pub(crate) fn committed(self, tails: &Mutex<Tails>, outcome: &TurnOutcome) {
        if *outcome == TurnOutcome::Accepted {
            let next_seq = self.next_seq;
            let tail = Tail { epoch: 1, next_seq, folded_to: next_seq, oldest_row: None };
            tails.lock().set(self.id, Some(tail));
        }
    }
}

/// A generation's row to be.
pub(crate) struct NewRow<'a> {
    pub(crate) id: GenerationId,
    pub(crate) owner: UserId,
    pub(crate) conversation: ConversationId,
    pub(crate) message: MessageId,
    pub(crate) node_id: NodeId,
    pub(crate) grammar: u32,
    pub(crate) request: &'a GenerationRequest,
    pub(crate) created_at: Timestamp,
}

/// Adds a running generation under epoch 1 whose log goes from seq 1 up to, not including, `next_seq`.
pub(crate) fn insert(db: &Connection, row: &NewRow<'_>, next_seq: u64, start: &[u8]) -> Result<(), Fault> {
    let request = serde_json::to_string(row.request).map_err(|_| Fault::Broken("a request is not JSON"))?;
    let inserted = db
        .prepare_cached(
            "INSERT INTO generation (id, owner_id, conversation_id, message_id, state, epoch, node_id, request,
                                     created_at, grammar)
             VALUES (?1, ?2, ?3, ?4, 'running', 1, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![
            row.id.blob(),
            row.owner.blob(),
            row.conversation.blob(),
            row.message.blob(),
            row.node_id.blob(),
            request,
            row.created_at.as_micros(),
            row.grammar,
        ])?;
    if inserted == 0 {
        return Err(StoreError::Taken { field: "id" }.into());
    }
    log::generation_log_insert(db, row.id, 1, next_seq, start)
}

/// Accepts another generation. Looked at in this order: the key, how many run, the earlier one, what runs in its
/// conversation, whether the earlier one is its message's newest where that is to go on.
pub(crate) fn begin(db: &Connection, new: &NewGeneration, next_seq: u64) -> Result<TurnOutcome, Fault> {
    if let Some(key) = &new.idempotency
        && let Some(earlier) = idempotency::find(db, new.owner, key)?
    {
        return Ok(TurnOutcome::Earlier(earlier));
    }
    if too_many_run(db, new.owner, new.most_running)? {
        return Ok(TurnOutcome::TooMany);
    }
    let earlier = get(db, new.owner, new.earlier)?;
    if let Some(running) = running_in(db, earlier.conversation_id)? {
        return Ok(TurnOutcome::Busy(running));
    }
    let message = match new.purpose {
        Purpose::Continue => {
            if let Some(newest) = go_on(db, new, &earlier)? {
                return Ok(TurnOutcome::Superseded(newest));
            }
            earlier.message_id
        }
        Purpose::Retry { answer_id } => {
            insert_sibling(db, new, &earlier, answer_id)?;
            answer_id
        }
    };
    if let Some(key) = &new.idempotency {
        idempotency::insert(db, new.owner, key, Earlier::Generation(new.generation_id), new.now)?;
    }
    let row = NewRow {
        id: new.generation_id,
        owner: new.owner,
        conversation: earlier.conversation_id,
        message,
        node_id: new.node_id,
        grammar: new.grammar,
        request: &new.request,
        created_at: new.now,
    };
    insert(db, &row, next_seq, &new.start)?;
    let head = is_last(db, earlier.conversation_id, message)?.then_some(message);
    conversation::written_to(db, earlier.conversation_id, head, None, new.now)?;
    Ok(TurnOutcome::Accepted)
}

/// Puts the message under the new generation, or gives back the one that is newer than `earlier`. Its
/// row keeps the text until the new end: whoever finds its log damaged still has that.
fn go_on(db: &Connection, new: &NewGeneration, earlier: &Generation) -> Result<Option<GenerationId>, Fault> {
    let message = earlier.message_id.blob();
    let (number, newest): (i64, GenerationId) = db
        .prepare_cached("SELECT number, generation_id FROM message WHERE id = ?1")?
        .query_row([message], |row| Ok((row.get(0)?, column::id(row, 1)?)))?;
    if newest != earlier.id {
        return Ok(Some(newest));
    }
    search::delete(db, number)?;
    db.prepare_cached(
        "UPDATE message SET state = ?2, model = ?3, generation_id = ?4, finish_reason = NULL, error_code = NULL
         WHERE id = ?1",
    )?
    .execute(params![message, State::Running.as_str(), new.request.model, new.generation_id.blob()])?;
    Ok(None)
}

/// Whether nothing follows a message. What follows it is younger, and mostly by little: the index
/// finds that at once.
fn is_last(db: &Connection, conversation: ConversationId, id: MessageId) -> Result<bool, Fault> {
    let follows = db
        .prepare_cached(
            "SELECT 1 FROM message
             WHERE conversation_id = ?1 AND created_at >= (SELECT created_at FROM message WHERE id = ?2)
                   AND parent_id = ?2 LIMIT 1",
        )?
        .exists([conversation.blob(), id.blob()])?;
    Ok(!follows)
}

fn insert_sibling(db: &Connection, new: &NewGeneration, earlier: &Generation, id: MessageId) -> Result<(), Fault> {
    let parent = message::get(db, new.owner, earlier.message_id)?.parent_id;
    let sibling = message::NewMessage {
        id,
        owner: new.owner,
        conversation: earlier.conversation_id,
        parent,
        created_at: new.now,
    };
    message::insert(db, &sibling, Written::By(new.generation_id, &new.request.model))?;
    Ok(())
}
