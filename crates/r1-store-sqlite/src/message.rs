//! Messages, and the path from an answer up to the root.

use r1_domain::{
    event::Failure,
    generation::State,
    history::{History, PastTurn},
    id::{ConversationId, GenerationId, MessageId, UserId},
    message::{Message, Role, Turn},
    page::{Page, PageCursor, PageRequest},
    part::Content,
    store::StoreError,
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{
    column::{self, Id},
    conversation,
    error::Fault,
};

/// A page ends before the message whose text and parts would make it more: 200 of the longest would be 160 MB.
pub(crate) const PAGE_BYTES: usize = 1 << 20;

/// Reads [`columns`].
pub(crate) fn from_row(row: &Row<'_>) -> rusqlite::Result<Message> {
    let content = Content::stored(row.get(3)?, row.get_ref(12)?.as_str_or_null()?);
    Ok(Message {
        id: column::id(row, 0)?,
        parent_id: column::optional_id(row, 1)?,
        role: column::role(row, 2)?,
        content: content.text,
        parts: content.parts,
        state: column::state(row, 4)?,
        model: row.get(5)?,
        generation_id: column::optional_id(row, 6)?,
        last_event: None,
        finish_reason: row.get(7)?,
        error_code: row.get(8)?,
        remembers_from: column::optional_id(row, 9)?,
        created_at: column::time(row, 10)?,
        failure: row.get_ref(11)?.as_str_or_null()?.and_then(Failure::read),
    })
}

/// What is read of a message.
macro_rules! columns {
    () => {
        "id, parent_id, role, content, state, model, generation_id, finish_reason, error_code, remembers_from, created_at,
            CASE WHEN error_code IS NOT NULL THEN (SELECT terminal FROM generation WHERE id = message.generation_id) END,
            parts"
    };
}
pub(crate) use columns;

/// A message to be.
#[derive(Clone, Copy)]
pub(crate) struct NewMessage {
    pub(crate) id: MessageId,
    pub(crate) owner: UserId,
    pub(crate) conversation: ConversationId,
    pub(crate) parent: Option<MessageId>,
    pub(crate) created_at: Timestamp,
}

/// Who writes it.
#[derive(Clone, Copy)]
pub(crate) enum Written<'a> {
    /// The user has written this.
    ByPerson(&'a str),
    /// This generation will, with this model.
    By(GenerationId, &'a str),
}

/// Adds a message. Gives back its number.
pub(crate) fn insert(db: &Connection, message: &NewMessage, written: Written<'_>) -> Result<i64, Fault> {
    let (role, content, state, generation) = match written {
        Written::ByPerson(text) => (Role::User, text, State::Completed, None),
        Written::By(id, model) => (Role::Assistant, "", State::Running, Some((id, model))),
    };
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
                message.conversation.blob(),
                message.owner.blob(),
                message.parent.map(|id| id.blob()),
                role.as_str(),
                content,
                state.as_str(),
                generation.map(|(_, model)| model),
                generation.map(|(id, _)| id.blob()),
                message.created_at.as_micros(),
            ],
            |row| row.get(0),
        )
        .optional()?;
    inserted.ok_or_else(|| StoreError::Taken { field: "id" }.into())
}

pub(crate) const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM message
     WHERE conversation_id = ?1 AND owner_id = ?2 AND (created_at, id) > (?3, ?4)
     ORDER BY created_at, id LIMIT ?5"
);

pub(crate) fn list(
    db: &Connection,
    owner: UserId,
    conversation: ConversationId,
    page: PageRequest,
) -> Result<Page<Message>, Fault> {
    conversation::get(db, owner, conversation)?;
    let (at, id) = column::after(page);
    let mut statement = db.prepare_cached(LIST)?;
    let mut rows = statement.query(params![conversation.blob(), owner.blob(), at, id, column::rows(page)])?;
    let (mut items, mut bytes): (Vec<Message>, usize) = (Vec::new(), 0);
    let mut more = false;
    while let Some(row) = rows.next()? {
        let size = |column: usize| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_str_or_null()?.map_or(0, str::len));
        bytes += size(3)? + size(12)?;
        // Nothing is read of what comes after.
        more = items.len() >= page.limit.max(1) || (bytes > PAGE_BYTES && !items.is_empty());
        if more {
            break;
        }
        items.push(from_row(row)?);
    }
    let next = items.last().filter(|_| more).map(|last| PageCursor { at: last.created_at, id: last.id.as_uuid() });
    Ok(Page { items, next })
}

pub(crate) fn get(db: &Connection, owner: UserId, id: MessageId) -> Result<Message, Fault> {
    let found = db
        .prepare_cached(
            "SELECT m.id, m.parent_id, m.role, m.content, m.state, m.model, m.generation_id, m.finish_reason,
                    m.error_code, m.remembers_from, m.created_at,
                    CASE WHEN m.error_code IS NOT NULL
                         THEN (SELECT terminal FROM generation WHERE id = m.generation_id) END,
                    m.parts
             FROM message m JOIN conversation c ON c.id = m.conversation_id AND c.deleted_at IS NULL
             WHERE m.id = ?1 AND m.owner_id = ?2",
        )?
        .query_row([id.blob(), owner.blob()], from_row)
        .optional()?;
    Ok(found.ok_or(StoreError::NotFound)?)
}

pub(crate) const HISTORY_START: &str = "SELECT m.parent_id
     FROM message m JOIN conversation c ON c.id = m.conversation_id AND c.deleted_at IS NULL
     WHERE m.id = ?1 AND m.owner_id = ?2";
/// From where the path goes on, towards the conversation's beginning.
pub(crate) const HISTORY_PLACE: &str =
    "SELECT conversation_id, created_at FROM message WHERE id = ?1 AND owner_id = ?2";
pub(crate) const HISTORY_BACK: &str = "SELECT id, parent_id, role, content FROM message
     WHERE conversation_id = ?1 AND owner_id = ?2 AND (created_at, id) <= (?3, ?4)
     ORDER BY created_at DESC, id DESC";
/// The first message of a conversation.
pub(crate) const FIRST: &str = "SELECT id, role, content FROM message
     WHERE conversation_id = ?1 AND owner_id = ?2 ORDER BY created_at, id LIMIT 1";
/// Messages in a row that are not on the path, after which its next one is looked up instead.
const HISTORY_ASIDE: usize = 8;

/// Reads from an answer's question up, newest first, until the next turn is one too many.
pub(crate) fn history(db: &Connection, owner: UserId, answer: MessageId, max_bytes: usize) -> Result<History, Fault> {
    let question: Option<[u8; 16]> = db
        .prepare_cached(HISTORY_START)?
        .query_row([answer.blob(), owner.blob()], |row| row.get(0))
        .optional()?
        .ok_or(StoreError::NotFound)?;
    path(db, owner, question, Vec::new(), max_bytes)
}

/// The path down to a question that is not stored yet: it, and what precedes it.
pub(crate) fn history_before(
    db: &Connection,
    owner: UserId,
    parent: MessageId,
    question: PastTurn,
    max_bytes: usize,
) -> Result<History, Fault> {
    let left = max_bytes.saturating_sub(question.turn.content.len());
    path(db, owner, Some(parent.blob()), vec![question], left)
}

/// Puts the path from `next` to the root before `turns`, which are the newest first; gives back all of it,
/// oldest first.
///
/// What precedes a message is most often the one that was written before it, so the conversation is read
/// backwards, in one sweep, which costs half of what a look-up per message does; and no further than
/// fits. Where other branches lie between, or a clock was set back, a look-up finds the place to go on
/// from. Each sweep begins with a message of the path.
fn path(
    db: &Connection,
    owner: UserId,
    mut next: Option<[u8; 16]>,
    mut turns: Vec<PastTurn>,
    mut left: usize,
) -> Result<History, Fault> {
    let mut place = db.prepare_cached(HISTORY_PLACE)?;
    let mut back = db.prepare_cached(HISTORY_BACK)?;
    let mut cut = None;
    'path: while let Some(from) = next {
        let (conversation, created_at): ([u8; 16], i64) =
            place.query_row([from, owner.blob()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let mut rows = back.query(params![conversation, owner.blob(), created_at, from])?;
        let mut aside = 0;
        while let (Some(wanted), Some(row)) = (next, rows.next()?) {
            if row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)? != wanted {
                aside += 1;
                if aside > HISTORY_ASIDE {
                    break;
                }
                continue;
            }
            aside = 0;
            let content = row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?;
            let role = column::role(row, 2)?;
            match left.checked_sub(content.len()) {
                Some(rest) => left = rest,
                // The question and the instructions go along whatever their size.
                None if turns.is_empty() || role == Role::System => left = 0,
                None => {
                    cut = Some(conversation);
                    break 'path;
                }
            }
            turns.push(PastTurn { id: column::id(row, 0)?, turn: Turn { role, content: content.to_owned() } });
            next = row.get(1)?;
        }
        if next == Some(from) {
            return Err(Fault::Broken("a message is not found in its conversation"));
        }
    }
    if let Some(conversation) = cut {
        turns.extend(instructions(db, owner, conversation)?);
    }
    turns.reverse();
    Ok(History { turns, whole: cut.is_none() })
}

/// The system turn with which a conversation begins, if it does.
fn instructions(db: &Connection, owner: UserId, conversation: [u8; 16]) -> Result<Option<PastTurn>, Fault> {
    let first = db.prepare_cached(FIRST)?.query_row(params![conversation, owner.blob()], |row| {
        let turn = Turn { role: column::role(row, 1)?, content: row.get(2)? };
        Ok(PastTurn { id: column::id(row, 0)?, turn })
    });
    Ok(first.optional()?.filter(|first| first.turn.role == Role::System))
}
