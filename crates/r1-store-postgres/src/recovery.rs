//! Taking over what another process left running.
//!
//! A log is read after it was seen that nobody has its generation, so nothing is added to it by whoever had
//! it; and what others do meanwhile, the epoch tells the taking over.
//!
//! **Invariant:** a damaged log is cut once, in the commit that takes it over, to the records that
//! [`list_orphaned`] gave back; from then on it is a log like any other.

use r1_domain::{
    generation::Generation,
    id::{GenerationId, NodeId},
    log::GRAMMAR,
    part::Content,
    store::StoredLog,
};

use crate::{
    column,
    connection::Db,
    error::Fault,
    generation, log,
    readable::{Damage, Readable},
};

const ORPHANS: &str = "SELECT id, owner_id, conversation_id, message_id, state, epoch, node_id, request, created_at,
        grammar
    FROM generation g WHERE state IN ('queued', 'running')
        AND NOT EXISTS (SELECT 1 FROM lease l WHERE l.node_id = g.node_id) ORDER BY created_at, id";

/// Reads all running generations that no node has, with their logs.
pub(crate) async fn list_orphaned(db: &Db) -> Result<Vec<StoredLog>, Fault> {
    let mut orphans = Vec::new();
    for row in db.all(ORPHANS, &[]).await? {
        let generation = generation::from_row(&row)?;
        let log = if generation.is_known() { Some(Readable::read(db, generation.id).await?) } else { None };
        orphans.push(stored(generation, log));
    }
    Ok(orphans)
}

fn stored(generation: Generation, log: Option<Readable>) -> StoredLog {
    if let Some(Readable { damage: Some(Damage { what, .. }), next_seq, .. }) = &log {
        let (id, last) = (generation.id, next_seq - 1);
        tracing::error!(generation_id = %id, "the log of generation {id} is damaged: {what}; it ends after seq {last}");
    }
    // What a running answer says is in its log; its row has what an earlier generation wrote.
    let records = log.map(|log| log.records.into());
    StoredLog { generation, records, content: Content::default(), terminal_payload: None }
}

const TAKE_OVER: &str = "UPDATE generation SET epoch = epoch + 1, node_id = $3, state = 'running',
        grammar = greatest(grammar, $4)
    WHERE id = $1 AND epoch = $2 AND state IN ('queued', 'running') AND grammar <= $5";
const CUT: &str = "DELETE FROM generation_log WHERE generation_id = $1 AND first_seq >= $2";

/// Takes an orphan over. What can't be read of its log is dropped. One of a newer grammar is left alone.
pub(crate) async fn take_over(
    db: &Db,
    id: GenerationId,
    epoch: u32,
    node_id: NodeId,
    grammar: u32,
) -> Result<bool, Fault> {
    let [epoch, grammar, known] = [epoch, grammar, GRAMMAR].map(i64::from);
    if db.run(TAKE_OVER, &[&id.as_uuid(), &epoch, &node_id.as_uuid(), &grammar, &known]).await? == 0 {
        return Ok(false);
    }
    let log = Readable::read(db, id).await?;
    if let Some(Damage { from: (first_seq, bytes), .. }) = log.damage {
        db.run(CUT, &[&id.as_uuid(), &column::signed(first_seq)]).await?;
        let rest = log.records.get(bytes..).unwrap_or_default();
        if !rest.is_empty() {
            log::insert_part(db, id, first_seq, log.next_seq, rest).await?;
        }
    }
    Ok(true)
}
