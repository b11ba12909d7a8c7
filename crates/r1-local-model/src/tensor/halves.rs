//! 16-bit floats to 32 bits, in bulk. Exact, so all versions agree bit for bit.

use half::f16;

use super::isa::Isa;

/// Fills `to` from `from`, as far as the shorter reaches.
pub(crate) fn widen(isa: Isa, from: &[f16], to: &mut [f32]) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        #[expect(unsafe_code, reason = "calling code compiled for detected features")]
        // SAFETY: `Isa::available` gives these out only where the features were detected.
        Isa::Avx2 | Isa::Avx512 => unsafe { f16c(from, to) },
        _ => plain(from, to),
    }
}

fn plain(from: &[f16], to: &mut [f32]) {
    for (from, to) in from.iter().zip(to) {
        *to = from.to_f32();
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,f16c")]
fn f16c(from: &[f16], to: &mut [f32]) {
    use std::arch::x86_64::{_mm_loadu_si128, _mm256_cvtph_ps, _mm256_storeu_ps};
    let (from, from_rest) = from.as_chunks::<8>();
    let (to, to_rest) = to.as_chunks_mut::<8>();
    for (from, to) in from.iter().zip(to) {
        #[expect(unsafe_code, reason = "a load and a store through pointers")]
        // SAFETY: 16 readable and 32 writable bytes; neither needs alignment, and `f16` is its
        // bits.
        unsafe {
            let halves = _mm_loadu_si128(from.as_ptr().cast());
            _mm256_storeu_ps(to.as_mut_ptr(), _mm256_cvtph_ps(halves));
        }
    }
    plain(from_rest, to_rest);
}
