//! Leases, and what else nodes need of the database that they share.
//!
//! A node is a row of `lease`. Each transaction that writes for a generation holds the row of the node that
//! runs it, `FOR KEY SHARE`: renewing it is not in the way of that, and deleting it waits for those under
//! way. So a node is fenced by the deletion of its row, and that is the only thing that fences it; a lease
//! that has run out is one that may be deleted. Times are this server's.
//!
//! **Invariant:** whoever sees that a node has no row sees all that was stored under it, and nothing more is.

use std::time::Duration;

use bytes::Bytes;
use r1_domain::{
    id::{GenerationId, NodeId, UserId},
    log::FIRST_GRAMMAR,
    nodes::{LogPart, Nodes, Renewal},
    store::{StoreError, StoreResult},
};
use tokio::{sync::Mutex, time::timeout};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    column,
    connection::{Connector, Db, Purpose},
    error::Fault,
    generation,
    store::PostgresStore,
};

/// However short a lease is, its renewal may take this long.
const LEAST_PATIENCE: Duration = Duration::from_millis(500);
/// At most this many parts of one log in one read.
const PARTS: i64 = 64;

macro_rules! now {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
    };
}

const HOLD: &str = "SELECT 1 FROM lease WHERE node_id = $1 FOR KEY SHARE";
const LEAVE_PLACE: &str = "DELETE FROM lease WHERE place = $1 AND node_id <> $2";
const JOIN: &str = concat!(
    "INSERT INTO lease (node_id, place, grammar, expires_at) VALUES ($1, $2, $4, ",
    now!(),
    " + $3) ON CONFLICT (node_id) DO UPDATE SET expires_at = EXCLUDED.expires_at"
);
const LEAVE: &str = "DELETE FROM lease WHERE node_id = $1";
const REAP: &str = concat!("DELETE FROM lease WHERE expires_at <= ", now!());
const RENEW: &str = concat!(
    "WITH mine AS (UPDATE lease SET expires_at = ",
    now!(),
    " + $2 WHERE node_id = $1 RETURNING 1),
    others AS (SELECT expires_at - ",
    now!(),
    " AS left FROM lease WHERE node_id <> $1)
    SELECT EXISTS (SELECT 1 FROM mine),
        (SELECT count(*) FROM others WHERE \"left\" > 0),
        (SELECT min(\"left\") FROM others),
        EXISTS (SELECT 1 FROM generation g WHERE g.state IN ('queued', 'running')
                AND NOT EXISTS (SELECT 1 FROM lease l WHERE l.node_id = g.node_id)),
        ARRAY (SELECT id FROM generation
               WHERE node_id = $1 AND state IN ('queued', 'running') AND stop_requested),
        (SELECT min(grammar) FROM lease)"
);
/// No node has this id.
const NOBODY: Uuid = Uuid::nil();
const RELEASE: &str = "UPDATE generation SET node_id = $3
    WHERE node_id = $1 AND id = ANY ($2) AND state IN ('queued', 'running')";
const REQUEST_STOP: &str = "UPDATE generation SET stop_requested = TRUE
    WHERE id = $1 AND owner_id = $2 AND state IN ('queued', 'running') AND NOT stop_requested";
/// One statement is one snapshot. What is gone is told once nothing of it is left to read.
const READ_ON: &str = "SELECT f.id, l.first_seq, l.records
    FROM unnest($1::uuid[], $2::bigint[]) AS f (id, next_seq)
    LEFT JOIN generation g ON g.id = f.id
    LEFT JOIN LATERAL (
        SELECT first_seq, records FROM generation_log
        WHERE generation_id = f.id AND first_seq >= f.next_seq ORDER BY first_seq LIMIT $3
    ) l ON TRUE
    WHERE l.first_seq IS NOT NULL OR g.id IS NULL OR g.log_retired
    ORDER BY f.id, l.first_seq";

/// The connection over which leases are renewed: no request is ever before it.
pub(crate) struct Heart {
    connector: Connector,
    current: Mutex<Option<Db>>,
}

impl Heart {
    pub(crate) fn new(connector: Connector) -> Self {
        Self { connector, current: Mutex::default() }
    }

    async fn renew(&self, node_id: NodeId, lease: Duration) -> Result<Renewal, Fault> {
        let mut current = self.current.lock().await;
        let db = match current.take().filter(Db::is_open) {
            Some(db) => db,
            None => self.connector.connect(Purpose::Lease).await?,
        };
        let row = db.one(RENEW, &[&node_id.as_uuid(), &micros(lease)]).await?;
        let renewal = renewal(&row)?;
        // One that failed, or was given up on, is cut.
        *current = Some(db);
        Ok(renewal)
    }
}

fn renewal(row: &Row) -> Result<Renewal, Fault> {
    let left: Option<i64> = column::get(row, 2)?;
    let stops: Vec<Uuid> = column::get(row, 4)?;
    Ok(Renewal {
        held: column::get(row, 0)?,
        others: column::unsigned(row, 1)?,
        // None where no node has a lease: this one is not held either.
        grammar: column::get::<Option<i64>>(row, 5)?
            .and_then(|grammar| grammar.try_into().ok())
            .unwrap_or(FIRST_GRAMMAR),
        next_expiry: left.map(|left| Duration::from_micros(u64::try_from(left).unwrap_or(0))),
        orphans: column::get(row, 3)?,
        stops: stops.into_iter().map(GenerationId::from_uuid).collect(),
    })
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// Holds a node's right to write for its generations until the transaction's end.
pub(crate) async fn hold(db: &Db, node_id: NodeId) -> Result<(), Fault> {
    if db.maybe(HOLD, &[&node_id.as_uuid()]).await?.is_some() {
        return Ok(());
    }
    Err(StoreError::Unavailable("this node's lease has ended".into()).into())
}

#[async_trait::async_trait]
impl Nodes for PostgresStore {
    async fn join(&self, node_id: NodeId, lease: Duration, grammar: u32) -> StoreResult<()> {
        let (id, place) = (node_id.as_uuid(), self.place);
        let join = |db: std::sync::Arc<Db>| async move {
            if let Some(place) = place {
                db.run(LEAVE_PLACE, &[&place, &id]).await?;
            }
            db.run(JOIN, &[&id, &place, &micros(lease), &i64::from(grammar)]).await.map(drop)
        };
        self.pool.write(join).await
    }

    async fn renew(&self, node_id: NodeId, lease: Duration) -> StoreResult<Renewal> {
        let late = |_| Fault::Late("the database did not renew a lease in time");
        let patience = (lease / 3).max(LEAST_PATIENCE);
        Ok(timeout(patience, self.heart.renew(node_id, lease)).await.map_err(late)??)
    }

    async fn leave(&self, node_id: NodeId) -> StoreResult<()> {
        self.pool.write(|db| async move { db.run(LEAVE, &[&node_id.as_uuid()]).await.map(drop) }).await
    }

    async fn reap(&self) -> StoreResult<usize> {
        let ended = self.pool.write(|db| async move { db.run(REAP, &[]).await }).await?;
        Ok(usize::try_from(ended).unwrap_or(usize::MAX))
    }

    async fn release(&self, node_id: NodeId, generations: Vec<GenerationId>) -> StoreResult<()> {
        // What was appended last is stored, or known not to be, before anybody else may look.
        let _quiet = self.log.quiet().await;
        let ids: Vec<Uuid> = generations.iter().map(|id| id.as_uuid()).collect();
        let ids = &ids;
        let release = |db: std::sync::Arc<Db>| async move {
            db.run(RELEASE, &[&node_id.as_uuid(), ids, &NOBODY]).await.map(drop)
        };
        self.pool.write(release).await
    }

    async fn request_stop(&self, owner: UserId, id: GenerationId) -> StoreResult<()> {
        let request = |db: std::sync::Arc<Db>| async move {
            generation::get(&db, owner, id).await?;
            db.run(REQUEST_STOP, &[&id.as_uuid(), &owner.as_uuid()]).await.map(drop)
        };
        self.pool.write(request).await
    }

    async fn read_on(&self, logs: &[(GenerationId, u64)]) -> StoreResult<Vec<LogPart>> {
        if logs.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<Uuid> = logs.iter().map(|(id, _)| id.as_uuid()).collect();
        let seqs: Vec<i64> = logs.iter().map(|(_, seq)| column::signed(*seq)).collect();
        let (ids, seqs) = (&ids, &seqs);
        let read = |db: std::sync::Arc<Db>| async move {
            let rows = db.all(READ_ON, &[ids, seqs, &PARTS]).await?;
            rows.iter().map(part).collect::<Result<Vec<_>, _>>()
        };
        self.pool.read(read).await
    }
}

fn part(row: &Row) -> Result<LogPart, Fault> {
    let records: Option<&[u8]> = column::get(row, 2)?;
    Ok(LogPart {
        generation_id: column::id(row, 0, GenerationId::from_uuid)?,
        first_seq: if records.is_some() { column::unsigned(row, 1)? } else { 0 },
        records: records.map(Bytes::copy_from_slice),
    })
}
