//! Conversations.

use r1_domain::{
    conversation::{Conversation, ConversationChange, TitledBy},
    id::{ConversationId, GenerationId, MessageId, UserId},
    page::{Page, PageCursor, PageRequest},
    store::{Earlier, IdempotencyKey, StoreError},
    time::Timestamp,
};
use tokio_postgres::Row;

use crate::{
    branch,
    column::{self, text},
    connection::Db,
    error::Fault,
    idempotency, job,
};

/// A conversation has one open job of a kind: all of them are few.
const ALL_JOBS: usize = 1000;

/// Reads `id` and [`columns`]. No title can be empty: an empty one is one that nobody gave.
fn from_row(row: &Row) -> Result<Conversation, Fault> {
    Ok(Conversation {
        id: column::id(row, 0, ConversationId::from_uuid)?,
        title: column::optional_string(row, 1)?,
        head: column::optional_id(row, 2, MessageId::from_uuid)?,
        created_at: column::time(row, 3)?,
        updated_at: column::time(row, 4)?,
        running: column::optional_id(row, 5, GenerationId::from_uuid)?,
        titled_by: column::titled_by(row, 6)?,
        title_pending: column::get(row, 7)?,
    })
}

/// What is read of a conversation; the running generation by its unique index, its job of [`TITLE`](r1_domain::jobs::TITLE) by another.
macro_rules! columns {
    () => {
        "nullif(title, ''), head_message_id, created_at, updated_at,
            (SELECT g.id FROM generation g
             WHERE g.conversation_id = conversation.id AND g.state IN ('queued', 'running')) AS running, titled_by,
            EXISTS (SELECT 1 FROM job j WHERE j.conversation_id = conversation.id AND j.kind = 'title')"
    };
}

/// Makes a conversation, or says what the key made.
pub(crate) async fn create(
    db: &Db,
    owner: UserId,
    id: ConversationId,
    title: Option<&str>,
    key: Option<&IdempotencyKey>,
    now: Timestamp,
) -> Result<Result<Conversation, Earlier>, Fault> {
    if let Some(earlier) = idempotency::claim(db, owner, key, Earlier::Conversation(id), now).await? {
        return Ok(Err(earlier));
    }
    let titled_by = if title.is_some() { TitledBy::Person } else { TitledBy::Question };
    insert(db, owner, id, title.unwrap_or_default(), titled_by, now).await?;
    let title = title.map(str::to_owned);
    Ok(Ok(Conversation {
        id,
        title,
        titled_by,
        title_pending: false,
        head: None,
        running: None,
        created_at: now,
        updated_at: now,
    }))
}

const INSERT: &str = "INSERT INTO conversation (id, owner_id, title, titled_by, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (id) DO NOTHING";

pub(crate) async fn insert(
    db: &Db,
    owner: UserId,
    id: ConversationId,
    title: &str,
    titled_by: TitledBy,
    now: Timestamp,
) -> Result<(), Fault> {
    let (id, owner, now) = (id.as_uuid(), owner.as_uuid(), now.as_micros());
    let inserted = db.run(INSERT, &[&id, &owner, &text(title), &titled_by.as_str(), &now]).await?;
    if inserted == 0 { Err(StoreError::Taken { field: "id" }.into()) } else { Ok(()) }
}

const LOCK: &str = "SELECT head_message_id FROM conversation
    WHERE id = $1 AND owner_id = $2 AND deleted_at IS NULL FOR NO KEY UPDATE";

/// Finds a conversation's head, and keeps others from beginning anything in it until the transaction's end.
pub(crate) async fn lock(db: &Db, owner: UserId, id: ConversationId) -> Result<Option<MessageId>, Fault> {
    let row = db.maybe(LOCK, &[&id.as_uuid(), &owner.as_uuid()]).await?;
    column::optional_id(&row.ok_or(StoreError::NotFound)?, 0, MessageId::from_uuid)
}

const WRITTEN_TO: &str = "UPDATE conversation
    SET head_message_id = coalesce($2, head_message_id), updated_at = greatest(updated_at, $3),
        titled_by = CASE WHEN title = '' THEN 'question' ELSE titled_by END,
        title = CASE WHEN title = '' THEN coalesce($4, '') ELSE title END
    WHERE id = $1";

/// Something was written in it: a new head, maybe; and this title, if it had none.
pub(crate) async fn written_to(
    db: &Db,
    id: ConversationId,
    head: Option<MessageId>,
    title: Option<&str>,
    now: Timestamp,
) -> Result<(), Fault> {
    let (head, title) = (head.map(|head| head.as_uuid()), title.map(text));
    db.run(WRITTEN_TO, &[&id.as_uuid(), &head, &now.as_micros(), &title]).await.map(drop)
}

const LIST: &str = concat!(
    "SELECT id, ",
    columns!(),
    " FROM conversation
     WHERE owner_id = $1 AND deleted_at IS NULL AND (updated_at, id) < ($2, $3)
     ORDER BY updated_at DESC, id DESC LIMIT $4"
);

pub(crate) async fn list(db: &Db, owner: UserId, page: PageRequest) -> Result<Page<Conversation>, Fault> {
    let (at, id) = column::before(page);
    let rows = db.all(LIST, &[&owner.as_uuid(), &at, &id, &column::rows(page)]).await?;
    let items = rows.iter().map(from_row).collect::<Result<_, _>>()?;
    Ok(column::page(items, page, |last: &Conversation| PageCursor { at: last.updated_at, id: last.id.as_uuid() }))
}

const GET: &str =
    concat!("SELECT id, ", columns!(), " FROM conversation WHERE id = $1 AND owner_id = $2 AND deleted_at IS NULL");

pub(crate) async fn get(db: &Db, owner: UserId, id: ConversationId) -> Result<Conversation, Fault> {
    found(db.maybe(GET, &[&id.as_uuid(), &owner.as_uuid()]).await?)
}

const CHANGE: &str = concat!(
    "UPDATE conversation SET title = coalesce($3, title), head_message_id = coalesce($4, head_message_id),
            titled_by = CASE WHEN $3 IS NULL THEN titled_by ELSE 'person' END,
            updated_at = CASE WHEN $3 IS NULL THEN updated_at ELSE greatest(updated_at, $5) END
     WHERE id = $1 AND owner_id = $2 AND deleted_at IS NULL RETURNING id, ",
    columns!()
);

pub(crate) async fn change(
    db: &Db,
    owner: UserId,
    id: ConversationId,
    change: &ConversationChange,
    now: Timestamp,
) -> Result<Option<Conversation>, Fault> {
    // Whose it is comes first: a stranger learns nothing of its messages. And nobody asks in it meanwhile.
    lock(db, owner, id).await?;
    let head = match change.head {
        Some(message) => match branch::tip(db, owner, id, message).await? {
            Some(tip) => Some(tip.as_uuid()),
            None => return Ok(None),
        },
        None => None,
    };
    let title = change.title.as_deref().map(text);
    let row = db.maybe(CHANGE, &[&id.as_uuid(), &owner.as_uuid(), &title, &head, &now.as_micros()]).await?;
    found(row).map(Some)
}

const RETITLE: &str = "UPDATE conversation SET title = $4, titled_by = 'model'
    WHERE id = $1 AND owner_id = $2 AND deleted_at IS NULL AND titled_by = 'question' AND title = $3";

/// Another title, for one that still has these words of its question.
pub(crate) async fn retitle(
    db: &Db,
    owner: UserId,
    id: ConversationId,
    words: &str,
    title: &str,
) -> Result<bool, Fault> {
    Ok(db.run(RETITLE, &[&id.as_uuid(), &owner.as_uuid(), &text(words), &text(title)]).await? > 0)
}

fn found(row: Option<Row>) -> Result<Conversation, Fault> {
    from_row(&row.ok_or(StoreError::NotFound)?)
}

const DELETE: &str = "UPDATE conversation SET deleted_at = $3 WHERE id = $1 AND owner_id = $2 AND deleted_at IS NULL";

pub(crate) async fn delete(db: &Db, owner: UserId, id: ConversationId, now: Timestamp) -> Result<(), Fault> {
    let deleted = db.run(DELETE, &[&id.as_uuid(), &owner.as_uuid(), &now.as_micros()]).await?;
    if deleted == 0 {
        return Err(StoreError::NotFound.into());
    }
    job::delete_of_conversation(db, id.as_uuid(), ALL_JOBS).await.map(drop)
}
