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
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    column::{self, text},
    connection::Db,
    conversation,
    error::Fault,
};

/// A page ends before the message whose text and parts would make it more: 200 of the longest would be 160 MB.
pub(crate) const PAGE_BYTES: i64 = 1 << 20;

pub(crate) fn from_row(row: &Row) -> Result<Message, Fault> {
    let content = Content::stored(column::string(row, 3)?, column::get(row, 12)?);
    Ok(Message {
        id: column::id(row, 0, MessageId::from_uuid)?,
        parent_id: column::optional_id(row, 1, MessageId::from_uuid)?,
        role: column::role(row, 2)?,
        content: content.text,
        parts: content.parts,
        state: column::state(row, 4)?,
        model: column::optional_string(row, 5)?,
        generation_id: column::optional_id(row, 6, GenerationId::from_uuid)?,
        last_event: None,
        finish_reason: column::optional_string(row, 7)?,
        error_code: column::optional_string(row, 8)?,
        remembers_from: column::optional_id(row, 9, MessageId::from_uuid)?,
        created_at: column::time(row, 10)?,
        failure: column::optional_string(row, 11)?.as_deref().and_then(Failure::read),
    })
}

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

const INSERT: &str = "INSERT INTO message
    (id, conversation_id, owner_id, parent_id, role, content, state, model, generation_id, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING";

/// Adds a message.
pub(crate) async fn insert(db: &Db, message: &NewMessage, written: Written<'_>) -> Result<(), Fault> {
    let (role, content, state, generation) = match written {
        Written::ByPerson(text) => (Role::User, text, State::Completed, None),
        Written::By(id, model) => (Role::Assistant, "", State::Running, Some((id, model))),
    };
    let inserted = db
        .run(
            INSERT,
            &[
                &message.id.as_uuid(),
                &message.conversation.as_uuid(),
                &message.owner.as_uuid(),
                &message.parent.map(|id| id.as_uuid()),
                &role.as_str(),
                &text(content),
                &state.as_str(),
                &generation.map(|(_, model)| text(model)),
                &generation.map(|(id, _)| id.as_uuid()),
                &message.created_at.as_micros(),
            ],
        )
        .await?;
    if inserted == 0 { Err(StoreError::Taken { field: "id" }.into()) } else { Ok(()) }
}

/// The texts' lengths are known without reading them; only those of the page are sent.
const LIST: &str = "SELECT id, parent_id, role, CASE WHEN bytes <= $6 OR number = 1 THEN content END, state, model,
        generation_id, finish_reason, error_code, remembers_from, created_at,
        CASE WHEN error_code IS NOT NULL THEN (SELECT terminal FROM generation g WHERE g.id = sized.generation_id) END,
        CASE WHEN bytes <= $6 OR number = 1 THEN parts END
    FROM (SELECT *, sum(octet_length(content) + coalesce(octet_length(parts), 0)) OVER page AS bytes,
                 row_number() OVER page AS number
          FROM message
          WHERE conversation_id = $1 AND owner_id = $2 AND (created_at, id) > ($3, $4)
          WINDOW page AS (ORDER BY created_at, id ROWS UNBOUNDED PRECEDING)
          ORDER BY created_at, id LIMIT $5) sized
    ORDER BY created_at, id";

pub(crate) async fn list(
    db: &Db,
    owner: UserId,
    conversation: ConversationId,
    page: PageRequest,
) -> Result<Page<Message>, Fault> {
    conversation::get(db, owner, conversation).await?;
    let (at, id) = column::after(page);
    let rows =
        db.all(LIST, &[&conversation.as_uuid(), &owner.as_uuid(), &at, &id, &column::rows(page), &PAGE_BYTES]).await?;
    let mut items = Vec::with_capacity(rows.len());
    for row in rows.iter().take(page.limit.max(1)) {
        if column::get::<Option<&str>>(row, 3)?.is_none() {
            break;
        }
        items.push(from_row(row)?);
    }
    let more = items.len() < rows.len();
    let next = items.last().filter(|_| more);
    let next = next.map(|last: &Message| PageCursor { at: last.created_at, id: last.id.as_uuid() });
    Ok(Page { items, next })
}

const GET: &str = "SELECT m.id, m.parent_id, m.role, m.content, m.state, m.model, m.generation_id, m.finish_reason,
        m.error_code, m.remembers_from, m.created_at,
        CASE WHEN m.error_code IS NOT NULL THEN (SELECT terminal FROM generation WHERE id = m.generation_id) END,
        m.parts
    FROM message m JOIN conversation c ON c.id = m.conversation_id AND c.deleted_at IS NULL
    WHERE m.id = $1 AND m.owner_id = $2";

pub(crate) async fn get(db: &Db, owner: UserId, id: MessageId) -> Result<Message, Fault> {
    let row = db.maybe(GET, &[&id.as_uuid(), &owner.as_uuid()]).await?;
    from_row(&row.ok_or(StoreError::NotFound)?)
}

/// Up from the answer (0) to its question (1) and on, until the next turn is one too many: the lengths
/// are known without reading the texts. The question and the instructions go along whatever their size.
const HISTORY: &str = "WITH RECURSIVE path (number, id, parent_id, bytes) AS (
        SELECT 0, m.id, m.parent_id, 0::bigint
        FROM message m JOIN conversation c ON c.id = m.conversation_id AND c.deleted_at IS NULL
        WHERE m.id = $1 AND m.owner_id = $2
      UNION ALL
        SELECT path.number + 1, m.id, m.parent_id, path.bytes + octet_length(m.content)
        FROM path JOIN message m ON m.id = path.parent_id AND m.owner_id = $2
        WHERE path.number = 0 OR m.role = 'system' OR path.bytes + octet_length(m.content) <= $3
    )
    SELECT path.id, m.role, CASE WHEN path.number > 0 THEN m.content END, m.parent_id, m.conversation_id
    FROM path JOIN message m ON m.id = path.id ORDER BY path.number DESC";

/// The first message of a conversation.
const FIRST: &str = "SELECT id, role, content FROM message WHERE conversation_id = $1 AND owner_id = $2
    ORDER BY created_at, id LIMIT 1";

pub(crate) async fn history(db: &Db, owner: UserId, answer: MessageId, max_bytes: usize) -> Result<History, Fault> {
    let rows = db.all(HISTORY, &[&answer.as_uuid(), &owner.as_uuid(), &column::signed(max_bytes)]).await?;
    // The answer itself is the last.
    let Some((_, path)) = rows.split_last() else { return Err(StoreError::NotFound.into()) };
    let Some(oldest) = path.first() else { return Ok(History { turns: Vec::new(), whole: true }) };
    let whole = column::get::<Option<Uuid>>(oldest, 3)?.is_none();
    let mut turns = Vec::with_capacity(path.len() + 1);
    if !whole {
        let conversation: Uuid = column::get(oldest, 4)?;
        // The system turn with which the conversation begins, if it does.
        let first = db.maybe(FIRST, &[&conversation, &owner.as_uuid()]).await?.as_ref().map(past_turn).transpose()?;
        turns.extend(first.filter(|first| first.turn.role == Role::System));
    }
    for row in path {
        turns.push(past_turn(row)?);
    }
    Ok(History { turns, whole })
}

fn past_turn(row: &Row) -> Result<PastTurn, Fault> {
    let turn = Turn { role: column::role(row, 1)?, content: column::string(row, 2)? };
    Ok(PastTurn { id: column::id(row, 0, MessageId::from_uuid)?, turn })
}
