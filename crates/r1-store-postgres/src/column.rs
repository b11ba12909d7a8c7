//! How the domain's values stand in columns.
//!
//! A text column can hold everything but U+0000. Where a text has one, that and U+0001 are written as
//! U+0001 and a digit; every other text stands as it is. So equal texts are equal columns.

use std::borrow::Cow;

use r1_domain::{
    conversation::TitledBy,
    generation::State,
    message::Role,
    page::{Page, PageCursor, PageRequest},
    time::Timestamp,
};
use tokio_postgres::{Row, types::FromSql};
use uuid::Uuid;

use crate::error::Fault;

const ESCAPE: char = '\u{1}';

/// A text as it stands in a column.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', ESCAPE]) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace(ESCAPE, "\u{1}1").replace('\0', "\u{1}0"))
}

/// The text that stands in a column so.
fn untext(text: String) -> String {
    if !text.contains(ESCAPE) {
        return text;
    }
    text.replace("\u{1}0", "\0").replace("\u{1}1", "\u{1}")
}

/// Reads a column.
pub(crate) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: usize) -> Result<T, Fault> {
    Ok(row.try_get(column)?)
}

/// Reads a [`text`].
pub(crate) fn string(row: &Row, column: usize) -> Result<String, Fault> {
    get(row, column).map(untext)
}

/// Reads a [`text`] that may not be there.
pub(crate) fn optional_string(row: &Row, column: usize) -> Result<Option<String>, Fault> {
    Ok(get::<Option<String>>(row, column)?.map(untext))
}

/// Reads an identifier by its constructor.
pub(crate) fn id<T>(row: &Row, column: usize, from: fn(Uuid) -> T) -> Result<T, Fault> {
    get(row, column).map(from)
}

/// Reads an identifier that may not be there.
pub(crate) fn optional_id<T>(row: &Row, column: usize, from: fn(Uuid) -> T) -> Result<Option<T>, Fault> {
    Ok(get::<Option<Uuid>>(row, column)?.map(from))
}

pub(crate) fn time(row: &Row, column: usize) -> Result<Timestamp, Fault> {
    get(row, column).map(Timestamp::from_micros)
}

pub(crate) fn state(row: &Row, column: usize) -> Result<State, Fault> {
    State::parse(get(row, column)?).ok_or(Fault::Broken("a state is none"))
}

pub(crate) fn role(row: &Row, column: usize) -> Result<Role, Fault> {
    Role::parse(get(row, column)?).ok_or(Fault::Broken("a role is none"))
}

pub(crate) fn titled_by(row: &Row, column: usize) -> Result<TitledBy, Fault> {
    TitledBy::parse(get(row, column)?).ok_or(Fault::Broken("nobody gives titles so"))
}

/// A count that was stored as signed 64 bits.
pub(crate) fn unsigned<T: TryFrom<i64>>(row: &Row, column: usize) -> Result<T, Fault> {
    T::try_from(get::<i64>(row, column)?).map_err(|_| Fault::Broken("a count is out of range"))
}

/// A count as signed 64 bits. Nothing that is counted here comes near the end of them.
pub(crate) fn signed<T: TryInto<i64>>(number: T) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// Where a list that goes up starts.
pub(crate) fn after(page: PageRequest) -> (i64, Uuid) {
    page.after.map_or((i64::MIN, Uuid::nil()), |at| (at.at.as_micros(), at.id))
}

/// Where a list that goes down starts.
pub(crate) fn before(page: PageRequest) -> (i64, Uuid) {
    page.after.map_or((i64::MAX, Uuid::max()), |at| (at.at.as_micros(), at.id))
}

/// How many rows to read for a page: one more tells whether there is a next one.
pub(crate) fn rows(page: PageRequest) -> i64 {
    signed(page.limit.max(1)).saturating_add(1)
}

/// Cuts the rows of [`rows`] down to a page.
pub(crate) fn page<T>(mut items: Vec<T>, request: PageRequest, key: impl Fn(&T) -> PageCursor) -> Page<T> {
    let limit = request.limit.max(1);
    let more = items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(key) } else { None };
    Page { items, next }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_comes_back() {
        for (given, stored) in [
            ("", ""),
            ("plain ä 🦀", "plain ä 🦀"),
            ("a\0b", "a\u{1}0b"),
            ("\u{1}", "\u{1}1"),
            ("\u{1}0", "\u{1}10"),
            ("\0\u{1}\0", "\u{1}0\u{1}1\u{1}0"),
        ] {
            let column = text(given);
            assert_eq!(column, stored);
            assert!(!column.contains('\0'));
            assert_eq!(untext(column.into_owned()), given);
        }
    }
}
