use super::*;
use crate::tiny::{self, Random, weights};
use activations::Forms;

const ALL: Forms = Forms { floats: true, blocks: true };

fn matrix(kind: u32, rows: usize, columns: usize) -> Matrix {
    let bytes = weights(&mut Random(3), kind, rows * columns, 0.4);
    let kind = match kind {
        tiny::F32 => TensorKind::F32,
        tiny::F16 => TensorKind::F16,
        tiny::Q4_0 => TensorKind::Q4_0,
        tiny::Q4_1 => TensorKind::Q4_1,
        _ => TensorKind::Q8_0,
    };
    Matrix::load(&Tensor { kind, dims: &[columns, rows], bytes: &bytes }, "test").unwrap()
}

fn values(count: usize) -> Vec<f32> {
    let mut random = Random(11);
    (0..count).map(|_| random.float() * 2.0).collect()
}

fn multiply(matrix: &Matrix, values: &[f32], isa: Isa, parallel: bool) -> Vec<f32> {
    let mut x = Activations::default();
    x.set(values, matrix.columns(), ALL, isa);
    let mut out = vec![f32::NAN; x.rows() * matrix.rows()];
    matrix.multiply(&x, &mut out, Exec { isa, parallel });
    out
}

#[test]
fn products_are_right() {
    for kind in tiny::KINDS {
        for (rows, columns, batch) in [(16, 32, 1), (49, 96, 3), (200, 160, 13)] {
            let matrix = matrix(kind, rows, columns);
            let values = values(batch * columns);
            let mut expected = Vec::new();
            let mut row = vec![0.0; columns];
            for x in values.chunks_exact(columns) {
                for i in 0..rows {
                    matrix.read_row(i, &mut row);
                    let sum: f64 = row.iter().zip(x).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                    expected.push(sum as f32);
                }
            }
            // Rounding activations to 8 bits costs up to half a step of 2/127 per value.
            let tolerance = if matrix.is_dense() { 1e-4 } else { 0.012 * (columns as f32).sqrt() };
            for isa in Isa::available() {
                let found = multiply(&matrix, &values, isa, false);
                for (found, expected) in found.iter().zip(&expected) {
                    assert!((found - expected).abs() < tolerance, "{kind} {isa:?}: {found} {expected}");
                }
            }
        }
    }
}

#[test]
fn kernels_agree() {
    for kind in tiny::KINDS {
        let matrix = matrix(kind, 72, 256);
        let values = values(11 * 256);
        let results: Vec<Vec<f32>> =
            Isa::available().into_iter().map(|isa| multiply(&matrix, &values, isa, false)).collect();
        for pair in results.windows(2) {
            for (a, b) in pair[0].iter().zip(&pair[1]) {
                assert!((a - b).abs() < 1e-4, "kind {kind}: {a} {b}");
            }
        }
        // The integer part is exact and the float part has the same order and fusing: AVX2 and
        // AVX-512 are bit-identical.
        if let [_, avx2, avx512] = results.as_slice() {
            assert_eq!(avx2, avx512, "kind {kind}");
        }
    }
}

#[test]
fn a_row_does_not_depend_on_its_neighbours() {
    for kind in tiny::KINDS {
        let matrix = matrix(kind, 40, 64);
        let values = values(23 * 64);
        for isa in Isa::available() {
            let together = multiply(&matrix, &values, isa, false);
            let alone: Vec<f32> = values.chunks_exact(64).flat_map(|row| multiply(&matrix, row, isa, false)).collect();
            assert_eq!(together, alone, "kind {kind} {isa:?}");
        }
    }
}

#[test]
fn threads_change_nothing() {
    let matrix = matrix(tiny::Q4_1, 900, 256);
    let values = values(9 * 256);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let alone = multiply(&matrix, &values, Isa::detect(), false);
    let shared = pool.install(|| multiply(&matrix, &values, Isa::detect(), true));
    assert_eq!(alone, shared);
}

#[test]
fn extreme_activations_are_harmless() {
    for kind in [tiny::Q4_0, tiny::Q4_1, tiny::Q8_0] {
        let matrix = matrix(kind, 16, 32);
        for value in [0.0, f32::NAN, f32::INFINITY, f32::MIN_POSITIVE, f32::MAX] {
            for isa in Isa::available() {
                let out = multiply(&matrix, &[value; 32], isa, false);
                assert!(value != 0.0 || out == [0.0; 16]);
            }
        }
    }
}

#[test]
fn halves_widen_exactly() {
    let halves: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).filter(|h| h.is_finite()).collect();
    let expected: Vec<f32> = halves.iter().map(|half| half.to_f32()).collect();
    for isa in Isa::available() {
        let mut found = vec![0.0; halves.len()];
        halves::widen(isa, &halves, &mut found);
        assert_eq!(found, expected);
    }
    let by_shift: Vec<f32> = halves.iter().map(|half| dense::Element::widen(*half)).collect();
    assert_eq!(by_shift, expected);
}
