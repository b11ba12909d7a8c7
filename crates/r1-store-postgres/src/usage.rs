//! What answers used: by generation, for as long as their conversation is there; afterwards by day and model.

use r1_domain::{
    accounts::{DAY_MICROS, UsageOfDay},
    id::UserId,
    time::Timestamp,
};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{column, connection::Db, error::Fault};

/// A generation that has ended, as a row of `usage_of_deleted`.
macro_rules! each_used {
    () => {
        "SELECT owner_id, created_at / 86400000000 AS day, coalesce(request::json ->> 'model', '') AS model,
                1::bigint AS answers, coalesce((usage::json ->> 'estimated')::boolean, FALSE)::int::bigint AS estimated,
                (usage IS NULL)::int::bigint AS uncounted,
                coalesce((usage::json ->> 'prompt_tokens')::bigint, 0) AS prompt_tokens,
                coalesce((usage::json ->> 'completion_tokens')::bigint, 0) AS completion_tokens
         FROM generation WHERE ended_at IS NOT NULL AND "
    };
}

/// The sums of such rows.
macro_rules! sums {
    () => {
        "sum(answers)::bigint AS answers, sum(estimated)::bigint AS estimated, sum(uncounted)::bigint AS uncounted,
         sum(prompt_tokens)::bigint AS prompt_tokens, sum(completion_tokens)::bigint AS completion_tokens"
    };
}

pub(crate) use {each_used, sums};

/// The sums of those that two conditions let in.
macro_rules! usage {
    ($present:literal, $deleted:literal) => {
        concat!(
            "SELECT owner_id, day, model, ",
            sums!(),
            " FROM (",
            each_used!(),
            $present,
            " UNION ALL
              SELECT owner_id, day, model, answers, estimated, uncounted, prompt_tokens, completion_tokens
              FROM usage_of_deleted WHERE ",
            $deleted,
            ") AS used GROUP BY day, owner_id, model ORDER BY day, owner_id, model COLLATE \"C\""
        )
    };
}

/// An id begins with the time at which it was made, so the key's index finds a span of time.
const USAGE: &str = usage!("id >= $1 AND created_at >= $2 AND $4::uuid IS NULL", "day >= $3");
/// By way of somebody's conversations: others' answers are not looked at.
const USAGE_OF_ONE: &str = usage!(
    "id >= $1 AND created_at >= $2 AND owner_id = $4
        AND conversation_id IN (SELECT id FROM conversation WHERE owner_id = $4)",
    "owner_id = $4::uuid AND day >= $3"
);

pub(crate) async fn list(db: &Db, user: Option<UserId>, since: Timestamp) -> Result<Vec<UsageOfDay>, Fault> {
    let first_day = since.as_micros().div_euclid(DAY_MICROS);
    let statement = if user.is_some() { USAGE_OF_ONE } else { USAGE };
    let user = user.map(|user| user.as_uuid());
    let rows = db.all(statement, &[&first_id(since), &since.as_micros(), &first_day, &user]).await?;
    rows.iter().map(from_row).collect()
}

fn from_row(row: &Row) -> Result<UsageOfDay, Fault> {
    Ok(UsageOfDay {
        user: column::id(row, 0, UserId::from_uuid)?,
        day: column::get(row, 1)?,
        model: column::string(row, 2)?,
        answers: column::unsigned(row, 3)?,
        estimated: column::unsigned(row, 4)?,
        uncounted: column::unsigned(row, 5)?,
        prompt_tokens: column::unsigned(row, 6)?,
        completion_tokens: column::unsigned(row, 7)?,
    })
}

/// The least id of those that are made from then on (UUID version 7: 48 bits of milliseconds come first).
fn first_id(since: Timestamp) -> Uuid {
    let millis = u128::try_from(since.as_micros().max(0) / 1000).unwrap_or(0);
    Uuid::from_u128(millis << 80)
}
