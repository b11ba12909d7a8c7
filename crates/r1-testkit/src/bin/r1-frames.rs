//! The strict reader as a process, for tests in other languages: an event stream on standard input,
//! a line of JSON `[id, data]` per event on standard output. What the server does not send is an
//! error, as for any test that reads with it.

use std::io::{Read as _, Write as _};

use anyhow::{Context, Result};
use bytes::Bytes;
use futures::stream;
use r1_testkit::sse::Reader;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut body = Vec::new();
    std::io::stdin().lock().read_to_end(&mut body)?;
    let mut out = std::io::stdout().lock();
    let mut reader = Reader::new(stream::iter([anyhow::Ok(Bytes::from(body))]));
    while let Some(frame) = reader.next_frame().await? {
        // As it stands there: the reader has parsed it, and another one may write JSON otherwise.
        let text = std::str::from_utf8(&frame.raw)?;
        let data = text.lines().find_map(|line| line.strip_prefix("data: ")).context("an event without data")?;
        writeln!(out, "{}", serde_json::json!([frame.last_event_id(), data]))?;
    }
    Ok(())
}
