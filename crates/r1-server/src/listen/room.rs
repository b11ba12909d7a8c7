//! Who has a place: a bounded number of connections, of which the ones without a request leave first.
//!
//! A stranger's connection costs as long as it is open, whether it asks anything or not. So there is a bound on
//! how many are open, and one on the bytes that those hold which have no whole request yet. Where either is
//! reached, the connection that has been without one for the longest, or has left its body half sent, is asked to
//! leave: whoever comes with a real request has sent it within moments, and an answer that is being given is never
//! cut for a newcomer.
//!
//! **Invariant:** at most `connections` seats are taken, and those without a request account for at most
//! `header_bytes`. The last seats are for newcomers: an answer that would take one of them is refused, so that
//! whoever asks for the server's health always gets in.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::Capacity;

/// Who was asked to leave has left by then, as a rule: else the next one is asked.
const LEAVING: Duration = Duration::from_millis(50);

/// The seats of an acceptor.
#[derive(Debug)]
pub(crate) struct Room {
    capacity: Capacity,
    places: Arc<Semaphore>,
    state: Mutex<State>,
    asked_to_leave: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// The order of the next that has no request.
    next: u64,
    /// Those without a whole request, by how long they have been.
    idle: BTreeMap<u64, Idle>,
    /// What those hold, together.
    held: usize,
    /// How many have a whole request.
    busy: usize,
}

#[derive(Debug)]
struct Idle {
    leave: Arc<Leave>,
    held: usize,
}

/// How a connection is told to leave.
#[derive(Debug, Default)]
struct Leave {
    asked: AtomicBool,
    wake: Notify,
}

impl State {
    fn add(&mut self, leave: Arc<Leave>, held: usize) -> u64 {
        self.next += 1;
        self.held += held;
        self.idle.insert(self.next, Idle { leave, held });
        self.next
    }

    fn remove(&mut self, order: u64) {
        if let Some(idle) = self.idle.remove(&order) {
            self.held -= idle.held;
        }
    }
}

impl Room {
    pub(super) fn new(capacity: Capacity) -> Self {
        Self {
            capacity,
            places: Arc::new(Semaphore::new(capacity.connections)),
            state: Mutex::default(),
            asked_to_leave: AtomicU64::new(0),
        }
    }

    /// A seat, as soon as there is one. Holds `held` bytes.
    pub(super) async fn enter(self: &Arc<Self>, held: usize) -> Seat {
        let place = loop {
            if let Ok(place) = self.places.clone().try_acquire_owned() {
                break place;
            }
            self.make_room();
            // The semaphore is never closed.
            if let Ok(Ok(place)) = tokio::time::timeout(LEAVING, self.places.clone().acquire_owned()).await {
                break place;
            }
        };
        let leave = Arc::<Leave>::default();
        let order = self.state.lock().add(leave.clone(), held);
        let seat = Seat {
            room: self.clone(),
            leave,
            order: AtomicU64::new(order),
            has_head: AtomicBool::new(false),
            has_body_left: AtomicBool::new(false),
            _place: place,
        };
        self.keep_within_bytes();
        seat
    }

    /// Asks the one that has been without a request for the longest to leave. False: there is none.
    pub(super) fn make_room(&self) -> bool {
        let asked = self.ask_oldest(&mut self.state.lock());
        asked.is_some()
    }

    fn keep_within_bytes(&self) {
        let mut state = self.state.lock();
        while state.held > self.capacity.header_bytes && self.ask_oldest(&mut state).is_some() {}
    }

    fn ask_oldest(&self, state: &mut State) -> Option<()> {
        let (_, idle) = state.idle.pop_first()?;
        state.held -= idle.held;
        idle.leave.asked.store(true, Ordering::Release);
        idle.leave.wake.notify_one();
        self.asked_to_leave.fetch_add(1, Ordering::Relaxed);
        Some(())
    }

    /// How many may be open.
    pub(crate) fn most(&self) -> usize {
        self.capacity.connections
    }

    /// How many were asked to leave so far, for want of room.
    pub(crate) fn asked_to_leave(&self) -> u64 {
        self.asked_to_leave.load(Ordering::Relaxed)
    }

    /// Seats that answers leave free.
    fn kept_free(&self) -> usize {
        (self.capacity.connections / 16).clamp(1, 64)
    }
}

/// A connection's place. Free again when this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    room: Arc<Room>,
    leave: Arc<Leave>,
    /// Its order among those without a whole request; 0 where it has one.
    order: AtomicU64,
    /// Whether it has the head of a request, and the answer has not been given.
    has_head: AtomicBool,
    /// Whether a request was answered without its body having been read to its end.
    has_body_left: AtomicBool,
    _place: OwnedSemaphorePermit,
}

impl Seat {
    /// Completes when this connection is to make room.
    pub(super) async fn asked_to_leave(&self) {
        while !self.leave.asked.load(Ordering::Acquire) {
            self.leave.wake.notified().await;
        }
    }

    /// Whether it has the head of a request that is not answered yet: what it reads then is counted elsewhere.
    pub(super) fn has_head(&self) -> bool {
        self.has_head.load(Ordering::Relaxed)
    }

    /// Whether some of a body stands in the way of what is said last.
    pub(super) fn has_body_left(&self) -> bool {
        self.has_body_left.load(Ordering::Relaxed)
    }

    /// It holds `bytes` now while it waits for its request; nothing happens where it has a whole one.
    pub(super) fn holds(&self, bytes: usize) {
        let order = self.order.load(Ordering::Relaxed);
        let mut state = self.room.state.lock();
        let Some(idle) = state.idle.get_mut(&order) else { return };
        let before = std::mem::replace(&mut idle.held, bytes);
        state.held = state.held - before + bytes;
        let over = state.held > self.room.capacity.header_bytes;
        drop(state);
        if over {
            self.room.keep_within_bytes();
        }
    }

    /// It has the head of a request. None: too many are being answered, and this one is not `vital`.
    pub(super) fn begin(self: &Arc<Self>, vital: bool) -> Option<Exchange> {
        let mut state = self.room.state.lock();
        if !vital && state.busy >= self.room.capacity.connections.saturating_sub(self.room.kept_free()) {
            return None;
        }
        // That was a step forward: it is not among the oldest any more.
        self.wait_again(&mut state);
        drop(state);
        self.has_head.store(true, Ordering::Relaxed);
        self.has_body_left.store(false, Ordering::Relaxed);
        Some(Exchange { seat: self.clone(), whole: AtomicBool::new(false) })
    }

    /// It is without a whole request from now on.
    fn wait_again(&self, state: &mut State) {
        state.remove(self.order.load(Ordering::Relaxed));
        let is_leaving = self.leave.asked.load(Ordering::Acquire);
        let order = if is_leaving { 0 } else { state.add(self.leave.clone(), super::connection::HTTP) };
        self.order.store(order, Ordering::Relaxed);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.room.state.lock().remove(self.order.load(Ordering::Relaxed));
    }
}

/// A request from its head to the last byte of its answer. When it is dropped, its connection has none again.
#[derive(Debug)]
pub(super) struct Exchange {
    seat: Arc<Seat>,
    whole: AtomicBool,
}

impl Exchange {
    /// Nobody reads the rest of the request's body.
    pub(super) fn leaves_body(&self) {
        self.seat.has_body_left.store(true, Ordering::Relaxed);
    }

    /// Whether its request was answered without its body having been read to its end.
    pub(super) fn has_body_left(&self) -> bool {
        self.seat.has_body_left()
    }

    /// The whole request is there, or its answer is. From now on it is not cut for anybody.
    pub(super) fn is_whole(&self) {
        let mut state = self.seat.room.state.lock();
        if !self.whole.swap(true, Ordering::Relaxed) {
            state.remove(self.seat.order.swap(0, Ordering::Relaxed));
            state.busy += 1;
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.seat.has_head.store(false, Ordering::Relaxed);
        let mut state = self.seat.room.state.lock();
        state.busy -= usize::from(*self.whole.get_mut());
        self.seat.wait_again(&mut state);
        drop(state);
        self.seat.room.keep_within_bytes();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn room(connections: usize, header_bytes: usize) -> Arc<Room> {
        Arc::new(Room::new(Capacity { connections, header_bytes }))
    }

    fn is_leaving(seat: &Seat) -> bool {
        seat.leave.asked.load(Ordering::Acquire)
    }

    #[tokio::test]
    async fn the_longest_without_a_request_leaves_first() {
        let room = room(3, 1 << 20);
        let [first, second, third] = [room.enter(1).await, room.enter(1).await, room.enter(1).await].map(Arc::new);
        // It has a request, and then none again: it is the newest of those.
        drop(first.begin(false).unwrap());
        let busy = third.begin(true).unwrap();
        busy.is_whole();
        let leaving = second.clone();
        let left = async {
            leaving.asked_to_leave().await;
            drop((leaving, second));
        };
        let (fourth, ()) = timeout(PATIENCE, async { tokio::join!(room.enter(1), left) }).await.unwrap();
        assert!(!is_leaving(&first) && !is_leaving(&third) && !is_leaving(&fourth));
        assert!(room.make_room() && is_leaving(&first), "the next");
        assert!(room.make_room() && is_leaving(&fourth));
        assert!(!room.make_room(), "an answer is not cut");
        drop(busy);
        assert!(room.make_room() && is_leaving(&third));
        assert_eq!(room.asked_to_leave(), 4);
    }

    #[tokio::test]
    async fn what_they_hold_is_bounded() {
        let room = room(10, 100_000);
        let first = Arc::new(room.enter(10_000).await);
        let second = Arc::new(room.enter(10_000).await);
        first.holds(60_000);
        assert!(!is_leaving(&first) && !is_leaving(&second));
        second.holds(50_000);
        assert!(is_leaving(&first) && !is_leaving(&second), "the older one");
        first.holds(90_000);
        assert_eq!(room.state.lock().held, 50_000, "one that leaves is not counted");
        let exchange = second.begin(false).unwrap();
        exchange.is_whole();
        second.holds(1 << 30);
        assert_eq!(room.state.lock().held, 0, "what a request holds is counted elsewhere");
        drop(exchange);
        assert!(!is_leaving(&second));
        drop(second);
        assert_eq!(room.state.lock().held, 0);
    }

    #[tokio::test]
    async fn answers_leave_seats_for_newcomers() {
        let room = room(16, 1 << 20);
        let mut answers = Vec::new();
        for _ in 0..15 {
            answers.push(Arc::new(room.enter(1).await).begin(false).unwrap());
            answers.last().unwrap().is_whole();
        }
        let newcomer = Arc::new(timeout(PATIENCE, room.enter(1)).await.unwrap());
        assert!(newcomer.begin(false).is_none());
        drop(newcomer.begin(true).unwrap());
        answers.pop();
        assert!(newcomer.begin(false).is_some());
    }

    #[tokio::test]
    async fn half_a_body_is_no_request() {
        let room = room(2, 1 << 20);
        let [half, whole] = [room.enter(1).await, room.enter(1).await].map(Arc::new);
        let (halfway, answered) = (half.begin(false).unwrap(), whole.begin(false).unwrap());
        assert!(half.has_head() && whole.has_head());
        answered.is_whole();
        assert!(room.make_room() && is_leaving(&half) && !is_leaving(&whole));
        assert!(!room.make_room());
        // Its body came in time after all.
        halfway.is_whole();
        drop((halfway, answered));
        assert_eq!(room.state.lock().busy, 0);
        assert!(!half.has_head());
        assert!(room.make_room() && is_leaving(&whole));
        assert!(!room.make_room(), "who leaves is asked once");
    }
}
