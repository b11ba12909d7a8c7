//! What a chunk costs in a log and as a frame: `cargo bench -p r1-domain --bench log`.
//!
//! Figures are per 1,000 chunks of one word.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput};
use r1_domain::{
    cursor::Cursor,
    frame,
    id::GenerationId,
    log::{Kind, Position, Record, Records, push_chunk, push_tokens},
    time::Timestamp,
};

const CHUNKS: usize = 1000;
const WORD: &str = " word";

fn log(push: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut records = Vec::new();
    (0..CHUNKS).for_each(|_| push(&mut records));
    records
}

/// Reads a whole log; that it is whole is part of what is measured.
fn read(records: &[u8], mut each: impl FnMut(Record<'_>)) {
    let (mut reading, mut count) = (Records::new(records, Position::START), 0);
    while let Ok(Some(record)) = reading.next_record() {
        each(record);
        count += 1;
    }
    assert_eq!(count, CHUNKS);
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let id = GenerationId::new(Timestamp::from_micros(1_767_225_600_000_000));
    let mut group = criterion.benchmark_group("log");
    group.throughput(Throughput::Elements(CHUNKS as u64));
    group.bench_function("append", |bencher| bencher.iter(|| log(|records| push_chunk(records, black_box(WORD)))));
    group.bench_function("append with tokens", |bencher| {
        bencher.iter(|| log(|records| push_tokens(records, black_box(WORD), black_box(&[5, 6000]))));
    });
    let records = log(|records| push_chunk(records, WORD));
    group.bench_function("read", |bencher| bencher.iter(|| read(black_box(&records), |_| {})));
    group.bench_function("read as frames", |bencher| {
        bencher.iter_batched_ref(
            || Vec::with_capacity(128 * CHUNKS),
            |out| read(black_box(&records), |record| frame::encode(out, id, &record)),
            BatchSize::SmallInput,
        );
    });
    for (name, content) in
        [("encode a frame", WORD), ("encode a frame with escapes", "\n- \u{201c}word\u{201d}\t\"x\"")]
    {
        let record = Record::new(Kind::Chunk, Cursor { epoch: 1, seq: 1020 }, content);
        group.bench_function(name, |bencher| {
            let mut out = Vec::with_capacity(128 * CHUNKS);
            bencher.iter(|| {
                out.clear();
                (0..CHUNKS).for_each(|_| frame::encode(&mut out, id, black_box(&record)));
            });
        });
    }
    group.finish();
    criterion.final_summary();
}
