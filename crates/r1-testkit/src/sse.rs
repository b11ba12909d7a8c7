//! A strict reader of Server-Sent Events (WHATWG HTML, 9.2), for our own streams.
//!
//! A browser forgives; this does not. Lines end with LF, fields are ones that we send (`id`, `data`,
//! `retry`), an event is one `data` line of JSON, what is left at the end of a body is a fault, and
//! the ids of one generation are dense: nothing is lost and nothing comes twice.
//!
//! **Invariant:** [`Frame::raw`] is the bytes as they came, from the first of its lines to the
//! empty line, so two readers can be compared byte for byte.

use std::{pin::Pin, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf, Bytes, BytesMut};
use futures::{Stream, StreamExt};
use r1_domain::cursor::EventId;
use serde_json::Value;

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// Its id; none in the OpenAI format.
    pub id: Option<EventId>,
    /// Its payload; the string `[DONE]` for OpenAI's last.
    pub data: Value,
    /// The bytes that it came as.
    pub raw: Bytes,
}

impl Frame {
    /// The payload's `type`; empty if it has none.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.data["type"].as_str().unwrap_or_default()
    }

    /// A chunk's text; none for any other event.
    #[must_use]
    pub fn content(&self) -> Option<&str> {
        self.data["content"].as_str().filter(|_| self.kind() == "chunk")
    }

    /// Whether nothing can follow.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        matches!(self.kind(), "end" | "error")
    }

    /// The id as a client sends it back in `Last-Event-ID`; empty if there is none.
    #[must_use]
    pub fn last_event_id(&self) -> String {
        self.id.map(|id| id.to_string()).unwrap_or_default()
    }
}

/// In the error of a body that broke off: the connection's fault, not the stream's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the body broke off")
    }
}

/// The text of an answer: what its chunks say, from the last `start` on.
#[must_use]
pub fn text_of(frames: &[Frame]) -> String {
    let mut text = String::new();
    for frame in frames {
        match frame.kind() {
            "start" => text.clear(),
            _ => text.push_str(frame.content().unwrap_or_default()),
        }
    }
    text
}

/// Which ids are expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ids {
    /// Every event has one, and each follows on the one before.
    Dense,
    /// No event has one.
    None,
}

/// The reader.
pub struct Reader {
    body: Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>,
    buffer: BytesMut,
    ids: Ids,
    last: Option<EventId>,
    comments: u64,
    retry: Option<Duration>,
    terminal: bool,
}

impl Reader {
    /// Reads a stream of ours; its first event may be any, the later ones follow on it.
    pub fn new<S, E>(body: S) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<anyhow::Error>,
    {
        Self {
            body: Box::pin(body.map(|bytes| bytes.map_err(Into::into))),
            buffer: BytesMut::new(),
            ids: Ids::Dense,
            last: None,
            comments: 0,
            retry: None,
            terminal: false,
        }
    }

    /// Reads the body of a response of ours.
    ///
    /// # Errors
    /// A status or a type other than a stream's.
    pub fn from_response(response: reqwest::Response) -> Result<Self> {
        ensure!(response.status() == http::StatusCode::OK, "status {}", response.status());
        let kind = response.headers().get(http::header::CONTENT_TYPE).context("no content-type")?.to_str()?;
        ensure!(kind.starts_with("text/event-stream"), "content-type {kind}");
        Ok(Self::new(response.bytes_stream()))
    }

    /// From now on events are expected to have no id (the OpenAI format).
    #[must_use]
    pub fn without_ids(mut self) -> Self {
        self.ids = Ids::None;
        self
    }

    /// From now on the first event has to follow on this one (what was sent as `Last-Event-ID`).
    #[must_use]
    pub fn after(mut self, id: EventId) -> Self {
        self.last = Some(id);
        self
    }

    /// Comments so far (heartbeats).
    #[must_use]
    pub const fn comments(&self) -> u64 {
        self.comments
    }

    /// The newest `retry:`.
    #[must_use]
    pub const fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// The newest event's id.
    #[must_use]
    pub const fn last(&self) -> Option<EventId> {
        self.last
    }

    /// The next event; none at the end of the body.
    ///
    /// # Errors
    /// A broken connection ([`Broken`]), or anything that we don't send.
    pub async fn next_frame(&mut self) -> Result<Option<Frame>> {
        loop {
            while let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let raw = self.buffer.split_to(end + 2).freeze();
                let text = std::str::from_utf8(&raw).context("a frame is not UTF-8")?.to_owned();
                if let Some(frame) = self.frame(raw, &text).with_context(|| format!("in the frame {text:?}"))? {
                    return Ok(Some(frame));
                }
            }
            let Some(bytes) = self.body.next().await else {
                ensure!(!self.buffer.has_remaining(), "the body ends in mid-frame: {:?}", self.buffer);
                return Ok(None);
            };
            self.buffer.extend_from_slice(&bytes.context(Broken)?);
        }
    }

    /// All events to the end of the body.
    ///
    /// # Errors
    /// As [`Self::next_frame`].
    pub async fn collect_to_end(mut self) -> Result<Vec<Frame>> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next_frame().await? {
            frames.push(frame);
        }
        Ok(frames)
    }

    /// Events until one is wanted, that one included.
    ///
    /// # Errors
    /// As [`Self::next_frame`], and an end of the body before it.
    pub async fn collect_until(&mut self, mut wanted: impl FnMut(&Frame) -> bool) -> Result<Vec<Frame>> {
        let mut frames = Vec::new();
        loop {
            let frame = self.next_frame().await?.context("the body ended too early")?;
            let found = wanted(&frame);
            frames.push(frame);
            if found {
                return Ok(frames);
            }
        }
    }

    /// One block of lines; none if it is no event.
    fn frame(&mut self, raw: Bytes, text: &str) -> Result<Option<Frame>> {
        ensure!(!text.contains('\r'), "a carriage return");
        let (mut id, mut data) = (None, None);
        for line in text.trim_end_matches('\n').split('\n') {
            if line.starts_with(':') {
                self.comments += 1;
                continue;
            }
            match line.split_once(": ").with_context(|| format!("the line {line:?} is no field"))? {
                ("id", value) if id.is_none() => id = Some(value.parse::<EventId>()?),
                ("data", "[DONE]") if data.is_none() => data = Some(Value::from("[DONE]")),
                ("data", value) if data.is_none() => data = Some(serde_json::from_str(value)?),
                ("retry", value) => self.retry = Some(Duration::from_millis(value.parse()?)),
                (field, _) => bail!("the field {field} is unknown, or comes twice"),
            }
        }
        let Some(data) = data else {
            ensure!(id.is_none(), "an id without data");
            return Ok(None);
        };
        self.follow(id)?;
        let frame = Frame { id, data, raw };
        if self.ids == Ids::Dense {
            ensure!(!self.terminal, "an event after the terminal one");
            self.terminal = frame.is_terminal();
        }
        Ok(Some(frame))
    }

    fn follow(&mut self, id: Option<EventId>) -> Result<()> {
        match (self.ids, id) {
            (Ids::None, None) => {}
            (Ids::None, Some(_)) => bail!("an id where none is expected"),
            (Ids::Dense, None) => bail!("an event without id"),
            (Ids::Dense, Some(id)) => {
                if let Some(last) = self.last {
                    ensure!(id.generation_id == last.generation_id, "another generation than {last}");
                    ensure!(id.cursor.seq == last.cursor.seq + 1, "does not follow on {last}");
                    ensure!(id.cursor.epoch >= last.cursor.epoch, "an older epoch than {last}");
                }
                self.last = Some(id);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream;

    use super::*;

    const ID: &str = "0198f1c2-7c1e-7d3a-9a5e-3f1b2c4d5e6f";

    fn reader(body: &str) -> Reader {
        let bytes: Vec<_> = body.bytes().map(|byte| Ok::<_, Infallible>(Bytes::from(vec![byte]))).collect();
        Reader::new(stream::iter(bytes))
    }

    #[tokio::test]
    async fn a_good_stream_is_read_byte_for_byte() {
        let chunk = format!("id: {ID}:1.2\ndata: {{\"type\": \"chunk\", \"content\": \"ä: b\"}}\n\n");
        let end = format!("id: {ID}:2.3\ndata: {{\"type\": \"end\"}}\n\n");
        let mut reader = reader(&format!("{chunk}: heartbeat\n\n{end}retry: 1500\n\n"));
        let frame = reader.next_frame().await.unwrap().unwrap();
        assert_eq!((frame.content(), &frame.raw[..]), (Some("ä: b"), chunk.as_bytes()));
        assert_eq!(frame.last_event_id(), format!("{ID}:1.2"));
        let frame = reader.next_frame().await.unwrap().unwrap();
        assert!(frame.is_terminal());
        assert_eq!(reader.next_frame().await.unwrap(), None);
        assert_eq!((reader.comments(), reader.retry()), (1, Some(Duration::from_millis(1500))));
    }

    #[tokio::test]
    async fn faults_are_found() {
        let frame = |place: &str| format!("id: {ID}:{place}\ndata: {{\"type\": \"chunk\", \"content\": \"x\"}}\n\n");
        let faults = [
            frame("1.1") + &frame("1.1"),
            frame("1.1") + &frame("1.3"),
            frame("2.1") + &frame("1.2"),
            frame("1.1").replace('\n', "\r\n") + "\n\n",
            frame("1.1").trim_end().to_owned(),
            "data: {}\n\n".to_owned(),
            "event: x\ndata: {}\n\n".to_owned(),
            frame("1.1").replace("\"x\"", "x"),
            format!("id: {ID}:1.1\ndata: {{\"type\": \"end\"}}\n\n") + &frame("1.2"),
        ];
        for fault in faults {
            assert!(reader(&fault).collect_to_end().await.is_err(), "{fault}");
        }
    }

    #[tokio::test]
    async fn the_openai_format_has_no_ids() {
        let frames = reader("data: {\"a\":1}\n\ndata: [DONE]\n\n").without_ids().collect_to_end().await.unwrap();
        assert_eq!(frames[1].data, Value::from("[DONE]"));
    }

    #[test]
    fn a_start_discards_what_was_there() {
        let frame = |data: Value| Frame { id: None, data, raw: Bytes::new() };
        let chunk = |text: &str| frame(serde_json::json!({"type": "chunk", "content": text}));
        let frames = [chunk("a"), frame(serde_json::json!({"type": "start"})), chunk("b"), chunk("c")];
        assert_eq!(text_of(&frames), "bc");
    }
}
