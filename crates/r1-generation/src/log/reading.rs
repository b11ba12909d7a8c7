//! A log from its readers' side: finding a cursor, taking what is there, waiting for more.
//!
//! **Invariant (readers pull):** a reader's slot holds a waker and nothing else. It is filled under
//! the lock under which `publish` empties it, so no wake-up is missed.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use r1_domain::{
    cursor::Cursor,
    fold::{Folded, fold},
    log::{DamagedLog, Position, Records},
};

use slab::Slab;

use super::{INDEX_EVERY, Log, LogState, Phase, encode};

/// At most this many bytes of records become frames at a time: a reader in replay gets slices, not
/// one huge buffer. Frames of short chunks are some twenty times as large.
pub(super) const SLICE: usize = 4096;
/// More bytes of records than this are not added up on the runtime's threads.
const FOLD_HERE: usize = 64 * 1024;
/// What a reader finds.
pub(crate) enum Found {
    /// Frames, and where the reader is after them.
    Frames(Bytes, Position),
    /// The terminal event was the last it got.
    End,
    /// The stream can't go on here; the reader shall come back.
    ComeBack,
}

impl Log {
    /// The position just after `cursor`; none if no visible event has exactly this cursor.
    pub(crate) fn position_after(&self, cursor: Cursor) -> Result<Option<Position>, DamagedLog> {
        if cursor == Cursor::BEGINNING {
            return Ok(Some(Position::START));
        }
        let state = self.state.lock();
        if cursor.seq > state.visible.cursor.seq {
            return Ok(None);
        }
        let nearest = usize::try_from(cursor.seq / INDEX_EVERY).unwrap_or(usize::MAX).min(state.index.len() - 1);
        let mut position = state.index[nearest];
        let mut records = Records::new(&state.records[..state.visible.offset], position);
        while position.cursor.seq < cursor.seq && records.next_record()?.is_some() {
            position = records.position();
        }
        Ok((position.cursor == cursor).then_some(position))
    }

    /// Whether a reader at `position` has had the terminal event.
    pub(crate) fn ends_at(&self, position: Position) -> bool {
        let state = self.state.lock();
        state.phase == Phase::Ended && position.offset == state.visible.offset
    }

    /// Makes a slot for a reader.
    pub(crate) fn join(&self) -> usize {
        self.state.lock().waiting.insert(None)
    }

    /// Gives the slot back.
    pub(crate) fn leave(&self, slot: usize) {
        let mut state = self.state.lock();
        state.waiting.try_remove(slot);
        if state.waiting.is_empty() {
            // What thousands of readers needed is not kept for none.
            state.waiting = Slab::new();
        }
    }

    /// What there is for a reader at `position`; registers it to be woken if there is nothing.
    pub(crate) fn poll_read(
        &self,
        slot: usize,
        position: Position,
        stall_limit: Duration,
        context: &Context<'_>,
    ) -> Poll<Found> {
        let mut state = self.state.lock();
        if position.offset == state.visible.offset {
            match state.phase {
                Phase::Ended => return Poll::Ready(Found::End),
                Phase::Abandoned => return Poll::Ready(Found::ComeBack),
                Phase::Open | Phase::Ending => {}
            }
            if state.sends_away(stall_limit) {
                return Poll::Ready(Found::ComeBack);
            }
            if let Some(waiting) = state.waiting.get_mut(slot) {
                match waiting {
                    Some(waker) if waker.will_wake(context.waker()) => {}
                    _ => *waiting = Some(context.waker().clone()),
                }
            }
            return Poll::Pending;
        }
        if let Some(newest) = state.newest_frames.as_ref().filter(|newest| newest.from == position.offset) {
            return Poll::Ready(Found::Frames(newest.frames.clone(), newest.to));
        }
        let end = state.slice_end(position);
        let records = state.records[position.offset..end.offset].to_vec();
        drop(state);
        Poll::Ready(Found::Frames(Bytes::from(encode(self.id, &records, position.cursor)), end))
    }

    /// Adds up what is visible.
    pub(crate) async fn fold(&self) -> Result<Folded, DamagedLog> {
        let visible = {
            let state = self.state.lock();
            state.records[..state.visible.offset].to_vec()
        };
        fold_aside(visible).await
    }

    /// Adds up all of it, visible or not: what the message will say.
    pub(crate) async fn fold_whole(&self) -> Result<Folded, DamagedLog> {
        let records = self.state.lock().records.clone();
        fold_aside(records).await
    }
}

/// Adds records up; many of them on a thread where that holds nobody up.
async fn fold_aside(records: Vec<u8>) -> Result<Folded, DamagedLog> {
    if records.len() <= FOLD_HERE {
        return fold(&records);
    }
    let damaged = |_| DamagedLog { offset: 0 };
    tokio::task::spawn_blocking(move || fold(&records)).await.map_err(damaged)?
}

impl LogState {
    /// The end of a slice of about [`SLICE`] bytes of visible records.
    fn slice_end(&self, from: Position) -> Position {
        if self.visible.offset - from.offset <= SLICE {
            return self.visible;
        }
        self.walk(from, SLICE, self.visible)
    }
}
