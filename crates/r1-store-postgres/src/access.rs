//! Which of the things that access rests on do not stand any more.

use r1_domain::{
    access::Access,
    id::{GenerationId, SessionId, UserId},
};
use uuid::Uuid;

use crate::{column, connection::Db, error::Fault};

const SESSIONS: &str = "SELECT id FROM session WHERE id = ANY($1) AND ended_at IS NOT NULL";
const USERS: &str = "SELECT w.id FROM unnest($1::uuid[]) AS w (id)
    WHERE NOT EXISTS (SELECT 1 FROM account a WHERE a.id = w.id AND NOT a.disabled)";
const GENERATIONS: &str = "SELECT w.id FROM unnest($1::uuid[]) AS w (id) WHERE NOT EXISTS
    (SELECT 1 FROM generation g JOIN conversation c ON c.id = g.conversation_id
     WHERE g.id = w.id AND c.deleted_at IS NULL)";

pub(crate) async fn lost(db: &Db, of: &Access) -> Result<Access, Fault> {
    let sessions = of.sessions.iter().map(SessionId::as_uuid).collect();
    let users = of.users.iter().map(UserId::as_uuid).collect();
    let generations = of.generations.iter().map(GenerationId::as_uuid).collect();
    Ok(Access {
        sessions: those(db, SESSIONS, sessions, SessionId::from_uuid).await?,
        users: those(db, USERS, users, UserId::from_uuid).await?,
        generations: those(db, GENERATIONS, generations, GenerationId::from_uuid).await?,
    })
}

async fn those<T>(db: &Db, sql: &'static str, ids: Vec<Uuid>, make: fn(Uuid) -> T) -> Result<Vec<T>, Fault> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = db.all(sql, &[&ids]).await?;
    rows.iter().map(|row| column::id(row, 0, make)).collect()
}
