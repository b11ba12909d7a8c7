//! The kernel for AVX2: two passes of 8 rows over each strip of tiles.
//!
//! `maddubs` adds pairs of products in 16 bits. 4-bit weights can't overflow that: four products
//! of at most 15 × 127. 8-bit weights are made signed first and the sign moved to the activation:
//! two products of at most 128 × 127.
#![cfg(target_arch = "x86_64")]

use std::arch::x86_64::*;

use super::activations::ActBlock;
use super::tile::{LANES, Tile};

/// `sums[i] = tiles * rows[i]`, on a machine for which [`super::isa`] found AVX2.
#[inline(always)]
pub(super) fn multiply<const S: usize, const Q: usize, const C: usize>(
    tiles: &[Tile<S, Q>],
    rows: [&[ActBlock]; C],
    sums: &mut [[f32; LANES]; C],
) {
    #[expect(unsafe_code, reason = "calling code compiled for detected features")]
    // SAFETY: reached through `Isa::Avx2` alone, which `Isa::available` gives out only where
    // these features were detected.
    unsafe {
        kernel(tiles, rows, sums, 0);
        kernel(tiles, rows, sums, 1);
    }
}

/// The rows `8 * side..` of the tiles.
#[target_feature(enable = "avx2,fma,f16c")]
fn kernel<const S: usize, const Q: usize, const C: usize>(
    tiles: &[Tile<S, Q>],
    rows: [&[ActBlock]; C],
    sums: &mut [[f32; LANES]; C],
    side: usize,
) {
    let n = tiles.len();
    let rows = rows.map(|row| &row[..n]);
    let nibble = _mm256_set1_epi8(15);
    let ones = _mm256_set1_epi16(1);
    let sign = _mm256_set1_epi8(-128);
    let mut totals = [_mm256_setzero_ps(); C];
    for (b, tile) in tiles.iter().enumerate() {
        let mut dots = [_mm256_setzero_si256(); C];
        if S == 1 && Q == 4 {
            for i in 0..C {
                dots[i] = _mm256_set1_epi32(-Tile::<S, Q>::CENTRE * rows[i][b].sum);
            }
        }
        for (j, plane) in tile.quants.iter().enumerate() {
            let weights = load_bytes(&plane.as_chunks::<32>().0[side]);
            if Q == 4 {
                let low = _mm256_and_si256(weights, nibble);
                let high = _mm256_and_si256(_mm256_srli_epi16(weights, 4), nibble);
                for i in 0..C {
                    let words = &rows[i][b].words;
                    let low = _mm256_maddubs_epi16(low, _mm256_set1_epi32(words[j]));
                    let high = _mm256_maddubs_epi16(high, _mm256_set1_epi32(words[j + 4]));
                    let pairs = _mm256_madd_epi16(_mm256_add_epi16(low, high), ones);
                    dots[i] = _mm256_add_epi32(dots[i], pairs);
                }
            } else {
                let weights = _mm256_xor_si256(weights, sign);
                let magnitudes = _mm256_abs_epi8(weights);
                for i in 0..C {
                    let word = _mm256_set1_epi32(rows[i][b].words[j]);
                    let signed = _mm256_sign_epi8(word, weights);
                    let pairs = _mm256_madd_epi16(_mm256_maddubs_epi16(magnitudes, signed), ones);
                    dots[i] = _mm256_add_epi32(dots[i], pairs);
                }
            }
        }
        let scales = load_halves(&tile.scales[0].as_chunks::<8>().0[side]);
        let minimums = load_halves(&tile.scales[S - 1].as_chunks::<8>().0[side]);
        for i in 0..C {
            let block = &rows[i][b];
            let scales = _mm256_mul_ps(scales, _mm256_set1_ps(block.scale));
            totals[i] = _mm256_fmadd_ps(scales, _mm256_cvtepi32_ps(dots[i]), totals[i]);
            if S == 2 {
                totals[i] = _mm256_fmadd_ps(minimums, _mm256_set1_ps(block.scaled_sum), totals[i]);
            }
        }
    }
    for i in 0..C {
        store(totals[i], &mut sums[i].as_chunks_mut::<8>().0[side]);
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_bytes(bytes: &[u8; 32]) -> __m256i {
    #[expect(unsafe_code, reason = "a load through a pointer")]
    // SAFETY: 32 readable bytes; the load needs no alignment.
    unsafe {
        _mm256_loadu_si256(bytes.as_ptr().cast())
    }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn load_halves(halves: &[u16; 8]) -> __m256 {
    #[expect(unsafe_code, reason = "a load through a pointer")]
    // SAFETY: 16 readable bytes; the load needs no alignment.
    let halves = unsafe { _mm_loadu_si128(halves.as_ptr().cast()) };
    _mm256_cvtph_ps(halves)
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(values: __m256, out: &mut [f32; 8]) {
    #[expect(unsafe_code, reason = "a store through a pointer")]
    // SAFETY: 32 writable bytes; the store needs no alignment.
    unsafe {
        _mm256_storeu_ps(out.as_mut_ptr(), values);
    }
}
