//! Quantised weights as tiles of 16 output rows by 32 inputs.
//!
//! Within a tile the bytes of four consecutive inputs of one row sit together, and 16 such groups
//! fill 64 bytes: one AVX-512 register, two of AVX2, ready for the 8-bit dot products. In 4-bit
//! tiles the low halves of the bytes are inputs 0..16 of the block, the high halves 16..32.
//!
//! With one scale plane (`S == 1`) a weight is `scale * (q - centre)`, with two it is
//! `scale * q + minimum`.

use half::f16;

use super::activations::{ActBlock, Activations, BLOCK};
use super::isa::Isa;
use super::{avx2, avx512, scalar};

/// Output rows per tile.
pub(super) const LANES: usize = 16;

/// One tile: `S` planes of 16 scales, `Q` planes of 64 bytes (4 for 4-bit, 8 for 8-bit weights).
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Tile<const S: usize, const Q: usize> {
    pub(super) quants: [[u8; 64]; Q],
    pub(super) scales: [[u16; LANES]; S],
}

impl<const S: usize, const Q: usize> Tile<S, Q> {
    /// The stored value that stands for zero in tiles without minimums.
    pub(super) const CENTRE: i32 = if S == 2 {
        0
    } else if Q == 4 {
        8
    } else {
        128
    };

    const EMPTY: Self = Self { quants: [[0; 64]; Q], scales: [[0; LANES]; S] };

    fn set(&mut self, lane: usize, block: &Block) {
        for (plane, bits) in self.scales.iter_mut().zip(block.scales) {
            plane[lane] = bits;
        }
        for (j, plane) in self.quants.iter_mut().enumerate() {
            for (x, byte) in plane[lane * 4..lane * 4 + 4].iter_mut().enumerate() {
                let low = block.quants[j * 4 + x];
                *byte = if Q == 4 { low | (block.quants[16 + j * 4 + x] << 4) } else { low };
            }
        }
    }

    fn get(&self, lane: usize, input: usize) -> u8 {
        let byte = |input: usize| self.quants[input / 4][lane * 4 + input % 4];
        match (Q == 4, input < 16) {
            (false, _) => byte(input),
            (true, true) => byte(input) & 15,
            (true, false) => byte(input - 16) >> 4,
        }
    }
}

/// One block of 32 weights of one row as the file has it.
pub(super) struct Block {
    /// f16 bits: scale, minimum.
    scales: [u16; 2],
    quants: [u8; BLOCK],
}

fn half_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn nibbles(bytes: &[u8]) -> [u8; BLOCK] {
    std::array::from_fn(|i| if i < 16 { bytes[i] & 15 } else { bytes[i - 16] >> 4 })
}

pub(super) fn read_q4_0(bytes: &[u8; 18]) -> Block {
    Block { scales: [half_at(bytes, 0), 0], quants: nibbles(&bytes[2..]) }
}

pub(super) fn read_q4_1(bytes: &[u8; 20]) -> Block {
    Block { scales: [half_at(bytes, 0), half_at(bytes, 2)], quants: nibbles(&bytes[4..]) }
}

/// Signed in the file; stored around 128, because the dot products want one unsigned side.
pub(super) fn read_q8_0(bytes: &[u8; 34]) -> Block {
    let quants = std::array::from_fn(|i| bytes[2 + i] ^ 0x80);
    Block { scales: [half_at(bytes, 0), 0], quants }
}

/// Repacks a row-major tensor of blocks of `B` bytes. A last tile that is not full has rows of
/// zero scale.
pub(super) fn pack<const S: usize, const Q: usize, const B: usize>(
    bytes: &[u8],
    rows: usize,
    columns: usize,
    read: impl Fn(&[u8; B]) -> Block,
) -> Vec<Tile<S, Q>> {
    let per_row = columns / BLOCK;
    let mut tiles = vec![Tile::EMPTY; rows.div_ceil(LANES) * per_row];
    for (index, bytes) in bytes.as_chunks::<B>().0.iter().enumerate().take(rows * per_row) {
        let (row, block) = (index / per_row, index % per_row);
        if let Some(tile) = tiles.get_mut(row / LANES * per_row + block) {
            tile.set(row % LANES, &read(bytes));
        }
    }
    tiles
}

/// Writes one row of weights as floats.
pub(super) fn read_lane<const S: usize, const Q: usize>(
    tiles: &[Tile<S, Q>],
    tile: usize,
    lane: usize,
    out: &mut [f32],
) {
    let per_row = out.len() / BLOCK;
    let strip = tiles.get(tile * per_row..).unwrap_or_default();
    for (tile, out) in strip.iter().zip(out.as_chunks_mut::<BLOCK>().0) {
        let scale = f16::from_bits(tile.scales[0][lane]).to_f32();
        let minimum = tile.scales.get(1).map_or(0.0, |plane| f16::from_bits(plane[lane]).to_f32());
        for (input, out) in out.iter_mut().enumerate() {
            let centred = i32::from(tile.get(lane, input)) - Tile::<S, Q>::CENTRE;
            *out = scale * centred as f32 + minimum;
        }
    }
}

/// Sums of one strip of tiles (16 output rows) for every row of `x`, in panels that fit the
/// registers.
pub(super) fn multiply_strip<const S: usize, const Q: usize>(
    strip: &[Tile<S, Q>],
    x: &Activations,
    sums: &mut [[f32; LANES]],
    isa: Isa,
) {
    let mut row = 0;
    while row < sums.len() {
        let left = sums.len() - row;
        row += match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if left >= 8 => panel::<S, Q, 8>(strip, x, row, sums, avx512::multiply),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if left >= 4 => panel::<S, Q, 4>(strip, x, row, sums, avx512::multiply),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if left >= 2 => panel::<S, Q, 2>(strip, x, row, sums, avx512::multiply),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => panel::<S, Q, 1>(strip, x, row, sums, avx512::multiply),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 if left >= 4 => panel::<S, Q, 4>(strip, x, row, sums, avx2::multiply),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 if left >= 2 => panel::<S, Q, 2>(strip, x, row, sums, avx2::multiply),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => panel::<S, Q, 1>(strip, x, row, sums, avx2::multiply),
            _ => panel::<S, Q, 1>(strip, x, row, sums, scalar::multiply),
        };
    }
}

/// Runs a kernel on `C` rows from `row` on; returns `C`.
#[inline(always)]
fn panel<const S: usize, const Q: usize, const C: usize>(
    strip: &[Tile<S, Q>],
    x: &Activations,
    row: usize,
    sums: &mut [[f32; LANES]],
    kernel: impl FnOnce(&[Tile<S, Q>], [&[ActBlock]; C], &mut [[f32; LANES]; C]),
) -> usize {
    let rows = std::array::from_fn(|i| x.block_row(row + i));
    if let Some(sums) = sums.get_mut(row..).and_then(|sums| sums.first_chunk_mut::<C>()) {
        kernel(strip, rows, sums);
    }
    C
}
