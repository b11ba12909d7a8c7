//! Scripts: what the upstream says, step by step.

use std::{io::Write, time::Duration};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

/// One step of an answer's body.
#[derive(Debug, Clone)]
pub enum Step {
    /// The chunk with the assistant's role and no text that real providers send first.
    Role,
    /// A chunk with this text.
    Chunk(String),
    /// These bytes, as they are.
    Raw(Bytes),
    /// This many bytes of the same value, made while they are sent.
    Flood {
        /// The value.
        byte: u8,
        /// How many.
        length: u64,
    },
    /// This many chunks, one at each interval (0: as fast as the reader takes them), each with its
    /// index and the time of its sending: see [`paced_marks`].
    Paced {
        /// How many chunks.
        count: u64,
        /// The distance between two. The schedule is absolute: a late chunk makes no later one late.
        every: Duration,
    },
    /// Nothing for a while.
    Pause(Duration),
    /// Nothing until the test opens this gate (`Upstream::open`).
    WaitFor(String),
    /// The chunk with a finish reason and no text.
    Finish(String),
    /// The chunk with the usage and no choices: 11 tokens read, one written per chunk sent.
    Usage,
    /// `data: [DONE]`.
    Done,
    /// The body ends as it should, whatever was or was not said. So does a script without this step.
    Close,
    /// The connection ends in mid-body: a FIN, without the end that chunked bodies have.
    Cut,
    /// The connection is reset (RST).
    Reset,
    /// Nothing, for ever; the connection stays.
    Hang,
}

/// A whole answer: status, headers, body. Made by one of the constructors, then step by step.
#[derive(Debug, Clone)]
pub struct Script {
    /// The status line's number.
    pub status: StatusCode,
    /// The headers. `Content-Length` only if set here: bodies are chunked.
    pub headers: HeaderMap,
    /// The body.
    pub steps: Vec<Step>,
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

impl Script {
    /// Status 200, `text/event-stream`, nothing in it yet.
    #[must_use]
    pub fn new() -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        Self { status: StatusCode::OK, headers, steps: Vec::new() }
    }

    /// A good answer: the text word by word, `stop`, usage, `[DONE]`.
    #[must_use]
    pub fn text(text: &str) -> Self {
        text.split_inclusive(' ').fold(Self::new().role(), Self::chunk).ending()
    }

    /// A good answer of `count` chunks, one at each interval `every`; for benches. See [`paced_marks`].
    #[must_use]
    pub fn paced(count: u64, every: Duration) -> Self {
        Self::new().role().then(Step::Paced { count, every }).ending()
    }

    /// An answer that is one JSON document, with its length known.
    #[must_use]
    pub fn json(status: StatusCode, body: &serde_json::Value) -> Self {
        Self::document(status, "application/json", body.to_string())
    }

    /// An error in the way OpenAI words them.
    #[must_use]
    pub fn error(status: StatusCode, code: &str, message: &str) -> Self {
        let body = serde_json::json!({
            "error": {"message": message, "type": "invalid_request_error", "param": null, "code": code}
        });
        Self::json(status, &body)
    }

    /// 429 with a `Retry-After` of these words (seconds, or a date).
    #[must_use]
    pub fn rate_limited(retry_after: &str) -> Self {
        Self::error(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", "Rate limit reached")
            .header("retry-after", retry_after)
    }

    /// A web page, as a portal or a wrong address gives it.
    #[must_use]
    pub fn html(status: StatusCode) -> Self {
        Self::document(status, "text/html; charset=utf-8", "<!doctype html><title>Welcome</title>".to_owned())
    }

    /// A good answer, compressed though nobody asked for it.
    #[must_use]
    pub fn gzip(text: &str) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        // Into memory: no error to have.
        let _ = write!(encoder, "data: {}\n\ndata: [DONE]\n\n", super::wire::chunk("gzip", text));
        let body = encoder.finish().unwrap_or_default();
        Self::new().header("content-encoding", "gzip").raw(body)
    }

    /// Status, type and body in one.
    #[must_use]
    pub fn document(status: StatusCode, content_type: &'static str, body: String) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        Self { status, headers, steps: vec![Step::Raw(Bytes::from(body))] }
    }

    /// Puts a header in, or another in its place. A name or value that HTTP can't carry is left out.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Adds a step.
    #[must_use]
    pub fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Adds [`Step::Role`].
    #[must_use]
    pub fn role(self) -> Self {
        self.then(Step::Role)
    }

    /// Adds [`Step::Chunk`].
    #[must_use]
    pub fn chunk(self, text: impl Into<String>) -> Self {
        self.then(Step::Chunk(text.into()))
    }

    /// Adds a chunk in which the model thinks, in the field that most providers have for it.
    #[must_use]
    pub fn thought(self, text: &str) -> Self {
        let delta = serde_json::json!({"choices": [{"index": 0, "delta": {"reasoning_content": text}}]});
        self.raw(format!("data: {delta}\n\n"))
    }

    /// Adds [`Step::Raw`].
    #[must_use]
    pub fn raw(self, bytes: impl Into<Bytes>) -> Self {
        self.then(Step::Raw(bytes.into()))
    }

    /// Adds [`Step::Pause`].
    #[must_use]
    pub fn pause(self, duration: Duration) -> Self {
        self.then(Step::Pause(duration))
    }

    /// Adds [`Step::WaitFor`].
    #[must_use]
    pub fn wait_for(self, gate: &str) -> Self {
        self.then(Step::WaitFor(gate.to_owned()))
    }

    /// Adds [`Step::Finish`].
    #[must_use]
    pub fn finish(self, reason: &str) -> Self {
        self.then(Step::Finish(reason.to_owned()))
    }

    /// Adds `stop`, usage and `[DONE]`: a good end.
    #[must_use]
    pub fn ending(self) -> Self {
        self.finish("stop").then(Step::Usage).then(Step::Done)
    }

    /// Adds [`Step::Done`].
    #[must_use]
    pub fn done(self) -> Self {
        self.then(Step::Done)
    }

    /// Adds [`Step::Cut`].
    #[must_use]
    pub fn cut(self) -> Self {
        self.then(Step::Cut)
    }

    /// Adds [`Step::Reset`].
    #[must_use]
    pub fn reset(self) -> Self {
        self.then(Step::Reset)
    }

    /// Adds [`Step::Hang`].
    #[must_use]
    pub fn hang(self) -> Self {
        self.then(Step::Hang)
    }
}

/// One chunk of a paced answer, as it is written into the text: `index@micros `.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacedMark {
    /// Number of the chunk, from 0.
    pub index: u64,
    /// When the upstream handed it to its socket: microseconds since the Unix epoch.
    pub sent_at: i64,
}

impl PacedMark {
    pub(super) fn text(self) -> String {
        format!("{}@{} ", self.index, self.sent_at)
    }
}

/// Reads the marks out of a paced answer, or out of any run of its whole chunks. What is no mark
/// is left out, so the caller checks that the indices are dense.
pub fn paced_marks(text: &str) -> impl Iterator<Item = PacedMark> {
    text.split_ascii_whitespace().filter_map(|word| {
        let (index, sent_at) = word.split_once('@')?;
        Some(PacedMark { index: index.parse().ok()?, sent_at: sent_at.parse().ok()? })
    })
}
