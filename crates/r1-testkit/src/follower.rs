//! A client that comes back: what a robust reader does with a stream of ours.
//!
//! It follows one generation over any number of connections. Until it has had an event it repeats
//! its request, which for a question means the same `Idempotency-Key`; then it attaches with the
//! newest id as `Last-Event-ID`, as an EventSource does. A connection that ends in any way before
//! the terminal event is no fault; a byte that is not the next one, or a status that an honest
//! reader could not live with, is.
//!
//! **Invariant:** [`Follower::frames`] is what the reader has seen: strictly one event after the
//! other, none twice, none left out, whatever connections they came on.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use r1_domain::{cursor::EventId, id::GenerationId};
use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use serde_json::Value;
use tokio::time::Instant;

use crate::sse::{Broken, Frame, Reader};

/// The pause before it comes back. A client's would be longer, and obey `retry:`.
const PAUSE: Duration = Duration::from_millis(10);
/// This long without an event, and something is wrong.
const PATIENCE: Duration = Duration::from_secs(90);

/// What the first event is asked for by.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A request that makes a generation: path behind `/api/v1`, body, idempotency key.
    Made {
        /// The path.
        path: String,
        /// The body.
        body: Value,
        /// The `Idempotency-Key`.
        key: String,
    },
    /// A generation, from its beginning or from just after an event.
    Attached {
        /// Which.
        generation_id: GenerationId,
        /// The event.
        after: Option<EventId>,
    },
}

/// The client, and what it has seen.
pub struct Follower {
    http: reqwest::Client,
    base: String,
    token: String,
    origin: Origin,
    reader: Option<Reader>,
    frames: Vec<Frame>,
    connections: u64,
    patience: Duration,
}

impl Follower {
    /// A follower that has not begun. `base` ends with `/api/v1`, `token` is its bearer token.
    #[must_use]
    pub fn new(http: reqwest::Client, base: &str, token: &str, origin: Origin) -> Self {
        Self {
            http,
            base: base.to_owned(),
            token: token.to_owned(),
            origin,
            reader: None,
            frames: Vec::new(),
            connections: 0,
            patience: PATIENCE,
        }
    }

    /// What it has seen so far.
    #[must_use]
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// How many responses it has read from.
    #[must_use]
    pub const fn connections(&self) -> u64 {
        self.connections
    }

    /// Whether it has seen the terminal event.
    #[must_use]
    pub fn at_end(&self) -> bool {
        self.frames.last().is_some_and(Frame::is_terminal)
    }

    /// Closes its connection, if it has one; the next event is asked for on a new one.
    pub fn leave(&mut self) {
        self.reader = None;
    }

    /// The next event, over as many connections as it takes. None behind the terminal one.
    ///
    /// # Errors
    /// Anything that breaks the stream's promises, and no event for 90 s.
    pub async fn next_frame(&mut self) -> Result<Option<&Frame>> {
        if self.at_end() {
            return Ok(None);
        }
        let deadline = Instant::now() + self.patience;
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            let Ok(attempt) = tokio::time::timeout(left, self.attempt()).await else { break };
            if let Some(frame) = attempt.with_context(|| self.state())? {
                self.frames.push(frame);
                return Ok(self.frames.last());
            }
            // A connection that broke is made anew at once; one that could not be made, a little later.
            if self.reader.take().is_none() {
                tokio::time::sleep(PAUSE).await;
            }
        }
        bail!("no event for {:?}: {}", self.patience, self.state())
    }

    /// Goes on to the terminal event.
    ///
    /// # Errors
    /// As [`Self::next_frame`].
    pub async fn to_end(&mut self) -> Result<&[Frame]> {
        while self.next_frame().await?.is_some() {}
        Ok(&self.frames)
    }

    fn state(&self) -> String {
        let last = self.last().map(|id| id.to_string()).unwrap_or_default();
        format!(
            "{:?}, {} events, the last one {last}, {} connections",
            self.origin,
            self.frames.len(),
            self.connections
        )
    }

    /// The event after which it goes on.
    fn last(&self) -> Option<EventId> {
        let origin = match &self.origin {
            Origin::Attached { after, .. } => *after,
            Origin::Made { .. } => None,
        };
        self.frames.last().map_or(origin, |frame| frame.id)
    }

    /// An event, or none if it has to come back for it.
    async fn attempt(&mut self) -> Result<Option<Frame>> {
        if self.reader.is_none() {
            self.reader = self.connect().await?;
        }
        let Some(reader) = &mut self.reader else { return Ok(None) };
        match reader.next_frame().await {
            Ok(Some(frame)) => {
                if self.frames.is_empty() && self.origin_is_beginning() {
                    let first = frame.id.is_some_and(|id| id.cursor.seq == 1);
                    ensure!(first && frame.kind() == "start", "the log begins with {frame:?}");
                }
                Ok(Some(frame))
            }
            Ok(None) => Ok(None),
            Err(error) if error.is::<Broken>() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn origin_is_beginning(&self) -> bool {
        !matches!(self.origin, Origin::Attached { after: Some(_), .. })
    }

    async fn connect(&mut self) -> Result<Option<Reader>> {
        let making = self.frames.is_empty() && matches!(self.origin, Origin::Made { .. });
        let last = self.last();
        let Ok(response) = self.request(last).bearer_auth(&self.token).send().await else { return Ok(None) };
        let status = response.status();
        match status {
            StatusCode::OK => {
                self.connections += 1;
                let reader = Reader::from_response(response)?;
                Ok(Some(match last {
                    Some(last) => reader.after(last),
                    None => reader,
                }))
            }
            // Going down, or its storage is: nothing was accepted.
            StatusCode::SERVICE_UNAVAILABLE if making => {
                harmless(response).await?;
                Ok(None)
            }
            _ => bail!("{status}: {}", response.text().await.unwrap_or_default()),
        }
    }

    fn request(&self, last: Option<EventId>) -> RequestBuilder {
        let url = |path: &str| format!("{}{path}", self.base);
        match (&self.origin, last) {
            (Origin::Made { path, body, key }, None) => {
                self.http.post(url(path)).header("idempotency-key", key).json(body)
            }
            (Origin::Attached { generation_id, .. }, None) => {
                self.http.get(url(&format!("/chat/stream?generation_id={generation_id}")))
            }
            (_, Some(last)) => self.http.get(url("/chat/stream")).header("last-event-id", last.to_string()),
        }
    }
}

/// Sends a request until it is answered, by anything but a server that is going down.
///
/// # Errors
/// No answer for 90 s, or a refusal that says more than it should.
pub async fn insist(request: &RequestBuilder) -> Result<Response> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let request = request.try_clone().context("a body that can be sent again")?;
        match request.send().await {
            Ok(response) if response.status().is_server_error() => harmless(response).await?,
            Ok(response) => return Ok(response),
            Err(_) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
    bail!("no answer for {PATIENCE:?} to {request:?}")
}

/// A refusal by a server in trouble is a problem document with a code, and tells nothing of its inside.
async fn harmless(response: Response) -> Result<()> {
    let (status, headers) = (response.status(), response.headers().clone());
    // Cut off in mid-body: it says nothing.
    let Ok(text) = response.text().await else { return Ok(()) };
    ensure!(status == StatusCode::SERVICE_UNAVAILABLE, "{status}: {text}");
    ensure!(headers.contains_key(header::RETRY_AFTER), "503 without Retry-After: {text}");
    let problem: Value = serde_json::from_str(&text).with_context(|| format!("{status}: {text}"))?;
    ensure!(problem["code"].is_string() && problem["detail"].is_string(), "{problem}");
    for inside in ["sqlite", "SQLITE", "database is locked", "journal", "panicked", "os error", "/data"] {
        ensure!(!text.contains(inside), "{inside:?} in {text}");
    }
    Ok(())
}

/// A request for [`insist`].
pub fn request(http: &reqwest::Client, method: Method, url: &str, token: &str) -> RequestBuilder {
    http.request(method, url).bearer_auth(token)
}
