//! Query parameters of lists.

use r1_domain::page::{PageCursor, PageRequest};

use crate::error::ApiError;

/// Rows of a page where none are asked for.
const DEFAULT_LIMIT: usize = 50;
/// Most rows of a page.
const MOST: usize = 200;

/// The page that a query's `cursor` and `limit` ask for.
pub(crate) fn page_of(cursor: Option<&str>, limit: Option<usize>) -> Result<PageRequest, ApiError> {
    let after = cursor
        .map(str::parse::<PageCursor>)
        .transpose()
        .map_err(|error| ApiError::bad_parameter("cursor", error.to_string()))?;
    Ok(PageRequest { after, limit: limit_of(limit)? })
}

/// How many rows a query's `limit` asks for.
pub(crate) fn limit_of(limit: Option<usize>) -> Result<usize, ApiError> {
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if (1..=MOST).contains(&limit) {
        Ok(limit)
    } else {
        Err(ApiError::bad_parameter("limit", format!("must be 1 to {MOST}")))
    }
}
