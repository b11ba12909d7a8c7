use proptest::prelude::*;

use super::*;
use crate::{
    call::Timings,
    event::Failure,
    id::GenerationId,
    log::{check, push, push_tokens},
    time::Timestamp,
};

/// One entry of a log-to-be.
#[derive(Debug, Clone)]
enum Entry {
    Text(&'static str),
    Thought(&'static str),
    Resumed {
        discards_reasoning: bool,
    },
    /// With the event after it.
    Call(Vec<u64>),
    Failed,
}
use Entry::{Call as Called, Failed, Resumed, Text, Thought};

fn log(entries: &[Entry]) -> Vec<u8> {
    let (mut records, mut epoch) = (Vec::new(), 1);
    for entry in entries {
        match entry {
            Text(text) => push_chunk(&mut records, text),
            Thought(text) => push_reasoning(&mut records, text),
            Resumed { discards_reasoning } => {
                epoch += 1;
                let generation_id = GenerationId::new(Timestamp::from_micros(1));
                push(&mut records, &Event::Resumed { generation_id, epoch, discards_reasoning: *discards_reasoning });
            }
            Called(reasoning) => {
                let timings = Timings { reasoning: reasoning.clone(), ..Timings::default() };
                let call = Call { timings, ..Call::default() };
                push_private(&mut records, PrivateKind::CALL, &call.record());
            }
            Failed => push(&mut records, &Event::Error(Failure::new("x", "y", false))),
        }
    }
    records
}

fn thought(text: &str, duration_ms: Option<u64>) -> Part {
    Part::Reasoning(Reasoning { text: text.to_owned(), duration_ms })
}

fn parts(entries: &[Entry]) -> Vec<Part> {
    fold(&log(entries)).unwrap().content.parts
}

#[test]
fn what_is_thought_stands_beside_the_text() {
    let folded = fold(&log(&[Thought("h"), Thought("m"), Text("a"), Text("b"), Thought("so"), Text("c")])).unwrap();
    assert_eq!((folded.content.text.as_str(), folded.last.seq), ("abc", 6));
    assert_eq!(folded.content.parts, [thought("hm", None), Part::Text(0..2), thought("so", None), Part::Text(2..3)]);
    let plain = fold(&log(&[Text("a"), Resumed { discards_reasoning: true }, Text("b"), Called(vec![]), Failed]));
    assert_eq!(plain.unwrap().content, Content::from("ab"), "text alone has no outline");
}

#[test]
fn a_call_says_how_long_it_thought() {
    let thoughts = [Thought("a"), Text("1"), Thought("b"), Called(vec![5, 7]), Failed];
    assert_eq!(parts(&thoughts), [thought("a", Some(5)), Part::Text(0..1), thought("b", Some(7))]);
    // An attempt that came to nothing is a call too.
    assert_eq!(parts(&[Thought("a"), Called(vec![]), Called(vec![5]), Failed]), [thought("a", Some(5))]);
    // A later call's are its own.
    let two = [Thought("a"), Called(vec![5]), Thought("b"), Text("1"), Called(vec![7]), Failed];
    assert_eq!(parts(&two), [thought("a", Some(5)), thought("b", Some(7)), Part::Text(0..1)]);
    let folded = fold(&log(&two)).unwrap();
    assert_eq!(folded.calls.iter().map(|call| call.timings.reasoning.clone()).collect::<Vec<_>>(), [[5], [7]]);
}

#[test]
fn a_take_over_keeps_what_was_thought_before_text_and_discards_the_rest() {
    let (keeps, discards) = (Resumed { discards_reasoning: false }, Resumed { discards_reasoning: true });
    let again = [Thought("lost"), discards.clone(), Thought("new"), Text("1"), Called(vec![7]), Failed];
    assert_eq!(parts(&again), [thought("new", Some(7)), Part::Text(0..1)]);
    let on = [Thought("a"), Text("1"), keeps, Text("2"), Called(vec![]), Failed];
    assert_eq!(parts(&on), [thought("a", None), Part::Text(0..2)]);
    let behind = [Thought("a"), Text("1"), Thought("lost"), discards, Thought("b"), Called(vec![7]), Failed];
    assert_eq!(parts(&behind), [thought("a", None), Part::Text(0..1), thought("b", Some(7))]);
}

#[test]
fn each_is_shown_what_was_said_before_it() {
    let mut records = Vec::new();
    push_tokens(&mut records, "a", &[1]);
    push_reasoning(&mut records, "hm");
    push_tokens(&mut records, "b", &[2]);
    let mut seen = Vec::new();
    fold_each(&records, |record, before| seen.push((record.kind, before.text.len()))).unwrap();
    assert_eq!(seen, [(Kind::Chunk, 0), (Kind::Reasoning, 1), (Kind::Chunk, 1)]);
}

fn any_content() -> impl Strategy<Value = Content> {
    let part = prop_oneof![
        2 => "[aä€\0]{1,5}".prop_map(|text| (text, None)),
        2 => ("[aä€\0]{0,5}", proptest::option::of(any::<u32>()))
            .prop_map(|(text, duration)| (text, Some(duration.map(u64::from)))),
    ];
    proptest::collection::vec(part, 0..8).prop_map(|parts| {
        let mut content = Content::default();
        for (text, duration) in parts {
            let Some(duration_ms) = duration else {
                content.push_text(&text);
                continue;
            };
            content.push_reasoning(&text, true);
            if let Some(Part::Reasoning(reasoning)) = content.parts.last_mut() {
                reasoning.duration_ms = duration_ms;
            }
        }
        content
    })
}

proptest! {
    /// A continued answer begins with all that the earlier one had, and its own calls change nothing of that.
    #[test]
    fn to_unfold_is_the_inverse(content in any_content(), more in "[a-c]{0,3}") {
        let mut records = Vec::new();
        let events = unfold(&mut records, &content);
        let span = check(&records, Cursor::BEGINNING);
        prop_assert!(span.is_whole && span.next_seq() == events + 1, "no record without a seq stands last");
        prop_assert_eq!(&fold(&records).unwrap().content, &content);

        let mut expected = content;
        if !more.is_empty() {
            push_reasoning(&mut records, &more);
            expected.push_reasoning(&more, true);
            if let Some(Part::Reasoning(reasoning)) = expected.parts.last_mut() {
                reasoning.duration_ms = Some(7);
            }
        }
        records.extend_from_slice(&log(&[Called(vec![7; usize::from(!more.is_empty())]), Failed]));
        prop_assert_eq!(fold(&records).unwrap().content, expected);
    }

    /// However what was said and thought is cut into events.
    #[test]
    fn cuts_do_not_matter(cuts in proptest::collection::vec((any::<bool>(), "[aä€]{1,3}"), 0..12)) {
        let (mut cut, mut joined) = (Vec::new(), Vec::new());
        for part in cuts.chunk_by(|one, next| one.0 == next.0) {
            let mut whole = String::new();
            for (is_text, piece) in part {
                if *is_text { push_chunk(&mut cut, piece) } else { push_reasoning(&mut cut, piece) }
                whole.push_str(piece);
            }
            if part[0].0 { push_chunk(&mut joined, &whole) } else { push_reasoning(&mut joined, &whole) }
        }
        prop_assert_eq!(fold(&cut).unwrap().content, fold(&joined).unwrap().content);
    }

    #[test]
    fn any_bytes_are_folded_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = fold(&bytes);
    }
}
