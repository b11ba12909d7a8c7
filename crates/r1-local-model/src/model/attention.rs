//! Attention: every query looks back over its own sequence's cache.
//!
//! Work goes by key head: the queries that share it (all rows of a sequence in the batch, all
//! heads of its group) pass over each page together, so a page is widened to 32-bit floats once.
//! Scores are kept in full and normalised by their maximum, in two passes over the pages.
//!
//! **Invariant:** each query's sums run over head values and positions in ascending order, however
//! many queries run beside it.

use rayon::prelude::*;

use super::cache::{KvCache, PAGE};
use super::math::{LANES, exp};
use crate::tensor::Exec;
use crate::tensor::halves::widen;
use crate::tensor::isa::{Isa, madd, multiversioned};

/// Queries that go over a page together; their accumulators fit the registers.
const GROUP: usize = 4;

#[derive(Debug, Clone, Copy)]
pub(super) struct Heads {
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) size: usize,
}

/// One key head of one sequence: the unit of work.
#[derive(Debug)]
struct Job<'a> {
    cache: &'a KvCache,
    layer: usize,
    kv_head: usize,
    heads: Heads,
    /// The sequence's query rows, all heads.
    queries: &'a [f32],
}

/// Buffers of one job.
#[derive(Debug, Default)]
pub(super) struct AttentionWork {
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    scores: Vec<f32>,
    out: Vec<f32>,
}

impl AttentionWork {
    /// Attends all rows of `queries` (the sequences' rows one after the other) into `out`.
    pub(super) fn attend(
        &mut self,
        layer: usize,
        sequences: &[(&KvCache, usize)],
        heads: Heads,
        queries: &[f32],
        out: &mut [f32],
        exec: Exec,
    ) {
        let width = heads.heads * heads.size;
        let mut jobs = Vec::with_capacity(sequences.len() * heads.kv_heads);
        let mut first_row = 0;
        for (cache, rows) in sequences {
            let queries = &queries[first_row * width..(first_row + rows) * width];
            for kv_head in 0..heads.kv_heads {
                jobs.push((first_row, Job { cache, layer, kv_head, heads, queries }));
            }
            first_row += rows;
        }
        if exec.parallel {
            let done: Vec<Vec<f32>> = jobs
                .par_iter()
                .map_init(Self::default, |work, (_, job)| {
                    work.run(job, exec.isa);
                    std::mem::take(&mut work.out)
                })
                .collect();
            for ((first_row, job), sums) in jobs.iter().zip(done) {
                job.scatter(&sums, &mut out[first_row * width..]);
            }
        } else {
            for (first_row, job) in &jobs {
                self.run(job, exec.isa);
                job.scatter(&self.out, &mut out[first_row * width..]);
            }
        }
    }

    fn run(&mut self, job: &Job<'_>, isa: Isa) {
        let size = job.heads.size;
        let rows = job.rows();
        let group = job.group();
        if rows == 0 {
            return;
        }
        self.queries.clear();
        for row in job.queries.chunks_exact(job.heads.heads * size) {
            self.queries.extend_from_slice(&row[job.first_column()..][..group * size]);
        }
        let total = job.cache.len() + rows;
        let pages = total.div_ceil(PAGE);
        let stride = pages * PAGE;
        self.scores.resize(rows * group * stride, 0.0);
        self.keys.resize(PAGE * size, 0.0);
        self.values.resize(PAGE * size, 0.0);
        self.out.clear();
        self.out.resize(rows * group * size, 0.0);

        for (page, (keys, _)) in job.cache.planes(job.layer, job.kv_head).take(pages).enumerate() {
            widen(isa, keys, &mut self.keys);
            let scores = &mut self.scores[page * PAGE..];
            score_page(isa, &self.queries, &self.keys, size, (scores, stride));
        }
        let scale = 1.0 / (size as f32).sqrt();
        for (query, scores) in self.scores.chunks_exact_mut(stride).enumerate().take(rows * group) {
            let visible = job.visible(query);
            softmax(isa, &mut scores[..visible], scale);
            // What a query must not see weighs nothing.
            scores[visible..].fill(0.0);
        }
        for (page, (_, values)) in job.cache.planes(job.layer, job.kv_head).take(pages).enumerate() {
            widen(isa, values, &mut self.values);
            for (query, out) in self.out.chunks_exact_mut(size).enumerate() {
                let visible = job.visible(query).saturating_sub(page * PAGE).min(PAGE);
                let weights = &self.scores[query * stride + page * PAGE..][..visible];
                mix(isa, weights, &self.values, out);
            }
        }
    }
}

impl Job<'_> {
    fn rows(&self) -> usize {
        self.queries.len() / (self.heads.heads * self.heads.size)
    }

    /// Query heads per key head.
    fn group(&self) -> usize {
        self.heads.heads / self.heads.kv_heads
    }

    fn first_column(&self) -> usize {
        self.kv_head * self.group() * self.heads.size
    }

    /// Positions that a query sees: all up to its own.
    fn visible(&self, query: usize) -> usize {
        self.cache.len() + query / self.group() + 1
    }

    /// Puts this job's results into the batch's rows.
    fn scatter(&self, sums: &[f32], out: &mut [f32]) {
        let width = self.heads.heads * self.heads.size;
        let part = self.group() * self.heads.size;
        for (row, sums) in out.chunks_exact_mut(width).zip(sums.chunks_exact(part)) {
            row[self.first_column()..][..part].copy_from_slice(sums);
        }
    }
}

multiversioned! {
    /// Dot products of all queries with the 32 keys of a page. `target` is where they go, and the
    /// distance between one query's scores and the next one's.
    fn score_page<const FMA: bool>(
        queries: &[f32],
        keys: &[f32],
        size: usize,
        target: (&mut [f32], usize),
    ) {
        let (scores, stride) = target;
        let count = queries.len() / size;
        let mut first = 0;
        while first < count {
            // The last queries of a batch that don't fill a group are computed beside repeats.
            let rows: [&[f32]; GROUP] =
                std::array::from_fn(|i| &queries[(first + i).min(count - 1) * size..][..size]);
            for half in 0..PAGE / LANES {
                let mut sums = [[0f32; LANES]; GROUP];
                for (value, keys) in keys.as_chunks::<PAGE>().0.iter().enumerate().take(size) {
                    let keys = &keys.as_chunks::<LANES>().0[half];
                    for (sums, row) in sums.iter_mut().zip(rows) {
                        for (sum, key) in sums.iter_mut().zip(keys) {
                            *sum = madd::<FMA>(row[value], *key, *sum);
                        }
                    }
                }
                for (i, sums) in sums.iter().enumerate().take(count - first) {
                    scores[(first + i) * stride + half * LANES..][..LANES].copy_from_slice(sums);
                }
            }
            first += GROUP;
        }
    }
}

multiversioned! {
    /// Turns scores into weights that sum to one.
    fn softmax<const FMA: bool>(scores: &mut [f32], scale: f32) {
        let mut largest = [f32::MIN; LANES];
        let (chunks, rest) = scores.as_chunks::<LANES>();
        for chunk in chunks {
            for (largest, score) in largest.iter_mut().zip(chunk) {
                *largest = if *score > *largest { *score } else { *largest };
            }
        }
        for (largest, score) in largest.iter_mut().zip(rest) {
            *largest = if *score > *largest { *score } else { *largest };
        }
        let largest = largest.iter().fold(f32::MIN, |a, b| if *b > a { *b } else { a });
        let mut sums = [0f32; LANES];
        let (chunks, rest) = scores.as_chunks_mut::<LANES>();
        for chunk in chunks {
            for (sum, score) in sums.iter_mut().zip(chunk) {
                *score = exp::<FMA>((*score - largest) * scale);
                *sum += *score;
            }
        }
        for (sum, score) in sums.iter_mut().zip(rest) {
            *score = exp::<FMA>((*score - largest) * scale);
            *sum += *score;
        }
        let inverse = 1.0 / sums.iter().sum::<f32>();
        for score in scores {
            *score *= inverse;
        }
    }
}

multiversioned! {
    /// `out += weights * values`.
    fn mix<const FMA: bool>(weights: &[f32], values: &[f32], out: &mut [f32]) {
        let size = out.len();
        // 64 is the head size of most small models: four registers that stay put.
        if let Some(out) = out.as_chunks_mut::<64>().0.first_mut() && size == 64 {
            let mut sums = *out;
            for (weight, values) in weights.iter().zip(values.as_chunks::<64>().0) {
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum = madd::<FMA>(*weight, *value, *sum);
                }
            }
            *out = sums;
            return;
        }
        for (weight, values) in weights.iter().zip(values.chunks_exact(size)) {
            for (sum, value) in out.iter_mut().zip(values) {
                *sum = madd::<FMA>(*weight, *value, *sum);
            }
        }
    }
}
