//! Jobs: handing them in, claiming them, giving them back.
//!
//! The data directory's lock is the lease here: whatever another node had is free.

use r1_domain::{
    id::NodeId,
    jobs::{Claim, Job, Jobs, NewJob, Release},
    store::StoreResult,
    time::Timestamp,
};
use rusqlite::{Connection, Row, params};

use crate::{
    column::{self, Id},
    error::Fault,
    store::SqliteStore,
    writer::{Session, Synchronous},
};

/// Adds a job, unless an open one has its key. Whether it did.
pub(crate) fn insert(db: &Connection, job: &NewJob) -> Result<bool, Fault> {
    let inserted = db
        .prepare_cached(
            "INSERT INTO job (id, owner_id, conversation_id, kind, key, payload, epoch, attempts, run_at, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, ?7, ?7) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            job.id.blob(),
            job.owner.blob(),
            job.conversation.map(|id| id.blob()),
            job.kind,
            job.key,
            job.payload,
            job.now.as_micros(),
        ])?;
    Ok(inserted > 0)
}

/// Removes at most this many of what is to be done about a conversation.
pub(crate) fn delete_of_conversation(db: &Connection, id: [u8; 16], most: i64) -> Result<usize, Fault> {
    let deleted = db
        .prepare_cached("DELETE FROM job WHERE id IN (SELECT id FROM job WHERE conversation_id = ?1 LIMIT ?2)")?
        .execute(params![id, most])?;
    Ok(deleted)
}

/// What a node may claim.
#[derive(Debug, Clone)]
struct Wanted {
    node_id: NodeId,
    /// As a list in JSON.
    kinds: String,
    most: i64,
    now: Timestamp,
}

/// By the time since when they wait, whatever their kind (the plus says so): most that are due are of a wanted one.
macro_rules! due {
    () => {
        "SELECT id FROM job WHERE run_at <= ?1 AND (node_id IS NULL OR node_id <> ?2)
             AND +kind IN (SELECT value FROM json_each(?3)) ORDER BY run_at, id LIMIT ?4"
    };
}

pub(crate) const DUE: &str = due!();
const CLAIM: &str = concat!(
    "UPDATE job SET node_id = ?2, epoch = epoch + 1, attempts = attempts + 1 WHERE id IN (",
    due!(),
    ") RETURNING id, node_id, epoch, owner_id, conversation_id, kind, payload, progress, attempts"
);

impl Wanted {
    fn is_there(&self, db: &Connection) -> Result<bool, Fault> {
        let Self { node_id, kinds, now, .. } = self;
        Ok(db.prepare_cached(DUE)?.exists(params![now.as_micros(), node_id.blob(), kinds, 1])?)
    }

    fn claim(&self, db: &Connection) -> Result<Vec<Job>, Fault> {
        let Self { node_id, kinds, most, now } = self;
        let mut statement = db.prepare_cached(CLAIM)?;
        let rows = statement.query_map(params![now.as_micros(), node_id.blob(), kinds, most], from_row)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Job> {
    Ok(Job {
        claim: Claim { id: column::id(row, 0)?, node_id: column::id(row, 1)?, epoch: column::unsigned(row, 2)? },
        owner: column::id(row, 3)?,
        conversation: column::optional_id(row, 4)?,
        kind: row.get(5)?,
        payload: row.get(6)?,
        progress: row.get(7)?,
        attempts: column::unsigned(row, 8)?,
    })
}

const OF_CLAIM: &str = " WHERE id = ?1 AND node_id = ?2 AND epoch = ?3";

impl SqliteStore {
    /// A transaction that a power loss may take back, with all that came after it: then it is done again.
    async fn job_write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> StoreResult<T> {
        self.writer.run(Synchronous::Normal, move |session: &mut Session| session.transaction(work)).await
    }
}

#[async_trait::async_trait]
impl Jobs for SqliteStore {
    async fn job_add(&self, job: NewJob) -> StoreResult<bool> {
        self.job_write(move |db| insert(db, &job)).await
    }

    async fn job_claim(
        &self,
        node_id: NodeId,
        kinds: &[&'static str],
        most: usize,
        now: Timestamp,
    ) -> StoreResult<Vec<Job>> {
        let kinds = serde_json::to_string(kinds).map_err(|_| Fault::Broken("kinds are not JSON"))?;
        let wanted = Wanted { node_id, kinds, most: column::signed(most), now };
        let look = wanted.clone();
        // Mostly there is none, and the writer need not hear of it.
        if !self.readers.read(move |db| look.is_there(db)).await? {
            return Ok(Vec::new());
        }
        self.job_write(move |db| wanted.claim(db)).await
    }

    async fn job_progress(&self, claim: Claim, progress: &str) -> StoreResult<bool> {
        let progress = progress.to_owned();
        self.job_write(move |db| {
            let sql = format!("UPDATE job SET progress = ?4{OF_CLAIM}");
            let Claim { id, node_id, epoch } = claim;
            Ok(db.prepare_cached(&sql)?.execute(params![id.blob(), node_id.blob(), epoch, progress])? > 0)
        })
        .await
    }

    async fn job_release(&self, claim: Claim, release: Release) -> StoreResult<bool> {
        self.job_write(move |db| {
            let (uncounted, run_at) = match release {
                Release::Retry(at) => (0, Some(at.as_micros())),
                Release::Back => (1, None),
            };
            let sql = format!(
                "UPDATE job SET node_id = NULL, attempts = attempts - ?4, run_at = coalesce(?5, run_at){OF_CLAIM}"
            );
            let Claim { id, node_id, epoch } = claim;
            Ok(db.prepare_cached(&sql)?.execute(params![id.blob(), node_id.blob(), epoch, uncounted, run_at])? > 0)
        })
        .await
    }

    async fn job_end(&self, claim: Claim) -> StoreResult<bool> {
        self.job_write(move |db| {
            let Claim { id, node_id, epoch } = claim;
            let sql = format!("DELETE FROM job{OF_CLAIM}");
            Ok(db.prepare_cached(&sql)?.execute(params![id.blob(), node_id.blob(), epoch])? > 0)
        })
        .await
    }
}
