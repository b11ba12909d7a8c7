//! Taking over the generations of a process that is gone.
//!
//! Nothing that a reader saw is lost: it is in the log. If no word had been written (but those that
//! a continued answer began with) the question is asked again; if the provider can go on from a partial answer it does; else the answer is
//! `interrupted` and keeps its text.

use std::sync::Arc;

use r1_domain::{
    event::{Event, Failure},
    log::{Kind, Position, Records},
    provider::ResolvedModel,
    store::{StoredLog, Terminal},
};
use tokio_util::sync::CancellationToken;

use crate::{engine::Engine, error::EngineError, log::Log, registry::Running, run::interrupted};

/// A generation is taken over so often; then something about it kills its process.
const TAKE_OVERS: u32 = 3;

impl Engine {
    /// Takes over what an earlier process left running. Gives back how many generations. Readers
    /// can attach to them as soon as this returns.
    ///
    /// # Errors
    /// `Store` when the database can't be read. A single damaged log is logged and left alone.
    pub async fn recover(&self) -> Result<usize, EngineError> {
        let orphans = self.store.generation_list_orphaned(self.node_id).await?;
        let found = orphans.len();
        for orphan in orphans {
            let id = orphan.generation.id;
            match self.take_over(orphan).await {
                Ok(()) => {}
                Err(EngineError::Damaged(damage)) => {
                    tracing::error!(generation_id = %id, "generation {id} can't be taken over: {damage}");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    async fn take_over(&self, orphan: StoredLog) -> Result<(), EngineError> {
        let mut generation = orphan.generation;
        let records = orphan.records.unwrap_or_default().to_vec();
        let (mut text, chunks) = written(&records)?;
        let given = generation.request.given_bytes;
        let log = Arc::new(Log::stored(generation.id, generation.owner, records)?);
        if !self.store.generation_take_over(generation.id, generation.epoch, self.node_id).await? {
            return Ok(());
        }
        generation.epoch += 1;
        let running =
            Running { log: log.clone(), conversation_id: generation.conversation_id, stop: CancellationToken::new() };
        self.registry.insert(running.clone());
        if log.append_resumed(generation.epoch) {
            self.queue.push(&log);
        }
        if text.len() < given {
            // Lost to damage, with all that came after it; but the message's row has it still.
            let message = self.store.message_get(generation.owner, generation.message_id).await;
            if let Some(lost) =
                message.ok().and_then(|message| message.content.get(text.len()..given).map(str::to_owned))
            {
                log.append_chunk(&lost);
                text.push_str(&lost);
            }
        }
        let nothing_written = text.len() <= given;
        match self.may_go_on(&generation.request.model, generation.epoch, nothing_written) {
            Ok(model) => {
                tracing::info!(generation_id = %generation.id, epoch = generation.epoch, "generation {} goes on", generation.id);
                // A chunk is a token, give or take; the one that was given took none.
                let tokens = chunks.saturating_sub(u32::from(given > 0));
                generation.request.max_tokens = generation.request.max_tokens.saturating_sub(tokens).max(1);
                let partial = (!text.is_empty()).then_some(text);
                self.runs.spawn(self.run(&running, model, &generation, partial).run());
            }
            Err(failure) => {
                tracing::info!(generation_id = %generation.id, "generation {} is interrupted", generation.id);
                let event = Event::Error(failure.clone());
                let terminal = Terminal {
                    state: event.state(),
                    payload: event.payload(),
                    text,
                    finish_reason: None,
                    failure: Some(failure),
                    usage: None,
                    ended_at: self.clock.now(),
                };
                if log.append_terminal(&event, terminal) {
                    self.queue.push(&log);
                }
            }
        }
        Ok(())
    }

    fn may_go_on(&self, model: &str, epoch: u32, nothing_written: bool) -> Result<ResolvedModel, Failure> {
        if epoch > TAKE_OVERS + 1 {
            return Err(interrupted("The server stopped several times while it wrote this answer."));
        }
        let model = self
            .models
            .resolve(Some(model))
            .map_err(|_| interrupted("The server stopped, and the model is no longer configured."))?;
        if nothing_written || model.provider.can_continue() {
            Ok(model)
        } else {
            Err(interrupted("The server stopped while it wrote this answer."))
        }
    }
}

/// The text in a log, and in how many chunks it came.
fn written(records: &[u8]) -> Result<(String, u32), EngineError> {
    let (mut text, mut chunks) = (String::new(), 0);
    let mut walk = Records::new(records, Position::START);
    while let Some(record) = walk.next_record()? {
        if record.kind == Kind::Chunk {
            text.push_str(record.content);
            chunks += 1;
        }
    }
    Ok((text, chunks))
}
