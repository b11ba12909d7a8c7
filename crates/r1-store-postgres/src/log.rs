//! Logs: appending to them, ending them, reading them back.
//!
//! An append is a row of `generation_log`, and a batch one statement, whatever is in it. It goes over a
//! connection of its own, so no request is ever before it. Every commit waits for the server's disk:
//! what readers are shown survives a crash of the database server too, which is far more ordinary than
//! a power loss (one backend that is killed takes all memory along).
//!
//! **Invariant:** an append goes in whole or not at all, exactly once: only while the node that runs its
//! generation has a lease ([`crate::nodes`]), only under the generation's present epoch and only at the seq that comes next. A
//! batch is one commit. When it fails nothing of it is stored and the same batch may come again: where
//! the commit's answer was lost, it is found out before anybody is told.

use std::{borrow::Cow, collections::HashMap, time::Duration};

use r1_domain::{
    cursor::Cursor,
    generation::{Generation, GenerationRequest},
    id::{GenerationId, UserId},
    log::check,
    part::Content,
    store::{AppendOutcome, LogAppend, StoreError, StoreResult, StoredLog, Terminal},
};
use tokio::{sync::Mutex, time::sleep};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    column::{self, text},
    connection::{Backend, Connector, Db, Purpose},
    error::Fault,
    generation,
    readable::Readable,
    search::{document, indexed},
};

/// A batch that others were in the way of is tried at most this many times.
const TRIES: u32 = 4;
/// Between two attempts to find out what came of a commit.
const AGAIN: Duration = Duration::from_millis(500);

/// The one that appends.
pub(crate) struct Writer {
    connector: Connector,
    /// Locked for as long as a batch takes: one after the other.
    current: Mutex<Option<Db>>,
}

/// The appends of a batch that can go in by one statement: no two of the same log.
type Wave<'a> = Vec<Planned<'a>>;

/// An append that may go in.
#[derive(Clone, Copy)]
struct Planned<'a> {
    /// Its place in the batch.
    place: usize,
    append: &'a LogAppend,
    next_seq: u64,
}

impl Writer {
    pub(crate) fn new(connector: Connector) -> Self {
        Self { connector, current: Mutex::default() }
    }

    /// Appends a batch. Waits until it is known what came of it.
    pub(crate) async fn append(&self, batch: &[LogAppend]) -> StoreResult<Vec<AppendOutcome>> {
        let mut outcomes = vec![AppendOutcome::Fenced; batch.len()];
        let waves = plan(batch, &mut outcomes);
        if waves.is_empty() {
            return Ok(outcomes);
        }
        let mut current = self.current.lock().await;
        let mut left = TRIES;
        let stored = loop {
            let db = match current.take().filter(Db::is_open) {
                Some(db) => db,
                None => self.connector.connect(Purpose::Log).await?,
            };
            let fault = match self.write(&db, &waves).await {
                Ok(stored) => {
                    *current = Some(db);
                    break stored;
                }
                Err(fault) => fault,
            };
            let backend = db.backend;
            let known = fault.keeps_connection() && (waves.len() == 1 || db.batch("ROLLBACK").await.is_ok());
            if known {
                *current = Some(db);
            } else {
                drop(db);
                if let Some(stored) = self.find_out(backend, &waves).await {
                    break stored;
                }
            }
            left -= 1;
            if left == 0 || !fault.may_pass() {
                return Err(fault.into());
            }
        };
        for place in stored {
            outcomes[place] = AppendOutcome::Stored;
        }
        Ok(outcomes)
    }

    /// Waits until nothing is being appended, and keeps it so.
    pub(crate) async fn quiet(&self) -> impl Drop + '_ {
        self.current.lock().await
    }

    /// Gives back the places of what went in.
    async fn write(&self, db: &Db, waves: &[Wave<'_>]) -> Result<Vec<usize>, Fault> {
        let mut stored = Vec::new();
        // The hot path: one statement is a transaction by itself.
        let alone = waves.len() == 1;
        if !alone {
            db.batch("BEGIN").await?;
        }
        for wave in waves {
            stored.extend(self.write_wave(db, wave).await?);
        }
        if !alone {
            db.batch("COMMIT").await?;
        }
        Ok(stored)
    }

    async fn write_wave(&self, db: &Db, wave: &Wave<'_>) -> Result<Vec<usize>, Fault> {
        let column = |of: fn(&Planned<'_>) -> i64| wave.iter().map(of).collect::<Vec<_>>();
        let ids: Vec<Uuid> = wave.iter().map(|planned| planned.append.generation_id.as_uuid()).collect();
        let epochs = column(|planned| i64::from(planned.append.epoch));
        let first = column(|planned| column::signed(planned.append.first_seq));
        let next = column(|planned| column::signed(planned.next_seq));
        let records: Vec<&[u8]> = wave.iter().map(|planned| &planned.append.records[..]).collect();
        let ends: Vec<_> = wave
            .iter()
            .filter_map(|planned| Some((planned.append.generation_id, planned.append.terminal.as_ref()?)))
            .collect();
        let rows = if ends.is_empty() {
            db.all(APPEND, &[&ids, &epochs, &first, &next, &records]).await?
        } else {
            let usage = |usage| serde_json::to_string(&usage).map_err(|_| Fault::Broken("usage is not JSON"));
            let ended: Vec<Uuid> = ends.iter().map(|(id, _)| id.as_uuid()).collect();
            let states: Vec<&str> = ends.iter().map(|(_, end)| end.state().as_str()).collect();
            let usages = ends.iter().map(|(_, end)| end.usage.map(usage).transpose());
            let usages: Vec<Option<String>> = usages.collect::<Result<_, _>>()?;
            let payloads: Vec<String> = ends.iter().map(|(_, end)| end.event.payload()).collect();
            let payloads: Vec<_> = payloads.iter().map(|payload| text(payload)).collect();
            let times: Vec<i64> = ends.iter().map(|(_, end)| end.ended_at.as_micros()).collect();
            let texts: Vec<_> = ends.iter().map(|(_, end)| text(&end.content.text)).collect();
            let reasons: Vec<_> = ends.iter().map(|(_, end)| end.finish_reason().map(text)).collect();
            let codes: Vec<_> = ends.iter().map(|(_, end)| end.failure().map(|failure| text(&failure.code))).collect();
            let memories: Vec<Option<Uuid>> =
                ends.iter().map(|(_, end)| end.remembers_from.map(|id| id.as_uuid())).collect();
            let words: Vec<_> = ends.iter().map(|(_, end)| indexed(&end.content.text)).collect();
            let parts: Vec<_> = ends.iter().map(|(_, end)| end.content.outline()).collect();
            let first_tokens: Vec<Option<i64>> =
                ends.iter().map(|(_, end)| end.first_token_ms.map(column::signed)).collect();
            let also = Also::of(&ends);
            db.all(
                APPEND_AND_END,
                &[
                    &ids,
                    &epochs,
                    &first,
                    &next,
                    &records,
                    &ended,
                    &states,
                    &usages,
                    &payloads,
                    &times,
                    &texts,
                    &reasons,
                    &codes,
                    &words,
                    &memories,
                    &parts,
                    &also.after,
                    &also.ids,
                    &also.owners,
                    &also.conversations,
                    &also.kinds,
                    &also.keys,
                    &also.payloads,
                    &also.times,
                    &first_tokens,
                ],
            )
            .await?
        };
        let places: HashMap<Uuid, usize> =
            wave.iter().map(|planned| (planned.append.generation_id.as_uuid(), planned.place)).collect();
        rows.iter()
            .map(|row| places.get(&column::get(row, 0)?).copied().ok_or(Fault::Broken("an append nobody asked for")))
            .collect()
    }

    /// After a commit whose answer was lost: what is stored of the batch, or None if it was not carried
    /// out. Comes back when that is known, however long it takes.
    async fn find_out(&self, backend: Backend, waves: &[Wave<'_>]) -> Option<Vec<usize>> {
        loop {
            let looked = async {
                let db = self.connector.connect(Purpose::Log).await?;
                db.outlive(backend).await?;
                stored(&db, waves).await
            };
            match looked.await {
                Ok(stored) => return (!stored.is_empty()).then_some(stored),
                Err(error) => tracing::debug!(%error, "what came of a commit can't be found out yet"),
            }
            sleep(AGAIN).await;
        }
    }
}

/// What goes into which statement; what can't go in at all stays out. The first appends of all logs are
/// one wave, their second ones the next: mostly there is one.
fn plan<'a>(batch: &'a [LogAppend], outcomes: &mut [AppendOutcome]) -> Vec<Wave<'a>> {
    let mut waves: Vec<Wave<'_>> = Vec::new();
    let mut seen: HashMap<GenerationId, usize> = HashMap::new();
    for (place, append) in batch.iter().enumerate() {
        let span = check(&append.records, Cursor::before(append.first_seq));
        if !span.is_whole || span.is_ended() != append.terminal.is_some() {
            // Refused alone: the others of the batch did nothing wrong.
            let id = append.generation_id;
            tracing::error!(generation_id = %id, "generation {id} appended what is no log");
            continue;
        }
        if append.records.is_empty() {
            // Nothing is stored of it.
            outcomes[place] = AppendOutcome::Stored;
            continue;
        }
        let wave = seen.entry(append.generation_id).or_default();
        if waves.len() == *wave {
            waves.push(Vec::new());
        }
        waves[*wave].push(Planned { place, append, next_seq: span.next_seq() });
        *wave += 1;
    }
    waves
}

/// The row of the lease under which a generation runs is held to the end of the statement, so whoever ends
/// the lease waits for it, and finds all that is stored.
macro_rules! append {
    () => {
        "live AS MATERIALIZED (
            SELECT a.id, a.first_seq, a.next_seq, a.records, g.node_id
            FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[])
                AS a (id, epoch, first_seq, next_seq, records)
            JOIN generation g ON g.id = a.id AND g.epoch = a.epoch AND g.state IN ('queued', 'running')
        ),
        held AS MATERIALIZED (
            SELECT node_id FROM lease WHERE node_id IN (SELECT DISTINCT node_id FROM live) FOR KEY SHARE
        ),
        stored AS (
            INSERT INTO generation_log (generation_id, first_seq, next_seq, records)
            SELECT a.id, a.first_seq, a.next_seq, a.records
            FROM live a JOIN held USING (node_id)
            WHERE a.first_seq = (SELECT l.next_seq FROM generation_log l WHERE l.generation_id = a.id
                                 ORDER BY l.first_seq DESC LIMIT 1)
            ON CONFLICT DO NOTHING RETURNING generation_id
        )"
    };
}

const APPEND: &str = concat!("WITH ", append!(), " SELECT generation_id FROM stored");

/// What ends with a log: state and usage, the message's text and parts, the conversation's place in the list, the
/// search index, the work that follows.
const APPEND_AND_END: &str = concat!(
    "WITH ",
    append!(),
    ", ended AS (
        UPDATE generation g SET state = e.state, usage = e.usage, terminal = e.payload, ended_at = e.ended_at,
                                first_token_ms = e.first_token_ms
        FROM stored JOIN unnest($6::uuid[], $7::text[], $8::text[], $9::text[], $10::bigint[], $11::text[],
                                $12::text[], $13::text[], $14::text[], $15::uuid[], $16::text[], $25::bigint[])
            AS e (id, state, usage, payload, ended_at, content, finish_reason, error_code, words, remembers_from,
                  parts, first_token_ms)
            ON e.id = stored.generation_id
        WHERE g.id = e.id
        RETURNING g.message_id, g.conversation_id, g.owner_id, e.state, e.ended_at, e.content, e.finish_reason,
                  e.error_code, e.words, e.remembers_from, e.parts
    ),
    told AS (
        UPDATE message m SET content = e.content, state = e.state, finish_reason = e.finish_reason,
                             error_code = e.error_code, parts = e.parts,
                             remembers_from = coalesce(e.remembers_from, m.remembers_from)
        FROM ended e WHERE m.id = e.message_id
    ),
    touched AS (
        UPDATE conversation c SET updated_at = greatest(c.updated_at, e.ended_at)
        FROM (SELECT conversation_id, max(ended_at) AS ended_at FROM ended GROUP BY conversation_id) e
        WHERE c.id = e.conversation_id
    ),
    found AS (
        INSERT INTO message_search (message_id, document)
        SELECT e.message_id, ",
    document!("e.owner_id", "e.words"),
    " FROM ended e WHERE e.words IS NOT NULL
        ON CONFLICT (message_id) DO UPDATE SET document = EXCLUDED.document
    ),
    also AS (
        INSERT INTO job (id, owner_id, conversation_id, kind, key, payload, epoch, attempts, run_at, created_at)
        SELECT a.id, a.owner_id, a.conversation_id, a.kind, a.key, a.payload, 0, 0, a.now, a.now
        FROM stored JOIN unnest($17::uuid[], $18::uuid[], $19::uuid[], $20::uuid[], $21::text[], $22::text[],
                                $23::text[], $24::bigint[])
            AS a (after, id, owner_id, conversation_id, kind, key, payload, now) ON a.after = stored.generation_id
        ON CONFLICT DO NOTHING
    )
    SELECT generation_id FROM stored"
);

/// What is handed in with ends, column by column.
#[derive(Default)]
struct Also<'a> {
    after: Vec<Uuid>,
    ids: Vec<Uuid>,
    owners: Vec<Uuid>,
    conversations: Vec<Option<Uuid>>,
    kinds: Vec<&'static str>,
    keys: Vec<Cow<'a, str>>,
    payloads: Vec<Cow<'a, str>>,
    times: Vec<i64>,
}

impl<'a> Also<'a> {
    fn of(ends: &[(GenerationId, &'a Terminal)]) -> Self {
        let mut also = Self::default();
        for (generation, end) in ends {
            for job in &end.also {
                also.after.push(generation.as_uuid());
                also.ids.push(job.id.as_uuid());
                also.owners.push(job.owner.as_uuid());
                also.conversations.push(job.conversation.map(|id| id.as_uuid()));
                also.kinds.push(job.kind);
                also.keys.push(text(&job.key));
                also.payloads.push(text(&job.payload));
                also.times.push(job.now.as_micros());
            }
        }
        also
    }
}

/// Rows that are there exactly so.
const STORED: &str = "SELECT a.number
    FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bytea[]) WITH ORDINALITY
        AS a (id, first_seq, next_seq, records, number)
    JOIN generation_log l ON l.generation_id = a.id AND l.first_seq = a.first_seq
    WHERE l.next_seq = a.next_seq AND l.records = a.records";

async fn stored(db: &Db, waves: &[Wave<'_>]) -> Result<Vec<usize>, Fault> {
    let all: Vec<&Planned<'_>> = waves.iter().flatten().collect();
    let ids: Vec<Uuid> = all.iter().map(|planned| planned.append.generation_id.as_uuid()).collect();
    let first: Vec<i64> = all.iter().map(|planned| column::signed(planned.append.first_seq)).collect();
    let next: Vec<i64> = all.iter().map(|planned| column::signed(planned.next_seq)).collect();
    let records: Vec<&[u8]> = all.iter().map(|planned| &planned.append.records[..]).collect();
    let rows = db.all(STORED, &[&ids, &first, &next, &records]).await?;
    let place = |row: &Row| {
        let number: usize = column::unsigned(row, 0)?;
        let planned = number.checked_sub(1).and_then(|index| all.get(index));
        planned.map(|planned| planned.place).ok_or(Fault::Broken("a row nobody asked for"))
    };
    rows.iter().map(place).collect()
}

const INSERT: &str = "INSERT INTO generation_log (generation_id, first_seq, next_seq, records) VALUES ($1, $2, $3, $4)";

/// Adds a part of a log that nobody else writes to.
pub(crate) async fn insert_part(
    db: &Db,
    id: GenerationId,
    first_seq: u64,
    next_seq: u64,
    records: &[u8],
) -> Result<(), Fault> {
    let (first, next) = (column::signed(first_seq), column::signed(next_seq));
    db.run(INSERT, &[&id.as_uuid(), &first, &next, &records]).await.map(drop)
}

/// One statement is one snapshot.
const READ: &str = "SELECT g.id, g.owner_id, g.conversation_id, g.message_id, g.state, g.epoch, g.node_id, g.request,
        g.created_at, g.grammar, g.log_retired, m.content, g.terminal, log.records, log.dense, m.parts
    FROM generation g
    JOIN conversation c ON c.id = g.conversation_id AND c.deleted_at IS NULL
    JOIN message m ON m.id = g.message_id
    LEFT JOIN LATERAL (
        SELECT string_agg(part.records, ''::bytea ORDER BY part.first_seq) AS records,
               bool_and(part.first_seq = part.expected) AS dense
        FROM (SELECT first_seq, records, lag(next_seq, 1, 1::bigint) OVER (ORDER BY first_seq) AS expected
              FROM generation_log WHERE generation_id = g.id) part
    ) log ON NOT g.log_retired
    WHERE g.id = $1 AND g.owner_id = $2";

/// Reads a generation with its log.
pub(crate) async fn read(db: &Db, owner: UserId, id: GenerationId) -> Result<StoredLog, Fault> {
    let row = db.maybe(READ, &[&id.as_uuid(), &owner.as_uuid()]).await?.ok_or(StoreError::NotFound)?;
    let generation = generation::from_row(&row)?;
    let content = Content::stored(column::string(&row, 11)?, column::get(&row, 15)?);
    let terminal_payload = column::optional_string(&row, 12)?;
    if column::get(&row, 10)? {
        let content = of_generation(db, &generation, content).await?;
        return Ok(StoredLog { generation, records: None, content, terminal_payload });
    }
    let records: Vec<u8> = column::get::<Option<_>>(&row, 13)?.unwrap_or_default();
    let dense = column::get::<Option<bool>>(&row, 14)? != Some(false);
    let records = match (dense, generation.state.is_terminal()) {
        (true, _) => records,
        (false, true) => return Err(Fault::Broken("a log has a gap")),
        (false, false) => Readable::read(db, id).await?.records,
    };
    Ok(StoredLog { generation, records: Some(records.into()), content, terminal_payload })
}

const NEXT_REQUEST: &str = "SELECT request FROM generation
    WHERE conversation_id = $1 AND (created_at, id) > ($2, $3) AND message_id = $4
    ORDER BY created_at, id LIMIT 1";

/// What of a message stood there when this generation of it ended: the next one was given that.
async fn of_generation(db: &Db, generation: &Generation, mut content: Content) -> Result<Content, Fault> {
    let next = db
        .maybe(
            NEXT_REQUEST,
            &[
                &generation.conversation_id.as_uuid(),
                &generation.created_at.as_micros(),
                &generation.id.as_uuid(),
                &generation.message_id.as_uuid(),
            ],
        )
        .await?;
    if let Some(next) = next {
        let next: GenerationRequest =
            serde_json::from_str(column::get(&next, 0)?).map_err(|_| Fault::Broken("a request is not JSON"))?;
        content.truncate(next.given_bytes);
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use r1_domain::{log, time::Timestamp};

    use super::*;

    fn chunks(texts: &[&str]) -> bytes::Bytes {
        let mut records = Vec::new();
        texts.iter().for_each(|text| log::push_chunk(&mut records, text));
        records.into()
    }

    #[test]
    fn a_wave_has_each_log_once() {
        let [a, b] = [1, 2].map(|at| GenerationId::new(Timestamp::from_micros(at)));
        let append = |generation_id, first_seq, records: &bytes::Bytes| LogAppend {
            generation_id,
            epoch: 1,
            first_seq,
            records: records.clone(),
            fold: None,
            terminal: None,
        };
        let one = chunks(&["x"]);
        let broken = bytes::Bytes::from_static(&[1, 9, b'x']);
        let batch = [
            append(a, 2, &one),
            append(b, 2, &one),
            append(a, 3, &one),
            append(b, 3, &broken),
            append(a, 4, &one),
            append(b, 3, &chunks(&[])),
            append(b, 3, &one),
        ];
        let mut outcomes = vec![AppendOutcome::Fenced; batch.len()];
        let waves = plan(&batch, &mut outcomes);
        let places: Vec<Vec<usize>> =
            waves.iter().map(|wave| wave.iter().map(|planned| planned.place).collect()).collect();
        assert_eq!(places, [vec![0, 1], vec![2, 6], vec![4]]);
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == AppendOutcome::Stored).count(), 1);
        assert_eq!(outcomes[5], AppendOutcome::Stored);
    }
}
