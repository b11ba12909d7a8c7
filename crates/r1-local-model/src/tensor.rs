//! Weight matrices, and the one operation that inference spends its time on: `y = W x` for a
//! handful of rows at once.
//!
//! Weights are repacked at load into tiles of 16 output rows, so that one SIMD register holds the
//! same position of 16 rows and results need no horizontal sums. Quantised weights stay as small
//! as in the file (4 or 8 bits, f16 scales), because generating a token reads every weight once
//! and is bound by memory. Activations are rounded to 8 bits per block of 32 and multiplied as
//! integers; see [`activations`].
//!
//! **Invariant:** the result for a row depends on that row alone, never on which other rows are in
//! the batch, how many threads run, or how rows are cut into panels. This is what makes a batched
//! answer bit-identical to a lone one, and a resumed answer to an undisturbed one.

pub(crate) mod activations;
mod avx2;
mod avx512;
mod dense;
pub(crate) mod halves;
pub(crate) mod isa;
mod scalar;
mod tile;

#[cfg(test)]
mod tests;

use half::f16;
use rayon::prelude::*;

use crate::error::LoadError;
use crate::gguf::{Tensor, TensorKind};
use activations::Activations;
use dense::DenseTiles;
use isa::Isa;
use tile::{LANES, Tile, pack};

/// Below this many tile blocks times rows, handing work to other threads costs more than it saves.
const PARALLEL_THRESHOLD: usize = 2000;

/// How to run: which kernels, and whether on rayon's current pool or on the calling thread alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exec {
    pub(crate) isa: Isa,
    pub(crate) parallel: bool,
}

#[derive(Debug)]
enum Weights {
    F32(DenseTiles<f32>),
    F16(DenseTiles<f16>),
    /// 4 bits, scale and minimum.
    Q4Min(Vec<Tile<2, 4>>),
    /// 4 bits around 8.
    Q4(Vec<Tile<1, 4>>),
    /// 8 bits around 128.
    Q8(Vec<Tile<1, 8>>),
}

/// A matrix of `rows` outputs by `columns` inputs.
#[derive(Debug)]
pub(crate) struct Matrix {
    rows: usize,
    columns: usize,
    weights: Weights,
}

impl Matrix {
    /// Copies a tensor out of the file into tiles.
    pub(crate) fn load(tensor: &Tensor<'_>, name: &str) -> Result<Self, LoadError> {
        let &[columns, rows] = tensor.dims else {
            return Err(LoadError::malformed(format!("tensor {name} is not a matrix")));
        };
        let weights = match tensor.kind {
            TensorKind::F32 => Weights::F32(DenseTiles::from_f32(tensor.bytes, rows, columns)),
            TensorKind::F16 => Weights::F16(DenseTiles::from_f16(tensor.bytes, rows, columns)),
            TensorKind::Q4_0 => Weights::Q4(pack(tensor.bytes, rows, columns, tile::read_q4_0)),
            TensorKind::Q4_1 => Weights::Q4Min(pack(tensor.bytes, rows, columns, tile::read_q4_1)),
            TensorKind::Q8_0 => Weights::Q8(pack(tensor.bytes, rows, columns, tile::read_q8_0)),
            TensorKind::Other(code) => {
                return Err(LoadError::unsupported(format!("tensor type {code} ({name})")));
            }
        };
        Ok(Self { rows, columns, weights })
    }

    /// Outputs.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Whether the weights are floats, multiplied with unrounded activations.
    pub(crate) fn is_dense(&self) -> bool {
        matches!(self.weights, Weights::F32(_) | Weights::F16(_))
    }

    /// Writes the weights of one output row as floats; the embedding of a token is such a row.
    pub(crate) fn read_row(&self, row: usize, out: &mut [f32]) {
        let (tile, lane) = (row / LANES, row % LANES);
        match &self.weights {
            Weights::F32(tiles) => tiles.read_lane(tile, lane, out),
            Weights::F16(tiles) => tiles.read_lane(tile, lane, out),
            Weights::Q4Min(tiles) => tile::read_lane(tiles, tile, lane, out),
            Weights::Q4(tiles) => tile::read_lane(tiles, tile, lane, out),
            Weights::Q8(tiles) => tile::read_lane(tiles, tile, lane, out),
        }
    }

    /// `out[i] = W x[i]` for every row `i` of `x`; `out` is row-major, [`Matrix::rows`] wide.
    pub(crate) fn multiply(&self, x: &Activations, out: &mut [f32], exec: Exec) {
        debug_assert_eq!(x.columns(), self.columns);
        debug_assert_eq!(out.len(), x.rows() * self.rows);
        match &self.weights {
            Weights::F32(tiles) => self.each_tile(x.rows(), out, exec, |tile, sums| {
                tiles.multiply(tile, x, sums, exec.isa);
            }),
            Weights::F16(tiles) => self.each_tile(x.rows(), out, exec, |tile, sums| {
                tiles.multiply(tile, x, sums, exec.isa);
            }),
            Weights::Q4Min(tiles) => self.multiply_tiles(tiles, x, out, exec),
            Weights::Q4(tiles) => self.multiply_tiles(tiles, x, out, exec),
            Weights::Q8(tiles) => self.multiply_tiles(tiles, x, out, exec),
        }
    }

    fn multiply_tiles<const S: usize, const Q: usize>(
        &self,
        tiles: &[Tile<S, Q>],
        x: &Activations,
        out: &mut [f32],
        exec: Exec,
    ) {
        let blocks = x.blocks_per_row();
        self.each_tile(x.rows(), out, exec, |tile, sums| {
            let strip = tiles.get(tile * blocks..(tile + 1) * blocks).unwrap_or_default();
            tile::multiply_strip(strip, x, sums, exec.isa);
        });
    }

    /// Runs `job` for every tile of 16 outputs and puts the tile's sums, one array per row of the
    /// batch, where they belong in `out`.
    fn each_tile(&self, batch: usize, out: &mut [f32], exec: Exec, job: impl Fn(usize, &mut [[f32; LANES]]) + Sync) {
        let tiles = self.rows.div_ceil(LANES);
        if !exec.parallel || tiles * (self.columns / 32) * batch < PARALLEL_THRESHOLD {
            let mut sums = vec![[0f32; LANES]; batch];
            for tile in 0..tiles {
                job(tile, &mut sums);
                self.scatter(tile, &sums, out);
            }
            return;
        }
        let span = tiles.div_ceil(4 * rayon::current_num_threads()).max(1);
        let spans: Vec<Vec<[f32; LANES]>> = (0..tiles.div_ceil(span))
            .into_par_iter()
            .map(|index| {
                let within = index * span..((index + 1) * span).min(tiles);
                let mut sums = vec![[0f32; LANES]; batch * within.len()];
                for (tile, sums) in within.zip(sums.chunks_exact_mut(batch)) {
                    job(tile, sums);
                }
                sums
            })
            .collect();
        let all = spans.iter().flat_map(|sums| sums.chunks_exact(batch));
        for (tile, sums) in all.enumerate() {
            self.scatter(tile, sums, out);
        }
    }

    fn scatter(&self, tile: usize, sums: &[[f32; LANES]], out: &mut [f32]) {
        let start = tile * LANES;
        let width = LANES.min(self.rows - start);
        for (row, sums) in out.chunks_exact_mut(self.rows).zip(sums) {
            row[start..start + width].copy_from_slice(&sums[..width]);
        }
    }
}
