//! Which of the things that access rests on do not stand any more.

use r1_domain::access::Access;
use rusqlite::Connection;

use crate::{column::Id, error::Fault};

const SESSION_OVER: &str = "SELECT 1 FROM session WHERE id = ?1 AND ended_at IS NOT NULL";
const USER_STANDS: &str = "SELECT 1 FROM user WHERE id = ?1 AND disabled = 0";
const GENERATION_STANDS: &str = "SELECT 1 FROM generation g JOIN conversation c ON c.id = g.conversation_id
     WHERE g.id = ?1 AND c.deleted_at IS NULL";

pub(crate) fn lost(db: &Connection, of: &Access) -> Result<Access, Fault> {
    Ok(Access {
        sessions: those(db, SESSION_OVER, true, &of.sessions)?,
        users: those(db, USER_STANDS, false, &of.users)?,
        generations: those(db, GENERATION_STANDS, false, &of.generations)?,
    })
}

/// The ids for which there is a row, or is none.
fn those<T: Id + Copy>(db: &Connection, sql: &str, there: bool, ids: &[T]) -> Result<Vec<T>, Fault> {
    let mut statement = db.prepare_cached(sql)?;
    let mut found = Vec::new();
    for id in ids {
        if statement.exists([id.blob()])? == there {
            found.push(*id);
        }
    }
    Ok(found)
}
