//! The table: how an upstream can go wrong, and what must come of it.

use std::time::Duration;

use bytes::Bytes;
use r1_testkit::{
    raw::Act,
    upstream::{Script, Step},
};
use reqwest::StatusCode;

use super::{ECHO, UPSTREAM_WORDS};

/// Where an answer comes from.
pub(super) enum From {
    /// The scripted upstream. [`ECHO`] in a body stands for the key that came with the request.
    Script(Script),
    /// Connections played by hand; the last one again and again.
    Raw(Vec<Vec<Act>>),
    /// A certificate of this kind.
    Tls(Certificate),
    /// Nobody: this base URL.
    Url(&'static str),
    /// A port that nobody listens on.
    Nobody,
    /// The scripted upstream, which speaks no TLS, by an `https` URL.
    PlainByHttps,
}

pub(super) enum Certificate {
    Good,
    SelfSigned,
    Expired,
    OtherHost,
}

/// What comes of it.
pub(super) enum End {
    /// The finish reason.
    Completed(&'static str),
    /// Code, and whether asking again may help.
    Failed(&'static str, bool),
}

pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) from: From,
    /// The text that is kept.
    pub(super) text: String,
    pub(super) end: End,
    /// How often the upstream is asked; where it hears nothing, 0.
    pub(super) requests: usize,
    /// Whether the provider's health is the same as before.
    pub(super) healthy: bool,
}

/// A failure; the provider is `degraded` after it, unless it is the request's own.
fn fails(name: &'static str, from: From, text: &str, code: &'static str, retryable: bool, requests: usize) -> Row {
    let healthy = ["model_not_found", "context_too_long", "provider_rejected"].contains(&code);
    Row { name, from, text: text.to_owned(), end: End::Failed(code, retryable), requests, healthy }
}

fn completes(name: &'static str, from: From, text: &str, finish_reason: &'static str) -> Row {
    Row { name, from, text: text.to_owned(), end: End::Completed(finish_reason), requests: 1, healthy: true }
}

/// A refusal whose body gives away all that an upstream knows.
fn refusal(status: u16, code: &str) -> Script {
    let status = StatusCode::from_u16(status).unwrap_or_default();
    Script::error(status, code, &format!("{UPSTREAM_WORDS}: {ECHO}"))
}

fn half() -> Script {
    Script::new().role().chunk("half ").chunk("said")
}

fn raw(bytes: impl Into<Bytes>) -> From {
    From::Raw(vec![vec![Act::Read, Act::Send(bytes.into())]])
}

/// A whole response, as [`From::Raw`] may say it.
pub(super) fn whole(text: &str) -> String {
    let body = format!(
        "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":\"stop\"}}]}}\n\ndata: [DONE]\n\n"
    );
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// Before the first word: what may pass is asked three times in all.
pub(super) fn before_the_answer() -> Vec<Row> {
    let refuses =
        |name, script, code, retryable, requests| fails(name, From::Script(script), "", code, retryable, requests);
    let html = Script::document(StatusCode::OK, "text/html", format!("<p>{UPSTREAM_WORDS} {ECHO}</p>"));
    let plain = Script::document(StatusCode::OK, "text/plain", format!("{UPSTREAM_WORDS} {ECHO}"));
    let empty = Script { status: StatusCode::NO_CONTENT, ..Script::new() };
    let json = |body: &str| From::Script(Script::new().header("content-type", "application/json").raw(body.to_owned()));
    let unreachable = |name, from, retryable| fails(name, from, "", "provider_unreachable", retryable, 0);
    let untrusted = |name, certificate| fails(name, From::Tls(certificate), "", "provider_untrusted", false, 0);
    // A label that is too long for the DNS: no resolver needs to be asked.
    let no_host = "http://xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.invalid/v1";
    vec![
        refuses("401", refusal(401, "invalid_api_key"), "provider_auth", false, 1),
        refuses("403", refusal(403, "forbidden"), "provider_auth", false, 1),
        refuses("402", refusal(402, "billing"), "provider_no_credit", false, 1),
        refuses("429 without credit", refusal(429, "insufficient_quota"), "provider_no_credit", false, 1),
        refuses("404", refusal(404, "model_not_found"), "model_not_found", false, 1),
        refuses("400 too long", refusal(400, "context_length_exceeded"), "context_too_long", false, 1),
        refuses("400", refusal(400, "bad"), "provider_rejected", false, 1),
        refuses("429", refusal(429, "x"), "provider_rate_limited", true, 3),
        refuses("429 at once", refusal(429, "x").header("retry-after", "0"), "provider_rate_limited", true, 3),
        refuses("429 in an hour", refusal(429, "x").header("retry-after", "3600"), "provider_rate_limited", true, 1),
        refuses("500", refusal(500, "x"), "provider_unavailable", true, 3),
        refuses("503", refusal(503, "x"), "provider_unavailable", true, 3),
        refuses("503 in an hour", refusal(503, "x").header("retry-after", "3600"), "provider_unavailable", true, 1),
        refuses(
            "502 as HTML",
            Script { status: StatusCode::BAD_GATEWAY, ..html.clone() },
            "provider_unavailable",
            true,
            3,
        ),
        refuses("HTML", html, "upstream_invalid", false, 1),
        refuses("plain text", plain, "upstream_invalid", false, 1),
        refuses("gzip", Script::gzip(UPSTREAM_WORDS), "upstream_invalid", false, 1),
        refuses("204", empty, "upstream_invalid", false, 1),
        refuses("an error first", Script::new().raw(error("overloaded_error")), "provider_failed", true, 3),
        refuses(
            "an error about the key first",
            Script::new().raw(error("authentication_error")),
            "provider_auth",
            false,
            1,
        ),
        refuses("no word and no finish", Script::new().role(), "upstream_truncated", true, 3),
        fails("an error as JSON", json(&error("x")[6..]), "", "provider_failed", false, 1),
        fails("JSON that is no answer", json("{\"hello\":1}"), "", "upstream_invalid", false, 1),
        fails(
            "silence before the headers",
            From::Raw(vec![vec![Act::Read, Act::Hang]]),
            "",
            "provider_timeout",
            true,
            3,
        ),
        fails("closed before the headers", From::Raw(vec![vec![Act::Read]]), "", "provider_unavailable", true, 3),
        fails(
            "reset before the headers",
            From::Raw(vec![vec![Act::Read, Act::Reset]]),
            "",
            "provider_unavailable",
            true,
            3,
        ),
        fails("no HTTP", raw(format!("SSH-2.0 {UPSTREAM_WORDS}\r\n")), "", "upstream_invalid", false, 1),
        unreachable("nobody listens", From::Nobody, true),
        unreachable("no such host", From::Url(no_host), true),
        unreachable("no TLS", From::PlainByHttps, false),
        untrusted("self-signed", Certificate::SelfSigned),
        untrusted("expired", Certificate::Expired),
        untrusted("for another host", Certificate::OtherHost),
    ]
}

/// In mid-answer: the text is kept, and nothing is asked again.
pub(super) fn in_mid_answer() -> Vec<Row> {
    let breaks = |name, script, code, retryable| fails(name, From::Script(script), "half said", code, retryable, 1);
    let line = half().raw("data: ").then(Step::Flood { byte: b'x', length: 100_000_000 }).ending();
    let in_choice = "data: {\"choices\":[{\"error\":{\"code\":429},\"finish_reason\":\"error\"}]}\n\n";
    let old = "HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let words = "data: {\"choices\":[{\"delta\":{\"content\":\"half said\"}}]}\n\n";
    vec![
        breaks("clean end", half(), "upstream_truncated", true),
        breaks("cut", half().cut(), "upstream_truncated", true),
        breaks("reset", half().reset(), "upstream_truncated", true),
        breaks("an error object", half().raw(error("server_error")).hang(), "provider_failed", true),
        breaks("an error of no known kind", half().raw(error("x")), "provider_failed", false),
        breaks(
            "an error that is a string",
            half().raw(format!("data: {{\"error\":\"{UPSTREAM_WORDS}\"}}\n\n")),
            "provider_failed",
            false,
        ),
        breaks("an error that is a number", half().raw("data: {\"error\":1e999}\n\n"), "provider_failed", false),
        breaks("a rate limit", half().raw(error("rate_limit_error")), "provider_rate_limited", true),
        breaks("the key", half().raw(error("authentication_error")), "provider_auth", false),
        breaks("a finish that is an error", half().finish("error"), "provider_failed", false),
        breaks("a finish that says abort", half().finish("abort").done(), "upstream_truncated", true),
        breaks("a finish that nobody knows", half().finish("upstream-words"), "upstream_truncated", true),
        breaks(
            "something that can't be read",
            half().raw("data: <b>\n\n").finish("stop").done(),
            "upstream_truncated",
            true,
        ),
        breaks(
            "an error in its own event",
            half().raw("event: error\ndata: {\"message\":\"x\"}\n\n"),
            "provider_failed",
            false,
        ),
        breaks("a bare error", half().raw("{\"error\":{\"code\":503}}\n\n").hang(), "provider_failed", true),
        breaks("an error in the choice", half().raw(in_choice), "provider_rate_limited", true),
        breaks("a line of 100 MB", line, "upstream_invalid", false),
        breaks("silence", half().hang(), "provider_timeout", true),
        fails("HTTP/1.0 without a finish", raw(format!("{old}{words}")), "half said", "upstream_truncated", true, 1),
        fails(
            "a length that is too long",
            raw(format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9999\r\n\r\n{words}")),
            "half said",
            "upstream_truncated",
            true,
            1,
        ),
    ]
}

/// What looks like a fault and is none.
pub(super) fn answers_all_the_same() -> Vec<Row> {
    let good = |name, script: Script, text, finish| completes(name, From::Script(script), text, finish);
    let data = |data: &str| format!("data: {data}\n\n");
    let content = |content: &str| data(&format!("{{\"choices\":[{{\"delta\":{{\"content\":\"{content}\"}}}}]}}"));
    let alive = data("ping") + ": OPENROUTER PROCESSING\n\n" + &data("{}") + "event: x\nid: 7\nretry: 1\n\n";
    let stop = |word: &str| {
        data(&format!("{{\"choices\":[{{\"delta\":{{\"content\":\"{word}\"}},\"finish_reason\":\"stop\"}}]}}"))
    };
    let every = Script::new().raw(stop("half ")).raw(stop("said")).raw(stop("!"));
    let lines =
        content("half said").replace("data: ", "") + "{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n";
    let ndjson = Script::document(StatusCode::OK, "text/plain", lines);
    let two = content("half ").trim_end().to_owned() + "\n" + &content("said");
    let unfinished = serde_json::json!({"choices": [{"message": {"content": "whole"}}]});
    let thinking = Script::new().chunk("<thi").chunk("nk>hm").chunk("</think").chunk(">half").chunk(" said");
    let twice = data("{\"choices\":[{\"delta\":{\"content\":\"upstream-words\",\"content\":\"half said\"}}]}");
    let mixed =
        ["\u{feff}: hello\r\n\r\n", &content("Grüße, 🌍").replace('\n', "\r\n"), &content("!").replace('\n', "\r")];
    let byte_by_byte = mixed.concat().bytes().fold(Script::new(), |script, byte| script.raw(vec![byte]));
    let no_utf8: Vec<u8> = content("x~y").bytes().map(|byte| if byte == b'~' { 0xff } else { byte }).collect();
    let hidden = "{\"choices\":[{\"delta\":{\"content\":null,\"reasoning_content\":\"hm\",\"tool_calls\":[{\"function\":{\"name\":\"upstream-words\"}}]}}],\"upstream-words\":1}";
    let counts = "{\"choices\":[],\"usage\":{\"prompt_tokens\":18446744073709551615,\"completion_tokens\":18446744073709551615}}";
    let document = serde_json::json!({"choices": [{"message": {"content": "whole"}, "finish_reason": "stop"}]});
    vec![
        good("no [DONE]", half().finish("stop"), "half said", "stop"),
        good("[DONE] without a finish", half().done(), "half said", "stop"),
        good("reset after the finish", half().finish("length").reset(), "half said", "length"),
        good("an end that does not come", half().ending().hang(), "half said", "stop"),
        good(
            "blank lines for ever after the finish",
            half().finish("stop").then(Step::Flood { byte: b'\n', length: u64::MAX }),
            "half said",
            "stop",
        ),
        good("signs of life", half().raw(alive).chunk("!").ending(), "half said!", "stop"),
        good("a finish on every chunk", every, "half said!", "stop"),
        good(
            "a finish that is none",
            half().finish("unfinished").chunk("!").finish("null").done(),
            "half said!",
            "stop",
        ),
        good("NDJSON that calls itself text", ndjson, "half said", "stop"),
        good("two documents in one event", Script::new().raw(two).ending(), "half said", "stop"),
        good("a document without a finish", Script::json(StatusCode::OK, &unfinished), "whole", "stop"),
        good("thinking between tags", thinking.ending(), "half said", "stop"),
        good("a key that stands twice", Script::new().raw(twice).ending(), "half said", "stop"),
        good("no UTF-8", Script::new().raw(no_utf8).ending(), "x\u{fffd}y", "stop"),
        good("cut at every byte", byte_by_byte.ending(), "Grüße, 🌍!", "stop"),
        good(
            "half characters",
            Script::new().raw(content("\\ud83d") + &content("\\ude00") + &content("\\ud83d")).ending(),
            "😀\u{fffd}",
            "stop",
        ),
        good(
            "control characters",
            Script::new().raw(content("a\\u0000b\\u001b[31m\\u2028")).ending(),
            "a\0b\u{1b}[31m\u{2028}",
            "stop",
        ),
        good("what nobody is to see", half().raw(data(hidden)).ending(), "half said", "stop"),
        good("counts beyond measure", half().raw(data(counts)).finish("stop").done(), "half said", "stop"),
        good("no text", Script::new().role().ending(), "", "stop"),
        good("a filter", half().finish("content_filter"), "half said", "content_filter"),
        good("a tool", half().finish("tool_calls"), "half said", "tool_calls"),
        good("an unknown finish", half().finish("upstream-words").done(), "half said", "other"),
        good("text after the finish", half().finish("stop").chunk("!").finish("length").done(), "half said!", "length"),
        good("a whole document", Script::json(StatusCode::OK, &document), "whole", "stop"),
        completes("early hints", raw(format!("HTTP/1.1 103 Early Hints\r\n\r\n{}", whole("whole"))), "whole", "stop"),
        completes("HTTP/1.0", raw(whole("whole").replace("HTTP/1.1", "HTTP/1.0")), "whole", "stop"),
        completes("a good certificate", From::Tls(Certificate::Good), "whole", "stop"),
    ]
}

/// An error object in a stream.
fn error(kind: &str) -> String {
    format!("data: {{\"error\": {{\"message\": \"{UPSTREAM_WORDS}: {ECHO}\", \"type\": \"{kind}\"}}}}\n\n")
}

/// What never ends by itself. The first word comes at once, then this, until the whole answer's
/// time is over.
pub(super) fn for_ever() -> Vec<(&'static str, From, &'static str)> {
    let drip = |bytes: &str| {
        let begin = concat!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"half said\"}}]}\n\n"
        );
        From::Raw(vec![vec![
            Act::Read,
            Act::send(begin),
            Act::Repeat(Bytes::from(bytes.to_owned()), Duration::from_millis(50)),
        ]])
    };
    let waits = Script::rate_limited("9");
    vec![
        ("a byte again and again", drip("x"), "half said"),
        ("comments", drip(": OPENROUTER PROCESSING\n\n"), "half said"),
        ("deltas without text", drip("data: {\"choices\":[{\"delta\":{\"content\":\"\"}}]}\n\n"), "half said"),
        ("no headers", From::Raw(vec![vec![Act::Read, Act::Hang]]), ""),
        (
            "headers again and again",
            From::Raw(vec![vec![
                Act::Read,
                Act::send("HTTP/1.1 200 OK\r\n"),
                Act::Repeat(Bytes::from_static(b"x"), Duration::from_millis(50)),
            ]]),
            "",
        ),
        ("a pause before the next try", From::Script(waits), ""),
    ]
}
