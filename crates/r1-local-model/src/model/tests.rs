use super::*;
use crate::tiny::{self, Spec};

fn load(spec: Spec, isa: Isa) -> Model {
    Model::load_for(&Gguf::from_bytes(tiny::model(spec)).unwrap(), 1, isa).unwrap()
}

/// Head sizes with and without a fast path, grouped and separate heads, tied and not.
fn specs() -> Vec<Spec> {
    let base = Spec::default();
    let mut specs: Vec<Spec> = tiny::KINDS.into_iter().map(|kind| Spec { kind, ..base }).collect();
    specs.push(Spec { heads: 4, kv_heads: 2, head_size: 64, width: 128, ..base });
    specs.push(Spec { heads: 8, kv_heads: 8, head_size: 20, tied: false, ..base });
    specs.push(Spec { heads: 16, kv_heads: 4, head_size: 2, ..base });
    specs.push(Spec { kind: tiny::F32, width: 40, heads: 5, kv_heads: 5, head_size: 8, ..base });
    specs
}

fn tokens(count: usize, seed: u64) -> Vec<u32> {
    let mut random = tiny::Random(seed);
    (0..count).map(|_| (random.next() % 250) as u32).collect()
}

/// Logits of every token, fed in pieces of the given size.
fn in_pieces(model: &Model, tokens: &[u32], size: usize) -> Vec<Vec<f32>> {
    let mut work = Workspace::default();
    let mut cache = model.new_cache();
    let mut logits = Vec::new();
    for tokens in tokens.chunks(size) {
        model.forward(&mut [Chunk { cache: &mut cache, tokens, logits: Logits::All }], &mut work);
        logits.extend(work.logits_mut().iter().cloned());
    }
    assert_eq!(cache.len(), tokens.len());
    logits
}

#[test]
fn batched_is_bit_identical_to_single() {
    for spec in specs() {
        let tokens = tokens(75, 1);
        for isa in Isa::available() {
            let model = load(spec, isa);
            let single = in_pieces(&model, &tokens, 1);
            assert!(single.iter().flatten().all(|logit| logit.is_finite()));
            for size in [3, 32, 75] {
                assert_eq!(single, in_pieces(&model, &tokens, size), "{spec:?} {isa:?} {size}");
            }
        }
    }
}

#[test]
fn neighbours_in_a_batch_change_nothing() {
    let model = load(Spec::default(), Isa::detect());
    let (a, b, c) = (tokens(40, 1), tokens(33, 2), tokens(7, 3));
    let mut caches = [model.new_cache(), model.new_cache(), model.new_cache()];
    let mut work = Workspace::default();
    let mut found = Vec::new();
    for round in 0..3 {
        let mut chunks: Vec<Chunk<'_>> = caches
            .iter_mut()
            .zip([&a, &b, &c])
            .map(|(cache, tokens)| {
                let third = tokens.len() / 3;
                let tokens = &tokens[round * third..(round + 1) * third];
                Chunk { cache, tokens, logits: Logits::Last }
            })
            .collect();
        model.forward(&mut chunks, &mut work);
        found = work.logits_mut().to_vec();
    }
    for (found, tokens) in found.iter().zip([&a, &b, &c]) {
        let used = tokens.len() / 3 * 3;
        assert_eq!(Some(found), in_pieces(&model, &tokens[..used], 5).last());
    }
}

#[test]
fn a_fork_shares_and_does_not_disturb() {
    let model = load(Spec::default(), Isa::detect());
    let mut work = Workspace::default();
    let (start, left, right) = (tokens(50, 1), tokens(9, 2), tokens(9, 3));
    let mut trunk = model.new_cache();
    model.forward(&mut [Chunk { cache: &mut trunk, tokens: &start, logits: Logits::None }], &mut work);
    assert!(work.logits_mut().is_empty());
    let mut fork = trunk.fork(45);
    assert_eq!(fork.pages().next(), trunk.pages().next());
    let mut run = |cache: &mut KvCache, tokens: &[u32]| {
        model.forward(&mut [Chunk { cache, tokens, logits: Logits::Last }], &mut work);
        work.logits_mut()[0].clone()
    };
    let forked = run(&mut fork, &right);
    let continued = run(&mut trunk, &left);
    let expect = |a: &[u32], b: &[u32]| in_pieces(&model, &[a, b].concat(), 64).pop().unwrap();
    assert_eq!(forked, expect(&start[..45], &right));
    assert_eq!(continued, expect(&start, &left));
}

#[test]
fn threads_change_nothing() {
    let file = Gguf::from_bytes(tiny::model(Spec::default())).unwrap();
    let (one, three) = (Model::load(&file, 1).unwrap(), Model::load(&file, 3).unwrap());
    let tokens = tokens(64, 1);
    assert_eq!(in_pieces(&one, &tokens, 40), in_pieces(&three, &tokens, 40));
}

#[test]
fn instruction_sets_agree_closely() {
    for spec in specs() {
        let tokens = tokens(40, 1);
        let results: Vec<_> =
            Isa::available().into_iter().map(|isa| in_pieces(&load(spec, isa), &tokens, 32).concat()).collect();
        for result in &results {
            let (mut dot, mut a2, mut b2) = (0.0, 0.0, 0.0);
            for (a, b) in result.iter().zip(&results[0]) {
                (dot, a2, b2) = (dot + a * b, a2 + a * a, b2 + b * b);
            }
            // A last bit of difference can round an activation the other way.
            assert!(dot / (a2 * b2).sqrt() > 0.999, "{spec:?}");
        }
    }
}

#[test]
fn other_models_are_refused() {
    let refuse = |change: &dyn Fn(&mut tiny::Writer)| {
        let mut writer = tiny::Writer::default();
        change(&mut writer);
        let file = Gguf::from_bytes(writer.finish()).unwrap();
        Model::load(&file, 1).unwrap_err().to_string()
    };
    assert!(refuse(&|_| {}).contains("general.architecture"));
    let scaled = refuse(&|writer| {
        writer.str("general.architecture", "llama");
        writer.u32("llama.expert_count", 8);
    });
    assert!(scaled.contains("experts") && scaled.contains("llama-server"), "{scaled}");
    let odd = Spec { width: 48, head_size: 24, ..Spec::default() };
    let error = Gguf::from_bytes(tiny::model(odd)).unwrap_err().to_string();
    assert!(error.contains("whole blocks"), "{error}");
}

#[test]
fn exponentials_are_close() {
    for i in -8700..=8800i16 {
        let x = f32::from(i) / 100.0;
        let expected = f64::from(x).exp();
        for found in [math::exp::<true>(x), math::exp::<false>(x)] {
            let error = (f64::from(found) - expected).abs() / expected;
            assert!(error < 1e-6, "{x}: {found} {expected}");
        }
    }
    assert!(math::exp::<true>(f32::NAN).is_finite());
}
