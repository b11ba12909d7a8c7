//! Streams that are open, and what each of them rests on.
//!
//! A request is checked once, when it comes; its stream may go on for a quarter of an hour. In that time its session
//! may be ended, its user disabled, its conversation deleted, here or in another process. So every stream has a
//! [`Watch`] by which it learns of that.
//!
//! **Invariant:** what is ended here is known to its streams at once; what is ended elsewhere, once somebody has
//! looked again ([`Auth::look_again`](crate::Auth::look_again)).

use std::{
    collections::{BTreeSet, HashMap},
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures::task::AtomicWaker;
use parking_lot::Mutex;
use r1_domain::{
    access::Access,
    id::{GenerationId, SessionId, UserId},
};

/// Ids of a kind that are looked up in one question to the database.
const AT_A_TIME: usize = 500;

#[derive(Debug)]
struct Watched {
    session: SessionId,
    user: UserId,
    generation: GenerationId,
    over: AtomicBool,
    waker: AtomicWaker,
}

/// All streams of this process.
#[derive(Debug, Default)]
pub(crate) struct Watches(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    watched: HashMap<u64, Arc<Watched>>,
}

impl Watches {
    pub(crate) fn add(self: &Arc<Self>, session: SessionId, user: UserId, generation: GenerationId) -> Watch {
        let watched =
            Arc::new(Watched { session, user, generation, over: AtomicBool::new(false), waker: AtomicWaker::new() });
        let mut state = self.0.lock();
        state.next += 1;
        let number = state.next;
        state.watched.insert(number, watched.clone());
        Watch { number, watched, all: self.clone() }
    }

    pub(crate) fn end_session(&self, id: SessionId) {
        self.end(|watched| watched.session == id);
    }

    pub(crate) fn end_user(&self, id: UserId) {
        self.end(|watched| watched.user == id);
    }

    pub(crate) fn end_generation(&self, id: GenerationId) {
        self.end(|watched| watched.generation == id);
    }

    fn end(&self, which: impl Fn(&Watched) -> bool) {
        for watched in self.0.lock().watched.values().filter(|watched| which(watched)) {
            watched.over.store(true, Ordering::Release);
            watched.waker.wake();
        }
    }

    /// What all streams rest on, and these users beside them, in questions of a bounded size.
    pub(crate) fn questions(&self, users: &[UserId]) -> Vec<Access> {
        let (mut sessions, mut generations) = (BTreeSet::new(), BTreeSet::new());
        let mut users: BTreeSet<UserId> = users.iter().copied().collect();
        for watched in self.0.lock().watched.values() {
            sessions.insert(watched.session);
            users.insert(watched.user);
            generations.insert(watched.generation);
        }
        let (sessions, users, generations) = (slices(sessions), slices(users), slices(generations));
        let count = sessions.len().max(users.len()).max(generations.len());
        let (mut sessions, mut users, mut generations) =
            (sessions.into_iter(), users.into_iter(), generations.into_iter());
        let question = |_| Access {
            sessions: sessions.next().unwrap_or_default(),
            users: users.next().unwrap_or_default(),
            generations: generations.next().unwrap_or_default(),
        };
        (0..count).map(question).collect()
    }
}

fn slices<T: Copy>(ids: BTreeSet<T>) -> Vec<Vec<T>> {
    let ids: Vec<T> = ids.into_iter().collect();
    ids.chunks(AT_A_TIME).map(<[T]>::to_vec).collect()
}

/// How one stream learns that its access is over.
#[derive(Debug)]
pub struct Watch {
    number: u64,
    watched: Arc<Watched>,
    all: Arc<Watches>,
}

impl Watch {
    /// Ready once access is over. For one task: the last that asked is woken.
    pub fn poll_over(&self, context: &Context<'_>) -> Poll<()> {
        if self.is_over() {
            return Poll::Ready(());
        }
        self.watched.waker.register(context.waker());
        // It may have ended in between.
        if self.is_over() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Completes once access is over.
    pub async fn over(&self) {
        poll_fn(|context| self.poll_over(context)).await;
    }

    /// Whether access is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.watched.over.load(Ordering::Acquire)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.all.0.lock().watched.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use r1_domain::time::Timestamp;

    use super::*;

    type Ids = (SessionId, UserId, GenerationId);

    fn ids(number: i64) -> Ids {
        let at = Timestamp::from_micros(number * 1000);
        (SessionId::new(at), UserId::new(at), GenerationId::new(at))
    }

    #[tokio::test]
    async fn what_ends_is_known_to_its_streams_and_to_no_others() {
        let watches = Arc::<Watches>::default();
        let ends: [fn(&Watches, Ids); 3] = [
            |watches, ids| watches.end_session(ids.0),
            |watches, ids| watches.end_user(ids.1),
            |watches, ids| watches.end_generation(ids.2),
        ];
        for (number, end) in ends.into_iter().enumerate() {
            let mine = ids(2 * i64::try_from(number).unwrap());
            let other = ids(2 * i64::try_from(number).unwrap() + 1);
            let first = watches.add(mine.0, mine.1, mine.2);
            let second = watches.add(mine.0, mine.1, mine.2);
            let stays = watches.add(other.0, other.1, other.2);
            let ((), ()) = tokio::join!(first.over(), async {
                tokio::task::yield_now().await;
                end(&watches, mine);
            });
            assert!(second.is_over() && !stays.is_over(), "{number}");
        }
        assert!(watches.0.lock().watched.is_empty(), "nobody watches any more");
    }

    #[test]
    fn questions_name_each_once_and_are_bounded() {
        let watches = Arc::<Watches>::default();
        assert_eq!(watches.questions(&[]), []);
        let user = ids(1).1;
        assert_eq!(watches.questions(&[user, user]), [Access { users: vec![user], ..Access::default() }]);
        let kept: Vec<Watch> = (0..1200)
            .map(|number| {
                let (session, _, generation) = ids(number);
                watches.add(session, user, generation)
            })
            .collect();
        let questions = watches.questions(&[user]);
        let sizes: Vec<_> = questions.iter().map(|of| (of.sessions.len(), of.users.len())).collect();
        assert_eq!(sizes, [(500, 1), (500, 0), (200, 0)]);
        drop(kept);
    }
}
