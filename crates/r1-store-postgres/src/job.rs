//! Jobs: handing them in, claiming them, giving them back.
//!
//! Whoever says something about a job holds the row of its node's lease meanwhile, as whoever appends to a log does
//! ([`crate::nodes`]): so who finds a node without a lease finds all that it has said, and it says nothing more.

use std::sync::Arc;

use r1_domain::{
    id::{ConversationId, JobId, NodeId, UserId},
    jobs::{Claim, Job, Jobs, NewJob, Release},
    store::StoreResult,
    time::Timestamp,
};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    column::{self, text},
    connection::Db,
    error::Fault,
    store::PostgresStore,
};

const INSERT: &str = "INSERT INTO job (id, owner_id, conversation_id, kind, key, payload, epoch, attempts, run_at,
                     created_at)
    VALUES ($1, $2, $3, $4, $5, $6, 0, 0, $7, $7) ON CONFLICT DO NOTHING";

/// What is free: nobody has it, or whoever has it is no node any more.
macro_rules! due {
    () => {
        "SELECT id FROM job j WHERE run_at <= $1 AND kind = ANY ($2)
            AND (node_id IS NULL OR NOT EXISTS (SELECT 1 FROM lease l WHERE l.node_id = j.node_id))
        ORDER BY run_at, id LIMIT $3"
    };
}

/// Held to the end of the statement.
macro_rules! held {
    () => {
        "WITH held AS MATERIALIZED (SELECT node_id FROM lease WHERE node_id = $2 FOR KEY SHARE) "
    };
}

const DUE: &str = due!();
const CLAIM: &str = concat!(
    "WITH held AS MATERIALIZED (SELECT node_id FROM lease WHERE node_id = $4 FOR KEY SHARE),
    due AS MATERIALIZED (",
    due!(),
    " FOR UPDATE SKIP LOCKED)
    UPDATE job SET node_id = held.node_id, epoch = epoch + 1, attempts = attempts + 1
    FROM due, held WHERE job.id = due.id
    RETURNING job.id, job.node_id, epoch, owner_id, conversation_id, kind, payload, progress, attempts"
);
const PROGRESS: &str = concat!(
    held!(),
    "UPDATE job SET progress = $4 FROM held WHERE id = $1 AND job.node_id = held.node_id AND epoch = $3"
);
const RELEASE: &str = concat!(
    held!(),
    "UPDATE job SET node_id = NULL, attempts = attempts - $4, run_at = coalesce($5, run_at)
    FROM held WHERE id = $1 AND job.node_id = held.node_id AND epoch = $3"
);
const END: &str =
    concat!(held!(), "DELETE FROM job USING held WHERE id = $1 AND job.node_id = held.node_id AND epoch = $3");
const OF_CONVERSATION: &str = "DELETE FROM job WHERE id IN (SELECT id FROM job WHERE conversation_id = $1 LIMIT $2)";

/// Removes at most this many of what is to be done about a conversation.
pub(crate) async fn delete_of_conversation(db: &Db, id: Uuid, most: usize) -> Result<u64, Fault> {
    db.run(OF_CONVERSATION, &[&id, &column::signed(most)]).await
}

fn from_row(row: &Row) -> Result<Job, Fault> {
    Ok(Job {
        claim: Claim {
            id: column::id(row, 0, JobId::from_uuid)?,
            node_id: column::id(row, 1, NodeId::from_uuid)?,
            epoch: column::unsigned(row, 2)?,
        },
        owner: column::id(row, 3, UserId::from_uuid)?,
        conversation: column::optional_id(row, 4, ConversationId::from_uuid)?,
        kind: column::string(row, 5)?,
        payload: column::string(row, 6)?,
        progress: column::optional_string(row, 7)?,
        attempts: column::unsigned(row, 8)?,
    })
}

#[async_trait::async_trait]
impl Jobs for PostgresStore {
    async fn job_add(&self, job: NewJob) -> StoreResult<bool> {
        let (job, conversation) = (&job, job.conversation.map(|id| id.as_uuid()));
        let add = |db: Arc<Db>| async move {
            let (id, owner, now) = (job.id.as_uuid(), job.owner.as_uuid(), job.now.as_micros());
            let (key, payload) = (text(&job.key), text(&job.payload));
            db.run(INSERT, &[&id, &owner, &conversation, &job.kind, &key, &payload, &now]).await
        };
        Ok(self.pool.write(add).await? > 0)
    }

    async fn job_claim(
        &self,
        node_id: NodeId,
        kinds: &[&'static str],
        most: usize,
        now: Timestamp,
    ) -> StoreResult<Vec<Job>> {
        let (now, most) = (now.as_micros(), column::signed(most));
        // Mostly there is none, and a look costs less than a transaction.
        let look = |db: Arc<Db>| async move { db.maybe(DUE, &[&now, &kinds, &1_i64]).await };
        if self.pool.read(look).await?.is_none() {
            return Ok(Vec::new());
        }
        let claim = |db: Arc<Db>| async move {
            let rows = db.all(CLAIM, &[&now, &kinds, &most, &node_id.as_uuid()]).await?;
            rows.iter().map(from_row).collect::<Result<Vec<_>, _>>()
        };
        self.pool.write(claim).await
    }

    async fn job_progress(&self, claim: Claim, progress: &str) -> StoreResult<bool> {
        let progress = &text(progress);
        let keep = |db: Arc<Db>| async move {
            let (id, node_id, epoch) = columns(claim);
            db.run(PROGRESS, &[&id, &node_id, &epoch, progress]).await
        };
        Ok(self.pool.write(keep).await? > 0)
    }

    async fn job_release(&self, claim: Claim, release: Release) -> StoreResult<bool> {
        let (uncounted, run_at) = match release {
            Release::Retry(at) => (0_i64, Some(at.as_micros())),
            Release::Back => (1, None),
        };
        let give_back = |db: Arc<Db>| async move {
            let (id, node_id, epoch) = columns(claim);
            db.run(RELEASE, &[&id, &node_id, &epoch, &uncounted, &run_at]).await
        };
        Ok(self.pool.write(give_back).await? > 0)
    }

    async fn job_end(&self, claim: Claim) -> StoreResult<bool> {
        let end = |db: Arc<Db>| async move {
            let (id, node_id, epoch) = columns(claim);
            db.run(END, &[&id, &node_id, &epoch]).await
        };
        Ok(self.pool.write(end).await? > 0)
    }
}

fn columns(claim: Claim) -> (Uuid, Uuid, i64) {
    (claim.id.as_uuid(), claim.node_id.as_uuid(), i64::from(claim.epoch))
}
