//! The two schemas are the same but where they are meant to differ, and each difference is named here.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use r1_domain::transfer::{Kind, TABLES};
use r1_store_sqlite::{SqliteOptions, SqliteStore};

use crate::support;

/// What this server has under another name, or only one of the two has.
const RENAMED: [(&str, &str); 1] = [("user", "account")];
/// SQLite's: the tail of all logs, and what keeps the full-text index. A log's newest records are rows of
/// `generation_log` here.
const ONLY_SQLITE: [&str; 1] = ["journal"];
const ONLY_POSTGRES: [&str; 1] = ["lease"];
/// Programs of two versions at the same database are this server's only.
const ONLY_POSTGRES_COLUMN: (&str, &str) = ("schema_migration", "needs");
/// SQLite's is a virtual table, this one a plain table with a document and its index.
const FULL_TEXT: &str = "message_search";
/// The place of a message in SQLite's full-text index, and its table's key.
const ONLY_SQLITE_COLUMN: (&str, &str) = ("message", "number");
/// Each append would lock the generation's row.
const ONLY_SQLITE_REFERENCE: &str = "generation_log.generation_id -> generation.id";

/// A table: its columns with type and nullability, its unique keys, its references.
#[derive(Debug, Default, PartialEq, Eq)]
struct Table {
    columns: BTreeMap<String, (String, bool)>,
    /// Columns in order, and the condition, if there is one.
    unique: BTreeSet<(Vec<String>, bool)>,
    references: BTreeSet<String>,
}

type Tables = BTreeMap<String, Table>;

fn sqlite() -> Result<Tables> {
    let dir = tempfile::tempdir()?;
    drop(SqliteStore::open(&SqliteOptions::new(dir.path()))?);
    let db = rusqlite::Connection::open(dir.path().join("gpt-r1.db"))?;
    let mut names =
        db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'")?;
    let names: Vec<String> = names.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let renamed: BTreeMap<_, _> = RENAMED.into_iter().collect();
    let name_of = |name: &str| renamed.get(name).copied().unwrap_or(name).to_owned();
    let mut tables = Tables::new();
    for name in names.iter().filter(|name| !name.starts_with(FULL_TEXT)) {
        let mut table = Table::default();
        let mut columns = db.prepare("SELECT name, type, \"notnull\" FROM pragma_table_info(?1)")?;
        let mut rows = columns.query([name])?;
        while let Some(row) = rows.next()? {
            let kind: String = row.get(1)?;
            table.columns.insert(row.get(0)?, (kind, row.get(2)?));
        }
        let mut keys = db.prepare("SELECT name, partial FROM pragma_index_list(?1) WHERE \"unique\"")?;
        let keys: Vec<(String, bool)> =
            keys.query_map([name], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        for (key, partial) in keys {
            let mut columns = db.prepare("SELECT name FROM pragma_index_info(?1) ORDER BY seqno")?;
            let columns = columns.query_map([key], |row| row.get(0))?.collect::<Result<_, _>>()?;
            table.unique.insert((columns, partial));
        }
        // The key of a table that is its own index is in no list.
        let mut columns = db.prepare("SELECT name FROM pragma_table_info(?1) WHERE pk > 0 ORDER BY pk")?;
        let columns: Vec<String> = columns.query_map([name], |row| row.get(0))?.collect::<Result<_, _>>()?;
        table.unique.insert((columns, false));
        let mut references = db.prepare("SELECT \"from\", \"table\", \"to\" FROM pragma_foreign_key_list(?1)")?;
        let mut rows = references.query([name])?;
        while let Some(row) = rows.next()? {
            let (from, to): (String, String) = (row.get(0)?, row.get(2)?);
            let there = name_of(&row.get::<_, String>(1)?);
            table.references.insert(format!("{name}.{from} -> {there}.{to}"));
        }
        tables.insert(name_of(name), table);
    }
    Ok(tables)
}

const COLUMNS: &str = "SELECT table_name::text, column_name::text, data_type::text, is_nullable = 'NO'
    FROM information_schema.columns WHERE table_schema = 'gpt_r1'";
const UNIQUE: &str = "SELECT t.relname::text, i.indpred IS NOT NULL,
        (SELECT array_agg(a.attname::text ORDER BY k.number) FROM unnest(i.indkey) WITH ORDINALITY k (attnum, number)
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum)
    FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid
    WHERE i.indisunique AND t.relnamespace = 'gpt_r1'::regnamespace";
const REFERENCES: &str = "SELECT t.relname::text, a.attname || ' -> ' || r.relname || '.' || b.attname
    FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid JOIN pg_class r ON r.oid = c.confrelid
    JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = c.conkey[1]
    JOIN pg_attribute b ON b.attrelid = r.oid AND b.attnum = c.confkey[1]
    WHERE c.contype = 'f' AND c.connamespace = 'gpt_r1'::regnamespace";

async fn postgres() -> Result<Tables> {
    let database = support::database().await?;
    let client = database.client().await?;
    let mut tables = Tables::new();
    for row in client.query(COLUMNS, &[]).await? {
        let columns = &mut tables.entry(row.get(0)).or_default().columns;
        columns.insert(row.get(1), (row.get(2), row.get(3)));
    }
    for row in client.query(UNIQUE, &[]).await? {
        tables.entry(row.get(0)).or_default().unique.insert((row.get(2), row.get(1)));
    }
    for row in client.query(REFERENCES, &[]).await? {
        let (name, rest): (String, String) = (row.get(0), row.get(1));
        let reference = format!("{name}.{rest}");
        tables.entry(name).or_default().references.insert(reference);
    }
    Ok(tables)
}

/// Which of this server's types stand for one of SQLite's.
fn stand_for(sqlite: &str) -> &'static [&'static str] {
    match sqlite {
        "BLOB" => &["uuid", "bytea"],
        "INTEGER" => &["bigint", "boolean"],
        "TEXT" => &["text"],
        _ => &[],
    }
}

#[tokio::test]
async fn the_two_are_pairs() -> Result<()> {
    let (mut sqlite, mut postgres) = (sqlite()?, postgres().await?);
    for name in ONLY_SQLITE {
        assert!(sqlite.remove(name).is_some(), "{name}");
    }
    for name in ONLY_POSTGRES.into_iter().chain([FULL_TEXT]) {
        assert!(postgres.remove(name).is_some(), "{name}");
    }
    let (table, column) = ONLY_POSTGRES_COLUMN;
    assert!(postgres.get_mut(table).unwrap().columns.remove(column).is_some());
    let (table, column) = ONLY_SQLITE_COLUMN;
    let messages = sqlite.get_mut(table).unwrap();
    assert!(messages.columns.remove(column).is_some());
    assert!(messages.unique.remove(&(vec![column.to_owned()], false)));
    assert!(sqlite.get_mut("generation_log").unwrap().references.remove(ONLY_SQLITE_REFERENCE));

    assert_eq!(sqlite.keys().collect::<Vec<_>>(), postgres.keys().collect::<Vec<_>>());
    for (name, theirs) in &sqlite {
        let ours = &postgres[name];
        assert_eq!(theirs.columns.keys().collect::<Vec<_>>(), ours.columns.keys().collect::<Vec<_>>(), "{name}");
        for (column, (kind, not_null)) in &theirs.columns {
            let (our_kind, ours_not_null) = &ours.columns[column];
            assert!(stand_for(kind).contains(&our_kind.as_str()), "{name}.{column}: {kind} and {our_kind}");
            assert_eq!(not_null, ours_not_null, "{name}.{column}");
        }
        assert_eq!(theirs.unique, ours.unique, "{name}");
        assert_eq!(theirs.references, ours.references, "{name}");
    }
    Ok(())
}

#[test]
fn migrations_come_in_pairs() -> Result<()> {
    let names = |directory: &str| -> Result<BTreeSet<String>> {
        let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
        std::fs::read_dir(directory)?.map(|file| Ok(file?.file_name().to_string_lossy().into_owned())).collect()
    };
    let ours = names("migrations")?;
    assert!(!ours.is_empty());
    assert_eq!(ours, names("../r1-store-sqlite/migrations")?);
    Ok(())
}

/// What moving to another database leaves behind: leases and settings, the full-text index, what this server
/// is asked for its own.
const LEFT_BEHIND: [&str; 4] = ["lease", "setting", "schema_migration", FULL_TEXT];

#[tokio::test]
async fn every_column_is_taken_along() -> Result<()> {
    let mut tables = postgres().await?;
    for name in LEFT_BEHIND {
        assert!(tables.remove(name).is_some(), "{name}");
    }
    for taken in &TABLES {
        let table = tables.remove(taken.name).unwrap();
        let columns: BTreeMap<&str, &str> =
            table.columns.iter().map(|(name, (kind, _))| (name.as_str(), kind.as_str())).collect();
        let kind = |kind: Kind| match kind {
            Kind::Id => "uuid",
            Kind::Text => "text",
            Kind::Bytes => "bytea",
            Kind::Number => "bigint",
            Kind::Flag => "boolean",
        };
        let along: BTreeMap<&str, &str> = taken.columns.iter().map(|(name, of)| (*name, kind(*of))).collect();
        assert_eq!(along, columns, "{}", taken.name);
        let key: Vec<String> = taken.columns[..taken.key].iter().map(|(name, _)| (*name).to_owned()).collect();
        assert!(table.unique.contains(&(key, false)), "{}", taken.name);
    }
    assert!(tables.is_empty(), "left behind: {:?}", tables.keys());
    Ok(())
}

/// What has the name of its user in it, and so goes with the account (both stores' `erase.rs`).
const OWNED: [&str; 7] = ["conversation", "generation", "idempotency", "job", "message", "session", "usage_of_deleted"];

#[tokio::test]
async fn a_deletion_knows_every_table_of_somebodys_things() -> Result<()> {
    let tables = postgres().await?;
    let is_owned = |table: &Table| ["owner_id", "user_id"].iter().any(|column| table.columns.contains_key(*column));
    let owned: Vec<&str> = tables.iter().filter(|(_, table)| is_owned(table)).map(|(name, _)| name.as_str()).collect();
    assert_eq!(owned, OWNED, "remove its rows in erase.rs, and test that in the contract, before it is named here");
    Ok(())
}
