//! Which key the processes of a database sign with, by its fingerprint.
//!
//! All have the same, but while a new one takes the old one's place: then they are restarted one by one with
//! both, and go on signing with the one that stands here. Once all have both, the new one is written down, and
//! whoever starts signs with that. So every process accepts every token all the time.
//!
//! **Invariant:** nobody serves who has not the key that stands here, or, for a day, had the one before.

use crate::{column, connection::Db, error::Fault, pool::Pool};
use r1_domain::store::StoreResult;

/// The setting that holds the fingerprint of the key that is in force.
const IN_FORCE: &str = "secret_key_fingerprint";
/// The setting that holds that of the key before, and since when it is that.
const BEFORE: &str = "secret_key_before";
/// Whoever has the key before only is let in for this time.
const DAY: i64 = 86_400_000_000;

const KEEP_FIRST: &str = "INSERT INTO setting (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING";
const GET: &str = "SELECT value FROM setting WHERE key = $1";
const SET: &str = "INSERT INTO setting (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = $2";
const FORGET: &str = "DELETE FROM setting WHERE key = $1";
const LOCK: &str = "SELECT value FROM setting WHERE key = $1 FOR UPDATE";
const SET_BEFORE: &str = "INSERT INTO setting (key, value)
    VALUES ($1, $2 || int8send((extract(epoch FROM clock_timestamp()) * 1000000)::bigint))
    ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value";
const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";

/// A digest that tells keys apart and gives none away.
pub type Fingerprint = [u8; 32];

/// The fingerprints of the keys that a process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyFingerprints {
    /// Of its key.
    pub key: Fingerprint,
    /// Of the one before, where it was given.
    pub previous: Option<Fingerprint>,
}

/// What came of [`rotate`](crate::PostgresStore::rotate_key).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotatedKey {
    /// The new key is in force.
    Done,
    /// It was before.
    Already,
    /// Nothing was changed: another key is in force than the one before this one.
    OtherKey,
}

/// Finds the key that is in force, of those that a process has; the first to come says which it is. None:
/// it has not got it.
pub(crate) async fn in_force(db: &Db, keys: &KeyFingerprints) -> Result<Option<Fingerprint>, Fault> {
    db.run(KEEP_FIRST, &[&IN_FORCE, &&keys.key[..]]).await?;
    let row = db.one(GET, &[&IN_FORCE]).await?;
    let found: &[u8] = column::get(&row, 0)?;
    if let Some(key) = [Some(keys.key), keys.previous].into_iter().flatten().find(|key| key == found) {
        return Ok(Some(key));
    }
    let Some(row) = db.maybe(GET, &[&BEFORE]).await? else { return Ok(None) };
    let before: &[u8] = column::get(&row, 0)?;
    let now: i64 = column::get(&db.one(NOW, &[]).await?, 0)?;
    let is_before = before.split_at_checked(keys.key.len()).is_some_and(|(fingerprint, since)| {
        let since = since.try_into().map_or(i64::MIN, i64::from_be_bytes);
        fingerprint == keys.key && now.saturating_sub(since) < DAY
    });
    if is_before {
        tracing::warn!(
            "the SECRET_KEY is the one before that of the other processes: a token that they sign is refused here. \
             Start this one with the new SECRET_KEY, and this one as SECRET_KEY_PREVIOUS"
        );
    }
    Ok(is_before.then_some(keys.key))
}

/// Puts a key in force. That of before is still let in for a day, or, where it shall be forgotten, not at all.
pub(crate) async fn rotate(pool: &Pool, keys: KeyFingerprints, forget: bool) -> StoreResult<RotatedKey> {
    let keys = &keys;
    pool.write(|db| async move {
        db.run(KEEP_FIRST, &[&IN_FORCE, &&keys.key[..]]).await?;
        let row = db.one(LOCK, &[&IN_FORCE]).await?;
        let present: &[u8] = column::get(&row, 0)?;
        let is_there = present == keys.key;
        if !is_there && !forget && keys.previous.is_none_or(|previous| present != previous) {
            return Ok(RotatedKey::OtherKey);
        }
        if forget {
            db.run(FORGET, &[&BEFORE]).await?;
        } else if !is_there {
            db.run(SET_BEFORE, &[&BEFORE, &present]).await?;
        }
        db.run(SET, &[&IN_FORCE, &&keys.key[..]]).await?;
        Ok(if is_there { RotatedKey::Already } else { RotatedKey::Done })
    })
    .await
}
