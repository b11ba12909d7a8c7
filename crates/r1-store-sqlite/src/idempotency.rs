//! Idempotency keys: what a request made, so that its repetition makes nothing.

use r1_domain::{
    id::UserId,
    store::{Earlier, IdempotencyKey},
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    column::{self, Id},
    error::Fault,
};

pub(crate) fn find(db: &Connection, owner: UserId, key: &IdempotencyKey) -> Result<Option<Earlier>, Fault> {
    let found = db
        .prepare_cached(
            "SELECT fingerprint, generation_id, conversation_id FROM idempotency WHERE owner_id = ?1 AND key = ?2",
        )?
        .query_row(params![owner.blob(), key.key], |row| {
            Ok((row.get::<_, [u8; 32]>(0)?, column::optional_id(row, 1)?, column::optional_id(row, 2)?))
        })
        .optional()?;
    let Some((fingerprint, generation, conversation)) = found else { return Ok(None) };
    if fingerprint != key.fingerprint {
        return Ok(Some(Earlier::OtherRequest));
    }
    Ok(generation.map(Earlier::Generation).or(conversation.map(Earlier::Conversation)))
}

/// Records a key that was not there, in the transaction of what it made.
pub(crate) fn insert(
    db: &Connection,
    owner: UserId,
    key: &IdempotencyKey,
    made: Earlier,
    now: Timestamp,
) -> Result<(), Fault> {
    let (generation, conversation) = match made {
        Earlier::Generation(id) => (Some(id.blob()), None),
        Earlier::Conversation(id) => (None, Some(id.blob())),
        Earlier::OtherRequest => return Err(Fault::Broken("another request can't be recorded under a key")),
    };
    db.prepare_cached(
        "INSERT INTO idempotency (owner_id, key, fingerprint, generation_id, conversation_id, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![owner.blob(), key.key, key.fingerprint, generation, conversation, now.as_micros()])?;
    Ok(())
}
