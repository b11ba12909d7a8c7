//! The input of a matrix product: rows of floats, rounded to 8 bits per block of 32.
//!
//! A block keeps its scale, its integer sum (the correction for weights stored around an offset)
//! and scale times sum (the factor of weights' minimums), so the kernels never look back at the
//! floats. The largest magnitude maps to 127, never -128, which the AVX2 kernel relies on.

use super::isa::{Isa, multiversioned};

/// Values per quantised block, of weights and activations alike.
pub(crate) const BLOCK: usize = 32;
/// Four 8-bit values in one 32-bit word: what the dot-product instructions consume.
pub(super) const WORDS: usize = BLOCK / 4;

/// 32 activations.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct ActBlock {
    /// Little-endian groups of four values in -127..=127.
    pub(super) words: [i32; WORDS],
    /// What one unit is worth.
    pub(super) scale: f32,
    /// Sum of the 32 integers.
    pub(super) sum: i32,
    /// `scale * sum`.
    pub(super) scaled_sum: f32,
}

/// Which forms of the input the model's matrices need.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Forms {
    pub(crate) floats: bool,
    pub(crate) blocks: bool,
}

/// Rows of input, reused from product to product.
#[derive(Debug, Default)]
pub(crate) struct Activations {
    rows: usize,
    columns: usize,
    floats: Vec<f32>,
    blocks: Vec<ActBlock>,
}

impl Activations {
    /// Takes `values` as rows of `columns`.
    pub(crate) fn set(&mut self, values: &[f32], columns: usize, forms: Forms, isa: Isa) {
        self.rows = values.len() / columns.max(1);
        self.columns = columns;
        self.floats.clear();
        if forms.floats {
            self.floats.extend_from_slice(values);
        }
        self.blocks.clear();
        if forms.blocks && columns.is_multiple_of(BLOCK) {
            self.blocks.resize(values.len() / BLOCK, ActBlock::default());
            quantise(isa, values, &mut self.blocks);
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn blocks_per_row(&self) -> usize {
        self.columns / BLOCK
    }

    pub(super) fn block_row(&self, row: usize) -> &[ActBlock] {
        let n = self.blocks_per_row();
        self.blocks.get(row * n..(row + 1) * n).unwrap_or_default()
    }

    pub(super) fn float_row(&self, row: usize) -> &[f32] {
        self.floats.get(row * self.columns..(row + 1) * self.columns).unwrap_or_default()
    }
}

/// Adding and subtracting this rounds a small float to an integer, ties to even, on every machine
/// and without a library call.
const ROUND: f32 = 12_582_912.0;

multiversioned! {
    fn quantise<const FMA: bool>(values: &[f32], blocks: &mut [ActBlock]) {
        for (values, block) in values.as_chunks::<BLOCK>().0.iter().zip(blocks) {
            let mut largest = [0f32; 16];
            for half in values.as_chunks::<16>().0 {
                for (largest, value) in largest.iter_mut().zip(half) {
                    *largest = if value.abs() > *largest { value.abs() } else { *largest };
                }
            }
            let largest = largest.iter().fold(0f32, |a, b| if *b > a { *b } else { a });
            let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
            let mut integers = [0i32; BLOCK];
            for (integer, value) in integers.iter_mut().zip(values) {
                // The bits of a float rounded this way hold the integer in their low end. The
                // bounds also catch a value that is not a number (`clamp` would let it through).
                #[expect(clippy::manual_clamp, reason = "see above")]
                let rounded = (value * inverse).max(-127.0).min(127.0) + ROUND;
                *integer = (rounded.to_bits() as i32) - (ROUND.to_bits() as i32);
            }
            let sum = integers.iter().sum::<i32>();
            for (word, four) in block.words.iter_mut().zip(integers.as_chunks::<4>().0) {
                *word = i32::from_le_bytes(four.map(|value| value as i8 as u8));
            }
            block.scale = largest / 127.0;
            block.sum = sum;
            block.scaled_sum = block.scale * sum as f32;
        }
    }
}
