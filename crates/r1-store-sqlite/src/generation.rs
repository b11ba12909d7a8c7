//! Generations: the rows beside the logs.

mod begin;

pub(crate) use begin::{Beginning, NewRow, begin, insert};

use r1_domain::{
    generation::{Generation, Spent},
    id::{ConversationId, GenerationId, UserId},
    store::StoreError,
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension, Row};

use crate::{
    column::{self, Id},
    conversation,
    error::Fault,
};

/// Reads `id, owner_id, conversation_id, message_id, state, epoch, node_id, request, created_at,
/// grammar`.
pub(crate) fn from_row(row: &Row<'_>) -> rusqlite::Result<Generation> {
    let request = serde_json::from_str(row.get_ref(7)?.as_str()?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(7, rusqlite::types::Type::Text, Box::new(error)))?;
    Ok(Generation {
        id: column::id(row, 0)?,
        owner: column::id(row, 1)?,
        conversation_id: column::id(row, 2)?,
        message_id: column::id(row, 3)?,
        state: column::state(row, 4)?,
        epoch: column::unsigned(row, 5)?,
        node_id: column::id(row, 6)?,
        request,
        created_at: column::time(row, 8)?,
        grammar: column::unsigned(row, 9)?,
    })
}

pub(crate) fn get(db: &Connection, owner: UserId, id: GenerationId) -> Result<Generation, Fault> {
    let found = db
        .prepare_cached(
            "SELECT g.id, g.owner_id, g.conversation_id, g.message_id, g.state, g.epoch, g.node_id, g.request,
                    g.created_at, g.grammar
             FROM generation g
             JOIN conversation c ON c.id = g.conversation_id AND c.deleted_at IS NULL
             WHERE g.id = ?1 AND g.owner_id = ?2",
        )?
        .query_row([id.blob(), owner.blob()], from_row)
        .optional()?;
    Ok(found.ok_or(StoreError::NotFound)?)
}

pub(crate) fn spent(db: &Connection, owner: UserId, id: GenerationId) -> Result<Spent, Fault> {
    let found = db
        .prepare_cached(
            "SELECT g.usage, g.first_token_ms, g.created_at, g.ended_at
             FROM generation g
             JOIN conversation c ON c.id = g.conversation_id AND c.deleted_at IS NULL
             WHERE g.id = ?1 AND g.owner_id = ?2",
        )?
        .query_row([id.blob(), owner.blob()], |row| {
            Ok(Spent {
                usage: row.get_ref(0)?.as_str_or_null()?.and_then(|usage| serde_json::from_str(usage).ok()),
                first_token_ms: row.get::<_, Option<i64>>(1)?.and_then(|millis| u64::try_from(millis).ok()),
                created_at: column::time(row, 2)?,
                ended_at: row.get::<_, Option<i64>>(3)?.map(Timestamp::from_micros),
            })
        })
        .optional()?;
    Ok(found.ok_or(StoreError::NotFound)?)
}

pub(crate) const COUNT_RUNNING: &str =
    "SELECT count(*) FROM generation WHERE owner_id = ?1 AND state IN ('queued', 'running')";

/// Those of deleted conversations too: they cost as much.
pub(crate) fn count_running(db: &Connection, owner: UserId) -> Result<usize, Fault> {
    Ok(db.prepare_cached(COUNT_RUNNING)?.query_row([owner.blob()], |row| column::unsigned(row, 0))?)
}

/// Whether the owner has as many running ones as one may have.
pub(crate) fn too_many_run(db: &Connection, owner: UserId, most: Option<usize>) -> Result<bool, Fault> {
    Ok(match most {
        Some(most) => count_running(db, owner)? >= most,
        None => false,
    })
}

/// The one that runs in a conversation.
pub(crate) const RUNNING_IN: &str =
    "SELECT id FROM generation WHERE conversation_id = ?1 AND state IN ('queued', 'running')";
pub(crate) const NEWEST_IN: &str =
    "SELECT id FROM generation WHERE conversation_id = ?1 ORDER BY created_at DESC, id DESC LIMIT 1";
pub(crate) const NEWEST_RUNNING: &str = "SELECT g.id FROM generation g
     JOIN conversation c ON c.id = g.conversation_id AND c.deleted_at IS NULL
     WHERE g.owner_id = ?1 AND g.state IN ('queued', 'running')
     ORDER BY g.created_at DESC, g.id DESC LIMIT 1";

pub(crate) fn running_in(db: &Connection, conversation: ConversationId) -> Result<Option<GenerationId>, Fault> {
    find(db, RUNNING_IN, conversation.blob())
}

/// A conversation that is not the owner's is not found; one without generations has none.
pub(crate) fn to_follow(
    db: &Connection,
    owner: UserId,
    conversation: Option<ConversationId>,
) -> Result<Option<GenerationId>, Fault> {
    let Some(id) = conversation else { return find(db, NEWEST_RUNNING, owner.blob()) };
    conversation::get(db, owner, id)?;
    match running_in(db, id)? {
        None => find(db, NEWEST_IN, id.blob()),
        running => Ok(running),
    }
}

fn find(db: &Connection, sql: &str, key: [u8; 16]) -> Result<Option<GenerationId>, Fault> {
    Ok(db.prepare_cached(sql)?.query_row([key], |row| column::id(row, 0)).optional()?)
}
