//! Accepting generations: the first of a turn, or another one where one has ended.

use r1_domain::{
    cursor::Cursor,
    generation::{Generation, GenerationRequest, State},
    id::{ConversationId, GenerationId, MessageId, NodeId, UserId},
    log::check,
    store::{Earlier, NewGeneration, Purpose, StoreError, TurnOutcome},
    time::Timestamp,
};
use uuid::Uuid;

use super::{check_running, get, running_in};
use crate::{
    column::{self, text},
    connection::Db,
    conversation,
    error::Fault,
    idempotency, log,
    message::{self, Written},
    search,
};

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
    /// The log's first records, from seq 1.
    pub(crate) start: &'a [u8],
}

const INSERT: &str = "INSERT INTO generation
    (id, owner_id, conversation_id, message_id, state, epoch, node_id, request, created_at, grammar)
    VALUES ($1, $2, $3, $4, 'running', 1, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING";

/// Adds a running generation under epoch 1, with the beginning of its log.
pub(crate) async fn insert(db: &Db, row: &NewRow<'_>) -> Result<(), Fault> {
    let request = serde_json::to_string(row.request).map_err(|_| Fault::Broken("a request is not JSON"))?;
    let span = check(row.start, Cursor::BEGINNING);
    if !span.is_whole || span.next_seq() == 1 {
        return Err(Fault::Broken("the start of a log is no record"));
    }
    let inserted = db
        .run(
            INSERT,
            &[
                &row.id.as_uuid(),
                &row.owner.as_uuid(),
                &row.conversation.as_uuid(),
                &row.message.as_uuid(),
                &row.node_id.as_uuid(),
                &request,
                &row.created_at.as_micros(),
                &i64::from(row.grammar),
            ],
        )
        .await?;
    if inserted == 0 {
        return Err(StoreError::Taken { field: "id" }.into());
    }
    log::insert_part(db, row.id, 1, span.next_seq(), row.start).await
}

/// Accepts another generation. Looked at in this order: the key, how many run, the earlier one, what runs in its
/// conversation, whether the earlier one is its message's newest where that is to go on.
pub(crate) async fn begin(db: &Db, new: &NewGeneration) -> Result<TurnOutcome, Fault> {
    let made = Earlier::Generation(new.generation_id);
    if let Some(earlier) = idempotency::claim(db, new.owner, new.idempotency.as_ref(), made, new.now).await? {
        return Ok(TurnOutcome::Earlier(earlier));
    }
    check_running(db, new.owner, new.most_running).await?;
    let earlier = get(db, new.owner, new.earlier).await?;
    conversation::lock(db, new.owner, earlier.conversation_id).await?;
    if let Some(running) = running_in(db, earlier.conversation_id).await? {
        return Err(Fault::Refused(TurnOutcome::Busy(running)));
    }
    let message = match new.purpose {
        Purpose::Continue => {
            if let Some(newest) = go_on(db, new, &earlier).await? {
                return Err(Fault::Refused(TurnOutcome::Superseded(newest)));
            }
            earlier.message_id
        }
        Purpose::Retry { answer_id } => {
            insert_sibling(db, new, &earlier, answer_id).await?;
            answer_id
        }
    };
    let row = NewRow {
        id: new.generation_id,
        owner: new.owner,
        conversation: earlier.conversation_id,
        message,
        node_id: new.node_id,
        grammar: new.grammar,
        request: &new.request,
        created_at: new.now,
        start: &new.start,
    };
    insert(db, &row).await?;
    let head = is_last(db, earlier.conversation_id, message).await?.then_some(message);
    conversation::written_to(db, earlier.conversation_id, head, None, new.now).await?;
    Ok(TurnOutcome::Accepted)
}

const NEWEST_OF: &str = "SELECT generation_id FROM message WHERE id = $1";
const GO_ON: &str = "UPDATE message
    SET state = $2, model = $3, generation_id = $4, finish_reason = NULL, error_code = NULL WHERE id = $1";

/// Puts the message under the new generation, or gives back the one that is newer than `earlier`. Its
/// row keeps the text until the new end: whoever finds its log damaged still has that.
async fn go_on(db: &Db, new: &NewGeneration, earlier: &Generation) -> Result<Option<GenerationId>, Fault> {
    let message: Uuid = earlier.message_id.as_uuid();
    let newest = column::id(&db.one(NEWEST_OF, &[&message]).await?, 0, GenerationId::from_uuid)?;
    if newest != earlier.id {
        return Ok(Some(newest));
    }
    search::delete(db, earlier.message_id).await?;
    let model = text(&new.request.model);
    db.run(GO_ON, &[&message, &State::Running.as_str(), &model, &new.generation_id.as_uuid()]).await?;
    Ok(None)
}

/// What follows a message is younger, and mostly by little: the index finds that at once.
const IS_LAST: &str = "SELECT NOT EXISTS (SELECT 1 FROM message
    WHERE conversation_id = $1 AND created_at >= (SELECT created_at FROM message WHERE id = $2)
          AND parent_id = $2)";

/// Whether nothing follows a message.
async fn is_last(db: &Db, conversation: ConversationId, id: MessageId) -> Result<bool, Fault> {
    column::get(&db.one(IS_LAST, &[&conversation.as_uuid(), &id.as_uuid()]).await?, 0)
}

async fn insert_sibling(db: &Db, new: &NewGeneration, earlier: &Generation, id: MessageId) -> Result<(), Fault> {
    let parent = message::get(db, new.owner, earlier.message_id).await?.parent_id;
    let sibling = message::NewMessage {
        id,
        owner: new.owner,
        conversation: earlier.conversation_id,
        parent,
        created_at: new.now,
    };
    message::insert(db, &sibling, Written::By(new.generation_id, &new.request.model)).await
}
