//! The kernel for AVX-512 with VNNI: 64 products of 8 bits per instruction, 16 rows per register.
#![cfg(target_arch = "x86_64")]

use std::arch::x86_64::*;

use super::activations::ActBlock;
use super::tile::{LANES, Tile};

/// `sums[i] = tiles * rows[i]`, on a machine for which [`super::isa`] found AVX-512.
#[inline(always)]
pub(super) fn multiply<const S: usize, const Q: usize, const C: usize>(
    tiles: &[Tile<S, Q>],
    rows: [&[ActBlock]; C],
    sums: &mut [[f32; LANES]; C],
) {
    #[expect(unsafe_code, reason = "calling code compiled for detected features")]
    // SAFETY: reached through `Isa::Avx512` alone, which `Isa::available` gives out only where
    // these features were detected.
    unsafe {
        kernel(tiles, rows, sums);
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,f16c")]
fn kernel<const S: usize, const Q: usize, const C: usize>(
    tiles: &[Tile<S, Q>],
    rows: [&[ActBlock]; C],
    sums: &mut [[f32; LANES]; C],
) {
    let n = tiles.len();
    let rows = rows.map(|row| &row[..n]);
    let nibble = _mm512_set1_epi8(15);
    let mut totals = [_mm512_setzero_ps(); C];
    for (b, tile) in tiles.iter().enumerate() {
        let mut dots = [_mm512_setzero_si512(); C];
        if S == 1 {
            for i in 0..C {
                dots[i] = _mm512_set1_epi32(-Tile::<S, Q>::CENTRE * rows[i][b].sum);
            }
        }
        for (j, plane) in tile.quants.iter().enumerate() {
            let weights = load_bytes(plane);
            if Q == 4 {
                let low = _mm512_and_si512(weights, nibble);
                let high = _mm512_and_si512(_mm512_srli_epi16(weights, 4), nibble);
                for i in 0..C {
                    let words = &rows[i][b].words;
                    dots[i] = _mm512_dpbusd_epi32(dots[i], low, _mm512_set1_epi32(words[j]));
                    dots[i] = _mm512_dpbusd_epi32(dots[i], high, _mm512_set1_epi32(words[j + 4]));
                }
            } else {
                for i in 0..C {
                    let word = _mm512_set1_epi32(rows[i][b].words[j]);
                    dots[i] = _mm512_dpbusd_epi32(dots[i], weights, word);
                }
            }
        }
        let scales = load_halves(&tile.scales[0]);
        let minimums = load_halves(&tile.scales[S - 1]);
        for i in 0..C {
            let block = &rows[i][b];
            let scales = _mm512_mul_ps(scales, _mm512_set1_ps(block.scale));
            totals[i] = _mm512_fmadd_ps(scales, _mm512_cvtepi32_ps(dots[i]), totals[i]);
            if S == 2 {
                totals[i] = _mm512_fmadd_ps(minimums, _mm512_set1_ps(block.scaled_sum), totals[i]);
            }
        }
    }
    for i in 0..C {
        store(totals[i], &mut sums[i]);
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_bytes(bytes: &[u8; 64]) -> __m512i {
    #[expect(unsafe_code, reason = "a load through a pointer")]
    // SAFETY: 64 readable bytes; the load needs no alignment.
    unsafe {
        _mm512_loadu_si512(bytes.as_ptr().cast())
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_halves(halves: &[u16; LANES]) -> __m512 {
    #[expect(unsafe_code, reason = "a load through a pointer")]
    // SAFETY: 32 readable bytes; the load needs no alignment.
    let halves = unsafe { _mm256_loadu_si256(halves.as_ptr().cast()) };
    _mm512_cvtph_ps(halves)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(values: __m512, out: &mut [f32; LANES]) {
    #[expect(unsafe_code, reason = "a store through a pointer")]
    // SAFETY: 64 writable bytes; the store needs no alignment.
    unsafe {
        _mm512_storeu_ps(out.as_mut_ptr(), values);
    }
}
