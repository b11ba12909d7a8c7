//! Which instructions this machine has, decided once.

/// A set of kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Isa {
    /// Plain Rust: any machine.
    Scalar,
    /// x86-64 since 2013: AVX2, FMA, F16C.
    Avx2,
    /// x86-64 with AVX-512 and its 8-bit dot products (VNNI).
    Avx512,
}

impl Isa {
    /// The best that this machine can run.
    pub(crate) fn detect() -> Self {
        Self::available().last().copied().unwrap_or(Self::Scalar)
    }

    /// All that this machine can run, slowest first.
    pub(crate) fn available() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            let mut found = vec![Self::Scalar];
            if has!("avx2") && has!("fma") && has!("f16c") {
                found.push(Self::Avx2);
                let avx512 = has!("avx512f") && has!("avx512bw") && has!("avx512vl");
                if avx512 && has!("avx512dq") && has!("avx512vnni") {
                    found.push(Self::Avx512);
                }
            }
            found
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            vec![Self::Scalar]
        }
    }
}

/// Declares a function whose body the compiler vectorises once per instruction set.
///
/// The body is written as plain loops over lanes; `$fma` names a constant in it that says whether
/// a fused multiply-add is one instruction (see [`madd`]). The first argument of the resulting
/// function chooses the version.
macro_rules! multiversioned {
    (
        $(#[$meta:meta])*
        $vis:vis fn $name:ident<const $fma:ident: bool $(, $gen:ident: $bound:path)?>(
            $($arg:ident: $ty:ty),* $(,)?
        ) $body:block
    ) => {
        $(#[$meta])*
        $vis fn $name$(<$gen: $bound>)?(isa: $crate::tensor::isa::Isa, $($arg: $ty),*) {
            #[inline(always)]
            fn portable<const $fma: bool $(, $gen: $bound)?>($($arg: $ty),*) $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            fn avx2$(<$gen: $bound>)?($($arg: $ty),*) {
                portable::<true $(, $gen)?>($($arg),*);
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,fma,f16c")]
            fn avx512$(<$gen: $bound>)?($($arg: $ty),*) {
                portable::<true $(, $gen)?>($($arg),*);
            }

            match isa {
                #[cfg(target_arch = "x86_64")]
                #[expect(unsafe_code, reason = "calling code compiled for detected features")]
                $crate::tensor::isa::Isa::Avx512 => {
                    // SAFETY: `Isa` values other than scalar come from `Isa::available` alone,
                    // which has seen these features on this machine.
                    unsafe { avx512($($arg),*) }
                }
                #[cfg(target_arch = "x86_64")]
                #[expect(unsafe_code, reason = "calling code compiled for detected features")]
                $crate::tensor::isa::Isa::Avx2 => {
                    // SAFETY: as above.
                    unsafe { avx2($($arg),*) }
                }
                _ => portable::<{ cfg!(target_arch = "aarch64") } $(, $gen)?>($($arg),*),
            }
        }
    };
}
pub(crate) use multiversioned;

/// `a * b + c`, fused where that is one instruction; a software fused multiply-add would be slower
/// than everything around it.
#[inline(always)]
pub(crate) fn madd<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}
