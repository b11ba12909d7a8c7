//! How often somebody may try: one bucket per account and per address.
//!
//! A bucket is one number, the time at which it will be full again (GCRA, the generic cell rate
//! algorithm), so a bucket that is full needs no memory. Successful sign-ins give their token
//! back: only guesses are slowed down. Time is the clock's monotonic one: nothing that happens to the wall clock
//! locks anybody out, or lets anybody in.
//!
//! An account has one bucket, by whichever of its names it is called; a name without an account has one too, so that
//! waiting tells nobody which of the two it is.
//!
//! **Invariant:** at most [`CAPACITY`] buckets of a kind are kept, and nobody waits for want of one: a new one takes
//! the place of the one that has the least in it. So thousands of names that are tried once each neither keep anybody
//! out nor give a name back that is being guessed at: its bucket is among the last to go.

use std::{
    collections::{BTreeSet, HashMap, hash_map::RandomState},
    hash::{BuildHasher, Hash},
    net::IpAddr,
    time::Duration,
};

use parking_lot::Mutex;
use r1_domain::id::UserId;

/// Most buckets that are not full, per kind.
pub const CAPACITY: usize = 10_000;

/// This many attempts at once, and again within each `per`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many; 1 or more.
    pub attempts: u32,
    /// Within which time.
    pub per: Duration,
}

/// The rates of [`Attempts`]' buckets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptLimits {
    /// Failed sign-ins for one name, from anywhere.
    pub per_login: Rate,
    /// Failed sign-ins from one address, for any name.
    pub per_address: Rate,
    /// Registrations from one address.
    pub registrations: Rate,
}

/// The buckets of one kind.
#[derive(Debug)]
struct Buckets {
    /// Microseconds in which one attempt comes back.
    interval: u64,
    /// Microseconds in which an empty bucket fills.
    depth: u64,
    used: Mutex<Used>,
}

/// Those that are not full.
#[derive(Debug, Default)]
struct Used {
    /// Key (a keyed hash) to the time, in microseconds, at which the bucket is full.
    full_at: HashMap<u64, u64>,
    /// The same, the one that is full first being the first.
    order: BTreeSet<(u64, u64)>,
}

impl Used {
    fn set(&mut self, key: u64, full_at: u64) {
        if let Some(before) = self.full_at.insert(key, full_at) {
            self.order.remove(&(before, key));
        }
        self.order.insert((full_at, key));
    }

    fn remove_first(&mut self) {
        if let Some((_, key)) = self.order.pop_first() {
            self.full_at.remove(&key);
        }
    }
}

impl Buckets {
    fn new(rate: Rate) -> Self {
        let attempts = u64::from(rate.attempts.max(1));
        let interval = (micros(rate.per) / attempts).max(1);
        Self { interval, depth: interval.saturating_mul(attempts), used: Mutex::default() }
    }

    fn take(&self, key: u64, now: Duration) -> Result<(), Duration> {
        let now = micros(now);
        let mut used = self.used.lock();
        while used.order.first().is_some_and(|(full_at, _)| *full_at <= now) {
            used.remove_first();
        }
        let full_at = used.full_at.get(&key).copied().unwrap_or(now);
        let next = full_at.saturating_add(self.interval);
        let over = next.saturating_sub(now).saturating_sub(self.depth);
        if over > 0 {
            return Err(Duration::from_micros(over));
        }
        if used.full_at.len() >= CAPACITY && !used.full_at.contains_key(&key) {
            used.remove_first();
        }
        used.set(key, next);
        Ok(())
    }

    fn give_back(&self, key: u64) {
        let mut used = self.used.lock();
        if let Some(full_at) = used.full_at.get(&key).copied() {
            used.set(key, full_at.saturating_sub(self.interval));
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Whose password is being tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target<'a> {
    /// An account's.
    Account(UserId),
    /// That of a normalised name which no account has.
    Nobody(&'a str),
}

/// All buckets.
#[derive(Debug)]
pub struct Attempts {
    limits: AttemptLimits,
    keys: RandomState,
    per_login: Buckets,
    per_address: Buckets,
    registrations: Buckets,
}

impl Attempts {
    /// Full buckets.
    #[must_use]
    pub fn new(limits: &AttemptLimits) -> Self {
        Self {
            limits: limits.clone(),
            keys: RandomState::new(),
            per_login: Buckets::new(limits.per_login),
            per_address: Buckets::new(limits.per_address),
            registrations: Buckets::new(limits.registrations),
        }
    }

    /// The rates.
    #[must_use]
    pub fn limits(&self) -> &AttemptLimits {
        &self.limits
    }

    /// Counts a sign-in from this address, before anything is looked at.
    ///
    /// # Errors
    /// How long to wait; nothing was counted then.
    pub fn from(&self, address: Option<IpAddr>, now: Duration) -> Result<(), Duration> {
        address.map_or(Ok(()), |address| self.per_address.take(self.key(network(address)), now))
    }

    /// Counts a try at a password.
    ///
    /// # Errors
    /// How long to wait; nothing was counted then.
    pub fn at(&self, target: Target<'_>, now: Duration) -> Result<(), Duration> {
        self.per_login.take(self.key(target), now)
    }

    /// Takes [`Attempts::from`] back: the sign-in succeeded, or was never looked at.
    pub fn forgive_from(&self, address: Option<IpAddr>) {
        if let Some(address) = address {
            self.per_address.give_back(self.key(network(address)));
        }
    }

    /// Takes [`Attempts::at`] back.
    pub fn forgive_at(&self, target: Target<'_>) {
        self.per_login.give_back(self.key(target));
    }

    /// Counts a registration from this address.
    ///
    /// # Errors
    /// How long to wait; nothing was counted then.
    pub fn registration(&self, address: Option<IpAddr>, now: Duration) -> Result<(), Duration> {
        address.map_or(Ok(()), |address| self.registrations.take(self.key(network(address)), now))
    }

    fn key(&self, of: impl Hash) -> u64 {
        self.keys.hash_one(of)
    }
}

/// What one person commands: an IPv4 address, or an IPv6 network of 64 bits.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use r1_domain::time::Timestamp;

    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn limits() -> AttemptLimits {
        let rate = |attempts| Rate { attempts, per: at(60) };
        AttemptLimits { per_login: rate(3), per_address: rate(6), registrations: rate(2) }
    }

    const A: Target<'_> = Target::Nobody("a");
    const B: Target<'_> = Target::Nobody("b");

    #[test]
    fn guesses_are_slowed_down_and_come_back_with_time() {
        let attempts = Attempts::new(&limits());
        for _ in 0..3 {
            assert_eq!(attempts.at(A, at(0)), Ok(()));
        }
        assert_eq!(attempts.at(A, at(0)), Err(at(20)));
        assert_eq!(attempts.at(B, at(0)), Ok(()), "another name");
        let account = Target::Account(UserId::new(Timestamp::from_micros(1)));
        assert_eq!(attempts.at(account, at(0)), Ok(()), "an account");
        assert_eq!(attempts.at(A, at(19)), Err(at(1)));
        assert_eq!(attempts.at(A, at(20)), Ok(()));
        assert!(attempts.at(A, at(20)).is_err());
        for _ in 0..3 {
            assert_eq!(attempts.at(A, at(200)), Ok(()), "a full bucket holds no more than that");
        }
        assert!(attempts.at(A, at(200)).is_err());
    }

    #[test]
    fn success_is_free() {
        let attempts = Attempts::new(&limits());
        let address = Some(IpAddr::from([10, 0, 0, 1]));
        for _ in 0..100 {
            assert_eq!((attempts.from(address, at(0)), attempts.at(A, at(0))), (Ok(()), Ok(())));
            attempts.forgive_at(A);
            attempts.forgive_from(address);
        }
        assert_eq!(attempts.per_login.used.lock().full_at.len(), 1);
        assert_eq!(attempts.at(B, at(1)), Ok(()));
        assert_eq!(attempts.per_login.used.lock().full_at.len(), 1, "what is full is forgotten");
    }

    #[test]
    fn an_address_is_limited_over_all_names_and_ipv6_by_network() {
        let attempts = Attempts::new(&limits());
        let v6 = |last: u16| Some(IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, last]));
        for n in 0..6 {
            assert_eq!(attempts.from(v6(n), at(0)), Ok(()));
        }
        assert!(attempts.from(v6(99), at(0)).is_err());
        assert_eq!(attempts.from(Some(IpAddr::from([10, 0, 0, 1])), at(0)), Ok(()));
        assert_eq!(attempts.registration(v6(1), at(0)), Ok(()));
        assert_eq!(attempts.registration(v6(2), at(0)), Ok(()));
        assert!(attempts.registration(v6(3), at(0)).is_err());
        assert_eq!(attempts.registration(None, at(0)), Ok(()));
    }

    #[test]
    fn any_number_of_names_neither_keeps_anybody_out_nor_frees_one_that_is_guessed_at() {
        let attempts = Attempts::new(&limits());
        for _ in 0..3 {
            assert_eq!(attempts.at(A, at(0)), Ok(()));
        }
        let names: Vec<String> = (0..3 * CAPACITY).map(|n| n.to_string()).collect();
        for name in &names {
            assert_eq!(attempts.at(Target::Nobody(name), at(1)), Ok(()));
        }
        let used = attempts.per_login.used.lock();
        assert_eq!((used.full_at.len(), used.order.len()), (CAPACITY, CAPACITY));
        drop(used);
        assert!(attempts.at(A, at(1)).is_err());
        assert_eq!(attempts.at(B, at(1)), Ok(()), "somebody who comes for the first time");
        assert_eq!(attempts.at(B, at(100)), Ok(()));
        assert_eq!(attempts.per_login.used.lock().full_at.len(), 1, "full buckets are forgotten");
    }
}
