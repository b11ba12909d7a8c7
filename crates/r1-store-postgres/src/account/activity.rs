//! What an account has and does.

use r1_domain::{accounts::Activity, id::UserId, store::StoreError, time::Timestamp};

use crate::{column, connection::Db, error::Fault};

/// A program of before its column keeps no last sign-in: the sessions tell.
const ACTIVITY: &str = "SELECT
        greatest(u.last_sign_in_at, (SELECT max(created_at) FROM session WHERE user_id = u.id)),
        u.deleted_at IS NOT NULL,
        (SELECT count(*) FROM session WHERE user_id = u.id AND ended_at IS NULL AND expires_at > $2),
        (SELECT count(*) FROM conversation WHERE owner_id = u.id AND deleted_at IS NULL),
        (SELECT count(*) FROM conversation c JOIN message m ON m.conversation_id = c.id
         WHERE c.owner_id = u.id AND c.deleted_at IS NULL),
        (SELECT count(*) FROM generation WHERE owner_id = u.id AND state IN ('queued', 'running'))
    FROM account u WHERE u.id = $1";

pub(crate) async fn activity(db: &Db, user: UserId, now: Timestamp) -> Result<Activity, Fault> {
    let row = db.maybe(ACTIVITY, &[&user.as_uuid(), &now.as_micros()]).await?.ok_or(StoreError::NotFound)?;
    Ok(Activity {
        last_sign_in: column::get::<Option<i64>>(&row, 0)?.map(Timestamp::from_micros),
        deleting: column::get(&row, 1)?,
        sessions: column::unsigned(&row, 2)?,
        conversations: column::unsigned(&row, 3)?,
        messages: column::unsigned(&row, 4)?,
        running: column::unsigned(&row, 5)?,
    })
}
