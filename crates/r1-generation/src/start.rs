//! How a log begins: a new one, and one that is made again after it was retired.

use r1_domain::{
    event::{Event, Start},
    fold::unfold,
    generation::{Generation, State},
    log::{Kind, push, push_epoch, push_terminal},
    store::StoredLog,
};

/// The first event of a generation.
pub(crate) fn start_event(generation: &Generation) -> Event {
    Event::Start(Start {
        conversation_id: generation.conversation_id,
        generation_id: generation.id,
        message_id: generation.message_id,
        model: generation.request.model.clone(),
    })
}

/// A stored log's records; those of a retired one are made again from what outlives it. They are
/// under an epoch that no reader has seen, so that no old cursor is mistaken for one of theirs.
pub(crate) fn whole_records(stored: &StoredLog) -> Vec<u8> {
    if let Some(records) = &stored.records {
        return records.to_vec();
    }
    let generation = &stored.generation;
    let mut records = Vec::with_capacity(stored.content.bytes() + 1024);
    push_epoch(&mut records, generation.epoch.saturating_add(1));
    push(&mut records, &start_event(generation));
    unfold(&mut records, &stored.content);
    if let Some(payload) = &stored.terminal_payload {
        let ended_well = matches!(generation.state, State::Completed | State::Stopped);
        push_terminal(&mut records, if ended_well { Kind::End } else { Kind::Error }, payload);
    }
    records
}
