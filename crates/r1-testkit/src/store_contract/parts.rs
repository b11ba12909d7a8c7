//! What a message consists of beside its text.

use anyhow::Context;
use r1_domain::{
    fold::{fold, unfold},
    id::GenerationId,
    log,
    part::{Content, Part, Reasoning},
    store::{LogAppend, NewGeneration, NewTurn, Purpose, TurnOutcome},
    time::Timestamp,
};

use super::{
    ALL, SharedStore, answer, append, at, begin, ending, failing, key, log_of, new_turn, next_turn, start_record,
    stored, user,
};

/// Thought, said, thought: with what a column may not like.
fn content() -> Content {
    let mut content = Content::default();
    content.push_reasoning("Hm\0\u{1}\n\"ä\"", false);
    content.push_text("half \0ä");
    content.push_reasoning("so", false);
    if let Some(Part::Reasoning(Reasoning { duration_ms, .. })) = content.parts.first_mut() {
        *duration_ms = Some(4200);
    }
    content
}

/// Ends the answer of a turn, whose log has nothing but its first records, with this content.
async fn ends_with(store: &SharedStore, turn: &NewTurn, content: &Content, now: Timestamp) -> anyhow::Result<()> {
    let first = log::check(&turn.start, r1_domain::cursor::Cursor::BEGINNING).next_seq();
    let mut records = Vec::new();
    let events = unfold(&mut records, content);
    let mut end = failing(turn, first + events, "", first, &records, now);
    end.terminal.as_mut().context("an end")?.content = content.clone();
    let said = LogAppend { records: records.into(), ..append(turn.generation_id, 1, first, &[]) };
    stored(store, vec![said, end]).await
}

/// In the commit that ends the answer; a message of text alone has none.
pub async fn parts_are_stored_with_the_end(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let turn = new_turn(owner, "One", at(1));
    begin(&store, &turn).await?;
    assert_eq!(store.message_get(owner, turn.answer_id).await?.parts, []);
    ends_with(&store, &turn, &content(), at(2)).await?;
    let plain = next_turn(owner, turn.conversation_id, None, "Two", at(3));
    begin(&store, &plain).await?;
    answer(&store, &plain, "text alone", at(4)).await?;

    let message = store.message_get(owner, turn.answer_id).await?;
    let listed = store.message_list(owner, turn.conversation_id, ALL).await?.items;
    assert_eq!(listed[1], message);
    assert_eq!(message.into_content(), content());
    assert!([0, 2, 3].iter().all(|place| listed[*place].parts.is_empty()), "{listed:?}");
    let history = store.history(owner, plain.answer_id, 1000).await?;
    let said: Vec<_> = history.turns.iter().map(|past| past.turn.content.as_str()).collect();
    assert_eq!(said, ["One", "half \0ä", "Two"], "nothing that was thought is given to a model");
    Ok(())
}

/// They stay while the message is gone on with, and each generation's retired log has its own.
pub async fn parts_of_a_continued_answer(store: SharedStore) -> anyhow::Result<()> {
    let owner = user(&store, "demo").await?;
    let turn = new_turn(owner, "One", at(1));
    begin(&store, &turn).await?;
    let mut half = content();
    half.discard_reasoning();
    ends_with(&store, &turn, &half, at(2)).await?;

    let generation_id = GenerationId::new(at(3));
    let request = r1_domain::generation::GenerationRequest { given_bytes: half.text.len(), ..turn.request.clone() };
    let mut start = start_record(turn.conversation_id, generation_id, turn.answer_id, &request.model).to_vec();
    unfold(&mut start, &half);
    let new = NewGeneration {
        owner,
        earlier: turn.generation_id,
        purpose: Purpose::Continue,
        generation_id,
        request: request.clone(),
        node_id: turn.node_id,
        grammar: log::GRAMMAR,
        start: start.clone().into(),
        idempotency: Some(key("again", 1)),
        most_running: None,
        now: at(3),
    };
    assert_eq!(store.generation_begin(new).await?, TurnOutcome::Accepted);
    let continued = NewTurn { generation_id, request, start: start.into(), ..turn.clone() };
    assert_eq!(store.message_get(owner, turn.answer_id).await?.into_content(), half, "while it runs");
    assert_eq!(fold(&log_of(&store, &continued).await?)?.content, half);

    let mut more = Content::default();
    more.push_reasoning("more", false);
    more.push_text("whole");
    let mut whole = half.clone();
    whole.push_reasoning("more", true);
    whole.push_text("whole");
    let mut records = Vec::new();
    let first = log::check(&continued.start, r1_domain::cursor::Cursor::BEGINNING).next_seq();
    let events = unfold(&mut records, &more);
    let mut end = ending(&continued, first + events, "", first, &records, at(4));
    end.terminal.as_mut().context("an end")?.content = whole.clone();
    let said = LogAppend { records: records.into(), ..append(generation_id, 1, first, &[]) };
    stored(&store, vec![said, end]).await?;
    assert_eq!(fold(&log_of(&store, &continued).await?)?.content, whole);
    assert_eq!(store.message_get(owner, turn.answer_id).await?.into_content(), whole);

    let never = Timestamp::from_micros(0);
    assert_eq!(store.purge(at(9), never, never, 10).await?, 2);
    for (turn, content) in [(&turn, &half), (&continued, &whole)] {
        let log = store.log_read(owner, turn.generation_id).await?;
        assert_eq!((log.records, &log.content), (None, content));
    }
    Ok(())
}

/// What was thought counts as what was said does.
pub async fn a_page_of_messages_counts_parts(store: SharedStore) -> anyhow::Result<()> {
    const MIB: usize = 1 << 20;
    let owner = user(&store, "demo").await?;
    let mut turn = new_turn(owner, "q", at(0));
    let conversation = turn.conversation_id;
    for i in 1..4 {
        begin(&store, &turn).await?;
        let mut content = Content::default();
        content.push_reasoning(&"ä".repeat(MIB / 4), false);
        content.push_text("so");
        ends_with(&store, &turn, &content, at(i)).await?;
        turn = next_turn(owner, conversation, None, "q", at(i));
    }
    let (mut request, mut pages) = (ALL, Vec::new());
    loop {
        let page = store.message_list(owner, conversation, request).await?;
        assert!(page.items.iter().all(|message| message.content.len() == 1 || message.parts.len() == 2));
        pages.push(page.items.len());
        request.after = page.next;
        if request.after.is_none() {
            break;
        }
    }
    assert_eq!(pages, [3, 2, 1]);
    Ok(())
}
