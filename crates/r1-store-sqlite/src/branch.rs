//! One branch of a conversation: up from a message to the root, and down to its end.

use std::collections::{HashMap, HashSet};

use r1_domain::{
    branch::{BranchEnd, BranchPage, BranchRequest, MOST_SIBLINGS, siblings_of},
    id::{ConversationId, MessageId, UserId},
    message::Message,
    part::reasoning_bytes,
    store::StoreError,
};
use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    column::{self, Id},
    conversation,
    error::Fault,
    message::{PAGE_BYTES, columns, from_row},
};

pub(crate) const MESSAGE: &str =
    concat!("SELECT ", columns!(), " FROM message WHERE id = ?1 AND conversation_id = ?2 AND owner_id = ?3");

/// Walks up, a look-up per message: no more is read than a page and the message before it.
pub(crate) fn page(
    db: &Connection,
    owner: UserId,
    conversation: ConversationId,
    request: BranchRequest,
) -> Result<BranchPage, Fault> {
    // Whose it is comes first: a stranger learns nothing of its messages.
    let head = conversation::get(db, owner, conversation)?.head;
    let mut next = match request.end {
        BranchEnd::Head => head_or_newest(db, owner, conversation, head)?,
        BranchEnd::Through(message) => Some(tip(db, owner, conversation, message)?.ok_or(StoreError::NotFound)?),
        BranchEnd::At(message) => Some(message),
    };
    let mut statement = db.prepare_cached(MESSAGE)?;
    let mut page = BranchPage::default();
    let mut seen = HashSet::new();
    let mut bytes = 0;
    // A ring of parents, which only a damaged database holds, ends where it closes.
    while let Some(id) = next.filter(|id| seen.insert(*id)) {
        let found = statement.query_row([id.blob(), conversation.blob(), owner.blob()], from_row).optional()?;
        let Some(message) = found else { break };
        bytes += message.content.len() + reasoning_bytes(&message.parts);
        let full = page.messages.len() >= request.limit.max(1) || bytes > PAGE_BYTES;
        if full && !page.messages.is_empty() {
            page.next = Some(id);
            break;
        }
        next = message.parent_id;
        page.siblings.push(siblings(db, owner, conversation, &message)?);
        page.messages.push(message);
    }
    if page.messages.is_empty() && request.end != BranchEnd::Head {
        return Err(StoreError::NotFound.into());
    }
    page.messages.reverse();
    page.siblings.reverse();
    Ok(page)
}

pub(crate) const SIBLINGS: &str = "SELECT id FROM message
     WHERE conversation_id = ?1 AND owner_id = ?2 AND parent_id IS ?3 AND role = ?4
     ORDER BY created_at DESC, id DESC LIMIT ?5";

fn siblings(
    db: &Connection,
    owner: UserId,
    conversation: ConversationId,
    message: &Message,
) -> Result<Vec<MessageId>, Fault> {
    let mut statement = db.prepare_cached(SIBLINGS)?;
    let parent = message.parent_id.map(|id| id.blob());
    let most = column::signed(MOST_SIBLINGS);
    let newest = statement
        .query_map(params![conversation.blob(), owner.blob(), parent, message.role.as_str(), most], |row| {
            column::id(row, 0)
        })?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(siblings_of(message.id, newest))
}

pub(crate) const NEWEST: &str = "SELECT id FROM message WHERE conversation_id = ?1 AND owner_id = ?2
     ORDER BY created_at DESC, id DESC LIMIT 1";

fn head_or_newest(
    db: &Connection,
    owner: UserId,
    conversation: ConversationId,
    head: Option<MessageId>,
) -> Result<Option<MessageId>, Fault> {
    let tip = head.map(|head| tip(db, owner, conversation, head)).transpose()?.flatten();
    if tip.is_some() {
        return Ok(tip);
    }
    let newest = db
        .prepare_cached(NEWEST)?
        .query_row([conversation.blob(), owner.blob()], |row| column::id(row, 0))
        .optional()?;
    Ok(newest)
}

pub(crate) const NEWEST_AFTER: &str = "SELECT id FROM message
     WHERE conversation_id = ?1 AND owner_id = ?2 AND parent_id = ?3
     ORDER BY created_at DESC, id DESC LIMIT 1";

/// The end of the newest branch through a message. None where that is not in the conversation.
pub(crate) fn tip(
    db: &Connection,
    owner: UserId,
    conversation: ConversationId,
    through: MessageId,
) -> Result<Option<MessageId>, Fault> {
    let is_there = db
        .prepare_cached("SELECT 1 FROM message WHERE id = ?1 AND conversation_id = ?2 AND owner_id = ?3")?
        .exists([through.blob(), conversation.blob(), owner.blob()])?;
    if !is_there {
        return Ok(None);
    }
    let mut after = db.prepare_cached(NEWEST_AFTER)?;
    let mut seen = HashSet::from([through]);
    let mut tip = through;
    while seen.len() <= MOST_STEPS {
        let next =
            after.query_row([conversation.blob(), owner.blob(), tip.blob()], |row| column::id(row, 0)).optional()?;
        match next.filter(|next| seen.insert(*next)) {
            Some(next) => tip = next,
            None => return Ok(Some(tip)),
        }
    }
    sweep(db, owner, conversation, tip).map(Some)
}

/// Steps down a branch, after which the whole conversation is read instead: a look-up costs several times a row.
const MOST_STEPS: usize = 1000;

pub(crate) const TREE: &str = "SELECT id, parent_id FROM message WHERE conversation_id = ?1 AND owner_id = ?2
     ORDER BY created_at, id";

/// The same in one sweep.
fn sweep(db: &Connection, owner: UserId, conversation: ConversationId, from: MessageId) -> Result<MessageId, Fault> {
    let mut statement = db.prepare_cached(TREE)?;
    let mut rows = statement.query([conversation.blob(), owner.blob()])?;
    let mut newest_after: HashMap<MessageId, MessageId> = HashMap::new();
    while let Some(row) = rows.next()? {
        if let Some(parent) = column::optional_id(row, 1)? {
            newest_after.insert(parent, column::id(row, 0)?);
        }
    }
    let mut tip = from;
    // Taken out, so that no ring is followed for ever.
    while let Some(next) = newest_after.remove(&tip) {
        tip = next;
    }
    Ok(tip)
}
