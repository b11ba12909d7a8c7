use proptest::prelude::*;

use super::*;
use crate::model::Model;
use crate::template::ChatTemplate;
use crate::tiny::{self, Writer};
use crate::tokenizer::Tokenizer;

fn small() -> Vec<u8> {
    let mut writer = Writer::default();
    writer.str("general.architecture", "llama");
    writer.u32("n", 7);
    writer.f32("x", 0.5);
    writer.strings("list", &[String::from("a"), String::from("bc")]);
    writer.tensor("t", &[32, 2], tiny::Q4_0, &[3; 36]);
    writer.tensor("f", &[3], tiny::F32, &[0; 12]);
    writer.finish()
}

/// Everything that reads a file, on one that may be anything. Only that it returns matters.
fn load_everything(bytes: Vec<u8>) {
    if let Ok(file) = Gguf::from_bytes(bytes) {
        for name in file.tensor_names() {
            let _ = file.tensor(name);
        }
        if let Ok(tokenizer) = Tokenizer::load(&file) {
            tokenizer.encode_text("hello world 123");
            let _ = ChatTemplate::load(&file, &tokenizer);
        }
        let _ = Model::load(&file, 1);
    }
}

#[test]
fn reads_what_was_written() {
    let file = Gguf::from_bytes(small()).unwrap();
    assert_eq!(file.usize("n").unwrap(), Some(7));
    assert_eq!(file.f32("x").unwrap(), Some(0.5));
    assert_eq!(file.str("general.architecture").unwrap(), Some("llama"));
    assert_eq!(file.array("list").unwrap().unwrap()[1].as_str(), Some("bc"));
    assert_eq!(file.usize("absent").unwrap(), None);
    assert!(matches!(file.usize("x"), Err(LoadError::Malformed(_))));
    let tensor = file.tensor("t").unwrap().unwrap();
    assert_eq!((tensor.kind, tensor.dims, tensor.bytes), (TensorKind::Q4_0, &[32, 2][..], &[3; 36][..]));
    assert_eq!(file.tensor("f").unwrap().unwrap().bytes.len(), 12);
}

#[test]
fn says_what_is_wrong() {
    assert!(matches!(Gguf::from_bytes(b"PK\x03\x04 a zip".to_vec()), Err(LoadError::NotGguf)));
    assert!(matches!(Gguf::from_bytes(Vec::new()), Err(LoadError::NotGguf)));
    let mut future = small();
    future[4] = 9;
    let error = Gguf::from_bytes(future).unwrap_err().to_string();
    assert!(error.contains("version 9") && error.contains("llama-server"), "{error}");

    let mut writer = Writer::default();
    writer.tensor("k", &[256, 1], 12, &[0; 144]);
    let file = Gguf::from_bytes(writer.finish()).unwrap();
    let error = file.tensor("k").unwrap_err().to_string();
    assert!(error.contains("tensor type 12") && error.contains("llama-server"), "{error}");

    let mut writer = Writer::default();
    writer.str("general.architecture", "rwkv");
    let error = Model::load(&Gguf::from_bytes(writer.finish()).unwrap(), 1).unwrap_err();
    assert!(error.to_string().contains("architecture \"rwkv\""), "{error}");
}

#[test]
fn every_truncation_is_noticed() {
    let whole = small();
    for length in 0..whole.len() {
        let result = Gguf::from_bytes(whole[..length].to_vec());
        assert!(result.is_err(), "{length} of {} bytes", whole.len());
    }
}

#[test]
fn huge_numbers_allocate_nothing() {
    let whole = small();
    for at in 8..whole.len() - 8 {
        for value in [u64::MAX, u64::MAX / 2, 1 << 62, 1 << 40, 1 << 31] {
            let mut bytes = whole.clone();
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
            load_everything(bytes);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn mutated_files_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        head in any::<bool>(),
        cut in any::<prop::sample::Index>(),
        truncate in prop::bool::weighted(0.2),
    ) {
        let mut bytes = tiny::model(tiny::Spec::default());
        // Most of a file is weights, where any byte is as good as another; the head is the test.
        let within = if head { 1200 } else { bytes.len() };
        for (at, value) in changes {
            let at = at.index(within);
            bytes[at] = value;
        }
        if truncate {
            let length = cut.index(bytes.len());
            bytes.truncate(length);
        }
        load_everything(bytes);
    }
}
