//! The default model, measured against an independent implementation.
//!
//! `fixtures/golden.json` was made once with the Hugging Face `tokenizers` library on the file's
//! own vocabulary, and with a plain float implementation of the architecture in numpy on the
//! dequantised weights. Token ids must be the same; numbers may differ by what rounding
//! activations to 8 bits and the cache to 16 bits costs.

#![expect(clippy::expect_used, reason = "helpers of tests, where a panic is the report")]

use std::path::PathBuf;

use r1_local_model::gguf::Gguf;
use r1_local_model::model::{Chunk, Logits, Model, Workspace};
use r1_local_model::prompt::{Partial, TokenPrompt, fit};
use r1_local_model::sampler::Sampling;
use r1_local_model::template::{ChatTemplate, Message, Role};
use r1_local_model::tokenizer::{Decoder, Tokenizer};
use serde_json::Value;

const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

fn model_path() -> PathBuf {
    if let Some(path) = std::env::var_os("GPT_R1__LOCAL_MODEL__PATH") {
        return path.into();
    }
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .expect("HOME or XDG_CACHE_HOME is set");
    cache.join("gpt-r1/models").join(FILE)
}

fn open() -> Gguf {
    let path = model_path();
    assert!(
        path.is_file(),
        "{} is not there. These tests need the default model: fetch it with `gpt-r1 model pull`, \
         or name a copy of {FILE} in GPT_R1__LOCAL_MODEL__PATH",
        path.display()
    );
    Gguf::open(&path).expect("the model file opens")
}

fn golden() -> Value {
    serde_json::from_str(include_str!("fixtures/golden.json")).expect("golden.json")
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).expect("token ids")
}

fn chat_prompt(file: &Gguf, tokenizer: &Tokenizer, question: &str) -> Vec<u32> {
    let template = ChatTemplate::load(file, tokenizer).expect("template");
    let messages = [Message { role: Role::User, content: question.to_owned() }];
    let fitted = fit(tokenizer, &template, &messages, Partial::None, 100, 8192);
    let TokenPrompt { prompt, answer, .. } = fitted.expect("fits");
    assert!(answer.is_empty());
    prompt
}

#[test]
fn token_ids_are_the_reference_ones() {
    let file = open();
    let tokenizer = Tokenizer::load(&file).expect("tokenizer");
    let golden = golden();
    for case in golden["texts"].as_array().expect("texts") {
        let text = case["text"].as_str().expect("text");
        assert_eq!(tokenizer.encode_text(text), ids(&case["tokens"]), "{text:?}");
    }
    let chat = &golden["chat"];
    let question = chat["question"].as_str().expect("question");
    assert_eq!(chat_prompt(&file, &tokenizer, question), ids(&chat["tokens"]));
}

#[test]
fn perplexity_is_the_reference_one() {
    let file = open();
    let tokenizer = Tokenizer::load(&file).expect("tokenizer");
    let model = Model::load(&file, 1).expect("model");
    let tokens = tokenizer.encode_text(include_str!("fixtures/perplexity.txt"));
    let golden = &golden()["perplexity"];
    assert_eq!(golden["tokens"], tokens.len());

    let (mut cache, mut work) = (model.new_cache(), Workspace::default());
    let mut surprise = 0.0;
    for (i, chunk) in tokens[..tokens.len() - 1].chunks(32).enumerate() {
        let chunk = Chunk { cache: &mut cache, tokens: chunk, logits: Logits::All };
        model.forward(&mut [chunk], &mut work);
        for (logits, next) in work.logits_mut().iter().zip(&tokens[i * 32 + 1..]) {
            let total: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
            surprise += total.ln() - f64::from(logits[*next as usize]);
        }
    }
    let found = (surprise / (tokens.len() - 1) as f64).exp();
    let expected = golden["value"].as_f64().expect("perplexity");
    println!("perplexity {found:.4}, reference {expected:.4}");
    assert!((found / expected - 1.0).abs() < 0.01, "perplexity {found}, reference {expected}");
}

#[test]
fn the_answer_is_the_reference_one() {
    let file = open();
    let tokenizer = Tokenizer::load(&file).expect("tokenizer");
    let model = Model::load(&file, 1).expect("model");
    let golden = golden();
    let golden = &golden["answer"];
    let prompt = chat_prompt(&file, &tokenizer, golden["question"].as_str().expect("question"));
    let expected = ids(&golden["tokens"]);

    let (mut cache, mut work) = (model.new_cache(), Workspace::default());
    let mut step = |tokens: &[u32]| {
        let chunk = Chunk { cache: &mut cache, tokens, logits: Logits::Last };
        model.forward(&mut [chunk], &mut work);
        work.logits_mut()[0].clone()
    };
    let mut logits = step(&prompt);
    // Likelihoods don't feel what all logits have in common, so their differences are compared.
    let likeliest = golden["likeliest"].as_array().expect("likeliest");
    let read = |pair: &Value| {
        let id = pair[0].as_u64().and_then(|id| usize::try_from(id).ok()).expect("id");
        (id, pair[1].as_f64().expect("logit"))
    };
    let (top, top_expected) = read(&likeliest[0]);
    for (id, expected) in likeliest.iter().map(read) {
        let found = f64::from(logits[id]) - f64::from(logits[top]);
        let expected = expected - top_expected;
        println!("token {id}: {found:.3}, reference {expected:.3}");
        assert!((found - expected).abs() < 0.5, "token {id}: {found}, reference {expected}");
    }

    let greedy =
        Sampling { temperature: 0.0, repetition_penalty: 1.0, repeats_allowed: usize::MAX, ..Sampling::default() };
    let (mut answer, mut text, mut decoder) = (Vec::new(), String::new(), Decoder::default());
    while answer.len() < expected.len() {
        let id = greedy.choose(&mut logits, &answer);
        answer.push(id);
        text.push_str(&decoder.push(&tokenizer, id));
        logits = step(&[id]);
    }
    assert_eq!(text, golden["begins"].as_str().expect("text"));
    assert_eq!(answer, expected);
}
