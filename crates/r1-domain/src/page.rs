//! Keyset paging: a page starts after the last row of the one before, however many rows came or
//! went in between.

use std::str::FromStr;

use uuid::Uuid;

use crate::time::Timestamp;

/// Where the next page starts: just after the row with this time and id.
///
/// Outside it is one opaque token; inside it is the sort key itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageCursor {
    /// The sort column's value.
    pub at: Timestamp,
    /// The tie-breaker.
    pub id: Uuid,
}

impl std::fmt::Display for PageCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x}.{}", self.at.as_micros(), self.id.simple())
    }
}

/// A page token that this server did not make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a next_cursor value from an earlier page, unchanged")]
pub struct InvalidPageCursor;

impl FromStr for PageCursor {
    type Err = InvalidPageCursor;

    fn from_str(text: &str) -> Result<Self, InvalidPageCursor> {
        let (at, id) = text.split_once('.').ok_or(InvalidPageCursor)?;
        let at = i64::from_str_radix(at, 16).map_err(|_| InvalidPageCursor)?;
        let id = Uuid::try_parse(id).map_err(|_| InvalidPageCursor)?;
        Ok(Self { at: Timestamp::from_micros(at), id })
    }
}

/// What part of a list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// Start after this row; none for the first page.
    pub after: Option<PageCursor>,
    /// At most this many rows; 1 or more.
    pub limit: usize,
}

/// One page.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page starts; none on the last page.
    pub next: Option<PageCursor>,
}
