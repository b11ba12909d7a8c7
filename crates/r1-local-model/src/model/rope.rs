//! Rotary positions: neighbouring pairs of a head's values turn by an angle that grows with the
//! position, each pair at its own pace (Su et al., "RoFormer", 2021). GGUF's llama files have
//! their query and key rows permuted so that the pairs are neighbours.

use super::config::Config;

#[derive(Debug)]
pub(super) struct Rope {
    head_size: usize,
    /// Radians per position of each pair.
    paces: Vec<f32>,
}

impl Rope {
    /// `factors`, if the file has them, slow single pairs down (long-context llama models).
    pub(super) fn new(config: &Config, factors: Option<&[f32]>) -> Self {
        let rotated = config.rotated;
        let pace = |pair: usize| {
            let exponent = 2.0 * pair as f32 / rotated as f32;
            let factor = factors.and_then(|f| f.get(pair)).copied().unwrap_or(1.0);
            1.0 / (config.rope_base.powf(exponent) * config.rope_divisor * factor)
        };
        Self { head_size: config.head_size, paces: (0..rotated / 2).map(pace).collect() }
    }

    /// Appends cosine and sine of every pair at `position`.
    pub(super) fn angles(&self, position: usize, out: &mut Vec<(f32, f32)>) {
        out.extend(self.paces.iter().map(|pace| {
            let (sin, cos) = (position as f32 * pace).sin_cos();
            (cos, sin)
        }));
    }

    /// Turns every head of every row of `width` values by its row's angles.
    pub(super) fn rotate(&self, rows: &mut [f32], width: usize, angles: &[(f32, f32)]) {
        for (row, angles) in rows.chunks_exact_mut(width).zip(angles.chunks_exact(self.paces.len())) {
            for head in row.chunks_exact_mut(self.head_size) {
                for ([a, b], (cos, sin)) in head.as_chunks_mut::<2>().0.iter_mut().zip(angles) {
                    (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
                }
            }
        }
    }
}
