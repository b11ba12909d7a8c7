//! How often somebody may try: one bucket per name and per address.
//!
//! A bucket is one number, the instant at which it will be full again (GCRA, the generic cell rate
//! algorithm), so a bucket that is full needs no memory. Successful sign-ins give their token
//! back: only guesses are slowed down.
//!
//! **Invariant:** at most [`CAPACITY`] buckets are kept; when that many names or addresses are
//! being tried at once, a new one waits like one that tried too often.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::{BuildHasher, Hash},
    net::IpAddr,
    time::Duration,
};

use parking_lot::Mutex;
use r1_domain::time::Timestamp;

/// Most buckets that are not full, per kind.
pub const CAPACITY: usize = 10_000;

/// So many attempts at once, and again within each `per`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many; 1 or more.
    pub attempts: u32,
    /// Within which time.
    pub per: Duration,
}

/// The rates of [`Attempts`]' buckets.
#[derive(Debug, Clone)]
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
    interval: i64,
    /// Microseconds in which an empty bucket fills.
    depth: i64,
    /// Key (a keyed hash) to the instant, in microseconds, at which the bucket is full.
    full_at: Mutex<HashMap<u64, i64>>,
}

impl Buckets {
    fn new(rate: Rate) -> Self {
        let attempts = i64::from(rate.attempts.max(1));
        let interval = (i64::try_from(rate.per.as_micros()).unwrap_or(i64::MAX) / attempts).max(1);
        Self { interval, depth: interval.saturating_mul(attempts), full_at: Mutex::default() }
    }

    fn take(&self, key: u64, now: Timestamp) -> Result<(), Duration> {
        let now = now.as_micros();
        let mut buckets = self.full_at.lock();
        if buckets.len() >= CAPACITY && !buckets.contains_key(&key) {
            buckets.retain(|_, full_at| *full_at > now);
            if buckets.len() >= CAPACITY {
                return Err(micros(self.interval));
            }
        }
        // Never more than an empty bucket's wait, should the clock be set back.
        let full_at = buckets.get(&key).map_or(now, |full_at| (*full_at).clamp(now, now.saturating_add(self.depth)));
        let next = full_at.saturating_add(self.interval);
        let over = next.saturating_sub(now).saturating_sub(self.depth);
        if over > 0 {
            return Err(micros(over));
        }
        buckets.insert(key, next);
        Ok(())
    }

    fn give_back(&self, key: u64) {
        if let Some(full_at) = self.full_at.lock().get_mut(&key) {
            *full_at = full_at.saturating_sub(self.interval);
        }
    }
}

fn micros(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// All buckets.
#[derive(Debug)]
pub struct Attempts {
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
            keys: RandomState::new(),
            per_login: Buckets::new(limits.per_login),
            per_address: Buckets::new(limits.per_address),
            registrations: Buckets::new(limits.registrations),
        }
    }

    /// Counts a sign-in by this normalised name from this address.
    ///
    /// # Errors
    /// How long to wait; nothing was counted then.
    pub fn sign_in(&self, login: &str, address: Option<IpAddr>, now: Timestamp) -> Result<(), Duration> {
        let address = address.map(|address| self.key(network(address)));
        if let Some(address) = address {
            self.per_address.take(address, now)?;
        }
        self.per_login.take(self.key(login), now).inspect_err(|_| {
            if let Some(address) = address {
                self.per_address.give_back(address);
            }
        })
    }

    /// Takes the count back: the sign-in succeeded, or was never looked at.
    pub fn forgive(&self, login: &str, address: Option<IpAddr>) {
        self.per_login.give_back(self.key(login));
        if let Some(address) = address {
            self.per_address.give_back(self.key(network(address)));
        }
    }

    /// Counts a registration from this address.
    ///
    /// # Errors
    /// How long to wait; nothing was counted then.
    pub fn registration(&self, address: Option<IpAddr>, now: Timestamp) -> Result<(), Duration> {
        address.map_or(Ok(()), |address| self.registrations.take(self.key(network(address)), now))
    }

    fn key(&self, of: impl Hash) -> u64 {
        self.keys.hash_one(of)
    }
}

/// What one person commands: an IPv4 address, or an IPv6 network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn limits() -> AttemptLimits {
        let rate = |attempts| Rate { attempts, per: Duration::from_secs(60) };
        AttemptLimits { per_login: rate(3), per_address: rate(6), registrations: rate(2) }
    }

    #[test]
    fn guesses_are_slowed_down_and_come_back_with_time() {
        let attempts = Attempts::new(&limits());
        for _ in 0..3 {
            assert_eq!(attempts.sign_in("a", None, at(0)), Ok(()));
        }
        assert_eq!(attempts.sign_in("a", None, at(0)), Err(Duration::from_secs(20)));
        assert_eq!(attempts.sign_in("b", None, at(0)), Ok(()), "another name");
        assert_eq!(attempts.sign_in("a", None, at(19)), Err(Duration::from_secs(1)));
        assert_eq!(attempts.sign_in("a", None, at(20)), Ok(()));
        assert!(attempts.sign_in("a", None, at(20)).is_err());
        for _ in 0..3 {
            assert_eq!(attempts.sign_in("a", None, at(200)), Ok(()), "a full bucket holds no more than that");
        }
        assert!(attempts.sign_in("a", None, at(200)).is_err());
        assert!(attempts.sign_in("a", None, at(0)).unwrap_err() <= Duration::from_secs(60), "the clock was set back");
    }

    #[test]
    fn success_is_free() {
        let attempts = Attempts::new(&limits());
        let address = Some(IpAddr::from([10, 0, 0, 1]));
        for _ in 0..100 {
            assert_eq!(attempts.sign_in("a", address, at(0)), Ok(()));
            attempts.forgive("a", address);
        }
    }

    #[test]
    fn an_address_is_limited_over_all_names_and_ipv6_by_network() {
        let attempts = Attempts::new(&limits());
        let v6 = |last: u16| Some(IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, last]));
        for n in 0..6 {
            assert_eq!(attempts.sign_in(&n.to_string(), v6(n), at(0)), Ok(()));
        }
        assert!(attempts.sign_in("x", v6(99), at(0)).is_err());
        assert_eq!(attempts.sign_in("x", Some(IpAddr::from([10, 0, 0, 1])), at(0)), Ok(()));
        assert_eq!(attempts.registration(v6(1), at(0)), Ok(()));
        assert_eq!(attempts.registration(v6(2), at(0)), Ok(()));
        assert!(attempts.registration(v6(3), at(0)).is_err());
        assert_eq!(attempts.registration(None, at(0)), Ok(()));
    }

    #[test]
    fn buckets_are_bounded() {
        let attempts = Attempts::new(&limits());
        for n in 0..CAPACITY {
            assert_eq!(attempts.sign_in(&n.to_string(), None, at(0)), Ok(()));
        }
        assert!(attempts.sign_in("one more", None, at(0)).is_err());
        assert_eq!(attempts.sign_in("0", None, at(0)), Ok(()), "those that are known go on");
        assert_eq!(attempts.sign_in("one more", None, at(60)), Ok(()), "full buckets are forgotten");
        assert!(attempts.per_login.full_at.lock().len() < CAPACITY);
    }
}
