//! Any bytes as a provider's answer: however they are cut, they come to the same one end, and an answer of which
//! something could not be read is not whole.
#![no_main]

use std::convert::Infallible;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use libfuzzer_sys::fuzz_target;
use r1_domain::provider::{Delta, ProviderError, Skipped};
use r1_providers::bench;
use tokio::runtime::Runtime;

thread_local! {
    static RUNTIME: Runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
}

/// What came of a body.
#[derive(Debug, PartialEq, Eq)]
struct Heard {
    text: String,
    reasoning: String,
    skipped: Skipped,
    last: Result<Delta, ProviderError>,
}

fn read(pieces: Vec<Bytes>) -> Heard {
    let frames = pieces.into_iter().map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
    let body = StreamBody::new(stream::iter(frames));
    let items: Vec<_> =
        RUNTIME.with(|runtime| runtime.block_on(async { bench::answer(body).collect::<Vec<_>>().await }));
    let (last, items) = items.split_last().expect("an end");
    let mut heard =
        Heard { text: String::new(), reasoning: String::new(), skipped: Skipped::default(), last: last.clone() };
    for item in items {
        match item {
            Ok(Delta::Text { text, .. }) if !text.is_empty() => heard.text.push_str(text),
            Ok(Delta::Reasoning(text)) if !text.is_empty() => heard.reasoning.push_str(text),
            Ok(Delta::Skipped(skipped)) => heard.skipped = *skipped,
            other => panic!("{other:?} before the end"),
        }
    }
    assert!(matches!(heard.last, Err(_) | Ok(Delta::Done { .. })), "{heard:?}");
    assert!(heard.last.is_err() || heard.skipped.unread == 0, "words may be missing: {heard:?}");
    heard
}

fuzz_target!(|data: &[u8]| {
    let Some((&size, body)) = data.split_first() else { return };
    let whole = read(vec![Bytes::copy_from_slice(body)]);
    let pieces = body.chunks(usize::from(size).max(1)).map(Bytes::copy_from_slice).collect();
    assert_eq!(read(pieces), whole);
});
