//! The inference thread: admit, step, pass on, again.

use std::collections::HashMap;
use std::sync::Arc;

use super::prefixes::Prefixes;
use super::queue::{Queue, Waiting};
use super::sequence::{Phase, Sequence};
use super::{Limits, Request};
use crate::model::{Chunk, Logits, Model, Workspace};
use crate::tokenizer::Tokenizer;

/// Paused answers keep their memory, not their place; this many times the active ones may exist.
const PAUSED_SHARE: usize = 4;

pub(super) struct Engine {
    model: Model,
    tokenizer: Arc<Tokenizer>,
    limits: Limits,
    queue: Arc<Queue>,
    work: Workspace,
    sequences: Vec<Sequence>,
    prefixes: Prefixes,
    /// Which prompt is served first in the next step.
    turn: usize,
}

/// Also when the thread dies of a panic: nobody may wait for it then.
impl Drop for Engine {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Engine {
    pub(super) fn new(model: Model, tokenizer: Arc<Tokenizer>, limits: Limits, queue: Arc<Queue>) -> Self {
        Self {
            model,
            tokenizer,
            limits,
            queue,
            work: Workspace::default(),
            sequences: Vec::new(),
            prefixes: Prefixes::new(limits.kept_bytes),
            turn: 0,
        }
    }

    /// Reads the prefix that most prompts share, and touches all weights once.
    pub(super) fn warm(&mut self, prefix: &[u32]) {
        let mut cache = self.model.new_cache();
        let chunk = Chunk { cache: &mut cache, tokens: prefix, logits: Logits::Last };
        self.model.forward(&mut [chunk], &mut self.work);
        if !prefix.is_empty() {
            self.prefixes.set_system(prefix.to_vec(), cache);
        }
    }

    pub(super) fn run(mut self) {
        while self.queue.is_open() {
            for sequence in &mut self.sequences {
                sequence.flush();
            }
            self.retire();
            self.admit();
            if !self.step() {
                // Whatever could make a step possible (a request, a reader that reads or goes,
                // the end) wakes the thread, also when it came before this line.
                std::thread::park();
            }
        }
    }

    /// Takes the sequences that are over out, and keeps what they have read.
    fn retire(&mut self) {
        let mut i = 0;
        while i < self.sequences.len() {
            if self.sequences[i].phase() == Phase::Over {
                let over = self.sequences.remove(i);
                self.prefixes.keep(over.request.user, over.tokens, over.cache);
            } else {
                i += 1;
            }
        }
    }

    fn admit(&mut self) {
        loop {
            let paused = self.sequences.iter().filter(|one| one.phase() == Phase::Paused).count();
            if self.sequences.len() - paused >= self.limits.active
                || self.sequences.len() >= PAUSED_SHARE * self.limits.active
            {
                return;
            }
            let mut running = HashMap::new();
            for sequence in &self.sequences {
                *running.entry(sequence.request.user.clone()).or_insert(0) += 1;
            }
            let promised: usize = self.sequences.iter().map(|one| self.worst_case(&one.request)).sum();
            let fits =
                |request: &Request| promised == 0 || promised + self.worst_case(request) <= self.limits.running_bytes;
            let Some(Waiting { request, events }) = self.queue.pop(&running, fits) else { return };
            let all = [request.prompt.as_slice(), request.answer.as_slice()].concat();
            let cache = self.prefixes.find(&request.user, &all).unwrap_or_else(|| self.model.new_cache());
            let context = self.limits.context;
            self.sequences.push(Sequence::new(request, events, cache, context, &self.tokenizer));
        }
    }

    /// Bytes that a request's sequence takes if it uses all it asks for.
    fn worst_case(&self, request: &Request) -> usize {
        let tokens = request.prompt.len() + request.answer.len();
        let tokens = tokens.saturating_add(request.max_tokens).min(self.limits.context);
        self.model.cache_bytes(tokens)
    }

    /// One forward pass over everything that can go on; `false` when nothing can.
    fn step(&mut self) -> bool {
        let rows = self.share_rows();
        let mut chunks = Vec::new();
        let mut sampled = Vec::new();
        for (i, (sequence, rows)) in self.sequences.iter_mut().zip(rows).enumerate() {
            if rows == 0 {
                continue;
            }
            let (range, last) = sequence.next(rows);
            let logits = if last { Logits::Last } else { Logits::None };
            if last {
                sampled.push(i);
            }
            let tokens = &sequence.tokens[range];
            chunks.push(Chunk { cache: &mut sequence.cache, tokens, logits });
        }
        if chunks.is_empty() {
            return self.sequences.iter().any(|one| one.phase() == Phase::Over);
        }
        self.model.forward(&mut chunks, &mut self.work);
        for (i, logits) in sampled.into_iter().zip(self.work.logits_mut()) {
            self.sequences[i].step(logits, &self.tokenizer);
        }
        true
    }

    /// How many rows of the next pass each sequence gets: one for every answer, and the prompts'
    /// share in equal parts, the odd rest to a different one each time.
    fn share_rows(&mut self) -> Vec<usize> {
        let phases: Vec<Phase> = self.sequences.iter().map(Sequence::phase).collect();
        let mut rows = vec![0; phases.len()];
        let mut reading = Vec::new();
        for (i, phase) in phases.iter().enumerate() {
            match phase {
                Phase::Decode => rows[i] = 1,
                Phase::Prefill(unread) => reading.push((i, *unread)),
                Phase::Paused | Phase::Over => {}
            }
        }
        if reading.is_empty() {
            return rows;
        }
        self.turn = (self.turn + 1) % reading.len();
        reading.rotate_left(self.turn);
        let mut left = self.limits.prefill_rows;
        for (served, (i, unread)) in reading.iter().enumerate() {
            let share = left.div_ceil(reading.len() - served);
            rows[*i] = share.min(*unread);
            left -= rows[*i];
        }
        rows
    }
}
