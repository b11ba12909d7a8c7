//! `gpt-r1 migrate`: from SQLite to PostgreSQL.
//!
//! All rows go over in one transaction, are counted on both sides and compared by digest, and only then are
//! anybody's: whatever ends it early, the same command begins anew.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use r1_auth::key::SigningKey;
use r1_domain::transfer::{Row, Sum, TABLES, Table};
use r1_store_postgres::import::Import;
use r1_store_sqlite::export::Export;
use secrecy::SecretString;

use crate::{
    SIGNING_KEY,
    cli::MigrateArgs,
    config::{Config, Database},
};

/// Carries it out.
///
/// # Errors
/// In words for the person at the terminal.
pub(crate) async fn migrate(args: MigrateArgs, config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
    let from = from(args.from, config)?;
    let (to, place) = to(args.to, config)?;
    let source = Export::open(&from)?;
    let target = Import::begin(to).await?;
    let mut there = Vec::new();
    for table in &TABLES {
        there.push(target.sum(table).await?);
    }
    if there.iter().any(|sum| sum.rows > 0) {
        let mut wanted = Vec::new();
        for table in &TABLES {
            wanted.push(each(&source, table, async |_| Ok(())).await?);
        }
        ensure!(
            there == wanted,
            "the database at {place} holds something else already: name an empty one, or empty that one (DROP SCHEMA \
             gpt_r1 CASCADE); nothing was changed there"
        );
        writeln!(out, "everything is at {place} already, counted and compared")?;
        return hint(&from, config, out);
    }
    for table in &TABLES {
        let wanted = each(&source, table, async |rows| Ok(target.add(table, rows).await?)).await?;
        let found = target.sum(table).await?;
        let name = table.name;
        ensure!(
            wanted == found,
            "{} rows of {name} were read and {} are at {place}, or they differ; nothing was changed there",
            wanted.rows,
            found.rows
        );
        writeln!(out, "{name}: {} rows", wanted.rows)?;
    }
    if let Some(word) = source.instance_word()? {
        target.keep_instance_word(&word).await?;
    }
    target.commit().await?;
    writeln!(out, "everything is at {place}, counted and compared; {} is as it was", from.display())?;
    hint(&from, config, out)
}

/// Reads a table to its end, a batch at a time.
async fn each(
    source: &Export,
    table: &'static Table,
    mut take: impl AsyncFnMut(&[Row]) -> anyhow::Result<()>,
) -> anyhow::Result<Sum> {
    let mut sum = Sum::default();
    for rows in source.read(table) {
        let rows = rows?;
        rows.iter().for_each(|row| sum.add(row));
        take(&rows).await?;
    }
    Ok(sum)
}

fn from(given: Option<String>, config: &Config) -> anyhow::Result<PathBuf> {
    let Some(given) = given else { return Ok(config.data_dir.clone()) };
    match given.strip_prefix("sqlite:") {
        Some(directory) if !directory.is_empty() => Ok(directory.into()),
        _ => bail!("--from names the data directory of a SQLite database, such as sqlite:/var/lib/gpt-r1"),
    }
}

/// Gives back where it is for people, too.
fn to(given: Option<SecretString>, config: &Config) -> anyhow::Result<(SecretString, String)> {
    let configured = || match &config.database.database {
        Database::Postgres(postgres) => Some(postgres.url.clone()),
        Database::Sqlite(_) => None,
    };
    let url = given.or_else(configured);
    let url =
        url.context("say where to: --to postgres://user@host/name, or DATABASE_URL, which nobody else can see")?;
    let place = r1_store_postgres::describe(&url).map_err(|error| anyhow::anyhow!("what --to names {error}"))?;
    Ok((url, place))
}

/// What to do so that everybody stays signed in.
fn hint(from: &Path, config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
    let path = from.join(SIGNING_KEY);
    let kept = path.is_file().then(|| SigningKey::load(&path)).transpose()?;
    let same =
        |kept: &SigningKey| config.secret_key.as_ref().is_some_and(|key| key.fingerprint() == kept.fingerprint());
    match kept {
        Some(kept) if !same(&kept) => writeln!(
            out,
            "next: DATABASE_URL, and SECRET_KEY: with the content of {} everybody stays signed in",
            path.display()
        )?,
        _ => writeln!(out, "next: start gpt-r1 with DATABASE_URL and the SECRET_KEY of before")?,
    }
    Ok(())
}
