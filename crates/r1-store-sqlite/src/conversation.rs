//! Conversations.

use r1_domain::{
    conversation::{Conversation, ConversationChange, TitledBy},
    id::{ConversationId, MessageId, UserId},
    page::{Page, PageCursor, PageRequest},
    store::{Earlier, IdempotencyKey, StoreError},
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{
    branch,
    column::{self, Id},
    error::Fault,
    idempotency, job,
};

/// A conversation has one open job of a kind: all of them are few.
const ALL_JOBS: i64 = 1000;

/// Reads `id` and [`columns`]. No title can be empty: an empty one is one that nobody gave.
fn from_row(row: &Row<'_>) -> rusqlite::Result<Conversation> {
    Ok(Conversation {
        id: column::id(row, 0)?,
        title: row.get(1)?,
        head: column::optional_id(row, 2)?,
        created_at: column::time(row, 3)?,
        updated_at: column::time(row, 4)?,
        running: column::optional_id(row, 5)?,
        titled_by: column::titled_by(row, 6)?,
        title_pending: row.get(7)?,
    })
}

/// What is read of a conversation; the running generation by its unique index, its job of [`TITLE`](r1_domain::jobs::TITLE) by another.
macro_rules! columns {
    () => {
        "nullif(title, ''), head_message_id, created_at, updated_at,
            (SELECT g.id FROM generation g
             WHERE g.conversation_id = conversation.id AND g.state IN ('queued', 'running')), titled_by,
            EXISTS (SELECT 1 FROM job j WHERE j.conversation_id = conversation.id AND j.kind = 'title')"
    };
}

/// Makes a conversation, or says what the key made.
pub(crate) fn create(
    db: &Connection,
    owner: UserId,
    id: ConversationId,
    title: Option<&str>,
    key: Option<&IdempotencyKey>,
    now: Timestamp,
) -> Result<Result<Conversation, Earlier>, Fault> {
    if let Some(key) = key {
        if let Some(earlier) = idempotency::find(db, owner, key)? {
            return Ok(Err(earlier));
        }
        idempotency::insert(db, owner, key, Earlier::Conversation(id), now)?;
    }
    let titled_by = if title.is_some() { TitledBy::Person } else { TitledBy::Question };
    insert(db, owner, id, title.unwrap_or_default(), titled_by, now)?;
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

pub(crate) fn insert(
    db: &Connection,
    owner: UserId,
    id: ConversationId,
    title: &str,
    titled_by: TitledBy,
    now: Timestamp,
) -> Result<(), Fault> {
    let inserted = db
        .prepare_cached(
            "INSERT INTO conversation (id, owner_id, title, titled_by, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?5) ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![id.blob(), owner.blob(), title, titled_by.as_str(), now.as_micros()])?;
    if inserted == 0 { Err(StoreError::Taken { field: "id" }.into()) } else { Ok(()) }
}

/// Something was written in it: a new head, maybe; and this title, if it had none.
pub(crate) fn written_to(
    db: &Connection,
    id: ConversationId,
    head: Option<MessageId>,
    title: Option<&str>,
    now: Timestamp,
) -> Result<(), Fault> {
    db.prepare_cached(
        "UPDATE conversation SET head_message_id = coalesce(?2, head_message_id), updated_at = max(updated_at, ?3),
                titled_by = CASE WHEN title = '' THEN 'question' ELSE titled_by END,
                title = CASE WHEN title = '' THEN coalesce(?4, '') ELSE title END
         WHERE id = ?1",
    )?
    .execute(params![id.blob(), head.map(|head| head.blob()), now.as_micros(), title])?;
    Ok(())
}

pub(crate) const LIST: &str = concat!(
    "SELECT id, ",
    columns!(),
    " FROM conversation
     WHERE owner_id = ?1 AND deleted_at IS NULL AND (updated_at, id) < (?2, ?3)
     ORDER BY updated_at DESC, id DESC LIMIT ?4"
);

pub(crate) fn list(db: &Connection, owner: UserId, page: PageRequest) -> Result<Page<Conversation>, Fault> {
    let (at, id) = column::before(page);
    let mut statement = db.prepare_cached(LIST)?;
    let rows = statement.query_map(params![owner.blob(), at, id, column::rows(page)], from_row)?;
    let items = rows.collect::<Result<_, _>>()?;
    Ok(column::page(items, page, |last: &Conversation| PageCursor { at: last.updated_at, id: last.id.as_uuid() }))
}

pub(crate) fn get(db: &Connection, owner: UserId, id: ConversationId) -> Result<Conversation, Fault> {
    let found = db
        .prepare_cached(concat!(
            "SELECT id, ",
            columns!(),
            " FROM conversation WHERE id = ?1 AND owner_id = ?2 AND deleted_at IS NULL"
        ))?
        .query_row([id.blob(), owner.blob()], from_row)
        .optional()?;
    Ok(found.ok_or(StoreError::NotFound)?)
}

pub(crate) fn change(
    db: &Connection,
    owner: UserId,
    id: ConversationId,
    change: &ConversationChange,
    now: Timestamp,
) -> Result<Option<Conversation>, Fault> {
    // Whose it is comes first: a stranger learns nothing of its messages.
    get(db, owner, id)?;
    let head = match change.head {
        Some(message) => match branch::tip(db, owner, id, message)? {
            Some(tip) => Some(tip.blob()),
            None => return Ok(None),
        },
        None => None,
    };
    let changed = db
        .prepare_cached(concat!(
            "UPDATE conversation SET title = coalesce(?3, title), head_message_id = coalesce(?4, head_message_id),
                    titled_by = CASE WHEN ?3 IS NULL THEN titled_by ELSE 'person' END,
                    updated_at = CASE WHEN ?3 IS NULL THEN updated_at ELSE max(updated_at, ?5) END
             WHERE id = ?1 AND owner_id = ?2 AND deleted_at IS NULL RETURNING id, ",
            columns!()
        ))?
        .query_row(params![id.blob(), owner.blob(), change.title, head, now.as_micros()], from_row)
        .optional()?;
    Ok(Some(changed.ok_or(StoreError::NotFound)?))
}

/// Another title, for one that still has these words of its question.
pub(crate) fn retitle(
    db: &Connection,
    owner: UserId,
    id: ConversationId,
    words: &str,
    title: &str,
) -> Result<bool, Fault> {
    let changed = db
        .prepare_cached(
            "UPDATE conversation SET title = ?4, titled_by = 'model'
             WHERE id = ?1 AND owner_id = ?2 AND deleted_at IS NULL AND titled_by = 'question' AND title = ?3",
        )?
        .execute(params![id.blob(), owner.blob(), words, title])?;
    Ok(changed > 0)
}

pub(crate) fn delete(db: &Connection, owner: UserId, id: ConversationId, now: Timestamp) -> Result<(), Fault> {
    let deleted = db
        .prepare_cached(
            "UPDATE conversation SET deleted_at = ?3 WHERE id = ?1 AND owner_id = ?2 AND deleted_at IS NULL",
        )?
        .execute(params![id.blob(), owner.blob(), now.as_micros()])?;
    if deleted == 0 {
        return Err(StoreError::NotFound.into());
    }
    job::delete_of_conversation(db, id.blob(), ALL_JOBS).map(drop)
}
