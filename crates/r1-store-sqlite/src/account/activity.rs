//! What an account has and does.

use r1_domain::{accounts::Activity, id::UserId, store::StoreError, time::Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    column::{self, Id},
    error::Fault,
};

/// By the account's own indexes, whatever others have.
pub(crate) const ACTIVITY: &str = "SELECT
        max(coalesce(u.last_sign_in_at, -1), coalesce((SELECT max(created_at) FROM session WHERE user_id = u.id), -1)),
        u.deleted_at IS NOT NULL,
        (SELECT count(*) FROM session WHERE user_id = u.id AND ended_at IS NULL AND expires_at > ?2),
        (SELECT count(*) FROM conversation WHERE owner_id = u.id AND deleted_at IS NULL),
        (SELECT count(*) FROM conversation c JOIN message m ON m.conversation_id = c.id
         WHERE c.owner_id = u.id AND c.deleted_at IS NULL),
        (SELECT count(*) FROM generation WHERE owner_id = u.id AND state IN ('queued', 'running'))
    FROM user u WHERE u.id = ?1";

pub(crate) fn activity(db: &Connection, user: UserId, now: Timestamp) -> Result<Activity, Fault> {
    let found = db
        .prepare_cached(ACTIVITY)?
        .query_row(params![user.blob(), now.as_micros()], |row| {
            let last: i64 = row.get(0)?;
            Ok(Activity {
                last_sign_in: (last >= 0).then(|| Timestamp::from_micros(last)),
                deleting: row.get(1)?,
                sessions: column::unsigned(row, 2)?,
                conversations: column::unsigned(row, 3)?,
                messages: column::unsigned(row, 4)?,
                running: column::unsigned(row, 5)?,
            })
        })
        .optional()?;
    Ok(found.ok_or(StoreError::NotFound)?)
}
