//! What a chunk costs from the provider's bytes to a delta: `cargo bench -p r1-providers --bench answer`.
//!
//! Figures are per 1,000 chunks as OpenAI writes them (275 bytes), each in a packet of its own as it
//! comes from a model that writes, or 64 in one as from one that has written already.

use std::{convert::Infallible, hint::black_box};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput};
use futures::{StreamExt, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use r1_providers::bench;

const CHUNKS: usize = 1000;

/// A chunk; `id` is what an odd provider changes from one to the next.
fn chunk(id: usize, text: &str) -> String {
    format!(
        r#"data: {{"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion.chunk","created":{created},"model":"gpt","system_fingerprint":"fp_44709d6fcb","choices":[{{"index":0,"delta":{{"content":"{text}"}},"logprobs":null,"finish_reason":null}}]}}

"#,
        created = 1_767_225_600 + id,
    )
}

/// An answer in packets of this many chunks.
fn packets(size: usize, chunk: impl Fn(usize) -> String) -> Vec<Bytes> {
    let chunks: Vec<_> = (0..CHUNKS).map(chunk).collect();
    chunks.chunks(size).map(|some| Bytes::from(some.concat())).collect()
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else { return };
    let mut group = criterion.benchmark_group("answer");
    group.throughput(Throughput::Elements(CHUNKS as u64));
    let whole = Bytes::from(packets(CHUNKS, |_| chunk(0, " word")).concat());
    group.bench_function("events alone", |bencher| bencher.iter(|| black_box(bench::events(whole.clone()))));
    let bodies = [
        ("a chunk a packet", packets(1, |_| chunk(0, " word"))),
        ("64 chunks a packet", packets(64, |_| chunk(0, " word"))),
        ("chunks that differ in more than their text", packets(1, |i| chunk(i, " word"))),
        ("text with escapes", packets(1, |_| chunk(0, r"\n- \u201cword\u201d"))),
    ];
    for (name, packets) in bodies {
        group.bench_function(name, |bencher| {
            let body = || packets.clone().into_iter().map(|packet| Ok::<_, Infallible>(Frame::data(packet)));
            bencher.iter_batched(
                || StreamBody::new(stream::iter(body())),
                |body| {
                    // Every chunk's text, and that the answer broke off: nothing was left unread.
                    let items = runtime.block_on(async { bench::answer(body).count().await });
                    assert_eq!(items, CHUNKS + 1);
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
    criterion.final_summary();
}
