//! Taking over everything that another database held.
//!
//! **Invariant:** all of it is one transaction: whoever looks before the commit sees nothing of it, and what
//! ends early has changed nothing. Nobody else writes meanwhile.

use std::{error::Error, pin::pin};

use bytes::BytesMut;
use futures::TryStreamExt;
use r1_domain::transfer::{Kind, Row, Sum, Table, Value};
use secrecy::SecretString;
use tokio_postgres::{
    binary_copy::BinaryCopyInWriter,
    types::{IsNull, ToSql, Type, to_sql_checked},
};
use uuid::Uuid;

use crate::{
    account, column,
    connection::Db,
    error::Fault,
    open::{self, OpenError, PostgresOptions},
    search::{document, indexed},
};

/// Other processes' transactions are as short as a request; a server that serves is refused after that.
const LOCK: &str = "SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL lock_timeout = '10s';
    LOCK TABLE lease, account IN EXCLUSIVE MODE";
/// An index that is made at the end takes a fraction of the time.
const INDEX: &str = "SELECT pg_get_indexdef('message_search_document'::regclass)";
const DROP_INDEX: &str = "DROP INDEX message_search_document";
const ADD_DOCUMENTS: &str = concat!(
    "INSERT INTO message_search (message_id, document) SELECT m.id, ",
    document!("m.owner", "m.text"),
    " FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS m (id, owner, text)"
);

/// A database that takes rows.
pub struct Import {
    db: Db,
    shown: String,
    /// Makes the full-text index again.
    index: String,
}

/// Why it can't take them, in words that say what to do.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The database can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Somebody serves from it.
    #[error("a gpt-r1 process serves from the database at {shown}; stop all that do, and wait for their lease to end")]
    InUse {
        /// Where.
        shown: String,
    },
    /// It refused something. Nothing was changed.
    #[error("the database at {shown} did not take everything over; nothing was changed there")]
    Failed {
        /// Where.
        shown: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The commit's answer was lost.
    #[error("the database at {shown} did not say whether everything was taken over; the same command finds out")]
    Unconfirmed {
        /// Where.
        shown: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl Import {
    /// Opens a database, makes our tables in it where there are none, and keeps everybody else out.
    ///
    /// # Errors
    /// [`ImportError`].
    pub async fn begin(url: SecretString) -> Result<Self, ImportError> {
        // No key is looked at: that is for those who serve.
        let (connector, db) = open::guest_or_make(&PostgresOptions::new(url, [0; 32])).await?;
        let mut import = Self { db, shown: connector.address.shown, index: String::new() };
        match import.prepare().await {
            Ok(true) => Ok(import),
            Ok(false) => Err(ImportError::InUse { shown: import.shown }),
            Err(fault) => Err(import.failed(fault)),
        }
    }

    /// False where somebody serves.
    async fn prepare(&mut self) -> Result<bool, Fault> {
        self.db.batch("BEGIN").await?;
        self.db.batch(LOCK).await?;
        if open::is_served(&self.db).await? {
            return Ok(false);
        }
        self.index = column::get(&self.db.one(INDEX, &[]).await?, 0)?;
        self.db.batch(DROP_INDEX).await?;
        Ok(true)
    }

    /// Adds rows of a table.
    ///
    /// # Errors
    /// [`ImportError::Failed`].
    pub async fn add(&self, table: &'static Table, rows: &[Row]) -> Result<(), ImportError> {
        self.copy(table, rows).await.map_err(|fault| self.failed(fault))
    }

    async fn copy(&self, table: &'static Table, rows: &[Row]) -> Result<(), Fault> {
        let statement = format!("COPY {} ({}) FROM STDIN BINARY", table.name, columns(table));
        let types: Vec<Type> = table.columns.iter().map(|(_, kind)| type_of(*kind)).collect();
        let mut writer = pin!(BinaryCopyInWriter::new(self.db.copy_in(&statement).await?, &types));
        for row in rows {
            writer.as_mut().write_raw(row.iter().map(Given)).await?;
        }
        writer.finish().await?;
        if table.name == "message" { self.add_documents(table, rows).await } else { Ok(()) }
    }

    /// What can be found of messages that are whole.
    async fn add_documents(&self, table: &Table, rows: &[Row]) -> Result<(), Fault> {
        let place = |name| table.place(name).ok_or(Fault::Broken("a message has other columns"));
        let (id, owner, content, state) = (place("id")?, place("owner_id")?, place("content")?, place("state")?);
        let (mut ids, mut owners, mut texts): (Vec<Uuid>, Vec<Uuid>, Vec<_>) = Default::default();
        for row in rows {
            if let (Value::Id(id), Value::Id(owner), Value::Text(content), Value::Text(state)) =
                (&row[id], &row[owner], &row[content], &row[state])
                && !["queued", "running"].contains(&state.as_str())
                && let Some(text) = indexed(content)
            {
                ids.push(*id);
                owners.push(*owner);
                texts.push(text);
            }
        }
        self.db.run(ADD_DOCUMENTS, &[&ids, &owners, &texts]).await.map(drop)
    }

    /// Keeps the word by which the page's cookies are known.
    ///
    /// # Errors
    /// [`ImportError::Failed`].
    pub async fn keep_instance_word(&self, word: &str) -> Result<(), ImportError> {
        account::instance_word(&self.db, word).await.map(drop).map_err(|fault| self.failed(fault))
    }

    /// What a table holds, with what was added.
    ///
    /// # Errors
    /// [`ImportError::Failed`].
    pub async fn sum(&self, table: &'static Table) -> Result<Sum, ImportError> {
        self.read(table).await.map_err(|fault| self.failed(fault))
    }

    async fn read(&self, table: &'static Table) -> Result<Sum, Fault> {
        let statement = format!("SELECT {} FROM {}", columns(table), table.name);
        let mut found = pin!(self.db.stream(&statement).await?);
        let mut sum = Sum::default();
        while let Some(row) = found.try_next().await? {
            let values = table.columns.iter().enumerate().map(|(at, (_, kind))| value(&row, at, *kind));
            sum.add(&values.collect::<Result<Row, _>>()?);
        }
        Ok(sum)
    }

    /// Makes what was added everybody's.
    ///
    /// # Errors
    /// [`ImportError::Failed`], or [`ImportError::Unconfirmed`].
    pub async fn commit(self) -> Result<(), ImportError> {
        let finished = async {
            // A code that was made while there was no account yet; who serves makes another where one is needed.
            account::drop_setup_code(&self.db).await?;
            self.db.batch(&self.index).await?;
            // Until statistics come by themselves, plans would be those for empty tables.
            self.db.batch("ANALYZE").await
        };
        finished.await.map_err(|fault| self.failed(fault))?;
        self.db.batch("COMMIT").await.map_err(|fault| match fault {
            fault @ Fault::Server { .. } => self.failed(fault),
            fault => ImportError::Unconfirmed { shown: self.shown.clone(), source: Box::new(fault) },
        })
    }

    fn failed(&self, fault: Fault) -> ImportError {
        ImportError::Failed { shown: self.shown.clone(), source: Box::new(fault) }
    }
}

fn columns(table: &Table) -> String {
    table.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

const fn type_of(kind: Kind) -> Type {
    match kind {
        Kind::Id => Type::UUID,
        Kind::Text => Type::TEXT,
        Kind::Bytes => Type::BYTEA,
        Kind::Number => Type::INT8,
        Kind::Flag => Type::BOOL,
    }
}

/// A value as a column has it.
#[derive(Debug)]
struct Given<'a>(&'a Value);

impl ToSql for Given<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self.0 {
            Value::Null => Ok(IsNull::Yes),
            Value::Id(id) => id.to_sql(kind, out),
            Value::Text(text) => column::text(text).to_sql(kind, out),
            Value::Bytes(bytes) => bytes.to_sql(kind, out),
            Value::Number(number) => number.to_sql(kind, out),
            Value::Flag(flag) => flag.to_sql(kind, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

fn value(row: &tokio_postgres::Row, at: usize, kind: Kind) -> Result<Value, Fault> {
    let value = match kind {
        Kind::Id => column::get::<Option<_>>(row, at)?.map(Value::Id),
        Kind::Text => column::optional_string(row, at)?.map(Value::Text),
        Kind::Bytes => column::get::<Option<_>>(row, at)?.map(Value::Bytes),
        Kind::Number => column::get::<Option<_>>(row, at)?.map(Value::Number),
        Kind::Flag => column::get::<Option<_>>(row, at)?.map(Value::Flag),
    };
    Ok(value.unwrap_or(Value::Null))
}
