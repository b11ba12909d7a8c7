//! The model's dimensions, read from metadata and checked for what this engine can run.

use crate::error::LoadError;
use crate::gguf::Gguf;

/// Bound on every single dimension: far above any model a CPU can run, far below overflow.
const MAX_DIMENSION: usize = 1 << 20;
const MAX_LAYERS: usize = 512;

/// What the metadata says about the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Blocks.
    pub layers: usize,
    /// Length of a hidden row.
    pub width: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Length of one head.
    pub head_size: usize,
    /// Values of each head that positions rotate; even.
    pub rotated: usize,
    /// Length of the feed-forward's inner row.
    pub feed_forward: usize,
    /// Tokens in the vocabulary.
    pub vocabulary: usize,
    /// Tokens that the model was trained to look back over.
    pub context: usize,
    /// Added under the root of the norm.
    pub epsilon: f32,
    /// Base of the rotation frequencies.
    pub rope_base: f32,
    /// Positions are divided by this (linear scaling).
    pub rope_divisor: f32,
}

impl Config {
    pub(super) fn read(file: &Gguf) -> Result<Self, LoadError> {
        match file.str("general.architecture")? {
            Some("llama") => {}
            Some(other) => {
                return Err(LoadError::unsupported(format!("architecture \"{}\"", printable(other))));
            }
            None => return Err(LoadError::missing("general.architecture")),
        }
        if file.usize("llama.expert_count")?.unwrap_or(0) > 0 {
            return Err(LoadError::unsupported("mixtures of experts"));
        }
        let width = dimension(file, "llama.embedding_length")?;
        let heads = dimension(file, "llama.attention.head_count")?;
        let kv_heads = optional_dimension(file, "llama.attention.head_count_kv")?.unwrap_or(heads);
        let head_size = match optional_dimension(file, "llama.attention.key_length")? {
            Some(size) => size,
            None if width.is_multiple_of(heads) => width / heads,
            None => return Err(LoadError::malformed("heads do not divide the embedding length")),
        };
        let value_size = optional_dimension(file, "llama.attention.value_length")?;
        if value_size.is_some_and(|size| size != head_size) {
            return Err(LoadError::unsupported("keys and values of different length"));
        }
        if !heads.is_multiple_of(kv_heads) {
            return Err(LoadError::malformed("key heads do not divide query heads"));
        }
        let rotated = optional_dimension(file, "llama.rope.dimension_count")?.unwrap_or(head_size);
        if rotated > head_size || !rotated.is_multiple_of(2) {
            return Err(LoadError::malformed(format!("rotary dimension {rotated}")));
        }
        let layers = dimension(file, "llama.block_count")?;
        if layers > MAX_LAYERS {
            return Err(LoadError::malformed(format!("{layers} layers")));
        }
        let tokens = file.array("tokenizer.ggml.tokens")?.map_or(0, <[_]>::len);
        let vocabulary = optional_dimension(file, "llama.vocab_size")?.unwrap_or(tokens);
        if vocabulary == 0 || vocabulary != tokens {
            let what = format!("{tokens} tokens for a vocabulary of {vocabulary}");
            return Err(LoadError::malformed(what));
        }
        let epsilon = positive(file, "llama.attention.layer_norm_rms_epsilon")?
            .ok_or_else(|| LoadError::missing("llama.attention.layer_norm_rms_epsilon"))?;
        Ok(Self {
            layers,
            width,
            heads,
            kv_heads,
            head_size,
            rotated,
            feed_forward: dimension(file, "llama.feed_forward_length")?,
            vocabulary,
            context: dimension(file, "llama.context_length")?,
            epsilon,
            rope_base: positive(file, "llama.rope.freq_base")?.unwrap_or(10_000.0),
            rope_divisor: rope_divisor(file)?,
        })
    }
}

fn rope_divisor(file: &Gguf) -> Result<f32, LoadError> {
    match file.str("llama.rope.scaling.type")? {
        None | Some("none") => match positive(file, "llama.rope.scale_linear")? {
            Some(factor) => Ok(factor),
            None => Ok(1.0),
        },
        Some("linear") => {
            positive(file, "llama.rope.scaling.factor")?.ok_or_else(|| LoadError::missing("llama.rope.scaling.factor"))
        }
        Some(other) => Err(LoadError::unsupported(format!("rope scaling \"{}\"", printable(other)))),
    }
}

/// Text from a file, short and without control characters, fit for a message.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}

fn dimension(file: &Gguf, key: &str) -> Result<usize, LoadError> {
    optional_dimension(file, key)?.ok_or_else(|| LoadError::missing(key))
}

fn optional_dimension(file: &Gguf, key: &str) -> Result<Option<usize>, LoadError> {
    match file.usize(key)? {
        Some(size) if size == 0 || size > MAX_DIMENSION => Err(LoadError::malformed(format!("{key} is {size}"))),
        size => Ok(size),
    }
}

fn positive(file: &Gguf, key: &str) -> Result<Option<f32>, LoadError> {
    match file.f32(key)? {
        Some(number) if number <= 0.0 => Err(LoadError::malformed(format!("{key} is {number}"))),
        number => Ok(number),
    }
}
