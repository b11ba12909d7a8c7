//! The element-wise steps between matrix products, written as loops over 16 lanes.

use crate::tensor::isa::{madd, multiversioned};

/// Lanes of partial sums. Part of the definition: it fixes the order of additions, so results do
/// not depend on the machine's register width.
pub(super) const LANES: usize = 16;

multiversioned! {
    /// Divides every row by its root mean square and scales it by `weight`.
    pub(super) fn rms_norm<const FMA: bool>(
        rows: &[f32],
        weight: &[f32],
        epsilon: f32,
        out: &mut [f32],
    ) {
        let width = weight.len();
        for (row, out) in rows.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let (chunks, rest) = row.as_chunks::<LANES>();
            let mut lanes = [0f32; LANES];
            for chunk in chunks {
                for (lane, value) in lanes.iter_mut().zip(chunk) {
                    *lane = madd::<FMA>(*value, *value, *lane);
                }
            }
            for (lane, value) in lanes.iter_mut().zip(rest) {
                *lane = madd::<FMA>(*value, *value, *lane);
            }
            let mean = lanes.iter().sum::<f32>() / width as f32;
            let scale = 1.0 / (mean + epsilon).sqrt();
            for ((out, value), weight) in out.iter_mut().zip(row).zip(weight) {
                *out = value * scale * weight;
            }
        }
    }
}

multiversioned! {
    /// `gate = silu(gate) * up`.
    pub(super) fn gate<const FMA: bool>(gate: &mut [f32], up: &[f32]) {
        for (gate, up) in gate.iter_mut().zip(up) {
            *gate = *gate / (1.0 + exp::<FMA>(-*gate)) * up;
        }
    }
}

multiversioned! {
    /// `sum += term`.
    pub(super) fn add<const FMA: bool>(sum: &mut [f32], term: &[f32]) {
        for (sum, term) in sum.iter_mut().zip(term) {
            *sum += term;
        }
    }
}

/// e to the power of `x`, within 3e-7 of itself, in operations that vectorise.
///
/// Cody and Waite's reduction: `x = n ln 2 + r`, `|r| <= ln 2 / 2`, then a Taylor polynomial of
/// degree 7 for `r` (remainder below 6e-9) and `n` put into the exponent bits.
#[inline(always)]
pub(super) fn exp<const FMA: bool>(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    #[expect(clippy::manual_clamp, reason = "clamp would let a value through that is no number")]
    let x = x.max(-87.0).min(88.0);
    let n = madd::<FMA>(x, std::f32::consts::LOG2_E, ROUND) - ROUND;
    let r = madd::<FMA>(-n, LN2_LOW, madd::<FMA>(-n, LN2_HIGH, x));
    let mut p = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = madd::<FMA>(p, r, coefficient);
    }
    // n lies in -126..=127 after the bounds above.
    let power = f32::from_bits((((n + ROUND).to_bits() & 0x1ff).wrapping_add(127) & 0xff) << 23);
    p * power
}
