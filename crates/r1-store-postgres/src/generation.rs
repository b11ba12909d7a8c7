//! Generations: the rows beside the logs.

mod begin;

pub(crate) use begin::{NewRow, begin, insert};

use r1_domain::{
    generation::{Generation, Spent},
    id::{ConversationId, GenerationId, MessageId, NodeId, UserId},
    store::{StoreError, TurnOutcome},
    time::Timestamp,
};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    column,
    connection::{Db, Params},
    conversation,
    error::Fault,
};

/// Reads `id, owner_id, conversation_id, message_id, state, epoch, node_id, request, created_at,
/// grammar`.
pub(crate) fn from_row(row: &Row) -> Result<Generation, Fault> {
    let request = serde_json::from_str(column::get(row, 7)?).map_err(|_| Fault::Broken("a request is not JSON"))?;
    Ok(Generation {
        id: column::id(row, 0, GenerationId::from_uuid)?,
        owner: column::id(row, 1, UserId::from_uuid)?,
        conversation_id: column::id(row, 2, ConversationId::from_uuid)?,
        message_id: column::id(row, 3, MessageId::from_uuid)?,
        state: column::state(row, 4)?,
        epoch: column::unsigned(row, 5)?,
        node_id: column::id(row, 6, NodeId::from_uuid)?,
        request,
        created_at: column::time(row, 8)?,
        grammar: column::unsigned(row, 9)?,
    })
}

const GET: &str = "SELECT g.id, g.owner_id, g.conversation_id, g.message_id, g.state, g.epoch, g.node_id, g.request,
        g.created_at, g.grammar
    FROM generation g JOIN conversation c ON c.id = g.conversation_id AND c.deleted_at IS NULL
    WHERE g.id = $1 AND g.owner_id = $2";

pub(crate) async fn get(db: &Db, owner: UserId, id: GenerationId) -> Result<Generation, Fault> {
    let row = db.maybe(GET, &[&id.as_uuid(), &owner.as_uuid()]).await?;
    from_row(&row.ok_or(StoreError::NotFound)?)
}

const SPENT: &str = "SELECT g.usage, g.first_token_ms, g.created_at, g.ended_at
    FROM generation g JOIN conversation c ON c.id = g.conversation_id AND c.deleted_at IS NULL
    WHERE g.id = $1 AND g.owner_id = $2";

pub(crate) async fn spent(db: &Db, owner: UserId, id: GenerationId) -> Result<Spent, Fault> {
    let row = db.maybe(SPENT, &[&id.as_uuid(), &owner.as_uuid()]).await?.ok_or(StoreError::NotFound)?;
    let usage: Option<&str> = column::get(&row, 0)?;
    let first_token_ms: Option<i64> = column::get(&row, 1)?;
    let ended_at: Option<i64> = column::get(&row, 3)?;
    Ok(Spent {
        usage: usage.and_then(|usage| serde_json::from_str(usage).ok()),
        first_token_ms: first_token_ms.and_then(|millis| u64::try_from(millis).ok()),
        created_at: column::time(&row, 2)?,
        ended_at: ended_at.map(Timestamp::from_micros),
    })
}

const IS_THERE: &str = "SELECT EXISTS (SELECT 1 FROM generation WHERE id = $1)";

/// Whether there is one, whosever it is.
pub(crate) async fn is_there(db: &Db, id: GenerationId) -> Result<bool, Fault> {
    column::get(&db.one(IS_THERE, &[&id.as_uuid()]).await?, 0)
}

const COUNT_RUNNING: &str = "SELECT count(*) FROM generation WHERE owner_id = $1 AND state IN ('queued', 'running')";

/// Those of deleted conversations too: they cost as much.
pub(crate) async fn count_running(db: &Db, owner: UserId) -> Result<usize, Fault> {
    column::unsigned(&db.one(COUNT_RUNNING, &[&owner.as_uuid()]).await?, 0)
}

/// Whoever begins another of this owner's waits here for its turn, so that two don't count the same.
const TURN: &str = "SELECT 1 FROM account WHERE id = $1 FOR NO KEY UPDATE";

/// Refuses another generation where as many run, on whatever nodes, as one may have.
pub(crate) async fn check_running(db: &Db, owner: UserId, most: Option<usize>) -> Result<(), Fault> {
    let Some(most) = most else { return Ok(()) };
    let owner_id = owner.as_uuid();
    // One after the other at the server, sent together.
    let params: Params<'_> = &[&owner_id];
    let (_, running) = tokio::try_join!(biased; db.run(TURN, params), count_running(db, owner))?;
    if running >= most { Err(Fault::Refused(TurnOutcome::TooMany)) } else { Ok(()) }
}

/// The one that runs in a conversation.
const RUNNING_IN: &str = "SELECT id FROM generation WHERE conversation_id = $1 AND state IN ('queued', 'running')";
const NEWEST_IN: &str =
    "SELECT id FROM generation WHERE conversation_id = $1 ORDER BY created_at DESC, id DESC LIMIT 1";
const NEWEST_RUNNING: &str = "SELECT g.id FROM generation g
    JOIN conversation c ON c.id = g.conversation_id AND c.deleted_at IS NULL
    WHERE g.owner_id = $1 AND g.state IN ('queued', 'running')
    ORDER BY g.created_at DESC, g.id DESC LIMIT 1";

pub(crate) async fn running_in(db: &Db, conversation: ConversationId) -> Result<Option<GenerationId>, Fault> {
    find(db, RUNNING_IN, conversation.as_uuid()).await
}

/// A conversation that is not the owner's is not found; one without generations has none.
pub(crate) async fn to_follow(
    db: &Db,
    owner: UserId,
    conversation: Option<ConversationId>,
) -> Result<Option<GenerationId>, Fault> {
    let Some(id) = conversation else { return find(db, NEWEST_RUNNING, owner.as_uuid()).await };
    conversation::get(db, owner, id).await?;
    match running_in(db, id).await? {
        None => find(db, NEWEST_IN, id.as_uuid()).await,
        running => Ok(running),
    }
}

async fn find(db: &Db, sql: &'static str, key: Uuid) -> Result<Option<GenerationId>, Fault> {
    let row = db.maybe(sql, &[&key]).await?;
    row.map(|row| column::id(&row, 0, GenerationId::from_uuid)).transpose()
}
