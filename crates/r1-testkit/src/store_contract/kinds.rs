//! Logs in which a newer build has written what this one knows nothing of.

use bytes::Bytes;
use r1_domain::{
    event::Event,
    fold::fold,
    generation::State,
    id::NodeId,
    log::{self, GRAMMAR, OpenKind, PrivateKind},
    store::{AppendOutcome, Fold, LogAppend, NewTurn},
};

use super::{SharedStore, append, at, begin, chunks, ending, gone, joined, log_of, new_turn, records, stored, user};
use AppendOutcome::{Fenced, Stored};

/// The events of [`newer_records`], of which one is a chunk.
pub const NEWER_EVENTS: u64 = 5;

/// An event of a kind that nobody here knows.
fn other(number: u8, payload: &str) -> Option<Event> {
    OpenKind::new(number).map(|kind| Event::Other(kind, payload.to_owned()))
}

/// What a newer build may write: events and private records of kinds that nobody here knows, and a chunk.
#[must_use]
pub fn newer_records(text: &str) -> Bytes {
    let mut bytes = Vec::new();
    let arguments =
        Event::ToolArguments { call_id: "c-1".to_owned(), tool: "search".to_owned(), content: "{\"q\":".to_owned() };
    let events = [
        other(40, r#"{"type": "of_tomorrow", "parts": [1, {"x": "ä\n"}]}"#),
        Some(Event::Reasoning("Hm\n".to_owned())),
        Some(arguments),
        Some(Event::Chunk(text.to_owned())),
        other(127, r#"{"type": "of_the_day_after"}"#),
    ];
    for (number, event) in (20..).zip(events.iter().flatten()) {
        if let Some(kind) = PrivateKind::new(number) {
            log::push_private(&mut bytes, kind, &[number, 0xff, b'\n', 0]);
        }
        log::push(&mut bytes, event);
    }
    bytes.into()
}

fn newer(turn: &NewTurn, epoch: u32, first_seq: u64, text: &str) -> LogAppend {
    LogAppend { records: newer_records(text), ..append(turn.generation_id, epoch, first_seq, &[]) }
}

/// In every place where a log may stand, through a fold, a take-over and the end: byte for byte.
pub async fn what_nobody_knows_is_kept(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let dead = joined(&store, NodeId::new(at(0))).await?;
    let next = joined(&store, NodeId::new(at(1))).await?;
    let turn = NewTurn { node_id: dead, ..new_turn(owner, "One", at(1)) };
    begin(&store, &turn).await?;
    let id = turn.generation_id;
    let [first, second, third] = ["a", "b", "c"].map(newer_records);
    stored(&store, vec![newer(&turn, 1, 2, "a")]).await?;
    let fold_of = |first_seq, parts: &[&Bytes]| {
        Some(Fold { first_seq, records: parts.iter().flat_map(|part| part.iter().copied()).collect() })
    };
    let folding = LogAppend { fold: fold_of(2, &[&first, &second]), ..newer(&turn, 1, 2 + NEWER_EVENTS, "b") };
    stored(&store, vec![folding]).await?;
    stored(&store, vec![newer(&turn, 1, 2 + 2 * NEWER_EVENTS, "c")]).await?;
    let so_far = [&turn.start[..], &first, &second, &third].concat();
    assert_eq!(log_of(&store, &turn).await?, so_far);

    gone(&store, dead).await?;
    let orphans = store.generation_list_orphaned(next).await?;
    assert_eq!(orphans.len(), 1);
    assert_eq!(orphans[0].records.as_deref(), Some(&so_far[..]));
    assert!(store.generation_take_over(id, 1, next, GRAMMAR).await?);
    assert_eq!(log_of(&store, &turn).await?, so_far, "nothing was cut");
    let seq = 2 + 3 * NEWER_EVENTS;
    let resumed = [
        &records(&[Event::Resumed { generation_id: id, epoch: 2, discards_reasoning: false }])[..],
        &newer_records("d"),
    ]
    .concat();
    let goes_on = LogAppend { records: resumed.clone().into(), ..append(id, 2, seq, &[]) };
    let batch = vec![append(id, 1, seq, &["zombie"]), goes_on];
    assert_eq!(store.log_append(batch).await?, [Fenced, Stored]);
    let end = LogAppend { epoch: 2, ..ending(&turn, seq + 1 + NEWER_EVENTS, "abcd", seq, &resumed, at(4)) };
    let whole = [&so_far[..], &resumed, &end.records].concat();
    stored(&store, vec![end]).await?;
    assert_eq!(log_of(&store, &turn).await?, whole);
    let folded = fold(&whole)?;
    assert_eq!((folded.content.text.as_str(), folded.last.epoch, folded.last.seq), ("abcd", 2, seq + 1 + NEWER_EVENTS));
    assert_eq!(store.generation_get(owner, id).await?.state, State::Completed);
    Ok(())
}

/// It would be nobody's, or be cut off by whoever takes over.
pub async fn what_has_no_seq_never_stands_last(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let turn = new_turn(owner, "One", at(1));
    begin(&store, &turn).await?;
    let id = turn.generation_id;
    let mut private = chunks(&["a"]).to_vec();
    if let Some(kind) = PrivateKind::new(18) {
        log::push_private(&mut private, kind, b"{}");
    }
    let mut epoch = chunks(&["a"]).to_vec();
    log::push_epoch(&mut epoch, 2);
    for last in [private.clone(), epoch, private.split_off(3)] {
        let refused = LogAppend { records: last.into(), ..append(id, 1, 2, &[]) };
        assert_eq!(store.log_append(vec![refused.clone()]).await?, [Fenced], "{refused:?}");
    }
    // Nor does an end without what ends with it, or the other way round.
    let end = ending(&turn, 2, "", 2, &[], at(2));
    for refused in [LogAppend { terminal: None, ..end.clone() }, LogAppend { records: chunks(&["a"]), ..end.clone() }] {
        assert_eq!(store.log_append(vec![refused.clone()]).await?, [Fenced], "{refused:?}");
    }
    assert_eq!(log_of(&store, &turn).await?, turn.start);
    stored(&store, vec![end]).await
}

/// Who doesn't know a log's grammar shows it, and leaves it to those who do.
pub async fn a_newer_grammar_is_left_alone(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let dead = joined(&store, NodeId::new(at(0))).await?;
    let next = joined(&store, NodeId::new(at(1))).await?;
    let turn = NewTurn { node_id: dead, grammar: GRAMMAR + 1, ..new_turn(owner, "One", at(1)) };
    let known = NewTurn { node_id: dead, grammar: GRAMMAR, ..new_turn(owner, "Two", at(2)) };
    for turn in [&turn, &known] {
        begin(&store, turn).await?;
        stored(&store, vec![newer(turn, 1, 2, "a")]).await?;
    }
    gone(&store, dead).await?;
    let mut orphans = store.generation_list_orphaned(next).await?;
    orphans.sort_by_key(|orphan| orphan.generation.created_at);
    assert_eq!(orphans.iter().map(|orphan| orphan.records.is_some()).collect::<Vec<_>>(), [false, true]);
    assert_eq!(orphans[0].generation, store.generation_get(owner, turn.generation_id).await?);
    assert_eq!((orphans[0].generation.grammar, orphans[1].generation.grammar), (GRAMMAR + 1, GRAMMAR));
    assert!(!store.generation_take_over(turn.generation_id, 1, next, GRAMMAR).await?);
    let left = store.log_read(owner, turn.generation_id).await?;
    assert_eq!((left.generation.epoch, left.generation.node_id, left.generation.state), (1, dead, State::Running));
    assert_eq!(left.records.as_deref(), Some(&[&turn.start[..], &newer_records("a")].concat()[..]));

    // Whoever goes on with it in a newer grammar says so in the same commit.
    assert!(store.generation_take_over(known.generation_id, 1, next, GRAMMAR + 1).await?);
    let taken = store.generation_get(owner, known.generation_id).await?;
    assert_eq!((taken.epoch, taken.grammar), (2, GRAMMAR + 1));
    assert!(!store.generation_take_over(known.generation_id, 2, next, GRAMMAR).await?, "from then on");
    Ok(())
}
