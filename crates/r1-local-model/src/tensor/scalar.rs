//! The kernel in plain Rust: the definition that the others must agree with, and the fallback.

use half::f16;

use super::activations::ActBlock;
use super::isa::madd;
use super::tile::{LANES, Tile};

/// Whether the plain build has a fused multiply-add to use.
const FMA: bool = cfg!(target_arch = "aarch64");

/// `sums[i] = tiles * rows[i]`.
pub(super) fn multiply<const S: usize, const Q: usize, const C: usize>(
    tiles: &[Tile<S, Q>],
    rows: [&[ActBlock]; C],
    sums: &mut [[f32; LANES]; C],
) {
    for (blocks, sums) in rows.into_iter().zip(sums) {
        *sums = [0.0; LANES];
        for (tile, block) in tiles.iter().zip(blocks) {
            let dots = dot(tile, block);
            for lane in 0..LANES {
                let scale = f16::from_bits(tile.scales[0][lane]).to_f32();
                sums[lane] = madd::<FMA>(scale * block.scale, dots[lane] as f32, sums[lane]);
                if S == 2 {
                    let minimum = f16::from_bits(tile.scales[1][lane]).to_f32();
                    sums[lane] = madd::<FMA>(minimum, block.scaled_sum, sums[lane]);
                }
            }
        }
    }
}

/// The exact integer products of one block with 16 rows of weights.
fn dot<const S: usize, const Q: usize>(tile: &Tile<S, Q>, block: &ActBlock) -> [i32; LANES] {
    let mut dots = [-Tile::<S, Q>::CENTRE * block.sum; LANES];
    for (j, plane) in tile.quants.iter().enumerate() {
        let low = block.words[j].to_le_bytes();
        let high = if Q == 4 { block.words[j + 4].to_le_bytes() } else { [0; 4] };
        for (dot, four) in dots.iter_mut().zip(plane.as_chunks::<4>().0) {
            for x in 0..4 {
                let (weight_low, weight_high) = if Q == 4 { (four[x] & 15, four[x] >> 4) } else { (four[x], 0) };
                *dot +=
                    i32::from(weight_low) * i32::from(low[x] as i8) + i32::from(weight_high) * i32::from(high[x] as i8);
            }
        }
    }
    dots
}
