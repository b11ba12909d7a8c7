use axum::extract::State;
use r1_domain::{
    accounts::{DAY_MICROS, UsageOfDay},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    error::{ApiError, ApiResult, Problem},
    session::Caller,
    text::rfc3339,
    v1::params::{Query, parse},
};

/// Days where none are asked for, and at most.
const DAYS: i64 = 30;
const MOST_DAYS: i64 = 366;

/// How far back.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct UsageQuery {
    /// Days (UTC), today among them, 1 to 366; 30 if not given.
    #[param(value_type = Option<i64>, minimum = 1, maximum = 366)]
    days: Option<String>,
}

/// What the caller's answers used.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Usage {
    /// Oldest day first, then by model. Days and models without an answer are left out.
    usage: Vec<UsageLine>,
}

/// What answers of one day by one model used.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct UsageLine {
    /// The day (UTC) on which they were asked for.
    #[schema(example = "2026-11-30")]
    day: String,
    /// As `provider/model`.
    model: String,
    /// Answers that have ended, however; those of conversations that were deleted since, too.
    answers: u64,
    /// Those of them whose tokens are, at least in part, an estimate.
    estimated_answers: u64,
    /// Those of them whose tokens nobody counted: they are in no sum.
    uncounted_answers: u64,
    /// Tokens read.
    prompt_tokens: u64,
    /// Tokens written.
    completion_tokens: u64,
}

impl From<UsageOfDay> for UsageLine {
    fn from(line: UsageOfDay) -> Self {
        let mut day = rfc3339(Timestamp::from_micros(line.day.saturating_mul(DAY_MICROS)));
        day.truncate("2026-11-30".len());
        Self {
            day,
            model: line.model,
            answers: line.answers,
            estimated_answers: line.estimated,
            uncounted_answers: line.uncounted,
            prompt_tokens: line.prompt_tokens,
            completion_tokens: line.completion_tokens,
        }
    }
}

/// Sums what the caller's answers used, by day and model.
#[utoipa::path(
    get, path = "/me/usage", tag = "auth", params(UsageQuery),
    responses(
        (status = 200, description = "The sums.", body = Usage),
        (status = 400, description = "A parameter is not valid.", body = Problem),
    )
)]
pub(crate) async fn get_usage(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<UsageQuery>,
) -> ApiResult<axum::Json<Usage>> {
    let days = parse::<i64>("days", query.days.as_deref())?.unwrap_or(DAYS);
    if !(1..=MOST_DAYS).contains(&days) {
        return Err(ApiError::bad_parameter("days", format!("must be a number from 1 to {MOST_DAYS}")));
    }
    let today = app.clock.now().as_micros().div_euclid(DAY_MICROS);
    let since = Timestamp::from_micros((today + 1 - days).max(0) * DAY_MICROS);
    let used = app.store.account_usage(Some(caller.id()), since).await?;
    Ok(axum::Json(Usage { usage: used.into_iter().map(Into::into).collect() }))
}
