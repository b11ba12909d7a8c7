//! How the domain's values stand in columns.

use r1_domain::{
    conversation::TitledBy,
    generation::State,
    id::{ConversationId, GenerationId, JobId, MessageId, NodeId, SessionId, UserId},
    message::Role,
    page::{Page, PageCursor, PageRequest},
    time::Timestamp,
};
use rusqlite::{Row, types::Type};
use uuid::Uuid;

/// An identifier as the 16 bytes of its UUID.
pub(crate) trait Id: Sized {
    fn blob(&self) -> [u8; 16];
    fn from_blob(bytes: [u8; 16]) -> Self;
}

macro_rules! id {
    ($($name:ident),*) => {$(
        impl Id for $name {
            fn blob(&self) -> [u8; 16] {
                self.as_uuid().into_bytes()
            }

            fn from_blob(bytes: [u8; 16]) -> Self {
                Self::from_uuid(Uuid::from_bytes(bytes))
            }
        }
    )*};
}

id!(UserId, SessionId, ConversationId, MessageId, GenerationId, JobId, NodeId);

pub(crate) fn id<T: Id>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    row.get(column).map(T::from_blob)
}

pub(crate) fn optional_id<T: Id>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>> {
    Ok(row.get::<_, Option<[u8; 16]>>(column)?.map(T::from_blob))
}

pub(crate) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_micros)
}

pub(crate) fn state(row: &Row<'_>, column: usize) -> rusqlite::Result<State> {
    State::parse(row.get_ref(column)?.as_str()?).ok_or_else(|| wrong(column, "state"))
}

pub(crate) fn role(row: &Row<'_>, column: usize) -> rusqlite::Result<Role> {
    Role::parse(row.get_ref(column)?.as_str()?).ok_or_else(|| wrong(column, "role"))
}

pub(crate) fn titled_by(row: &Row<'_>, column: usize) -> rusqlite::Result<TitledBy> {
    TitledBy::parse(row.get_ref(column)?.as_str()?).ok_or_else(|| wrong(column, "titled_by"))
}

/// A count that was stored as SQLite's signed 64 bits.
pub(crate) fn unsigned<T: TryFrom<i64>>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let number: i64 = row.get(column)?;
    T::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

/// A count as SQLite's signed 64 bits. Nothing that is counted here comes near the end of them.
pub(crate) fn signed<T: TryInto<i64>>(number: T) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

fn wrong(column: usize, name: &str) -> rusqlite::Error {
    rusqlite::Error::InvalidColumnType(column, name.to_owned(), Type::Text)
}

/// Where a list that goes up starts.
pub(crate) fn after(page: PageRequest) -> (i64, [u8; 16]) {
    page.after.map_or((i64::MIN, [0; 16]), |at| (at.at.as_micros(), at.id.into_bytes()))
}

/// Where a list that goes down starts.
pub(crate) fn before(page: PageRequest) -> (i64, [u8; 16]) {
    page.after.map_or((i64::MAX, [u8::MAX; 16]), |at| (at.at.as_micros(), at.id.into_bytes()))
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
