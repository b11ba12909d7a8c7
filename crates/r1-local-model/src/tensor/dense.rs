//! Float weights, in the same tiles of 16 output rows, multiplied with unrounded activations.
//!
//! Larger and slower than the quantised kinds; here so that a small model in its original
//! precision runs, and as the reference that quantised results are judged by.

use half::f16;

use super::activations::Activations;
use super::isa::{Isa, madd, multiversioned};
use super::tile::LANES;

/// A number that weights are stored as.
pub(super) trait Element: Copy + Default + Send + Sync {
    /// The number as a float, exactly, for every finite value.
    fn widen(self) -> f32;
}

impl Element for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
}

impl Element for f16 {
    /// By shifting the bits into place and correcting the exponent's bias: plain arithmetic that
    /// the compiler can vectorise, where the library's conversion asks for the machine's features
    /// on every value. Infinities, which no weight is, become large numbers.
    #[inline(always)]
    fn widen(self) -> f32 {
        const REBIAS: f32 = f32::from_bits((127 + 112) << 23);
        let bits = u32::from(self.to_bits());
        let magnitude = f32::from_bits((bits & 0x7fff) << 13) * REBIAS;
        f32::from_bits(magnitude.to_bits() | (bits & 0x8000) << 16)
    }
}

/// For each tile, for each input, the weights of 16 outputs.
#[derive(Debug)]
pub(super) struct DenseTiles<T> {
    columns: usize,
    lanes: Vec<[T; LANES]>,
}

impl DenseTiles<f32> {
    pub(super) fn from_f32(bytes: &[u8], rows: usize, columns: usize) -> Self {
        let values = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        Self::pack(values, rows, columns)
    }
}

impl DenseTiles<f16> {
    pub(super) fn from_f16(bytes: &[u8], rows: usize, columns: usize) -> Self {
        let values = bytes.as_chunks::<2>().0.iter().map(|bytes| f16::from_le_bytes(*bytes));
        Self::pack(values, rows, columns)
    }
}

impl<T: Element> DenseTiles<T> {
    fn pack(values: impl Iterator<Item = T>, rows: usize, columns: usize) -> Self {
        let mut lanes = vec![[T::default(); LANES]; rows.div_ceil(LANES) * columns];
        for (index, value) in values.take(rows * columns).enumerate() {
            let (row, column) = (index / columns, index % columns);
            if let Some(lanes) = lanes.get_mut(row / LANES * columns + column) {
                lanes[row % LANES] = value;
            }
        }
        Self { columns, lanes }
    }

    fn tile(&self, tile: usize) -> &[[T; LANES]] {
        self.lanes.get(tile * self.columns..(tile + 1) * self.columns).unwrap_or_default()
    }

    pub(super) fn read_lane(&self, tile: usize, lane: usize, out: &mut [f32]) {
        for (lanes, out) in self.tile(tile).iter().zip(out) {
            *out = lanes[lane].widen();
        }
    }

    pub(super) fn multiply(&self, tile: usize, x: &Activations, sums: &mut [[f32; LANES]], isa: Isa) {
        for (row, sums) in sums.iter_mut().enumerate() {
            dense_row(isa, self.tile(tile), x.float_row(row), sums);
        }
    }
}

multiversioned! {
    fn dense_row<const FMA: bool, T: Element>(
        weights: &[[T; LANES]],
        x: &[f32],
        out: &mut [f32; LANES],
    ) {
        let mut sums = [0f32; LANES];
        for (weights, x) in weights.iter().zip(x) {
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum = madd::<FMA>(weight.widen(), *x, *sum);
            }
        }
        *out = sums;
    }
}
