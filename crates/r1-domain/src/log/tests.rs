use proptest::prelude::*;

use super::*;
use crate::{id::GenerationId, time::Timestamp};

fn read(bytes: &[u8]) -> Result<Vec<(Kind, Cursor, String)>, DamagedLog> {
    let mut records = Records::new(bytes, Position::START);
    let mut all = Vec::new();
    while let Some(record) = records.next_record()? {
        all.push((record.kind, record.cursor, record.content.to_owned()));
    }
    Ok(all)
}

#[test]
fn a_take_over_raises_the_epoch_and_keeps_seq_dense() {
    let mut bytes = Vec::new();
    push_chunk(&mut bytes, "a");
    push(
        &mut bytes,
        &Event::Resumed {
            generation_id: GenerationId::new(Timestamp::from_micros(0)),
            epoch: 300,
            discards_reasoning: false,
        },
    );
    push_chunk(&mut bytes, "b");
    let cursors: Vec<_> = read(&bytes).unwrap().into_iter().map(|(_, c, _)| (c.epoch, c.seq)).collect();
    assert_eq!(cursors, [(1, 1), (300, 2), (300, 3)]);
    let end = Position { offset: bytes.len(), cursor: Cursor { epoch: 300, seq: 3 } };
    assert_eq!(check(&bytes, Cursor::BEGINNING).end, end);
}

#[test]
fn what_has_no_seq_is_passed_over_with_its_event() {
    let mut bytes = Vec::new();
    push_chunk(&mut bytes, "a");
    let whole = bytes.len();
    push_epoch(&mut bytes, 2);
    let mut records = Records::new(&bytes, Position::START);
    assert!(records.next_record().unwrap().is_some());
    for _ in 0..2 {
        assert_eq!(records.next_record(), Ok(None));
        assert_eq!(records.position(), Position { offset: whole, cursor: Cursor { epoch: 1, seq: 1 } });
    }
}

/// What a recovery needs to know of a chunk.
type Chunk = (String, Option<Vec<u32>>);

fn chunks_of(bytes: &[u8]) -> (Vec<Chunk>, Position) {
    let mut records = Records::new(bytes, Position::START);
    let mut chunks = Vec::new();
    while let Ok(Some(record)) = records.next_record() {
        assert_eq!(record.kind, Kind::Chunk);
        chunks.push((record.content.to_owned(), record.ids.map(|ids| ids.read().unwrap())));
    }
    (chunks, records.position())
}

proptest! {
    /// Wherever a log is cut, it has a chunk with all its tokens, or nothing of it.
    #[test]
    fn chunks_and_their_tokens_are_one(
        chunks in proptest::collection::vec((".{0,8}", proptest::collection::vec(any::<u32>(), 0..5)), 0..12),
    ) {
        let (mut bytes, mut plain, mut ends) = (Vec::new(), Vec::new(), vec![0]);
        for (text, ids) in &chunks {
            push_tokens(&mut bytes, text, ids);
            push_chunk(&mut plain, text);
            ends.push(bytes.len());
        }
        let expected: Vec<Chunk> =
            chunks.iter().map(|(text, ids)| (text.clone(), Some(ids.clone()).filter(|ids| !ids.is_empty()))).collect();
        for cut in 0..=bytes.len() {
            let whole = ends.iter().filter(|end| **end > 0 && **end <= cut).count();
            let (read, position) = chunks_of(&bytes[..cut]);
            prop_assert_eq!(&read[..], &expected[..whole]);
            prop_assert_eq!(position.offset, ends[whole]);
        }
        // Nothing but the records knows of the tokens.
        let id = GenerationId::new(Timestamp::from_micros(0));
        let frames = |bytes: &[u8]| {
            let (mut frames, mut records) = (Vec::new(), Records::new(bytes, Position::START));
            while let Some(record) = records.next_record().unwrap() {
                crate::frame::encode(&mut frames, id, &record);
            }
            frames
        };
        prop_assert_eq!(frames(&bytes), frames(&plain));
        prop_assert_eq!(crate::fold::fold(&bytes), crate::fold::fold(&plain));
    }

    #[test]
    fn what_is_pushed_is_read(texts in proptest::collection::vec(".{0,300}", 0..20)) {
        let mut bytes = Vec::new();
        for text in &texts {
            push_chunk(&mut bytes, text);
        }
        let back: Vec<_> = read(&bytes).unwrap().into_iter().map(|(_, _, text)| text).collect();
        prop_assert_eq!(&back, &texts);
        let mut positions = vec![Position::START];
        let span = check_each(&bytes, Position::START.cursor, |position| positions.push(position));
        prop_assert_eq!((span.end, positions.len()), (positions[texts.len()], texts.len() + 1));
        for (position, text) in positions.into_iter().zip(texts.iter().map(Some).chain([None])) {
            let mut rest = Records::new(&bytes, position);
            let next = rest.next_record().unwrap().map(|record| record.content.to_owned());
            prop_assert_eq!(next.as_ref(), text);
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
    }
}

#[test]
fn a_number_says_what_a_record_may_be() {
    for number in 0..=u8::MAX {
        let record = |content: &[u8]| [&[number, u8::try_from(content.len()).unwrap()][..], content].concat();
        let followed = [record(b"{\"type\": \"x\"}"), vec![1, 1, b'a']].concat();
        let events = read(&followed).map(|events| events.len());
        let expected = match number {
            // Not of this form: a number, two U+0000, tokens before a text.
            6 | 8 | 16 => continue,
            1..=5 | 7 | 32..=127 => Ok(2),
            17..=31 => Ok(1),
            _ => Err(DamagedLog { offset: 0 }),
        };
        assert_eq!(events, expected, "{number}");
        assert_eq!(OpenKind::new(number).is_some(), matches!(number, 32..=127));
        assert_eq!(PrivateKind::new(number).is_some(), matches!(number, 17..=31));
        // A private record is whatever it is.
        if PrivateKind::new(number).is_some() {
            assert!(read(&[record(&[0xff, 0xfe]), vec![1, 0]].concat()).is_ok());
        }
    }
}

#[test]
fn what_would_break_a_frame_is_damage() {
    let kind = |number| Kind::Open(OpenKind::new(number).unwrap()).number();
    for content in ["", "x", "{}\n", "{\r}", "{\"type\": \"x\"}\n\nid: 1", "{\"type\""] {
        let mut bytes = vec![kind(40), u8::try_from(content.len()).unwrap()];
        bytes.extend_from_slice(content.as_bytes());
        assert!(read(&bytes).is_err(), "{content:?}");
    }
    for content in ["c-1", "c-1\0search"] {
        let mut bytes = vec![Kind::ToolArguments.number(), u8::try_from(content.len()).unwrap()];
        bytes.extend_from_slice(content.as_bytes());
        assert!(read(&bytes).is_err(), "{content:?}");
    }
}

#[test]
fn a_check_goes_to_the_end_of_the_log_and_no_further() {
    let mut bytes = Vec::new();
    push_chunk(&mut bytes, "a");
    push_chunk(&mut bytes, "b");
    let running = bytes.len();
    push_terminal(&mut bytes, Kind::Error, "{}");
    let span = check(&bytes, Cursor::before(5));
    assert_eq!((span.next_seq(), span.is_ended(), span.running.offset), (8, true, running));
    assert_eq!(span.whole(), Ok(span));
    let end = bytes.len();
    push_chunk(&mut bytes, "late");
    let span = check(&bytes, Cursor::before(5));
    assert_eq!((span.next_seq(), span.end.offset, span.whole()), (8, end, Err(DamagedLog { offset: end })));
    assert_eq!(check(&[], Cursor::before(1)).next_seq(), 1);
    assert!(check(&[], Cursor::before(1)).is_whole);
}

/// A record that a log may have before its end, of a kind that is known or not.
#[derive(Debug, Clone)]
enum Any {
    Event(Event),
    Tokens(String, Vec<u32>),
    Private(PrivateKind, Vec<u8>),
}

fn any_record() -> impl Strategy<Value = Any> {
    let generation_id = GenerationId::new(Timestamp::from_micros(0));
    prop_oneof![
        2 => ".{0,20}".prop_map(|text| Any::Event(Event::Chunk(text))),
        1 => (".{0,20}", proptest::collection::vec(any::<u32>(), 1..4)).prop_map(|(text, ids)| Any::Tokens(text, ids)),
        1 => ".{0,20}".prop_map(|text| Any::Event(Event::Reasoning(text))),
        1 => ("[a-z]{1,8}", "[a-z]{1,8}", ".{0,20}")
            .prop_map(|(call_id, tool, content)| Any::Event(Event::ToolArguments { call_id, tool, content })),
        1 => (2..1000_u32).prop_map(move |epoch| Any::Event(Event::Resumed { generation_id, epoch, discards_reasoning: false })),
        3 => (32..=127_u8, "[ -!#-\\[\\]-~äß€]{0,20}").prop_map(|(number, text)| {
            Any::Event(Event::Other(OpenKind::new(number).unwrap(), format!("{{\"type\": \"later\", \"x\": \"{text}\"}}")))
        }),
        2 => (17..=31_u8, proptest::collection::vec(any::<u8>(), 0..20))
            .prop_map(|(number, bytes)| Any::Private(PrivateKind::new(number).unwrap(), bytes)),
    ]
}

proptest! {
    /// Whatever stands in a log: it is counted, framed and cut as if it were known.
    #[test]
    fn any_kind_is_kept_wherever_it_stands(records in proptest::collection::vec(any_record(), 0..12)) {
        let id = GenerationId::new(Timestamp::from_micros(0));
        let (mut bytes, mut ends, mut payloads, mut text) = (Vec::new(), vec![0], Vec::new(), String::new());
        for record in &records {
            match record {
                Any::Event(event) => {
                    push(&mut bytes, event);
                    payloads.push(event.payload());
                    if let Event::Chunk(chunk) = event {
                        text.push_str(chunk);
                    }
                }
                Any::Tokens(chunk, ids) => {
                    push_tokens(&mut bytes, chunk, ids);
                    payloads.push(Event::Chunk(chunk.clone()).payload());
                    text.push_str(chunk);
                }
                Any::Private(kind, content) => {
                    push_private(&mut bytes, *kind, content);
                    continue;
                }
            }
            ends.push(bytes.len());
        }
        let events = payloads.len() as u64;
        let whole = check(&bytes, Cursor::BEGINNING);
        prop_assert_eq!(whole.next_seq(), events + 1);
        prop_assert_eq!(whole.is_whole, bytes.len() == ends[ends.len() - 1], "nothing without a seq stands last");
        prop_assert!(!whole.is_ended());

        let kept = &bytes[..whole.end.offset];
        let (mut frames, mut walk, mut read) = (Vec::new(), Records::new(kept, Position::START), Vec::new());
        while let Some(record) = walk.next_record().unwrap() {
            let event = Event::read(record.kind, record.content).unwrap();
            prop_assert_eq!(event.kind(), record.kind);
            read.push(event.payload());
            crate::frame::encode(&mut frames, id, &record);
        }
        prop_assert_eq!(&read, &payloads);
        let frames = String::from_utf8(frames).unwrap();
        let data: Vec<&str> = frames.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        prop_assert_eq!(data, payloads.iter().map(String::as_str).collect::<Vec<_>>());
        let folded = crate::fold::fold(kept).unwrap();
        prop_assert_eq!((folded.content.text, folded.last.seq), (text, events));

        // Wherever it is cut, the events before the cut are whole, and nothing else is.
        for cut in 0..=bytes.len() {
            let span = check(&bytes[..cut], Cursor::BEGINNING);
            let before = ends.iter().filter(|end| **end <= cut).count() - 1;
            prop_assert_eq!((span.end.offset, span.next_seq()), (ends[before], before as u64 + 1));
            prop_assert_eq!(span.is_whole, cut == ends[before]);
        }
    }
}
