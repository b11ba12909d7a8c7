//! The llama architecture: from token ids to logits, for any mix of sequences at once.
//!
//! Each block is: normalise, attention over the sequence's cache, add; normalise, gated
//! feed-forward, add. Nothing here knows about users, sampling or time.
//!
//! **Invariant:** the logits of a token depend on the tokens of its own sequence alone, bit for
//! bit: not on the batch it came in, nor on whether its prefix was read in one piece, in many, or
//! taken from a cache. Resuming an answer after a crash rests on it.

mod attention;
mod cache;
mod config;
mod math;
mod rope;

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use crate::error::LoadError;
use crate::gguf::{Gguf, TensorKind};
use crate::tensor::activations::{Activations, Forms};
use crate::tensor::isa::Isa;
use crate::tensor::{Exec, Matrix};
use attention::AttentionWork;
pub use cache::KvCache;
use cache::KvShape;
pub use config::Config;
use rope::Rope;

/// Rows that one forward pass takes at most; more are cut into several.
const MAX_ROWS: usize = 64;

#[derive(Debug)]
struct Layer {
    attention_norm: Vec<f32>,
    query: Matrix,
    key: Matrix,
    value: Matrix,
    output: Matrix,
    forward_norm: Vec<f32>,
    gate: Matrix,
    up: Matrix,
    down: Matrix,
}

/// A loaded model. Immutable; sequences live in [`KvCache`]s, scratch space in a [`Workspace`].
#[derive(Debug)]
pub struct Model {
    config: Config,
    rope: Rope,
    embedding: Matrix,
    layers: Vec<Layer>,
    final_norm: Vec<f32>,
    /// `None`: the embedding serves as output matrix too.
    unembedding: Option<Matrix>,
    forms: Forms,
    exec: Exec,
    pool: Option<rayon::ThreadPool>,
}

/// Which of a chunk's tokens get logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logits {
    /// None: more of the prompt follows.
    None,
    /// The last token's: the next token is to be chosen.
    Last,
    /// All of them: for measuring perplexity.
    All,
}

/// Tokens to append to one sequence.
#[derive(Debug)]
pub struct Chunk<'a> {
    /// The sequence so far; grows by `tokens`.
    pub cache: &'a mut KvCache,
    /// What comes next in it. Ids beyond the vocabulary count as a token of zeros.
    pub tokens: &'a [u32],
    /// What is wanted back.
    pub logits: Logits,
}

/// Scratch space of forward passes, and their results. Reused, so that a step allocates nothing
/// of size.
#[derive(Debug, Default)]
pub struct Workspace {
    hidden: Vec<f32>,
    normed: Vec<f32>,
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    attended: Vec<f32>,
    projected: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    rotation: Vec<(f32, f32)>,
    input: Activations,
    attention: AttentionWork,
    logits: Vec<f32>,
    wanted: Vec<Vec<f32>>,
}

impl Model {
    /// Copies the weights out of `file`, which can be closed afterwards.
    ///
    /// `threads` above 1 share the matrix products among a pool; results are the same.
    ///
    /// # Errors
    /// [`LoadError`]: another architecture, an unknown tensor or type, a missing or misshapen one.
    pub fn load(file: &Gguf, threads: usize) -> Result<Self, LoadError> {
        Self::load_for(file, threads, Isa::detect())
    }

    pub(crate) fn load_for(file: &Gguf, threads: usize, isa: Isa) -> Result<Self, LoadError> {
        let config = Config::read(file)?;
        let mut loader = Loader { file, used: HashSet::new() };
        let frequencies = loader.optional_vector("rope_freqs.weight", config.rotated / 2)?;
        let rope = Rope::new(&config, frequencies.as_deref());
        let (width, kv_width) = (config.width, config.kv_heads * config.head_size);
        let query_width = config.heads * config.head_size;
        let embedding = loader.matrix("token_embd.weight", config.vocabulary, width)?;
        let mut layers = Vec::with_capacity(config.layers);
        for i in 0..config.layers {
            let name = |part: &str| format!("blk.{i}.{part}.weight");
            layers.push(Layer {
                attention_norm: loader.vector(&name("attn_norm"), width)?,
                query: loader.matrix(&name("attn_q"), query_width, width)?,
                key: loader.matrix(&name("attn_k"), kv_width, width)?,
                value: loader.matrix(&name("attn_v"), kv_width, width)?,
                output: loader.matrix(&name("attn_output"), width, query_width)?,
                forward_norm: loader.vector(&name("ffn_norm"), width)?,
                gate: loader.matrix(&name("ffn_gate"), config.feed_forward, width)?,
                up: loader.matrix(&name("ffn_up"), config.feed_forward, width)?,
                down: loader.matrix(&name("ffn_down"), width, config.feed_forward)?,
            });
        }
        let final_norm = loader.vector("output_norm.weight", width)?;
        let unembedding = match file.tensor("output.weight")? {
            Some(_) => Some(loader.matrix("output.weight", config.vocabulary, width)?),
            None => None,
        };
        loader.refuse_leftovers()?;

        let matrices = || {
            layers
                .iter()
                .flat_map(|l| [&l.query, &l.key, &l.value, &l.output, &l.gate, &l.up, &l.down])
                .chain([unembedding.as_ref().unwrap_or(&embedding)])
        };
        let forms =
            Forms { floats: matrices().any(Matrix::is_dense), blocks: matrices().any(|matrix| !matrix.is_dense()) };
        let pool = match threads {
            0 | 1 => None,
            threads => rayon::ThreadPoolBuilder::new().num_threads(threads).build().ok(),
        };
        let exec = Exec { isa, parallel: pool.is_some() };
        Ok(Self { config, rope, embedding, layers, final_norm, unembedding, forms, exec, pool })
    }

    /// The model's dimensions.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// An empty sequence.
    pub fn new_cache(&self) -> KvCache {
        KvCache::new(KvShape {
            layers: self.config.layers,
            heads: self.config.kv_heads,
            head_size: self.config.head_size,
        })
    }

    /// Bytes of memory that a sequence of `tokens` tokens takes.
    pub fn cache_bytes(&self, tokens: usize) -> usize {
        self.new_cache().bytes_for(tokens)
    }

    /// Appends every chunk to its sequence and leaves the logits asked for in `work`.
    pub fn forward(&self, chunks: &mut [Chunk<'_>], work: &mut Workspace) {
        work.wanted.clear();
        // A large chunk goes in pieces, which bounds the scratch space.
        for chunk in chunks.iter_mut() {
            while chunk.tokens.len() > MAX_ROWS {
                let (now, later) = chunk.tokens.split_at(MAX_ROWS);
                let logits = if chunk.logits == Logits::Last { Logits::None } else { chunk.logits };
                let piece = Chunk { cache: &mut *chunk.cache, tokens: now, logits };
                self.pass(&mut [piece], work);
                chunk.tokens = later;
            }
        }
        self.pass(chunks, work);
    }

    fn pass(&self, chunks: &mut [Chunk<'_>], work: &mut Workspace) {
        match &self.pool {
            None => self.run(chunks, work),
            Some(pool) => pool.install(|| self.run(chunks, work)),
        }
    }

    fn run(&self, chunks: &mut [Chunk<'_>], work: &mut Workspace) {
        let rows: usize = chunks.iter().map(|chunk| chunk.tokens.len()).sum();
        if rows == 0 {
            return;
        }
        self.embed(chunks, rows, work);
        for index in 0..self.layers.len() {
            self.attention_block(index, chunks, rows, work);
            self.forward_block(index, rows, work);
        }
        for chunk in chunks.iter_mut() {
            chunk.cache.advance(chunk.tokens.len());
        }
        self.unembed(chunks, work);
    }

    fn embed(&self, chunks: &mut [Chunk<'_>], rows: usize, work: &mut Workspace) {
        let width = self.config.width;
        resize(&mut work.hidden, rows * width);
        work.rotation.clear();
        let tokens = chunks.iter().flat_map(|chunk| chunk.tokens);
        for (token, row) in tokens.zip(work.hidden.chunks_exact_mut(width)) {
            self.embedding.read_row(*token as usize, row);
        }
        for chunk in chunks {
            let start = chunk.cache.len();
            chunk.cache.reserve(chunk.tokens.len());
            for position in start..start + chunk.tokens.len() {
                self.rope.angles(position, &mut work.rotation);
            }
        }
    }

    fn attention_block(&self, index: usize, chunks: &mut [Chunk<'_>], rows: usize, work: &mut Workspace) {
        let (layer, config, exec) = (&self.layers[index], &self.config, self.exec);
        let kv_width = config.kv_heads * config.head_size;
        let query_width = config.heads * config.head_size;
        self.normalise(rows, &layer.attention_norm, work);
        for (matrix, out) in
            [(&layer.query, &mut work.query), (&layer.key, &mut work.key), (&layer.value, &mut work.value)]
        {
            resize(out, rows * matrix.rows());
            matrix.multiply(&work.input, out, exec);
        }
        self.rope.rotate(&mut work.query, query_width, &work.rotation);
        self.rope.rotate(&mut work.key, kv_width, &work.rotation);

        let mut row = 0;
        for chunk in chunks.iter_mut() {
            for offset in 0..chunk.tokens.len() {
                let at = row * kv_width..(row + 1) * kv_width;
                let position = chunk.cache.len() + offset;
                chunk.cache.write(index, position, &work.key[at.clone()], &work.value[at]);
                row += 1;
            }
        }
        resize(&mut work.attended, rows * query_width);
        let sequences: Vec<(&KvCache, usize)> =
            chunks.iter().map(|chunk| (&*chunk.cache, chunk.tokens.len())).collect();
        let shape = attention::Heads { heads: config.heads, kv_heads: config.kv_heads, size: config.head_size };
        work.attention.attend(index, &sequences, shape, &work.query, &mut work.attended, exec);

        work.input.set(&work.attended, query_width, self.forms, exec.isa);
        resize(&mut work.projected, rows * config.width);
        layer.output.multiply(&work.input, &mut work.projected, exec);
        math::add(exec.isa, &mut work.hidden, &work.projected);
    }

    fn forward_block(&self, index: usize, rows: usize, work: &mut Workspace) {
        let (layer, exec) = (&self.layers[index], self.exec);
        self.normalise(rows, &layer.forward_norm, work);
        resize(&mut work.gate, rows * layer.gate.rows());
        resize(&mut work.up, rows * layer.up.rows());
        layer.gate.multiply(&work.input, &mut work.gate, exec);
        layer.up.multiply(&work.input, &mut work.up, exec);
        math::gate(exec.isa, &mut work.gate, &work.up);
        work.input.set(&work.gate, layer.down.columns(), self.forms, exec.isa);
        layer.down.multiply(&work.input, &mut work.projected, exec);
        math::add(exec.isa, &mut work.hidden, &work.projected);
    }

    /// Normalises the hidden rows and makes them the input of the next products.
    fn normalise(&self, rows: usize, weight: &[f32], work: &mut Workspace) {
        resize(&mut work.normed, rows * self.config.width);
        math::rms_norm(self.exec.isa, &work.hidden, weight, self.config.epsilon, &mut work.normed);
        work.input.set(&work.normed, self.config.width, self.forms, self.exec.isa);
    }

    fn unembed(&self, chunks: &[Chunk<'_>], work: &mut Workspace) {
        let width = self.config.width;
        let mut wanted = 0;
        let mut row = 0;
        // The wanted rows move to the front; the others are done with.
        for chunk in chunks {
            let end = row + chunk.tokens.len();
            let first = match chunk.logits {
                Logits::None => end,
                Logits::Last => end.saturating_sub(1).max(row),
                Logits::All => row,
            };
            for source in first..end {
                work.hidden.copy_within(source * width..(source + 1) * width, wanted * width);
                wanted += 1;
            }
            row = end;
        }
        if wanted == 0 {
            return;
        }
        work.hidden.truncate(wanted * width);
        self.normalise(wanted, &self.final_norm, work);
        let matrix = self.unembedding.as_ref().unwrap_or(&self.embedding);
        resize(&mut work.logits, wanted * matrix.rows());
        matrix.multiply(&work.input, &mut work.logits, self.exec);
        work.wanted.extend(work.logits.chunks_exact(matrix.rows()).map(<[f32]>::to_vec));
    }
}

impl Workspace {
    /// The logits of the last forward pass: one vector per token that wanted some, in order.
    pub fn logits_mut(&mut self) -> &mut [Vec<f32>] {
        &mut self.wanted
    }
}

fn resize(buffer: &mut Vec<f32>, length: usize) {
    buffer.resize(length, 0.0);
}

struct Loader<'a> {
    file: &'a Gguf,
    used: HashSet<String>,
}

impl Loader<'_> {
    fn matrix(&mut self, name: &str, rows: usize, columns: usize) -> Result<Matrix, LoadError> {
        let tensor = self.file.tensor(name)?.ok_or_else(|| LoadError::missing(format!("tensor {name}")))?;
        if tensor.dims != [columns, rows] {
            let found = tensor.dims;
            let what = format!("tensor {name} has shape {found:?}, not [{columns}, {rows}]");
            return Err(LoadError::malformed(what));
        }
        self.used.insert(name.to_owned());
        Matrix::load(&tensor, name)
    }

    fn vector(&mut self, name: &str, length: usize) -> Result<Vec<f32>, LoadError> {
        self.optional_vector(name, length)?.ok_or_else(|| LoadError::missing(format!("tensor {name}")))
    }

    fn optional_vector(&mut self, name: &str, length: usize) -> Result<Option<Vec<f32>>, LoadError> {
        let Some(tensor) = self.file.tensor(name)? else { return Ok(None) };
        if tensor.kind != TensorKind::F32 || tensor.dims != [length] {
            let what = format!("tensor {name} is not a vector of {length} 32-bit floats");
            return Err(LoadError::malformed(what));
        }
        self.used.insert(name.to_owned());
        let values = tensor.bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
        Ok(Some(values.collect()))
    }

    /// A tensor that was not asked for (a bias, an expert) would change the results: better no
    /// answer than a wrong one.
    fn refuse_leftovers(&self) -> Result<(), LoadError> {
        match self.file.tensor_names().find(|name| !self.used.contains(*name)) {
            Some(name) => Err(LoadError::unsupported(format!("a model with tensor {name}"))),
            None => Ok(()),
        }
    }
}
