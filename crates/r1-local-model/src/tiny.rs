//! For tests: a writer of GGUF files, and small random models written with it.

use half::f16;

/// Builds a file value by value.
#[derive(Default)]
pub(crate) struct Writer {
    pairs: Vec<u8>,
    pair_count: u64,
    infos: Vec<u8>,
    tensor_count: u64,
    data: Vec<u8>,
}

impl Writer {
    fn string(out: &mut Vec<u8>, text: &str) {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text.as_bytes());
    }

    fn pair(&mut self, key: &str, code: u32, value: &[u8]) {
        Self::string(&mut self.pairs, key);
        self.pairs.extend(code.to_le_bytes());
        self.pairs.extend(value);
        self.pair_count += 1;
    }

    pub(crate) fn u32(&mut self, key: &str, value: u32) {
        self.pair(key, 4, &value.to_le_bytes());
    }

    pub(crate) fn f32(&mut self, key: &str, value: f32) {
        self.pair(key, 6, &value.to_le_bytes());
    }

    pub(crate) fn str(&mut self, key: &str, value: &str) {
        let mut bytes = Vec::new();
        Self::string(&mut bytes, value);
        self.pair(key, 8, &bytes);
    }

    pub(crate) fn strings(&mut self, key: &str, values: &[String]) {
        let mut bytes = 8u32.to_le_bytes().to_vec();
        bytes.extend((values.len() as u64).to_le_bytes());
        for value in values {
            Self::string(&mut bytes, value);
        }
        self.pair(key, 9, &bytes);
    }

    pub(crate) fn i32s(&mut self, key: &str, values: &[i32]) {
        let mut bytes = 5u32.to_le_bytes().to_vec();
        bytes.extend((values.len() as u64).to_le_bytes());
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        self.pair(key, 9, &bytes);
    }

    pub(crate) fn tensor(&mut self, name: &str, dims: &[usize], code: u32, bytes: &[u8]) {
        self.data.resize(self.data.len().next_multiple_of(32), 0);
        Self::string(&mut self.infos, name);
        self.infos.extend((dims.len() as u32).to_le_bytes());
        self.infos.extend(dims.iter().flat_map(|size| (*size as u64).to_le_bytes()));
        self.infos.extend(code.to_le_bytes());
        self.infos.extend((self.data.len() as u64).to_le_bytes());
        self.data.extend(bytes);
        self.tensor_count += 1;
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(3u32.to_le_bytes());
        file.extend(self.tensor_count.to_le_bytes());
        file.extend(self.pair_count.to_le_bytes());
        file.extend(self.pairs);
        file.extend(self.infos);
        file.resize(file.len().next_multiple_of(32), 0);
        file.extend(self.data);
        file
    }
}

/// A small generator of repeatable numbers.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// In -1..1.
    pub(crate) fn float(&mut self) -> f32 {
        self.next() as f32 / (1u64 << 30) as f32 - 1.0
    }
}

pub(crate) const F32: u32 = 0;
pub(crate) const F16: u32 = 1;
pub(crate) const Q4_0: u32 = 2;
pub(crate) const Q4_1: u32 = 3;
pub(crate) const Q8_0: u32 = 8;
pub(crate) const KINDS: [u32; 5] = [F32, F16, Q4_0, Q4_1, Q8_0];

/// Random weights of about ±`size`, as the file holds them.
pub(crate) fn weights(random: &mut Random, kind: u32, count: usize, size: f32) -> Vec<u8> {
    let half = |value: f32| f16::from_f32(value).to_le_bytes();
    let mut bytes = Vec::new();
    match kind {
        F32 => (0..count).for_each(|_| bytes.extend((random.float() * size).to_le_bytes())),
        F16 => (0..count).for_each(|_| bytes.extend(half(random.float() * size))),
        _ => {
            for _ in 0..count / 32 {
                let (levels, quants) = if kind == Q8_0 { (127.0, 32) } else { (7.5, 16) };
                let scale = size * (0.75 + 0.25 * random.float()) / levels;
                bytes.extend(half(scale));
                if kind == Q4_1 {
                    bytes.extend(half(-size * (0.75 + 0.25 * random.float())));
                }
                bytes.extend((0..quants).map(|_| random.next() as u8));
            }
        }
    }
    bytes
}

/// Dimensions and kind of a random model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spec {
    pub(crate) kind: u32,
    pub(crate) width: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_size: usize,
    pub(crate) tied: bool,
    pub(crate) context: u32,
}

impl Default for Spec {
    fn default() -> Self {
        Self { kind: Q4_1, width: 64, heads: 2, kv_heads: 1, head_size: 32, tied: true, context: 256 }
    }
}

pub(crate) const CHATML: &str = "{% for message in messages %}{% if loop.first and \
messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe nice.<|im_end|>\n' }}{% endif %}\
{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}\
{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// Every byte, a few merges, and three control tokens at the end.
pub(crate) fn vocabulary(writer: &mut Writer) -> usize {
    let mut tokens: Vec<String> = Vec::new();
    let mut next = 256;
    for byte in 0..=255u32 {
        let printable = matches!(byte, 33..=126 | 161..=172 | 174..=255);
        let code = if printable { byte } else { next };
        next += u32::from(!printable);
        tokens.push(char::from_u32(code).unwrap().to_string());
    }
    let merges = ["h e", "l l", "he ll", "hell o", "\u{120} w", "o r"].map(String::from).to_vec();
    tokens.extend(merges.iter().map(|merge| merge.replace(' ', "")));
    let mut types = vec![1; tokens.len()];
    tokens.extend(["<|endoftext|>", "<|im_start|>", "<|im_end|>"].map(String::from));
    types.extend([3; 3]);
    let count = tokens.len();
    writer.str("tokenizer.ggml.model", "gpt2");
    writer.str("tokenizer.ggml.pre", "smollm");
    writer.strings("tokenizer.ggml.tokens", &tokens);
    writer.i32s("tokenizer.ggml.token_type", &types);
    writer.strings("tokenizer.ggml.merges", &merges);
    writer.u32("tokenizer.ggml.eos_token_id", count as u32 - 1);
    writer.str("tokenizer.chat_template", CHATML);
    count
}

/// A whole model file.
pub(crate) fn model(spec: Spec) -> Vec<u8> {
    let random = &mut Random(7);
    let mut writer = Writer::default();
    let (forward, layers) = (96, 2);
    writer.str("general.architecture", "llama");
    writer.u32("llama.block_count", layers);
    writer.u32("llama.context_length", spec.context);
    writer.u32("llama.embedding_length", spec.width as u32);
    writer.u32("llama.feed_forward_length", forward as u32);
    writer.u32("llama.attention.head_count", spec.heads as u32);
    writer.u32("llama.attention.head_count_kv", spec.kv_heads as u32);
    writer.u32("llama.attention.key_length", spec.head_size as u32);
    writer.f32("llama.attention.layer_norm_rms_epsilon", 1e-5);
    writer.f32("llama.rope.freq_base", 10_000.0);
    let tokens = vocabulary(&mut writer);
    let (query, kv) = (spec.heads * spec.head_size, spec.kv_heads * spec.head_size);
    let mut matrix = |writer: &mut Writer, name: &str, columns: usize, rows: usize, size: f32| {
        let bytes = weights(random, spec.kind, columns * rows, size);
        writer.tensor(name, &[columns, rows], spec.kind, &bytes);
    };
    let ones: Vec<u8> = (0..spec.width).flat_map(|_| 1f32.to_le_bytes()).collect();
    matrix(&mut writer, "token_embd.weight", spec.width, tokens, 1.0);
    for i in 0..layers {
        for (name, columns, rows) in [
            ("attn_q", spec.width, query),
            ("attn_k", spec.width, kv),
            ("attn_v", spec.width, kv),
            ("attn_output", query, spec.width),
            ("ffn_gate", spec.width, forward),
            ("ffn_up", spec.width, forward),
            ("ffn_down", forward, spec.width),
        ] {
            matrix(&mut writer, &format!("blk.{i}.{name}.weight"), columns, rows, 0.25);
        }
        writer.tensor(&format!("blk.{i}.attn_norm.weight"), &[spec.width], F32, &ones);
        writer.tensor(&format!("blk.{i}.ffn_norm.weight"), &[spec.width], F32, &ones);
    }
    if !spec.tied {
        matrix(&mut writer, "output.weight", spec.width, tokens, 0.5);
    }
    writer.tensor("output_norm.weight", &[spec.width], F32, &ones);
    writer.finish()
}
