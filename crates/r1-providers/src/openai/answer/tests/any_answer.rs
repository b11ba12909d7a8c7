//! Any answer, written in any way and cut anywhere, and any bytes that are none.

use std::sync::LazyLock;

use super::*;

/// Must never be in a text.
const SECRET: &str = "not-for-readers";

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap());

/// One event of a stream.
#[derive(Debug, Clone)]
enum Line {
    /// Text, in UTF-16 units: a pair may be cut. True: with escapes wherever JSON allows them.
    Text(Vec<u16>, bool),
    Noise(&'static str),
}

/// How an event is written.
#[derive(Debug, Clone)]
struct Way {
    line_end: &'static str,
    field: &'static str,
    /// The JSON stands in two `data` lines.
    in_two: bool,
    before: &'static str,
}

const NOISE: [&str; 15] = [
    r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#,
    r#"{"choices":[{"delta":{"content":null,"reasoning_content":"not-for-readers"}}]}"#,
    r#"{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"not-for-readers"}}]}}]}"#,
    r#"{"choices":[{"delta":{"reasoning_details":[{"type":"reasoning.text","text":"not-for-readers"}]}}]}"#,
    r#"{"choices":[{"delta":{"content":[{"type":"thinking","text":"not-for-readers"}]}}]}"#,
    r#"{"choices":[{"delta":{}},{"delta":{"content":"not-for-readers"}}]}"#,
    r#"{"choices":[null,{"delta":{},"finish_reason":"unfinished","logprobs":NaN}]}"#,
    r#"{"choices":[]}"#,
    r#"{"choices":null,"system_fingerprint":"not-for-readers","type":"not-for-readers"}"#,
    r#"{"choices":[],"usage":{"prompt_tokens":1e30,"completion_tokens":-1}}"#,
    r#"{"choices":[{"delta":{"content":false},"finish_reason":null}],"created":99999999999999999999999}"#,
    r#"{"error":null}"#,
    "{}",
    "",
    "ping",
];

/// What may have held words: with one of these the answer is not whole.
const LOST: [&str; 5] = [
    "not-for-readers",
    "{\"choices\":[{\"delta\":{\"content\":\"not-for-readers",
    r#"{"choices":null,"content":"not-for-readers","type":"not-for-readers"}"#,
    r#"{"choices":[{"delta":{"content":[{"type":"mystery","text":"not-for-readers"}]}}]}"#,
    r#""not-for-readers""#,
];

fn json(units: &[u16], escaped: bool) -> String {
    let mut text = String::new();
    for unit in char::decode_utf16(units.iter().copied()) {
        match unit {
            Ok(letter) if !escaped && !letter.is_control() && letter != '"' && letter != '\\' => text.push(letter),
            Ok(letter) => text.extend(letter.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}"))),
            Err(half) => text.push_str(&format!("\\u{:04X}", half.unpaired_surrogate())),
        }
    }
    format!(r#"{{"id":"x","choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}]}}"#)
}

fn written(lines: &[(Line, Way)], start: &str, end: &str) -> Vec<u8> {
    let mut body = start.to_owned();
    for (line, way) in lines {
        let data = match line {
            Line::Text(units, escaped) => json(units, *escaped),
            Line::Noise(data) => (*data).to_owned(),
        };
        let Way { line_end, field, in_two, before } = way;
        let cut = usize::from(*in_two && data.starts_with('{'));
        body.push_str(before);
        body.push_str(if before.is_empty() { "" } else { line_end });
        if cut > 0 {
            body.push_str(&format!("{field}{}{line_end}", &data[..cut]));
        }
        body.push_str(&format!("{field}{}{line_end}{line_end}", &data[cut..]));
    }
    body.push_str(end);
    body.into_bytes()
}

fn line() -> impl Strategy<Value = Line> {
    let unit = prop_oneof![
        4 => prop_oneof![Just(0x61), Just(0x20), Just(0xe4), Just(0x20ac), Just(0x2028)],
        2 => Just(0xd83d),
        2 => Just(0xde00),
        1 => any::<u16>(),
    ];
    prop_oneof![
        2 => (proptest::collection::vec(unit, 0..6), any::<bool>()).prop_map(|(units, escaped)| Line::Text(units, escaped)),
        1 => proptest::sample::select(&NOISE[..]).prop_map(Line::Noise),
    ]
}

fn way() -> impl Strategy<Value = Way> {
    (
        proptest::sample::select(&["\n", "\r\n", "\r"][..]),
        proptest::sample::select(&["data: ", "data:"][..]),
        any::<bool>(),
        proptest::sample::select(&["", "", ": comment", "event: not-for-readers", "id: 3", "retry: 1", "unknown"][..]),
    )
        .prop_map(|(line_end, field, in_two, before)| Way { line_end, field, in_two, before })
}

fn pieces(body: &[u8], sizes: &[usize]) -> Vec<Vec<u8>> {
    let (mut rest, mut pieces) = (body, Vec::new());
    for &size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (head, tail) = rest.split_at(size.min(rest.len()));
        pieces.push(head.to_vec());
        rest = tail;
    }
    pieces
}

const FINISH: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn however_it_is_written_and_cut_it_says_the_same(
        lines in proptest::collection::vec((line(), way()), 0..12),
        bom: bool,
        end in proptest::sample::select(&["data: [DONE]\n\n", "data:[DONE]\r\n", "data: [DONE]", FINISH][..]),
        sizes in proptest::collection::vec(1usize..90, 1..40),
    ) {
        let body = written(&lines, if bom { "\u{feff}" } else { "" }, end);
        let units: Vec<u16> = lines.iter().flat_map(|(line, _)| match line {
            Line::Text(units, _) => units.clone(),
            Line::Noise(_) => Vec::new(),
        }).collect();
        let (text, last) = split(RUNTIME.block_on(items(pieces(&body, &sizes))));
        prop_assert!(!text.contains(SECRET));
        prop_assert_eq!(text, String::from_utf16_lossy(&units));
        prop_assert_eq!(last, done("stop"));
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced_at_the_same_places(
        content in proptest::collection::vec(any::<u8>().prop_filter("as JSON has it", |byte| *byte >= 0x20 && !b"\"\\".contains(byte)), 0..40),
        sizes in proptest::collection::vec(1usize..9, 1..40),
    ) {
        let body = [b"data: {\"choices\":[{\"delta\":{\"content\":\"", &content[..], b"\"}}]}\n\ndata: [DONE]\n\n"].concat();
        let (text, last) = split(RUNTIME.block_on(items(pieces(&body, &sizes))));
        prop_assert_eq!(text, String::from_utf8_lossy(&content).into_owned());
        prop_assert_eq!(last, done("stop"));
    }

    /// `split` checks that all but the last item are text; that there is one after all is the point.
    #[test]
    fn any_bytes_come_to_one_end(
        body in proptest::collection::vec(any::<u8>(), 0..400),
        sizes in proptest::collection::vec(1usize..90, 1..9),
    ) {
        let (_, last) = split(RUNTIME.block_on(items(pieces(&body, &sizes))));
        prop_assert!(last.is_err() || last == done("stop"));
    }

    #[test]
    fn any_words_of_the_protocol_come_to_one_end(
        words in proptest::collection::vec(proptest::sample::select(&[
            "data: ", "data", "{", "}", "[", "]", ":", ",", "\"", "\n", "\n\n", "\r", "\\u", "d83d", "null", "1e999", "-",
            "\"choices\":[", "\"delta\":{", "\"content\":", "\"text\"", "\"finish_reason\":\"stop\"", "\"error\":",
            "\"usage\":{\"prompt_tokens\":", "18446744073709551616", "[DONE]", "\u{feff}", "ä",
            "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},", "\"message\":{", "\"object\":\"error\"", "}]}\n\n",
        ][..]), 0..60),
        sizes in proptest::collection::vec(1usize..90, 1..9),
    ) {
        let body = words.concat().into_bytes();
        let whole = RUNTIME.block_on(items(vec![body.clone()]));
        prop_assert_eq!(RUNTIME.block_on(items(pieces(&body, &sizes))), whole.clone());
        let _ = split(whole);
    }
}

/// What wraps a chunk.
fn wrapped(chunk: &str, by: usize) -> String {
    let second = r#"{"choices":[],"usage":null}"#;
    match by {
        0 => format!("data: {chunk}\n\n"),
        1 => format!(": c\n\nevent: message\nid: 1\ndata:{chunk}\r\n\r\n"),
        2 => format!("data: {chunk}\ndata: {second}\n\n"),
        3 => format!("data: {second}{chunk}\n\n"),
        4 => format!("{chunk}\n"),
        5 => format!("data: {}\n\n", chunk.replacen('{', "{\"x\":NaN,\"choices\":[],", 1)),
        6 => format!("data: {}\n\n", chunk.replacen("\"finish_reason\":null", "\"finish_reason\":\"stop\"", 1)),
        7 => format!("data: [{chunk}]\n\n"),
        8 => format!("data: {}\n\n", chunk.replace("{\"index\":0", "\n{\"index\":0")),
        9 => format!("data: {chunk}\n\ndata: ping\n\ndata: {{\"type\":\"ping\"}}\n\n"),
        10 => format!("data: data: {chunk}\n\n"),
        _ => format!(
            "data: {}\n\n",
            chunk.replacen("\"finish_reason\":null", "\"finish_reason\":\"none\",\"index\":0.0", 1)
        ),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Whatever chunks are wrapped in, all words arrive in order, or the end is not `completed`.
    #[test]
    fn all_words_arrive_or_the_answer_is_not_whole(
        chunks in proptest::collection::vec(("[a-z<\\[{\"ä😀 ]{0,6}", 0usize..12), 1..12),
        lost in proptest::collection::vec((0usize..12, proptest::sample::select(&LOST[..])), 0..2),
        end in proptest::sample::select(&["data: [DONE]\n\n", "data: [DONE]", FINISH, "", "data: {\"choices\":[{\"delta\":{\"conte"][..]),
        sizes in proptest::collection::vec(1usize..90, 1..9),
    ) {
        let mut body = String::new();
        let mut words = String::new();
        for (i, (text, by)) in chunks.iter().enumerate() {
            for (_, lost) in lost.iter().filter(|(at, _)| *at == i) {
                body.push_str(&format!("data: {lost}\n\n"));
            }
            body.push_str(&wrapped(&json(&text.encode_utf16().collect::<Vec<_>>(), false), *by));
            words.push_str(text);
        }
        body.push_str(end);
        let (text, last) = split(RUNTIME.block_on(items(pieces(body.as_bytes(), &sizes))));
        let whole = matches!(last, Ok(Delta::Done { .. }));
        let skipped = lost.iter().any(|(at, _)| *at < chunks.len());
        prop_assert_eq!(&text, &words, "{}", body);
        prop_assert!(!(whole && skipped), "words are missing, and it is said to be whole: {}", body);
        if !skipped && end.contains("DONE") {
            prop_assert!(whole, "{:?}: {}", last, body);
        }
    }
}
