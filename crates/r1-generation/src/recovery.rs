//! Taking over the generations of a process that is gone.
//!
//! Nothing that a reader saw is lost: it is in the log. If no word had been written (but those that
//! a continued answer began with) the question is asked again; if the provider can go on from a partial answer it does;
//! else the answer is `interrupted` and keeps what it says. What was thought before a word was written is thought again:
//! the take-over's entry says that it counts no more.
//!
//! Where the log has the tokens of all that its generation has written, the provider goes on from
//! these, and so as the run would have that is gone. One token unknown, and it goes on from the text.

use std::sync::Arc;

use r1_domain::{
    call::Call,
    event::{Event, Failure},
    fold::fold_each,
    generation::Generation,
    log::{GRAMMAR, Kind, PrivateKind},
    part::Content,
    provider::ResolvedModel,
    store::{StoredLog, Terminal},
    token_ids::TokenIds,
};
use tracing::Instrument;

use crate::{
    engine::Engine,
    error::EngineError,
    log::{Log, SharedLog},
    registry::Running,
    run::{Lost, Run, interrupted, record_end, span, tokens::estimate},
    start::start_event,
};

/// A generation is taken over at most this many times; then something about it kills its process.
const TAKE_OVERS: u32 = 3;

impl Engine {
    /// Takes over what an earlier process, or another node that is gone, left running. Gives back how many
    /// generations. Readers can attach to them as soon as this returns.
    ///
    /// # Errors
    /// `Store` when the database can't be read. A single damaged log is logged and left alone.
    pub async fn recover(&self) -> Result<usize, EngineError> {
        self.take_all_over(None).await
    }

    /// The same, but nobody goes on with any of them: each is interrupted, and says why.
    ///
    /// # Errors
    /// As [`Engine::recover`].
    pub async fn interrupt_orphans(&self, why: &str) -> Result<usize, EngineError> {
        self.take_all_over(Some(why)).await
    }

    async fn take_all_over(&self, interrupted_by: Option<&str>) -> Result<usize, EngineError> {
        let orphans = self.store.generation_list_orphaned(self.node.life()?.node_id).await?;
        let (orphans, newer): (Vec<_>, Vec<_>) = orphans.into_iter().partition(|orphan| orphan.generation.is_known());
        self.leave_alone(&newer);
        let mut taken = 0;
        for orphan in orphans {
            let id = orphan.generation.id;
            match self.take_over(orphan, interrupted_by).await {
                Ok(true) => {
                    self.observer.taken_over();
                    taken += 1;
                }
                // Another node was sooner.
                Ok(false) => {}
                Err(EngineError::Damaged(damage)) => {
                    tracing::error!(generation_id = %id, "generation {id} can't be taken over: {damage}");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }

    /// Says of each, once, why it is neither taken over nor ended here.
    fn leave_alone(&self, newer: &[StoredLog]) {
        let mut told = self.node.left_alone.lock();
        for StoredLog { generation: Generation { id, grammar, .. }, .. } in newer {
            if !told.contains(id) {
                tracing::warn!(
                    generation_id = %id,
                    grammar,
                    "generation {id} is left alone: a newer version began it (log grammar {grammar}, this version \
                     knows up to {GRAMMAR}); it is shown, and goes on once a process of that version runs"
                );
            }
        }
        *told = newer.iter().map(|orphan| orphan.generation.id).collect();
    }

    /// False where another node was sooner.
    async fn take_over(&self, orphan: StoredLog, interrupted_by: Option<&str>) -> Result<bool, EngineError> {
        let mut generation = orphan.generation;
        let records = orphan.records.unwrap_or_default().to_vec();
        let given = generation.request.given_bytes;
        let Written { mut content, chunks, ids, lost: lost_calls } = written(&records, given)?;
        let life = self.node.life()?;
        // A log that readers here follow already becomes the run's own, so that they notice nothing.
        let followed = self.following.end(generation.id);
        let log = match &followed {
            Some(log) => log.clone(),
            None => Arc::new(Log::stored(generation.id, generation.owner, records.clone())?),
        };
        let running = Running::new(log.clone(), &generation);
        // In the registry before the commit, as a new one: whoever learns of it finds its log here.
        self.registry.insert(running.clone());
        let untaken = Untaken { engine: self, log: Some(&log), followed: followed.is_some() };
        // It goes on in what all who may take it over next know, or in what it is written in.
        let grammar = generation.grammar.max(self.node.grammar());
        if !self.store.generation_take_over(generation.id, generation.epoch, life.node_id, grammar).await? {
            return Ok(false);
        }
        generation.grammar = grammar;
        if followed.is_some() {
            log.catch_up(&records)?;
        }
        untaken.disarm();
        if let Some(late) = self.following.end(generation.id) {
            // Followed since the look above.
            late.abandon();
        }
        generation.epoch += 1;
        // Lost to damage, with all that came after it; but the message's row has it still.
        let lost = if content.text.len() < given {
            let message = self.store.message_get(generation.owner, generation.message_id).await;
            message.ok().and_then(|message| message.content.get(content.text.len()..given).map(str::to_owned))
        } else {
            None
        };
        let nothing_written = content.text.len() + lost.as_ref().map_or(0, String::len) <= given;
        let next = match interrupted_by {
            Some(why) => Err(interrupted(why)),
            None => self.may_go_on(&generation.request.model, generation.epoch, nothing_written),
        };
        // Asked again, the model thinks again.
        let discards_reasoning = next.is_ok() && nothing_written && content.ends_in_reasoning();
        if discards_reasoning {
            content.discard_reasoning();
        }
        let mut tell_writer = log.head().seq == 0 && log.append_start(&start_event(&generation));
        tell_writer |= log.append_resumed(generation.epoch, discards_reasoning);
        if let Some(lost) = lost {
            tell_writer |= log.append_chunk(&lost).tell_writer;
            content.push_text(&lost);
        }
        if tell_writer {
            self.queue.push(&log);
        }
        let span = span(&generation);
        match next {
            Ok(model) => {
                tracing::info!(parent: &span, epoch = generation.epoch, "generation {} goes on", generation.id);
                generation.request.max_tokens = generation.request.max_tokens.map(|most| match &ids {
                    // None may be left: the end, and why it is one, is the provider's to say all the same.
                    Some(ids) => most.saturating_sub(u32::try_from(ids.len()).unwrap_or(u32::MAX)),
                    // A chunk is a token, give or take.
                    None => most.saturating_sub(chunks).max(1),
                });
                let run = self.run(&running, &life, model, &generation, Some(content));
                let run = Run { partial_ids: ids.map(Into::into), lost: lost_calls, ..run };
                self.runs.spawn(run.run(None).instrument(span));
            }
            Err(failure) => {
                let failure = Failure { request_id: generation.request.request_id, ..failure };
                tracing::info!(parent: &span, "generation {} is interrupted", generation.id);
                let event = Event::Error(failure);
                record_end(&span, &event);
                // What they were given nobody looks up any more.
                let calls: Vec<Call> = lost_calls.call(&generation.request.model, 0).into_iter().collect();
                let usage = calls.first().and_then(|call| call.usage);
                let terminal = Terminal { usage, ..Terminal::new(event, content, self.clock.now()) };
                if log.append_terminal(terminal, &calls) {
                    self.queue.push(&log);
                }
            }
        }
        Ok(true)
    }

    fn may_go_on(&self, model: &str, epoch: u32, nothing_written: bool) -> Result<ResolvedModel, Failure> {
        if epoch > TAKE_OVERS + 1 {
            return Err(interrupted("The server stopped several times while it wrote this answer."));
        }
        let model = self
            .models
            .resolve_stored(model)
            .map_err(|_| interrupted("The server stopped, and the model is no longer configured."))?;
        if nothing_written || model.provider.can_continue() {
            Ok(model)
        } else {
            Err(interrupted("The server stopped while it wrote this answer."))
        }
    }
}

/// Undoes what was prepared for a take-over that does not come to be.
struct Untaken<'a> {
    engine: &'a Engine,
    log: Option<&'a SharedLog>,
    /// Readers follow it, and go on doing so.
    followed: bool,
}

impl Untaken<'_> {
    fn disarm(mut self) {
        self.log = None;
    }
}

impl Drop for Untaken<'_> {
    fn drop(&mut self) {
        let Some(log) = self.log else { return };
        self.engine.registry.remove(log);
        if self.followed {
            self.engine.following.begin(log);
        } else {
            log.abandon();
        }
    }
}

/// What a log says that its generation has done.
#[derive(Debug, PartialEq, Eq)]
struct Written {
    /// All that it says, what it began with included.
    content: Content,
    /// In how many chunks came what was not given.
    chunks: u32,
    /// The tokens of all the text that was not given; none where there is no such text, or a token of it
    /// isn't known.
    ids: Option<Vec<u32>>,
    /// Its calls of the model, all of which are gone.
    lost: Lost,
}

fn written(records: &[u8], given: usize) -> Result<Written, EngineError> {
    let (mut chunks, mut ids) = (0, Some(Vec::new()));
    let (mut lost, mut heard) = (Lost::default(), false);
    let folded = fold_each(records, |record, before| {
        let before = before.text.len();
        let is_own = match record.kind {
            Kind::Chunk => before + record.content.len() > given,
            Kind::Reasoning => record.private().all(|(kind, _)| kind != PrivateKind::GIVEN),
            Kind::Resumed => {
                heard = false;
                false
            }
            _ => false,
        };
        if !is_own {
            return;
        }
        lost.calls += u64::from(!std::mem::replace(&mut heard, true));
        lost.completion_tokens += estimate(record.content);
        if record.kind != Kind::Chunk {
            return;
        }
        chunks += 1;
        let known = record.ids.filter(|_| before >= given).and_then(TokenIds::read);
        ids = ids.take().zip(known).map(|(mut ids, known)| {
            ids.extend(known);
            ids
        });
    })?;
    Ok(Written { content: folded.content, chunks, ids: ids.filter(|ids| !ids.is_empty()), lost })
}

#[cfg(test)]
mod tests {
    use r1_domain::{
        id::GenerationId,
        log::{push, push_chunk, push_tokens},
        time::Timestamp,
    };

    use super::*;

    fn log(chunks: &[(&str, &[u32])]) -> Vec<u8> {
        let mut records = Vec::new();
        for (text, ids) in chunks {
            push_tokens(&mut records, text, ids);
        }
        records
    }

    fn ids(records: &[u8], given: usize) -> Option<Vec<u32>> {
        written(records, given).unwrap().ids
    }

    #[test]
    fn tokens_count_where_all_are_known() {
        let known = log(&[("a", &[1]), ("bc", &[2, 70_000]), ("d", &[4])]);
        assert_eq!(
            written(&known, 0).unwrap(),
            Written {
                content: "abcd".into(),
                chunks: 3,
                ids: Some(vec![1, 2, 70_000, 4]),
                lost: Lost { calls: 1, completion_tokens: 3 }
            }
        );
        assert_eq!(ids(&log(&[("a", &[1]), ("b", &[]), ("c", &[3])]), 0), None, "one is not");
        assert_eq!(ids(&log(&[("a", &[]), ("b", &[])]), 0), None, "as older builds wrote it");
        assert_eq!(ids(&[], 0), None);
    }

    #[test]
    fn a_take_over_loses_none() {
        let mut records = log(&[("a", &[1])]);
        let generation_id = GenerationId::new(Timestamp::from_micros(1));
        push(&mut records, &Event::Resumed { generation_id, epoch: 2, discards_reasoning: false });
        push_tokens(&mut records, "b", &[2]);
        assert_eq!(ids(&records, 0), Some(vec![1, 2]));
        push(&mut records, &Event::Resumed { generation_id, epoch: 3, discards_reasoning: false });
        push_chunk(&mut records, "by text alone");
        assert_eq!(ids(&records, 0), None);
    }

    #[test]
    fn text_that_was_given_needs_none() {
        let records = log(&[("given", &[]), ("b", &[2])]);
        assert_eq!(ids(&records, 5), Some(vec![2]));
        assert_eq!(ids(&records, 4), None, "not all of it was given");
        assert_eq!(ids(&log(&[("given", &[])]), 5), None, "nothing was written yet");
        assert_eq!(ids(&log(&[("giv", &[]), ("en", &[]), ("b", &[2])]), 5), Some(vec![2]), "restored in two");
        assert_eq!(ids(&log(&[("giv", &[]), ("enb", &[2])]), 5), None);
    }

    #[test]
    fn half_a_token_counts_as_none() {
        let mut records = log(&[("a", &[300])]);
        // kind, length, length of the ids, the id
        assert_eq!(records, [6, 4, 2, 0xac, 2, b'a']);
        records[4] |= 0x80;
        let lost = Lost { calls: 1, completion_tokens: 1 };
        assert_eq!(written(&records, 0).unwrap(), Written { content: "a".into(), chunks: 1, ids: None, lost });
    }
}
