//! What answers used: by generation, for as long as their conversation is there; afterwards by day and model.

use r1_domain::{
    accounts::{DAY_MICROS, UsageOfDay},
    id::{GenerationId, UserId},
    time::Timestamp,
};
use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::{
    column::{self, Id},
    error::Fault,
};

/// A generation that has ended, as a row of `usage_of_deleted`.
macro_rules! used {
    () => {
        "SELECT owner_id, created_at / 86400000000 AS day, coalesce(json_extract(request, '$.model'), '') AS model,
                1 AS answers, coalesce(json_extract(usage, '$.estimated'), 0) AS estimated,
                usage IS NULL AS uncounted, coalesce(json_extract(usage, '$.prompt_tokens'), 0) AS prompt_tokens,
                coalesce(json_extract(usage, '$.completion_tokens'), 0) AS completion_tokens
         FROM generation WHERE ended_at IS NOT NULL AND "
    };
}

/// The sums of those that two conditions let in.
macro_rules! usage {
    ($present:literal, $deleted:literal) => {
        concat!(
            "SELECT owner_id, day, model, sum(answers), sum(estimated), sum(uncounted), sum(prompt_tokens),
                    sum(completion_tokens)
             FROM (",
            used!(),
            $present,
            " UNION ALL
              SELECT owner_id, day, model, answers, estimated, uncounted, prompt_tokens, completion_tokens
              FROM usage_of_deleted WHERE ",
            $deleted,
            ") GROUP BY day, owner_id, model ORDER BY day, owner_id, model"
        )
    };
}

/// An id begins with the time at which it was made, so the table's own order is that of time.
pub(crate) const USAGE: &str = usage!("id >= ?1 AND created_at >= ?2 AND ?4 IS NULL", "day >= ?3");
/// By way of somebody's conversations: others' answers are not looked at.
pub(crate) const USAGE_OF_ONE: &str = usage!(
    "id >= ?1 AND created_at >= ?2 AND owner_id = ?4
        AND conversation_id IN (SELECT id FROM conversation WHERE owner_id = ?4)",
    "owner_id = ?4 AND day >= ?3"
);

pub(crate) fn list(db: &Connection, user: Option<UserId>, since: Timestamp) -> Result<Vec<UsageOfDay>, Fault> {
    let first_day = since.as_micros().div_euclid(DAY_MICROS);
    let mut statement = db.prepare_cached(if user.is_some() { USAGE_OF_ONE } else { USAGE })?;
    let rows = statement.query_map(
        params![first_id(since), since.as_micros(), first_day, user.map(|user| user.blob())],
        |row| {
            Ok(UsageOfDay {
                user: column::id(row, 0)?,
                day: row.get(1)?,
                model: row.get(2)?,
                answers: column::unsigned(row, 3)?,
                estimated: column::unsigned(row, 4)?,
                uncounted: column::unsigned(row, 5)?,
                prompt_tokens: column::unsigned(row, 6)?,
                completion_tokens: column::unsigned(row, 7)?,
            })
        },
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The least id of those that are made from then on (UUID version 7: 48 bits of milliseconds come first).
fn first_id(since: Timestamp) -> [u8; 16] {
    let millis = u128::try_from(since.as_micros().max(0) / 1000).unwrap_or(0);
    Uuid::from_u128(millis << 80).into_bytes()
}

const KEEP: &str = concat!(
    "INSERT INTO usage_of_deleted
         (owner_id, day, model, answers, estimated, uncounted, prompt_tokens, completion_tokens) ",
    used!(),
    "id = ?1
     ON CONFLICT (owner_id, day, model) DO UPDATE SET
         answers = answers + excluded.answers, estimated = estimated + excluded.estimated,
         uncounted = uncounted + excluded.uncounted, prompt_tokens = prompt_tokens + excluded.prompt_tokens,
         completion_tokens = completion_tokens + excluded.completion_tokens"
);

/// Keeps what a generation used whose row goes in this transaction.
pub(crate) fn keep(db: &Connection, id: GenerationId) -> Result<(), Fault> {
    db.prepare_cached(KEEP)?.execute([id.blob()])?;
    Ok(())
}
