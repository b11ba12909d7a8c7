//! One generation's log in memory: written by its run, committed by the writer, read by cursors.
//!
//! All records stand in one buffer. Up to `visible` they are in storage, and readers may have
//! them; behind it they wait for the writer. Where readers keep up, the frames of the newest
//! commit are encoded once and shared; a reader that is further behind encodes what it needs from
//! the records, which gives the same bytes.
//!
//! **Invariant (durable, then visible):** `visible` moves only over what is stored: in [`Log::publish`], which the
//! writer calls after its commit, in [`Log::accepted`], after the commit that accepts the question, and in
//! [`Log::stored`] and [`Log::extend`], which are given what storage has.

mod appending;
mod following;
mod reading;
#[cfg(test)]
mod tests;

use std::{sync::Arc, task::Waker, time::Duration};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use r1_domain::{
    cursor::Cursor,
    event::Event,
    fold::unfold,
    frame,
    id::{GenerationId, UserId},
    log::{DamagedLog, Position, Records, check_each, push},
    part::Content,
    store::{Fold, LogAppend, Terminal},
};
use slab::Slab;
use tokio::{sync::Notify, time::Instant};

pub(crate) use appending::Refused;
pub(crate) use reading::Found;
use reading::SLICE;

/// A position is remembered for every this many events, so that a cursor is found without a walk
/// through the whole log.
const INDEX_EVERY: u64 = 256;
/// At most this many bytes of one log go into one commit.
const TAKE: usize = 256 * 1024;
/// Records of at most this many bytes share a buffer with those of other logs.
const SHARED: usize = 4 * 1024;
/// A fold into the generation's own rows is due when this many bytes have gathered since the last one, or this much
/// time has gone.
const FOLD_BYTES: usize = 256 * 1024;
const FOLD_AFTER: Duration = Duration::from_secs(30);

/// A generation's log, shared by its run, the writer and its readers.
pub(crate) struct Log {
    id: GenerationId,
    owner: UserId,
    state: Mutex<LogState>,
    /// Something was published, or the log was let go: for those who wait for either.
    moved: Notify,
}

struct LogState {
    records: Vec<u8>,
    /// The newest event in `records`.
    head: Cursor,
    /// Readers may go so far.
    visible: Position,
    /// `index[i]` is the position after event `i * INDEX_EVERY`.
    index: Vec<Position>,
    /// Where the next fold begins, and since when.
    folded: Position,
    folded_at: Instant,
    /// What goes into storage with the terminal event, until it is there.
    terminal: Option<Terminal>,
    phase: Phase,
    /// Whether the writer knows that there is something to take, or has it in hand.
    queued: bool,
    /// Since when a commit fails.
    stalled: Option<Instant>,
    /// What was written may be lost, and was dropped: nobody waits for the end here.
    failed: bool,
    newest_frames: Option<NewestFrames>,
    /// One slot per reader; filled while it waits.
    waiting: Slab<Option<Waker>>,
}

/// What can still happen to a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// More may be appended.
    Open,
    /// The terminal event is appended, not yet stored.
    Ending,
    /// The terminal event is visible.
    Ended,
    /// This process has no more to do with it; readers shall come back.
    Abandoned,
}

/// The frames of the newest commit, for the readers that were up to date before it.
struct NewestFrames {
    from: usize,
    to: Position,
    frames: Bytes,
}

/// What the writer took: to be committed, then published.
pub(crate) struct Taken {
    pub(crate) append: LogAppend,
    from: Position,
    to: Position,
}

impl Taken {
    /// How much a commit with it writes, about.
    pub(crate) fn bytes(&self) -> usize {
        let fold = self.append.fold.as_ref().map_or(0, |fold| fold.records.len());
        let content = self.append.terminal.as_ref().map_or(0, |terminal| terminal.content.bytes());
        self.append.records.len() + fold + content
    }
}

impl Log {
    /// The log of a new generation: `start`, and what the message says already where it goes on with
    /// one. Not visible yet.
    pub(crate) fn new(id: GenerationId, owner: UserId, start: &Event, given: Option<&Content>) -> Self {
        let mut records = Vec::with_capacity(512 + given.map_or(0, Content::bytes));
        push(&mut records, start);
        let given = given.map_or(0, |given| unfold(&mut records, given));
        let head = Cursor { epoch: 1, seq: 1 + given };
        Self::with(id, owner, records, head, Position::START, Phase::Open)
    }

    /// The log of a generation that is read from storage: all of it visible.
    pub(crate) fn stored(id: GenerationId, owner: UserId, records: Vec<u8>) -> Result<Self, DamagedLog> {
        let mut index = vec![Position::START];
        let span = check_each(&records, Position::START.cursor, |position| index_at(&mut index, position)).whole()?;
        let phase = if span.is_ended() { Phase::Ended } else { Phase::Open };
        let log = Self::with(id, owner, records, span.end.cursor, span.end, phase);
        log.state.lock().index = index;
        Ok(log)
    }

    fn with(id: GenerationId, owner: UserId, records: Vec<u8>, head: Cursor, visible: Position, phase: Phase) -> Self {
        let state = LogState {
            // What it begins with, or all that came from storage, is in the generation's own row already.
            folded: Position { offset: records.len(), cursor: head },
            records,
            head,
            visible,
            index: vec![Position::START],
            folded_at: Instant::now(),
            terminal: None,
            phase,
            queued: false,
            stalled: None,
            failed: false,
            newest_frames: None,
            waiting: Slab::new(),
        };
        Self { id, owner, state: Mutex::new(state), moved: Notify::new() }
    }

    pub(crate) fn id(&self) -> GenerationId {
        self.id
    }

    pub(crate) fn owner(&self) -> UserId {
        self.owner
    }

    /// The records that it begins with, for the commit that accepts the generation.
    pub(crate) fn start_records(&self) -> Bytes {
        Bytes::copy_from_slice(&self.state.lock().records)
    }

    /// Makes all that is in `records` visible: it came into storage by another commit than the
    /// writer's (the one that accepted the generation).
    pub(crate) fn accepted(&self) {
        let mut state = self.state.lock();
        state.visible = Position { offset: state.records.len(), cursor: state.head };
        // Storage may have hung until now.
        state.stalled = None;
        wake(state);
    }

    /// Drops all that is not visible, after a commit of which nobody knows whether the disk has it, and
    /// ends the log there. Readers are sent away. The log stays queued.
    pub(crate) fn fail(&self, terminal: Terminal) {
        let mut state = self.state.lock();
        if matches!(state.phase, Phase::Ended | Phase::Abandoned) {
            return;
        }
        let (visible, epoch) = (state.visible, state.head.epoch);
        state.records.truncate(visible.offset);
        state.head = visible.cursor;
        state.index.retain(|position| position.offset <= visible.offset);
        state.failed = true;
        if epoch > visible.cursor.epoch {
            // The take-over is stored, its entry is not: what comes next must be of its epoch.
            state.resume(self.id, epoch, false);
        }
        state.end(terminal);
        wake(state);
        self.moved.notify_waiters();
    }

    /// Waits until the backlog is at most `bytes`, or nothing will ever be taken again.
    pub(crate) async fn backlog_below(&self, bytes: usize) {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            {
                let state = self.state.lock();
                if state.records.len() - state.visible.offset <= bytes || state.phase == Phase::Abandoned {
                    return;
                }
            }
            moved.await;
        }
    }

    /// Waits for the terminal event to be stored, or for the end of hope that it will be here and
    /// now: the log was let go, or storage has failed for `stall_limit`.
    pub(crate) async fn wait_closed(&self, stall_limit: Duration) {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            {
                let state = self.state.lock();
                if matches!(state.phase, Phase::Ended | Phase::Abandoned) || state.sends_away(stall_limit) {
                    return;
                }
            }
            moved.await;
        }
    }

    /// What the writer shall commit next. The log stays queued until [`Log::publish`] or, if this
    /// gives nothing, until now: so nothing is taken twice. A few records are copied into `buffer` and
    /// split off it: those of one commit share an allocation, which is used again for the next.
    pub(crate) fn take(&self, buffer: &mut BytesMut) -> Option<Taken> {
        let mut state = self.state.lock();
        let from = state.visible;
        let Some(to) = state.take_to() else {
            state.queued = false;
            return None;
        };
        let records = &state.records[from.offset..to.offset];
        let records = if records.len() <= SHARED {
            buffer.extend_from_slice(records);
            buffer.split().freeze()
        } else {
            Bytes::copy_from_slice(records)
        };
        let whole = to.offset == state.records.len();
        let terminal = if whole { state.terminal.clone() } else { None };
        let due = to.offset - state.folded.offset >= FOLD_BYTES || state.folded_at.elapsed() >= FOLD_AFTER;
        let fold = (terminal.is_some() || due).then(|| Fold {
            first_seq: state.folded.cursor.seq + 1,
            records: Bytes::copy_from_slice(&state.records[state.folded.offset..to.offset]),
        });
        let append = LogAppend {
            generation_id: self.id,
            epoch: to.cursor.epoch,
            first_seq: from.cursor.seq + 1,
            records,
            fold,
            terminal,
        };
        Some(Taken { append, from, to })
    }

    /// The commit with `taken` in it is done: shows it to the readers. True if there is more.
    pub(crate) fn publish(&self, taken: &Taken) -> bool {
        // Encoded outside the lock, once for all who wait. What is larger than a slice each reader
        // takes in slices of its own.
        let records = &taken.append.records;
        let wanted = records.len() <= SLICE && !self.state.lock().waiting.is_empty();
        let frames = wanted.then(|| encode(self.id, records, taken.from.cursor));
        let mut state = self.state.lock();
        state.newest_frames =
            frames.map(|frames| NewestFrames { from: taken.from.offset, to: taken.to, frames: Bytes::from(frames) });
        state.visible = taken.to;
        state.stalled = None;
        state.failed = false;
        if taken.append.fold.is_some() {
            state.folded = taken.to;
            state.folded_at = Instant::now();
        }
        if taken.append.terminal.is_some() {
            state.phase = Phase::Ended;
            state.terminal = None;
        }
        let more = state.records.len() > state.visible.offset;
        state.queued = more;
        wake(state);
        self.moved.notify_waiters();
        more
    }

    /// A commit failed, or hangs, since then. What was taken is still there and will be taken again:
    /// the log stays queued. Readers are sent away once that has lasted for `limit`.
    pub(crate) fn stall(&self, since: Instant, limit: Duration) {
        let mut state = self.state.lock();
        if state.records.len() == state.visible.offset {
            return;
        }
        state.stalled.get_or_insert(since);
        if state.sends_away(limit) {
            wake(state);
            self.moved.notify_waiters();
        }
    }

    /// This process has nothing more to do with the log: readers shall come back, here or elsewhere.
    pub(crate) fn abandon(&self) {
        let mut state = self.state.lock();
        if state.phase != Phase::Ended {
            state.phase = Phase::Abandoned;
        }
        wake(state);
        self.moved.notify_waiters();
    }

    /// Whether the terminal event is stored, or another process has the log.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.state.lock().phase, Phase::Ended | Phase::Abandoned)
    }

    /// Whether this process has nothing more to do with it.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.state.lock().phase == Phase::Abandoned
    }

    /// The newest event, visible or not.
    pub(crate) fn head(&self) -> Cursor {
        self.state.lock().head
    }
}

impl LogState {
    /// After a push: counts the event and says whether the writer must be told.
    fn advance(&mut self) -> bool {
        self.head.seq += 1;
        index_at(&mut self.index, Position { offset: self.records.len(), cursor: self.head });
        !std::mem::replace(&mut self.queued, true)
    }

    /// Appends a take-over. True if the writer must be told.
    fn resume(&mut self, generation_id: GenerationId, epoch: u32, discards_reasoning: bool) -> bool {
        push(&mut self.records, &Event::Resumed { generation_id, epoch, discards_reasoning });
        self.head.epoch = epoch;
        self.advance()
    }

    /// Appends the terminal event. True if the writer must be told.
    fn end(&mut self, terminal: Terminal) -> bool {
        push(&mut self.records, &terminal.event);
        self.phase = Phase::Ending;
        self.terminal = Some(terminal);
        self.advance()
    }

    /// Whether a reader that has all there is shall come back later.
    fn sends_away(&self, limit: Duration) -> bool {
        self.failed || self.stalled.is_some_and(|since| since.elapsed() >= limit)
    }

    /// Up to where the next commit goes: all of it, or as many whole records as [`TAKE`] holds.
    fn take_to(&self) -> Option<Position> {
        let end = Position { offset: self.records.len(), cursor: self.head };
        match end.offset - self.visible.offset {
            _ if self.phase == Phase::Abandoned => None,
            0 => None,
            pending if pending <= TAKE => Some(end),
            _ => Some(self.walk(self.visible, TAKE, end)),
        }
    }

    /// The position after the first records from `from` on that fill `bytes`, at most `end`.
    fn walk(&self, from: Position, bytes: usize, end: Position) -> Position {
        let mut records = Records::new(&self.records[..end.offset], from);
        // The records were checked when they came in, so there is no error to hand on: at the
        // worst the slice is longer.
        while records.position().offset - from.offset < bytes {
            if !matches!(records.next_record(), Ok(Some(_))) {
                return end;
            }
        }
        records.position()
    }
}

/// Remembers every [`INDEX_EVERY`]th position.
fn index_at(index: &mut Vec<Position>, position: Position) {
    if position.cursor.seq.is_multiple_of(INDEX_EVERY) {
        index.push(position);
    }
}

/// Wakes all who wait, after giving the lock back.
fn wake(mut state: parking_lot::MutexGuard<'_, LogState>) {
    let mut wakers = state.waiting.iter_mut().filter_map(|(_, waiting)| waiting.take());
    // Mostly there is one: no allocation for it.
    let first = wakers.next();
    let others: Vec<Waker> = wakers.collect();
    drop(state);
    for waker in first.into_iter().chain(others) {
        waker.wake();
    }
}

/// The frames of `records`, which begin after `from`.
fn encode(id: GenerationId, records: &[u8], from: Cursor) -> Vec<u8> {
    let mut frames = Vec::with_capacity(records.len() * 2 + 128);
    let mut walk = Records::new(records, Position { offset: 0, cursor: from });
    while let Ok(Some(record)) = walk.next_record() {
        frame::encode(&mut frames, id, &record);
    }
    frames
}

/// A log on the shelf of its readers.
pub(crate) type SharedLog = Arc<Log>;
