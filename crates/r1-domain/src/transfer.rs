//! What a database holds, as rows that a database of another kind can take: for moving from one to another.
//!
//! What a serving process finds anew is left behind: leases, settings (but for the instance's word, which goes over
//! beside the rows), the full-text index. The newest records of running logs are rows of `generation_log` here,
//! wherever a database keeps them.
//!
//! **Invariant:** two databases with equal [`Sum`]s of every table hold the same, in whatever order and form.

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A UUID.
    Id,
    /// Text.
    Text,
    /// Bytes.
    Bytes,
    /// A whole number.
    Number,
    /// Yes or no.
    Flag,
}

/// A column: its name, the same in every database, and what it holds.
pub type Column = (&'static str, Kind);

/// A table.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// What people call it.
    pub name: &'static str,
    /// Its columns; those of its key come first.
    pub columns: &'static [Column],
    /// How many of them are its key.
    pub key: usize,
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// None.
    Null,
    /// Of [`Kind::Id`].
    Id(Uuid),
    /// Of [`Kind::Text`].
    Text(String),
    /// Of [`Kind::Bytes`].
    Bytes(Vec<u8>),
    /// Of [`Kind::Number`].
    Number(i64),
    /// Of [`Kind::Flag`].
    Flag(bool),
}

/// The values of a table's columns.
pub type Row = Vec<Value>;

/// A list of columns.
macro_rules! columns {
    ($($name:ident: $kind:ident),* $(,)?) => { &[$((stringify!($name), Kind::$kind)),*] };
}

/// The tables; what a row refers to is in one before its own.
pub const TABLES: [Table; 10] = [
    Table {
        name: "account",
        columns: columns!(
            id: Id, username: Text, username_key: Text, username_folded: Text, email: Text, email_key: Text,
            email_folded: Text, is_folded: Flag, password_hash: Text, is_admin: Flag, disabled: Flag,
            created_at: Number, last_sign_in_at: Number, deleted_at: Number
        ),
        key: 1,
    },
    Table {
        name: "session",
        columns: columns!(
            id: Id, user_id: Id, kind: Text, token_hash: Bytes, created_at: Number, expires_at: Number,
            ended_at: Number
        ),
        key: 1,
    },
    Table { name: "session_replaced_token", columns: columns!(token_hash: Bytes, session_id: Id), key: 1 },
    Table {
        name: "conversation",
        columns: columns!(
            id: Id, owner_id: Id, title: Text, titled_by: Text, head_message_id: Id, created_at: Number,
            updated_at: Number, deleted_at: Number
        ),
        key: 1,
    },
    Table {
        name: "message",
        columns: columns!(
            id: Id, conversation_id: Id, owner_id: Id, parent_id: Id, role: Text, content: Text, state: Text,
            model: Text, generation_id: Id, finish_reason: Text, error_code: Text,
            remembers_from: Id, created_at: Number, parts: Text
        ),
        key: 1,
    },
    Table {
        name: "generation",
        columns: columns!(
            id: Id, owner_id: Id, conversation_id: Id, message_id: Id, state: Text, epoch: Number, node_id: Id,
            grammar: Number, request: Text, usage: Text, terminal: Text, log_retired: Flag, stop_requested: Flag,
            created_at: Number, ended_at: Number, first_token_ms: Number
        ),
        key: 1,
    },
    Table {
        name: "generation_log",
        columns: columns!(generation_id: Id, first_seq: Number, next_seq: Number, records: Bytes),
        key: 2,
    },
    Table {
        name: "idempotency",
        columns: columns!(
            owner_id: Id, key: Text, fingerprint: Bytes, generation_id: Id, conversation_id: Id, created_at: Number
        ),
        key: 2,
    },
    Table {
        name: "job",
        columns: columns!(
            id: Id, owner_id: Id, conversation_id: Id, kind: Text, key: Text, payload: Text, progress: Text,
            epoch: Number, attempts: Number, node_id: Id, run_at: Number, created_at: Number
        ),
        key: 1,
    },
    Table {
        name: "usage_of_deleted",
        columns: columns!(
            owner_id: Id, day: Number, model: Text, answers: Number, estimated: Number, uncounted: Number,
            prompt_tokens: Number, completion_tokens: Number
        ),
        key: 3,
    },
];

impl Table {
    /// Where one of its columns stands in a row.
    #[must_use]
    pub fn place(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|(name, _)| *name == column)
    }
}

/// Some rows, counted, with a digest that does not depend on their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub rows: u64,
    /// The sum of the rows' digests (the first half of each one's SHA-256), modulo 2^128.
    pub digest: u128,
}

impl Sum {
    /// Adds a row.
    pub fn add(&mut self, row: &[Value]) {
        let mut digest = Sha256::new();
        // Each value says its kind and length, so that no two rows have the same bytes.
        let mut push = |kind: u8, bytes: &[u8]| {
            digest.update([kind]);
            digest.update((bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        };
        for value in row {
            match value {
                Value::Null => push(0, &[]),
                Value::Id(id) => push(1, id.as_bytes()),
                Value::Text(text) => push(2, text.as_bytes()),
                Value::Bytes(bytes) => push(3, bytes),
                Value::Number(number) => push(4, &number.to_le_bytes()),
                Value::Flag(flag) => push(5, &[u8::from(*flag)]),
            }
        }
        let half = digest.finalize().first_chunk().map_or(0, |half| u128::from_le_bytes(*half));
        self.rows += 1;
        self.digest = self.digest.wrapping_add(half);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(rows: &[&[Value]]) -> Sum {
        let mut sum = Sum::default();
        rows.iter().for_each(|row| sum.add(row));
        sum
    }

    #[test]
    fn the_order_does_not_count_and_everything_else_does() {
        let text = |text: &str| Value::Text(text.to_owned());
        let (a, b) = ([text("a"), Value::Null], [text("b"), Value::Number(1)]);
        assert_eq!(sum(&[&a, &b]), sum(&[&b, &a]));
        assert_ne!(sum(&[&a, &b]), sum(&[&a, &a]));
        assert_ne!(sum(&[&a]), sum(&[&[text("a")]]));
        assert_ne!(sum(&[&[text("a"), text("")]]), sum(&[&[text(""), text("a")]]));
        assert_ne!(sum(&[&[text("ab"), text("c")]]), sum(&[&[text("a"), text("bc")]]));
        assert_ne!(sum(&[&[Value::Flag(true)]]), sum(&[&[Value::Number(1)]]));
        assert_ne!(sum(&[&a, &a]).digest, 0, "pairs are not lost");
    }
}
