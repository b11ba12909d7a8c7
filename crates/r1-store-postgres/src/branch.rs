//! One branch of a conversation: up from a message to the root, and down to its end.

use std::collections::HashSet;

use r1_domain::{
    branch::{BranchEnd, BranchPage, BranchRequest, MOST_SIBLINGS, siblings_of},
    id::{ConversationId, MessageId, UserId},
    store::StoreError,
};
use uuid::Uuid;

use crate::{
    column,
    connection::{Db, Params},
    conversation,
    error::Fault,
    message::{PAGE_BYTES, from_row},
};

/// Up from a message, until the next one is one too many: the texts' lengths are known without reading them, and only
/// those of the page are sent. The last row may be the message before the page.
const PAGE: &str = "WITH RECURSIVE path (number, id, parent_id, bytes) AS (
        SELECT 1::bigint, id, parent_id, octet_length(content)::bigint + octet_length(coalesce(parts, ''))
        FROM message WHERE id = $1 AND conversation_id = $2 AND owner_id = $3
      UNION ALL
        SELECT path.number + 1, m.id, m.parent_id, path.bytes + octet_length(m.content) + octet_length(coalesce(m.parts, ''))
        FROM path JOIN message m ON m.id = path.parent_id AND m.conversation_id = $2 AND m.owner_id = $3
        WHERE path.number <= $4 AND (path.number = 1 OR path.bytes <= $5)
    )
    SELECT m.id, m.parent_id, m.role,
        CASE WHEN path.number = 1 OR (path.number <= $4 AND path.bytes <= $5) THEN m.content END, m.state, m.model,
        m.generation_id, m.finish_reason, m.error_code, m.remembers_from, m.created_at,
        CASE WHEN m.error_code IS NOT NULL THEN (SELECT terminal FROM generation g WHERE g.id = m.generation_id) END,
        m.parts,
        CASE WHEN m.parent_id IS NULL
            THEN ARRAY(SELECT s.id FROM message s
                WHERE s.conversation_id = $2 AND s.owner_id = $3 AND s.parent_id IS NULL AND s.role = m.role
                ORDER BY s.created_at DESC, s.id DESC LIMIT $6)
            ELSE ARRAY(SELECT s.id FROM message s
                WHERE s.conversation_id = $2 AND s.owner_id = $3 AND s.parent_id = m.parent_id AND s.role = m.role
                ORDER BY s.created_at DESC, s.id DESC LIMIT $6)
        END
    FROM path JOIN message m ON m.id = path.id ORDER BY path.number";

pub(crate) async fn page(
    db: &Db,
    owner: UserId,
    conversation: ConversationId,
    request: BranchRequest,
) -> Result<BranchPage, Fault> {
    // Whose it is comes first: a stranger learns nothing of its messages.
    let head = conversation::get(db, owner, conversation).await?.head;
    let end = match request.end {
        BranchEnd::Head => match head_or_newest(db, owner, conversation, head).await? {
            Some(end) => end,
            None => return Ok(BranchPage::default()),
        },
        BranchEnd::Through(message) => tip(db, owner, conversation, message).await?.ok_or(StoreError::NotFound)?,
        BranchEnd::At(message) => message,
    };
    let limit: i64 = column::signed(request.limit.max(1));
    let most: i64 = column::signed(MOST_SIBLINGS);
    let params: Params<'_> = &[&end.as_uuid(), &conversation.as_uuid(), &owner.as_uuid(), &limit, &PAGE_BYTES, &most];
    let rows = db.all(PAGE, params).await?;
    let mut page = BranchPage::default();
    let mut seen = HashSet::new();
    for row in &rows {
        let id = column::id(row, 0, MessageId::from_uuid)?;
        // A ring of parents, which only a damaged database holds, ends where it closes.
        if !seen.insert(id) {
            break;
        }
        if column::get::<Option<&str>>(row, 3)?.is_none() {
            page.next = Some(id);
            break;
        }
        let newest = column::get::<Vec<Uuid>>(row, 13)?.into_iter().map(MessageId::from_uuid);
        page.siblings.push(siblings_of(id, newest));
        page.messages.push(from_row(row)?);
    }
    if page.messages.is_empty() {
        return Err(StoreError::NotFound.into());
    }
    page.messages.reverse();
    page.siblings.reverse();
    Ok(page)
}

const NEWEST: &str = "SELECT id FROM message WHERE conversation_id = $1 AND owner_id = $2
    ORDER BY created_at DESC, id DESC LIMIT 1";

async fn head_or_newest(
    db: &Db,
    owner: UserId,
    conversation: ConversationId,
    head: Option<MessageId>,
) -> Result<Option<MessageId>, Fault> {
    if let Some(head) = head
        && let Some(tip) = tip(db, owner, conversation, head).await?
    {
        return Ok(Some(tip));
    }
    let newest = db.maybe(NEWEST, &[&conversation.as_uuid(), &owner.as_uuid()]).await?;
    newest.map(|row| column::id(&row, 0, MessageId::from_uuid)).transpose()
}

/// Down by the newest message that follows each. `UNION` drops what it has seen, so a ring of a damaged database ends;
/// it has no end to give, and its first message stands for it.
const TIP: &str = "WITH RECURSIVE down (id, next) AS (
        SELECT m.id, (SELECT c.id FROM message c
            WHERE c.conversation_id = $2 AND c.owner_id = $3 AND c.parent_id = m.id
            ORDER BY c.created_at DESC, c.id DESC LIMIT 1)
        FROM message m WHERE m.id = $1 AND m.conversation_id = $2 AND m.owner_id = $3
      UNION
        SELECT down.next, (SELECT c.id FROM message c
            WHERE c.conversation_id = $2 AND c.owner_id = $3 AND c.parent_id = down.next
            ORDER BY c.created_at DESC, c.id DESC LIMIT 1)
        FROM down WHERE down.next IS NOT NULL
    )
    SELECT id FROM down WHERE next IS NULL OR id = $1 ORDER BY next IS NULL DESC LIMIT 1";

/// The end of the newest branch through a message. None where that is not in the conversation.
pub(crate) async fn tip(
    db: &Db,
    owner: UserId,
    conversation: ConversationId,
    through: MessageId,
) -> Result<Option<MessageId>, Fault> {
    let row = db.maybe(TIP, &[&through.as_uuid(), &conversation.as_uuid(), &owner.as_uuid()]).await?;
    row.map(|row| column::id(&row, 0, MessageId::from_uuid)).transpose()
}
