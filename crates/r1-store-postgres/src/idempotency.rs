//! Idempotency keys: what a request made, so that its repetition makes nothing.

use r1_domain::{
    id::{ConversationId, GenerationId, UserId},
    store::{Earlier, IdempotencyKey},
    time::Timestamp,
};

use crate::{
    column::{self, text},
    connection::Db,
    error::Fault,
};

const FIND: &str =
    "SELECT fingerprint, generation_id, conversation_id FROM idempotency WHERE owner_id = $1 AND key = $2";

pub(crate) async fn find(db: &Db, owner: UserId, key: &IdempotencyKey) -> Result<Option<Earlier>, Fault> {
    let Some(row) = db.maybe(FIND, &[&owner.as_uuid(), &text(&key.key)]).await? else { return Ok(None) };
    if column::get::<&[u8]>(&row, 0)? != key.fingerprint {
        return Ok(Some(Earlier::OtherRequest));
    }
    let generation = column::optional_id(&row, 1, GenerationId::from_uuid)?;
    let conversation = column::optional_id(&row, 2, ConversationId::from_uuid)?;
    Ok(generation.map(Earlier::Generation).or(conversation.map(Earlier::Conversation)))
}

const CLAIM: &str = "INSERT INTO idempotency (owner_id, key, fingerprint, generation_id, conversation_id, created_at)
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";

/// Records a key in the transaction of what it makes, or says what it made before. Waits for another
/// transaction that has recorded it and is not at its end.
pub(crate) async fn claim(
    db: &Db,
    owner: UserId,
    key: Option<&IdempotencyKey>,
    made: Earlier,
    now: Timestamp,
) -> Result<Option<Earlier>, Fault> {
    let Some(key) = key else { return Ok(None) };
    let (generation, conversation) = match made {
        Earlier::Generation(id) => (Some(id.as_uuid()), None),
        Earlier::Conversation(id) => (None, Some(id.as_uuid())),
        Earlier::OtherRequest => return Err(Fault::Broken("another request can't be recorded under a key")),
    };
    let claimed = db
        .run(
            CLAIM,
            &[&owner.as_uuid(), &text(&key.key), &&key.fingerprint[..], &generation, &conversation, &now.as_micros()],
        )
        .await?;
    if claimed == 1 {
        return Ok(None);
    }
    // Purged in between, it is as good as new; the client comes again.
    find(db, owner, key).await?.map(Some).ok_or(Fault::Late("an idempotency key came and went"))
}
