//! Everything in a database that nobody serves from, row by row, and what goes over beside the rows.
//!
//! **Invariant:** the database is as it was afterwards: it is only read, and in one snapshot.

use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use r1_domain::{
    id::GenerationId,
    transfer::{Column, Kind, Row, Table, Value},
};
use rusqlite::{
    Connection, OpenFlags, ToSql,
    types::{ToSqlOutput, ValueRef},
};
use uuid::Uuid;

use crate::{
    account, column,
    error::Fault,
    migration::{self, NEWEST, Schema},
    open::{self, DATABASE, OpenError},
    readable::Readable,
    tail::Tails,
};

/// A batch ends at this many rows or, about, bytes.
const ROWS: usize = 2000;
const BYTES: usize = 2 << 20;

/// The table of logs: of those that are not at their end, [`Reading`] has more than it does.
const LOG: &str = "generation_log";

/// A database that is read. No process can serve from its directory meanwhile.
pub struct Export {
    db: Connection,
    /// Of the logs that are not at their end, where each stands.
    tails: Mutex<Tails>,
    _lock: std::fs::File,
}

/// Why it can't be read, in words that say what to do.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The data directory.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is none.
    #[error("there is no database {0}; name the data directory that it is in")]
    Missing(PathBuf),
    /// An older version of this program made it.
    #[error("{0} has an older schema; start this version of gpt-r1 on it once, and stop it again")]
    Older(PathBuf),
    /// It can't be read, or holds what can't be.
    #[error("the table {table} can't be read; `gpt-r1 backup` says whether the database is damaged")]
    Read {
        /// Where.
        table: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Export {
    /// Begins to read the database of a data directory.
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn open(data_dir: &Path) -> Result<Self, ExportError> {
        let path = data_dir.join(DATABASE);
        if !path.is_file() {
            return Err(ExportError::Missing(path));
        }
        let locked = || OpenError::Locked { path: data_dir.to_owned() };
        let lock = open::try_lock(data_dir)?.ok_or_else(locked)?;
        let begun = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let db = Connection::open_with_flags(&path, flags)?;
            let schema = migration::inspect(&db)?;
            db.execute_batch("BEGIN")?;
            Ok::<_, rusqlite::Error>((db, schema))
        };
        let (db, schema) = begun().map_err(|error| open::of_sqlite(path.clone(), error))?;
        match schema {
            Schema::Current => {}
            Schema::Older => return Err(ExportError::Older(path)),
            Schema::Newer(found) => return Err(OpenError::Newer { path, found, known: NEWEST }.into()),
            Schema::Differs(version) => return Err(OpenError::Differs { path, version }.into()),
            Schema::Foreign => return Err(OpenError::Foreign { path }.into()),
        }
        let tails = Tails::load(&db).map_err(|source| ExportError::Read { table: "journal", source: source.into() })?;
        Ok(Self { db, tails: Mutex::new(tails), _lock: lock })
    }

    /// The word by which the page's cookies are known, if the instance has one.
    ///
    /// # Errors
    /// [`ExportError::Read`].
    pub fn instance_word(&self) -> Result<Option<String>, ExportError> {
        account::kept_instance_word(&self.db)
            .map_err(|source| ExportError::Read { table: "setting", source: source.into() })
    }

    /// Begins to read a table.
    #[must_use]
    pub fn read(&self, table: &'static Table) -> Reading<'_> {
        let mut running = Vec::new();
        if table.name == LOG {
            running.extend(self.tails.lock().running.iter().map(|(id, tail)| (*id, tail.epoch)));
        }
        Reading { export: self, table, last: None, running }
    }

    /// None while there is nothing of it.
    fn running_log(&self, id: GenerationId, epoch: u32) -> Result<Option<Row>, Fault> {
        let from_row = self.tails.lock().journal_from(id);
        let mut log = Readable::folded(&self.db, id)?;
        log.add_journal(&self.db, id, epoch, from_row)?;
        if let Some(damage) = log.reach.damage {
            let last = log.reach.next_seq - 1;
            tracing::warn!(generation_id = %id, "the log of generation {id} is damaged: {damage}; it ends after seq {last}");
        }
        let next_seq = Value::Number(column::signed(log.reach.next_seq));
        let row = vec![Value::Id(id.as_uuid()), Value::Number(1), next_seq, Value::Bytes(log.records)];
        Ok((log.reach.next_seq > 1).then_some(row))
    }

    /// The rows after one, in the order of the key.
    fn rows(&self, table: &Table, after: Option<&Row>) -> Result<Vec<Row>, Fault> {
        let mut statement = self.db.prepare_cached(&select(table, after.is_some()))?;
        let key = after.iter().flat_map(|row| row.iter().take(table.key)).map(Given);
        let mut found = statement.query(rusqlite::params_from_iter(key))?;
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while let Some(row) = found.next()? {
            let values = table.columns.iter().enumerate().map(|(at, column)| value(row, at, column));
            let row = values.collect::<Result<Row, _>>()?;
            bytes += row.iter().map(size).sum::<usize>();
            rows.push(row);
            if rows.len() == ROWS || bytes >= BYTES {
                break;
            }
        }
        Ok(rows)
    }
}

/// A table that is read.
pub struct Reading<'a> {
    export: &'a Export,
    table: &'static Table,
    last: Option<Row>,
    /// Logs that are not at their end, with their epochs. What the journal has of them is in no row.
    running: Vec<(GenerationId, u32)>,
}

impl Reading<'_> {
    fn advance(&mut self) -> Result<Option<Vec<Row>>, Fault> {
        let rows = self.export.rows(self.table, self.last.as_ref())?;
        if let Some(last) = rows.last() {
            self.last = Some(last.clone());
            return Ok(Some(rows));
        }
        while let Some((id, epoch)) = self.running.pop() {
            if let Some(row) = self.export.running_log(id, epoch)? {
                return Ok(Some(vec![row]));
            }
        }
        Ok(None)
    }
}

/// The rows, a bounded number at a time.
impl Iterator for Reading<'_> {
    type Item = Result<Vec<Row>, ExportError>;

    fn next(&mut self) -> Option<Self::Item> {
        let table = self.table.name;
        self.advance().map_err(|source| ExportError::Read { table, source: source.into() }).transpose()
    }
}

fn select(table: &Table, after: bool) -> String {
    let names: Vec<_> = table.columns.iter().map(|(name, _)| *name).collect();
    let (columns, key) = (names.join(", "), names[..table.key].join(", "));
    let mut conditions = Vec::new();
    if after {
        conditions.push(format!("({key}) > ({})", vec!["?"; table.key].join(", ")));
    }
    if table.name == LOG {
        conditions
            .push("generation_id NOT IN (SELECT id FROM generation WHERE state IN ('queued', 'running'))".to_owned());
    }
    let conditions = if conditions.is_empty() { "TRUE".to_owned() } else { conditions.join(" AND ") };
    // A keyword elsewhere.
    let name = if table.name == "account" { "user" } else { table.name };
    format!("SELECT {columns} FROM {name} WHERE {conditions} ORDER BY {key}")
}

fn value(row: &rusqlite::Row<'_>, at: usize, (_, kind): &Column) -> Result<Value, Fault> {
    if row.get_ref(at)? == ValueRef::Null {
        return Ok(Value::Null);
    }
    Ok(match kind {
        Kind::Id => Value::Id(Uuid::from_bytes(row.get(at)?)),
        Kind::Text => Value::Text(row.get(at)?),
        Kind::Bytes => Value::Bytes(row.get(at)?),
        Kind::Number => Value::Number(row.get(at)?),
        Kind::Flag => Value::Flag(row.get(at)?),
    })
}

/// A value as a parameter.
struct Given<'a>(&'a Value);

impl ToSql for Given<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Id(id) => ValueRef::Blob(id.as_bytes()),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
            Value::Number(number) => ValueRef::Integer(*number),
            Value::Flag(flag) => ValueRef::Integer(i64::from(*flag)),
        }))
    }
}

const fn size(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => 16,
    }
}
