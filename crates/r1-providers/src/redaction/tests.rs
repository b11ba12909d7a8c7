use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use proptest::prelude::*;
use unicode_segmentation::UnicodeSegmentation;

use super::*;
use crate::openai::Proxy;

const KEY: &str = "sk-proj-4fQ9/zT+x7_Lm2Vb8Kd";

fn with(change: impl FnOnce(&mut OpenAiConfig)) -> Redactor {
    let mut config = OpenAiConfig::new("p", "https://models.acme.example/v1");
    change(&mut config);
    Redactor::of([&config])
}

fn with_key(key: &str) -> Redactor {
    with(|config| config.api_key = Some(key.to_owned().into()))
}

fn shown(words: &str) -> String {
    with_key(KEY).show(words).unwrap_or_default()
}

fn swapped(text: &str) -> String {
    text.chars().map(|c| if c.is_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() }).collect()
}

fn each(text: &str, spell: impl Fn(u8) -> String) -> String {
    text.bytes().map(spell).collect()
}

/// Ways in which a text is written again.
fn spellings(text: &str) -> Vec<String> {
    let hex = each(text, |byte| format!("{byte:02x}"));
    vec![
        text.to_owned(),
        text.to_lowercase(),
        text.to_uppercase(),
        swapped(text),
        text.chars().rev().collect(),
        STANDARD.encode(text),
        URL_SAFE_NO_PAD.encode(text),
        STANDARD.encode(format!(":{text}")),
        STANDARD.encode(format!("me:{text}!")),
        STANDARD.encode(text).split_at(6).0.to_owned() + "\n" + STANDARD.encode(text).split_at(6).1,
        hex.clone(),
        hex.to_uppercase(),
        each(text, |byte| format!("{byte:02X}:")),
        each(text, |byte| format!("0x{byte:02x}, ")),
        each(text, |byte| format!("\\x{byte:02x}")),
        each(text, |byte| format!("%{byte:02X}")),
        each(
            text,
            |byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02x}") },
        ),
        each(
            text,
            |byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%25{byte:02x}") },
        ),
        each(text, |byte| format!("\\u{byte:04x}")),
        each(text, |byte| format!("\\u{{{byte:x}}}")),
        each(text, |byte| format!("\\{byte:03o}")),
        each(text, |byte| format!("={byte:02X}")),
        each(text, |byte| format!("&#{byte};")),
        each(text, |byte| format!("&#x{byte:x};")),
        text.replace('/', "\\/"),
        text.replace('/', "\\\\/"),
        text.chars().flat_map(|c| [c, '\u{200b}']).collect(),
        text.split_at(5).0.to_owned() + "\r\n\t" + text.split_at(5).1,
    ]
}

/// Whether eight letters of the key in a row can be read, as they are or with one of the simpler spellings undone.
fn leaks(shown: &str) -> bool {
    let letters: String = shown.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase();
    let key: Vec<char> = KEY.to_lowercase().chars().collect();
    key.windows(8).any(|piece| letters.contains(&piece.iter().collect::<String>()))
}

#[test]
fn a_key_is_hidden_however_it_is_spelled() {
    for spelled in spellings(KEY) {
        let words = format!("Incorrect key given: {spelled} (rejected)");
        let shown = shown(&words);
        assert!(!leaks(&shown), "{words}: {shown}");
        assert!(shown.starts_with("Incorrect key given: ") && shown.ends_with("(rejected)"), "{words}: {shown}");
        assert!(shown.contains(GAP) && shown.chars().count() < 56, "{words}: {shown}");
    }
}

#[test]
fn each_piece_of_a_key_is_hidden() {
    for from in 0..=KEY.len() - PIECE {
        for to in [from + PIECE, KEY.len()] {
            for spelled in spellings(&KEY[from..to]) {
                let shown = shown(&format!("given: {spelled} (rejected)"));
                assert!(shown.contains(GAP) && shown.chars().count() < 44, "{spelled}: {shown}");
            }
        }
    }
    // A letter before it is none of its.
    let hex = each(&KEY[3..], |byte| format!("{byte:02x}"));
    assert_eq!(shown(&format!("Refused <{hex}> for good.")), "Refused <[…]> for good.");
    // What is shorter stays: providers show a key's ends so that it can be told.
    assert_eq!(shown("given: sk-****8Kd"), "given: sk-****8Kd");
}

const PIECE: usize = 8;

#[test]
fn every_configured_secret_is_one() {
    let redactor = with(|config| {
        config.headers.insert("x-team".parse().unwrap(), "team-secret-77".parse().unwrap());
        config.headers.insert("x-auth".parse().unwrap(), "Basic dXNlcjpob3JzZS1iYXR0ZXJ5".parse().unwrap());
        config.proxy = Some(Proxy::parse("http://robot:correct%20horse%20staple@proxy.acme.example:3128").unwrap());
    });
    for (words, expected) in [
        ("no team-secret-77 here", "no […] here"),
        ("no dXNlcjpob3JzZS1iYXR0ZXJ5 here", "no […] here"),
        ("no correct%20horse%20staple here", "no […] here"),
        ("no horse here", "no horse here"),
    ] {
        assert_eq!(redactor.show(words).unwrap(), expected);
    }
    // Those of one provider from another one's words.
    let (mut one, mut other) = (OpenAiConfig::new("a", "http://a"), OpenAiConfig::new("b", "http://b"));
    one.api_key = Some("first-key-0001".to_owned().into());
    other.api_key = Some("other-key-0002".to_owned().into());
    let both = Redactor::of([&one, &other]);
    assert_eq!(both.show("first-key-0001 and other-key-0002 fail").unwrap(), "[…] and […] fail");
}

#[test]
fn a_short_key_is_a_word_of_its_own() {
    let redactor = with_key("s3cr3t");
    for (words, expected) in [
        ("key s3cr3t is wrong", "key […] is wrong"),
        ("key=\"S3CR3T\"", "key=\"[…]\""),
        ("key czNjcjN0 is wrong", "key […] is wrong"),
        ("key 733363723374 is wrong", "key […] is wrong"),
        ("key s3cr3t5 is another", "key s3cr3t5 is another"),
    ] {
        assert_eq!(redactor.show(words).unwrap(), expected);
    }
    assert_eq!(with_key("x").show("x is wrong, next").unwrap(), "[…] is wrong, next");
}

#[test]
fn addresses_are_hidden() {
    for address in [
        "https://api.example.com/v1/keys?a=b#c",
        "HTTP://10.0.0.7:8000/v1",
        "postgres://me:pw@db/x",
        "http%3A%2F%2Fapi.example.com%2Fv1",
        "http:\\/\\/api.example.com\\/v1",
        "//cdn.example.com/x",
        "api.openai.com",
        "api.openai.com.",
        "API.OpenAI.com:443",
        "gpu-7.rack.acme/v1/chat",
        "node-1.llm.svc.cluster.local:8080",
        "my_service.internal",
        "models.acme.example",
        "error.example.com",
        "xn--bcher-kva.example",
        "bücher.example",
        "localhost",
        "localhost:11434",
        "vllm:8000",
        "127.0.0.1",
        "127.0.0.1:9000",
        "10.1.0.0/16",
        "[::1]:8080",
        "2001:db8::7",
        "fe80::1%eth0",
        "::ffff:10.0.0.1",
        "ops@example.com",
        "first.last+tag@mail.example.co.uk",
        "root@gpu7",
    ] {
        for words in [
            "at {} failed",
            "at '{}' failed",
            "at ({}) failed",
            "at host={}, failed",
            "at {}: failed",
            "at <{}> failed",
        ] {
            let words = words.replace("{}", address);
            let shown = shown(&words);
            assert!(shown.starts_with("at ") && shown.ends_with("failed") && shown.contains(GAP), "{words}: {shown}");
            let kept: String = shown.replace(GAP, "").chars().filter(|c| c.is_alphanumeric()).collect();
            assert!(["atfailed", "athostfailed"].contains(&&*kept), "{words}: {shown}");
        }
    }
}

#[test]
fn other_words_stay() {
    for words in [
        "messages.0.content: Input should be a valid string",
        "'tools.0.function.parameters' is not a schema, e.g. of version 1.2.3 or v2.0",
        "The model `gpt-4.1-mini` does not exist; try meta-llama/Llama-3.1-8B-Instruct or qwen2.5-coder:7b.",
        "Requested 9000 tokens, limit: 8192 (3.5x), at 12:30:45 on 2026-11-30",
        "torch.cuda.OutOfMemoryError: CUDA out of memory",
        "cannot read model.gguf and/or tokenizer.json",
        "temperature: 0.7, top_p=0.95; max_tokens=4096",
        "request id: req_8f14e45f-ceea-467f-a0e6",
        "std::vector failed: 429 Too Many Requests",
        "Ошибка: слишком длинно. 長すぎます。 👩‍💻",
    ] {
        assert_eq!(shown(words), words);
    }
}

#[test]
fn it_is_one_line() {
    assert_eq!(shown("one\r\n  two\tthree\u{2028}four\u{0}\u{1b}[31m"), "one two three four [31m");
    assert_eq!(shown("a\u{202e}b\u{200b}c\u{ad}d"), "abcd");
    for nothing in ["", " \n", "…!?", "https://a.example/x", "\u{200d}\u{fe0f}"] {
        assert_eq!(with_key(KEY).show(nothing), None, "{nothing:?}");
    }
}

#[test]
fn it_is_cut_between_clusters() {
    let whole = "é".repeat(LONGEST);
    assert_eq!(shown(&whole), whole);
    for cluster in ["a", "e\u{301}", "👩‍👩‍👧‍👦", "🇩🇪", "g\u{308}\u{323}"] {
        let shown = shown(&format!("x{}", cluster.repeat(LONGEST)));
        let text = shown.strip_prefix('x').unwrap().strip_suffix('…').unwrap();
        let size = cluster.chars().count();
        assert!((LONGEST - size..=LONGEST).contains(&shown.chars().count()), "{}", shown.chars().count());
        assert!(text.graphemes(true).all(|whole| whole == cluster), "{shown}");
    }
    // A mark on a mark without end.
    assert_eq!(shown(&format!("Stop. e{}", "\u{301}".repeat(3000))), "Stop.…");
    assert!(shown(&"long words ".repeat(1_000_000)).chars().count() <= LONGEST);
}

proptest! {
    /// Whatever stands around it, and however it is cut.
    #[test]
    fn no_words_give_a_key_away(
        before in "\\PC{0,40}", after in "\\PC{0,40}", from in 0usize..19, spelling in 0usize..28, times in 1usize..80,
    ) {
        let piece = &KEY[from..from + PIECE];
        let spelled = spellings(piece).swap_remove(spelling % spellings(piece).len());
        let words = format!("{before}{}{after}", spelled.repeat(times));
        if let Some(shown) = with_key(KEY).show(&words) {
            prop_assert!(!leaks(&shown), "{}", shown);
            prop_assert!(shown.chars().count() <= LONGEST && !shown.chars().any(char::is_control));
        }
    }
}
