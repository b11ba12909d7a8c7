//! Query parameters of lists, and their pages on the wire.

use r1_domain::page::{PageCursor, PageRequest};
use serde::Deserialize;

use crate::error::ApiError;

/// Rows of a page where none are asked for.
const DEFAULT_LIMIT: usize = 50;
/// Most rows of a page.
const MOST: usize = 200;

/// Which part of a list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows per page, 1 to 200; 50 if not given.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

impl ListQuery {
    pub(crate) fn page(&self) -> Result<PageRequest, ApiError> {
        page_of(self.cursor.as_deref(), self.limit)
    }
}

/// The page that a query's `cursor` and `limit` ask for.
pub(crate) fn page_of(cursor: Option<&str>, limit: Option<usize>) -> Result<PageRequest, ApiError> {
    let after = cursor
        .map(str::parse::<PageCursor>)
        .transpose()
        .map_err(|error| ApiError::bad_parameter("cursor", error.to_string()))?;
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MOST).contains(&limit) {
        return Err(ApiError::bad_parameter("limit", format!("must be 1 to {MOST}")));
    }
    Ok(PageRequest { after, limit })
}
