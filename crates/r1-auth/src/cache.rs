//! Sessions seen within the last seconds, so that not every request asks the database.
//!
//! **Invariant:** an entry is believed for [`TTL`] from the moment *before* the database was
//! asked, so a session that ended elsewhere is noticed within that time; a session that is ended
//! here is gone at once, and an answer of the database that was on its way meanwhile does not
//! bring it back (the ticket of [`SessionCache::get`] is stale then). It holds at most
//! `2 * capacity` sessions. What proves a session is kept as a digest only.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use r1_domain::{
    id::{SessionId, UserId},
    session::{Session, TokenHash},
    time::Timestamp,
};

/// How long the database's word is believed: what was let in by it is found to have ended within the rest of the
/// five seconds in which a sign-out is complete everywhere.
pub const TTL: Duration = Duration::from_secs(3);

/// How a request names its session: by the digest of what proves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionKey {
    /// An access token's. It is here once its signature was checked, so that this happens every few
    /// seconds and not for every request.
    Token(TokenHash),
    /// A cookie's.
    Cookie(TokenHash),
}

#[derive(Clone)]
struct Known {
    session: Arc<Session>,
    asked_at: Timestamp,
    /// From when on the token or the session is over.
    until: Timestamp,
}

/// Two halves: when the young one is full it becomes the old one and the old one is forgotten. An
/// entry lives for seconds only, so that is about first in, first out, at no cost per lookup.
#[derive(Default)]
struct Halves {
    young: HashMap<SessionKey, Known>,
    old: HashMap<SessionKey, Known>,
    /// Counts what was ended here.
    ended: u64,
}

/// Proof of when the database was asked.
#[derive(Debug, Clone, Copy)]
pub struct Ticket {
    ended: u64,
    asked_at: Timestamp,
}

/// The cache.
pub struct SessionCache {
    halves: Mutex<Halves>,
    capacity: usize,
}

impl std::fmt::Debug for SessionCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionCache").field("capacity", &self.capacity).finish_non_exhaustive()
    }
}

impl SessionCache {
    /// A cache whose halves hold `capacity` sessions each.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { halves: Mutex::default(), capacity: capacity.max(1) }
    }

    /// A session that is known to live, or the ticket with which to bring it.
    ///
    /// # Errors
    /// The ticket: ask the database now, then [`SessionCache::insert`].
    pub fn get(&self, key: SessionKey, now: Timestamp) -> Result<Arc<Session>, Ticket> {
        let mut halves = self.halves.lock();
        let halves = &mut *halves;
        let live = halves.young.get(&key).or_else(|| halves.old.get(&key)).filter(|known| {
            // An entry from the future: the clock was set back, so nothing is known.
            known.asked_at <= now && now < known.asked_at.plus(TTL) && now < known.until
        });
        match live {
            Some(known) => Ok(Arc::clone(&known.session)),
            None => Err(Ticket { ended: halves.ended, asked_at: now }),
        }
    }

    /// Keeps what the database said, unless something was ended here since it was asked. `until` is
    /// when what names the session is over, should that be before the session's end.
    pub fn insert(&self, key: SessionKey, session: Arc<Session>, until: Timestamp, ticket: Ticket) {
        let mut halves = self.halves.lock();
        if halves.ended != ticket.ended {
            return;
        }
        if halves.young.len() >= self.capacity && !halves.young.contains_key(&key) {
            halves.old = std::mem::take(&mut halves.young);
        }
        let until = until.min(session.expires_at);
        let known = Known { session, asked_at: ticket.asked_at, until };
        match halves.young.entry(key) {
            // Of two answers that crossed, the one asked for later is the fresher.
            Entry::Occupied(entry) if entry.get().asked_at > known.asked_at => {}
            Entry::Occupied(mut entry) => {
                entry.insert(known);
            }
            Entry::Vacant(entry) => {
                entry.insert(known);
            }
        }
    }

    /// Forgets a session that was ended.
    pub fn end(&self, id: SessionId) {
        self.forget(|session| session.id == id);
    }

    /// Forgets all sessions of a user.
    pub fn end_all(&self, user: UserId) {
        self.forget(|session| session.user.id == user);
    }

    /// Walks the whole cache: ending a session is rare, and the walk is well under a millisecond.
    fn forget(&self, which: impl Fn(&Session) -> bool) {
        let mut halves = self.halves.lock();
        halves.ended += 1;
        halves.young.retain(|_, known| !which(&known.session));
        halves.old.retain(|_, known| !which(&known.session));
    }
}

#[cfg(test)]
mod tests {
    use r1_domain::user::User;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_micros(millis * 1000)
    }

    fn session() -> Arc<Session> {
        let now = at(1);
        let user = User {
            id: UserId::new(now),
            username: "demo_user".to_owned(),
            email: "demo@example.com".to_owned(),
            is_admin: false,
            disabled: false,
            created_at: now,
        };
        Arc::new(Session { id: SessionId::new(now), user, expires_at: at(60_000) })
    }

    #[test]
    fn an_entry_is_believed_for_three_seconds_from_the_question() {
        let cache = SessionCache::new(10);
        let session = session();
        let key = SessionKey::Token([7; 32]);
        let ticket = cache.get(key, at(1000)).unwrap_err();
        cache.insert(key, Arc::clone(&session), session.expires_at, ticket);
        assert!(cache.get(key, at(1000)).is_ok());
        assert!(cache.get(key, at(3999)).is_ok());
        assert!(cache.get(key, at(4000)).is_err());
        assert!(cache.get(key, at(999)).is_err(), "the clock was set back");

        // Whichever is over first: the session, or the token that names it.
        for (name, until, ends) in [(8, at(99_000), 60_000), (9, at(59_500), 59_500)] {
            let key = SessionKey::Token([name; 32]);
            let ticket = cache.get(key, at(59_000)).unwrap_err();
            cache.insert(key, Arc::clone(&session), until, ticket);
            assert!(cache.get(key, at(ends - 1)).is_ok());
            assert!(cache.get(key, at(ends)).is_err());
        }
    }

    #[test]
    fn what_ends_here_is_gone_at_once_and_stays_gone() {
        let cache = SessionCache::new(10);
        let session = session();
        let until = session.expires_at;
        // Of the same bytes, and yet two.
        let (by_token, by_cookie) = (SessionKey::Token([7; 32]), SessionKey::Cookie([7; 32]));
        for key in [by_token, by_cookie] {
            let ticket = cache.get(key, at(1000)).unwrap_err();
            cache.insert(key, Arc::clone(&session), until, ticket);
        }
        let late = cache.get(SessionKey::Cookie([8; 32]), at(1001)).unwrap_err();
        cache.end(session.id);
        assert!(cache.get(by_token, at(1002)).is_err() && cache.get(by_cookie, at(1002)).is_err());
        cache.insert(by_token, Arc::clone(&session), until, late);
        assert!(cache.get(by_token, at(1003)).is_err(), "an answer from before the end");

        let ticket = cache.get(by_token, at(1004)).unwrap_err();
        cache.insert(by_token, Arc::clone(&session), until, ticket);
        cache.end_all(session.user.id);
        assert!(cache.get(by_token, at(1005)).is_err());
    }

    #[test]
    fn it_never_grows_past_its_bound() {
        let cache = SessionCache::new(100);
        for n in 0..10_000_u64 {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&n.to_le_bytes());
            let key = SessionKey::Cookie(hash);
            let ticket = cache.get(key, at(1)).unwrap_err();
            cache.insert(key, session(), at(60_000), ticket);
            assert!(cache.get(key, at(1)).is_ok());
        }
        let halves = cache.halves.lock();
        assert!(halves.young.len() + halves.old.len() <= 200);
    }
}
