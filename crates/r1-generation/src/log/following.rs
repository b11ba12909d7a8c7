//! A log that another node writes: what has been stored of it is added, and shown, here.

use std::time::Duration;

use bytes::Bytes;
use r1_domain::log::{DamagedLog, Position, check_each};
use tokio::time::Instant;

use super::{Log, NewestFrames, Phase, SLICE, encode, index_at, wake};

impl Log {
    /// Adds what another node has stored, and shows it: to a log that is followed here. False if it is
    /// not what comes next, because it is here already.
    pub(crate) fn extend(&self, first_seq: u64, records: &[u8]) -> Result<bool, DamagedLog> {
        let mut state = self.state.lock();
        if state.phase != Phase::Open || first_seq != state.head.seq + 1 {
            return Ok(false);
        }
        let from = state.visible;
        // All of it is looked at before any of it is shown.
        let mut index = Vec::new();
        let in_log = |position: Position| Position { offset: from.offset + position.offset, ..position };
        let span = check_each(records, from.cursor, |position| index_at(&mut index, in_log(position)));
        let to = in_log(span.end);
        if !span.is_whole || to.cursor.seq <= from.cursor.seq {
            return Err(DamagedLog { offset: to.offset });
        }
        state.records.extend_from_slice(records);
        state.index.extend(index);
        (state.head, state.visible, state.folded) = (to.cursor, to, to);
        state.stalled = None;
        if span.is_ended() {
            state.phase = Phase::Ended;
        }
        let wanted = records.len() <= SLICE && !state.waiting.is_empty();
        state.newest_frames = wanted.then(|| {
            let frames = Bytes::from(encode(self.id, records, from.cursor));
            NewestFrames { from: from.offset, to, frames }
        });
        wake(state);
        self.moved.notify_waiters();
        Ok(true)
    }

    /// Makes a log that was followed the one that its generation goes on with here: `records` is all that
    /// is stored.
    pub(crate) fn catch_up(&self, records: &[u8]) -> Result<(), DamagedLog> {
        let (known, next_seq) = {
            let state = self.state.lock();
            if !records.starts_with(&state.records) {
                return Err(DamagedLog { offset: state.records.len().min(records.len()) });
            }
            (state.records.len(), state.head.seq + 1)
        };
        let rest = records.get(known..).unwrap_or_default();
        if !rest.is_empty() {
            self.extend(next_seq, rest)?;
        }
        Ok(())
    }

    /// What other nodes have added to it can't be read since then. Readers are sent away once that has
    /// lasted for `limit`.
    pub(crate) fn unread(&self, since: Instant, limit: Duration) {
        let mut state = self.state.lock();
        state.stalled.get_or_insert(since);
        if state.sends_away(limit) {
            wake(state);
            self.moved.notify_waiters();
        }
    }
}
