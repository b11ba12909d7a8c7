//! The log and its readers without a store: the test is the writer.

use std::task::{Context, Poll, Waker};

use proptest::prelude::*;
use r1_domain::{
    event::{Failure, Start},
    id::{ConversationId, MessageId},
    log::{OpenKind, PrivateKind, push_private},
    time::Timestamp,
};

use super::*;
use crate::reader::Reader;

const LIMIT: Duration = Duration::from_secs(60);

fn new_log() -> SharedLog {
    let now = Timestamp::from_micros(1);
    let id = GenerationId::new(now);
    let start = Event::Start(Start {
        conversation_id: ConversationId::new(now),
        generation_id: id,
        message_id: MessageId::new(now),
        model: "local/test".to_owned(),
    });
    let log = Arc::new(Log::new(id, UserId::new(now), &start, None));
    log.accepted();
    log
}

fn end(log: &Log) {
    log.append_terminal(terminal(Failure::new("x", "y", false)), &[]);
}

fn terminal(failure: Failure) -> Terminal {
    Terminal::new(Event::Error(failure), Content::default(), Timestamp::from_micros(2))
}

/// Reads what is ready.
fn drain(reader: &mut Reader, into: &mut Vec<u8>) -> bool {
    let context = Context::from_waker(Waker::noop());
    loop {
        match reader.poll_frames(&context) {
            Poll::Ready(Some(frames)) => into.extend_from_slice(&frames),
            Poll::Ready(None) => return true,
            Poll::Pending => return false,
        }
    }
}

fn read_all(log: &SharedLog) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert!(drain(&mut Reader::new(log.clone(), Position::START, LIMIT), &mut bytes), "the log has ended");
    bytes
}

#[test]
fn nothing_is_visible_before_its_commit() {
    let log = new_log();
    let mut reader = Reader::new(log.clone(), Position::START, LIMIT);
    let mut got = Vec::new();
    drain(&mut reader, &mut got);
    let start = got.len();
    assert!(start > 0);
    assert!(log.append_chunk("secret").tell_writer);
    assert!(!log.append_chunk("s").tell_writer, "the writer is told once");
    drain(&mut reader, &mut got);
    assert_eq!(got.len(), start, "not stored yet");
    let taken = log.take(&mut BytesMut::new()).unwrap();
    log.stall(Instant::now(), LIMIT);
    drain(&mut reader, &mut got);
    assert_eq!(got.len(), start, "the commit failed");
    drop(taken);
    let taken = log.take(&mut BytesMut::new()).unwrap();
    assert_eq!(taken.append.first_seq, 2);
    assert!(!log.publish(&taken));
    drain(&mut reader, &mut got);
    assert!(String::from_utf8(got).unwrap().contains("secret"));
}

#[test]
fn what_comes_during_a_commit_is_for_the_next() {
    let log = new_log();
    log.append_chunk("a");
    let taken = log.take(&mut BytesMut::new()).unwrap();
    assert!(!log.append_chunk("b").tell_writer, "the writer has the log in hand");
    assert!(log.publish(&taken), "there is more");
    let taken = log.take(&mut BytesMut::new()).unwrap();
    assert_eq!((taken.append.first_seq, log.publish(&taken)), (3, false));
    assert!(log.take(&mut BytesMut::new()).is_none());
    assert!(log.append_chunk("c").tell_writer);
}

#[test]
fn a_cursor_is_found_exactly_or_not_at_all() {
    let log = new_log();
    for i in 0..1000 {
        log.append_chunk(&i.to_string());
    }
    let taken = log.take(&mut BytesMut::new()).unwrap();
    log.publish(&taken);
    for seq in [1, 2, 255, 256, 257, 512, 1000, 1001] {
        let cursor = Cursor { epoch: 1, seq };
        assert_eq!(log.position_after(cursor).unwrap().unwrap().cursor, cursor, "{seq}");
        assert!(log.position_after(Cursor { epoch: 2, seq }).unwrap().is_none(), "another epoch");
    }
    assert!(log.position_after(Cursor { epoch: 1, seq: 1002 }).unwrap().is_none());
    log.append_chunk("not visible");
    assert!(log.position_after(Cursor { epoch: 1, seq: 1002 }).unwrap().is_none());
}

#[test]
fn an_abandoned_log_sends_its_readers_away() {
    let log = new_log();
    let mut reader = Reader::new(log.clone(), Position::START, LIMIT);
    log.abandon();
    let mut got = Vec::new();
    assert!(drain(&mut reader, &mut got));
    assert!(String::from_utf8(got).unwrap().ends_with("retry: 2000\n\n"));
    assert!(log.append_chunk("x").refused == Some(Refused::Fenced));
}

#[test]
fn a_log_that_fails_drops_what_was_not_visible() {
    let log = new_log();
    let mut reader = Reader::new(log.clone(), Position::START, LIMIT);
    let mut got = Vec::new();
    for text in ["a", "b"] {
        log.append_chunk(text);
        let taken = log.take(&mut BytesMut::new()).unwrap();
        if text == "a" {
            log.publish(&taken);
        }
    }
    drain(&mut reader, &mut got);
    // The next writer's first entry is not stored either, though its epoch is.
    log.append_resumed(2, false);
    log.fail(terminal(Failure::new("x", "y", true)));
    assert!(drain(&mut reader, &mut got), "sent away at once");
    assert!(String::from_utf8_lossy(&got).ends_with("retry: 2000\n\n"));
    assert_eq!(log.append_chunk("c").refused, Some(Refused::Ended));

    let taken = log.take(&mut BytesMut::new()).unwrap();
    assert_eq!((taken.append.first_seq, taken.append.epoch), (3, 2));
    assert!(taken.append.terminal.is_some());
    log.publish(&taken);
    let all = String::from_utf8(read_all(&log)).unwrap();
    assert!(all.contains(":1.2\n") && all.contains(":2.3\n") && all.contains(":2.4\n"), "{all}");
    assert!(all.contains("\"a\"") && !all.contains("\"b\"") && !all.contains("\"c\""), "{all}");
    let records = log.state.lock().records.clone();
    assert_eq!(Log::stored(log.id(), log.owner(), records).unwrap().head(), log.head());
}

#[test]
fn a_log_that_can_not_be_stored_sends_its_readers_away_in_time() {
    let log = new_log();
    let mut reader = Reader::new(log.clone(), Position::START, LIMIT);
    let mut got = Vec::new();
    drain(&mut reader, &mut got);
    log.stall(Instant::now() - LIMIT, LIMIT);
    assert!(!drain(&mut reader, &mut got), "nothing waits for storage");
    log.append_chunk("x");
    log.stall(Instant::now(), LIMIT);
    assert!(!drain(&mut reader, &mut got), "not for long enough");
    let taken = log.take(&mut BytesMut::new()).unwrap();
    log.publish(&taken);
    log.append_chunk("y");
    log.stall(Instant::now() - LIMIT, LIMIT);
    assert!(drain(&mut reader, &mut got));
    let got = String::from_utf8(got).unwrap();
    assert!(got.contains("\"x\"") && !got.contains("\"y\"") && got.ends_with("retry: 2000\n\n"), "{got}");
}

#[test]
fn a_large_commit_comes_in_slices() {
    let log = new_log();
    let mut reader = Reader::new(log.clone(), Position::START, LIMIT);
    drain(&mut reader, &mut Vec::new());
    for _ in 0..20_000 {
        log.append_chunk("a");
    }
    let taken = log.take(&mut BytesMut::new()).unwrap();
    log.publish(&taken);
    let context = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(frames)) = reader.poll_frames(&context) {
        assert!(frames.len() <= 256 * 1024, "{} bytes at once", frames.len());
    }
}

#[test]
fn the_terminal_carries_everything_since_the_last_fold() {
    let log = new_log();
    log.append_chunk(&"x".repeat(FOLD_BYTES));
    let taken = log.take(&mut BytesMut::new()).unwrap();
    assert_eq!(taken.append.fold.as_ref().unwrap().first_seq, 2);
    log.publish(&taken);
    log.append_chunk("y");
    let taken = log.take(&mut BytesMut::new()).unwrap();
    assert!(taken.append.fold.is_none());
    log.publish(&taken);
    end(&log);
    let taken = log.take(&mut BytesMut::new()).unwrap();
    let fold = taken.append.fold.as_ref().unwrap();
    assert_eq!(fold.first_seq, 3, "from after the first fold on");
    assert!(taken.append.terminal.is_some());
    log.publish(&taken);
    assert!(log.is_closed());
}

/// What can happen to a log, in any order.
#[derive(Debug, Clone)]
enum Step {
    Append(String),
    Take,
    Publish,
    Fail,
    Attach(usize),
    Read(usize),
    Detach(usize),
}

/// This many letters in the alphabet's order: drawn one by one they take most of a test's time.
fn long(length: usize, from: usize) -> String {
    ('a'..='z').cycle().skip(from).take(length).collect()
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => ".{0,40}".prop_map(Step::Append),
        1 => (3000..=6000_usize, 0..26_usize).prop_map(|(length, from)| Step::Append(long(length, from))),
        4 => Just(Step::Take),
        4 => Just(Step::Publish),
        1 => Just(Step::Fail),
        2 => any::<usize>().prop_map(Step::Attach),
        6 => any::<usize>().prop_map(Step::Read),
        1 => any::<usize>().prop_map(Step::Detach),
    ];
    proptest::collection::vec(step, 0..120)
}

proptest! {
    /// Whoever attaches whenever, wherever, sees the same bytes: the replay's, from its cursor on.
    #[test]
    fn live_readers_get_what_a_replay_gets(steps in steps()) {
        let log = new_log();
        let mut stored: Vec<u8> = log.start_records().to_vec();
        let mut in_hand: Option<Taken> = None;
        let mut readers: Vec<(Cursor, Reader, Vec<u8>)> = Vec::new();
        let mut gone: Vec<(Cursor, Vec<u8>)> = Vec::new();
        for step in steps {
            match step {
                // Some with tokens: nobody sees them, and they shift every offset.
                Step::Append(text) => { log.append_tokens(&text, &vec![text.len() as u32; text.len() % 3]); }
                Step::Take => if in_hand.is_none() { in_hand = log.take(&mut BytesMut::new()); }
                Step::Publish => if let Some(taken) = in_hand.take() {
                    stored.extend_from_slice(&taken.append.records);
                    log.publish(&taken);
                },
                Step::Fail => if in_hand.take().is_some() { log.stall(Instant::now(), LIMIT); }
                Step::Attach(n) => {
                    let seq = n as u64 % (log.head().seq + 2);
                    let cursor = if seq == 0 { Cursor::BEGINNING } else { Cursor { epoch: 1, seq } };
                    if let Some(position) = log.position_after(cursor).unwrap() {
                        readers.push((cursor, Reader::new(log.clone(), position, LIMIT), Vec::new()));
                    }
                }
                Step::Read(n) => if !readers.is_empty() {
                    let n = n % readers.len();
                    let (_, reader, got) = &mut readers[n];
                    drain(reader, got);
                },
                Step::Detach(n) => if !readers.is_empty() {
                    let (cursor, _, got) = readers.swap_remove(n % readers.len());
                    gone.push((cursor, got));
                },
            }
        }
        if let Some(taken) = in_hand.take() {
            stored.extend_from_slice(&taken.append.records);
            log.publish(&taken);
        }
        end(&log);
        while let Some(taken) = log.take(&mut BytesMut::new()) {
            stored.extend_from_slice(&taken.append.records);
            log.publish(&taken);
        }
        let replay = read_all(&log);
        // The same from storage.
        let again = Arc::new(Log::stored(log.id(), log.owner(), stored).unwrap());
        prop_assert_eq!(&read_all(&again), &replay);
        for (cursor, mut reader, mut got) in readers {
            prop_assert!(drain(&mut reader, &mut got));
            let position = again.position_after(cursor).unwrap().unwrap();
            let mut expected = Vec::new();
            drain(&mut Reader::new(again.clone(), position, LIMIT), &mut expected);
            prop_assert_eq!(&got, &expected);
        }
        // Who left early had a beginning of it.
        for (cursor, got) in gone {
            let position = again.position_after(cursor).unwrap().unwrap();
            let mut expected = Vec::new();
            drain(&mut Reader::new(again.clone(), position, LIMIT), &mut expected);
            prop_assert!(expected.starts_with(&got));
        }
    }
}

/// What a newer build may write between a start and an end.
fn any_record() -> impl Strategy<Value = Vec<u8>> {
    let event = |event: &Event| {
        let mut records = Vec::new();
        push(&mut records, event);
        records
    };
    let event = prop_oneof![
        ".{0,20}".prop_map(move |text| event(&Event::Chunk(text))),
        ".{0,20}".prop_map(move |text| event(&Event::Reasoning(text))),
        (32..=127_u8, "[a-zäß ]{0,20}").prop_map(move |(number, text)| {
            event(&Event::Other(OpenKind::new(number).unwrap(), format!("{{\"type\": \"{text}\"}}")))
        }),
        (2..9_u32).prop_map(move |epoch| {
            event(&Event::Resumed {
                generation_id: GenerationId::new(Timestamp::from_micros(1)),
                epoch,
                discards_reasoning: false,
            })
        }),
    ];
    let private = proptest::option::of((17..=31_u8, proptest::collection::vec(any::<u8>(), 0..20)));
    // Without a seq only together with the event that follows.
    (private, event).prop_map(|(private, event)| {
        let mut records = Vec::new();
        if let Some((number, content)) = private {
            push_private(&mut records, PrivateKind::new(number).unwrap(), &content);
        }
        [records, event].concat()
    })
}

proptest! {
    /// Followed as another node writes it, in whatever parts, it is what a replay from storage gives; and of a part
    /// that is cut inside an event nothing is shown.
    #[test]
    fn what_only_a_newer_node_knows_is_shown(
        records in proptest::collection::vec((any_record(), any::<bool>()), 1..12),
    ) {
        let log = new_log();
        let mut stored = log.start_records().to_vec();
        let (mut reader, mut live) = (Reader::new(log.clone(), Position::START, LIMIT), Vec::new());
        let mut part = Vec::new();
        for (record, ends_part) in &records {
            part.extend_from_slice(record);
            let ends: Vec<usize> = {
                let mut ends = Vec::new();
                let _ = check_each(&part, Cursor::before(1), |position| ends.push(position.offset));
                ends
            };
            prop_assert_eq!(ends.last(), Some(&part.len()));
            for cut in 1..part.len() {
                if !ends.contains(&cut) {
                    prop_assert!(log.extend(log.head().seq + 1, &part[..cut]).is_err(), "{} of {:?}", cut, part);
                }
            }
            if *ends_part {
                prop_assert!(log.extend(log.head().seq + 1, &part).unwrap());
                stored.append(&mut part);
                drain(&mut reader, &mut live);
            }
        }
        let again = Arc::new(Log::stored(log.id(), log.owner(), stored.clone()).unwrap());
        prop_assert_eq!(again.head(), log.head());
        let mut replay = Vec::new();
        drain(&mut Reader::new(again.clone(), Position::START, LIMIT), &mut replay);
        drain(&mut reader, &mut live);
        prop_assert_eq!(&live, &replay);
        for seq in 1..=again.head().seq {
            let epochs = (0..10).filter_map(|epoch| again.position_after(Cursor { epoch, seq }).unwrap());
            prop_assert_eq!(epochs.count(), 1, "a cursor for each event");
        }
        // Taken over, it goes on behind all of it, and its bytes stay.
        again.append_resumed(20, false);
        let mut at_end = Reader::new(again.clone(), Position::START, LIMIT);
        end(&again);
        let taken = again.take(&mut BytesMut::new()).unwrap();
        prop_assert_eq!(taken.append.first_seq, log.head().seq + 1);
        again.publish(&taken);
        let mut all = Vec::new();
        prop_assert!(drain(&mut at_end, &mut all));
        prop_assert!(all.starts_with(&replay));
        prop_assert!(again.state.lock().records.starts_with(&stored));
    }
}

#[test]
fn what_thousands_of_readers_needed_is_given_back() {
    let log = new_log();
    let readers: Vec<Reader> = (0..10_000).map(|_| Reader::new(log.clone(), Position::START, LIMIT)).collect();
    assert!(log.state.lock().waiting.capacity() >= 10_000);
    drop(readers);
    assert_eq!(log.state.lock().waiting.capacity(), 0);
    // Those that come afterwards are woken as ever.
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut reader = Reader::new(log.clone(), Position::START, LIMIT);
    while reader.poll_frames(&Context::from_waker(&waker)).is_ready() {}
    log.append_chunk("x");
    let taken = log.take(&mut BytesMut::new()).unwrap();
    log.publish(&taken);
    assert!(woken.0.load(std::sync::atomic::Ordering::Relaxed));
}

#[derive(Default)]
struct Woken(std::sync::atomic::AtomicBool);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}
