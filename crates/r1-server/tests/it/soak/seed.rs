//! Where chance comes from.

use std::{fmt::Display, io::Write as _, str::FromStr};

use anyhow::{Context, Result};
use rand::{SeedableRng, rngs::StdRng};

/// A number from the environment.
pub(super) fn setting<T: FromStr<Err: Display>>(name: &str) -> Result<Option<T>> {
    let Ok(text) = std::env::var(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|error| anyhow::anyhow!("{name}={text}: {error}"))
}

/// `R1_SEED`, else a new one; printed either way.
pub(super) fn seed(what: &str) -> Result<u64> {
    let seed = setting("R1_SEED")?.unwrap_or_else(|| rand::random::<u32>().into());
    say(&format!("{what}: R1_SEED={seed}"));
    Ok(seed)
}

/// The `n`-th source of chance that follows from a seed: what one does with it changes no other.
pub(super) fn chance(seed: u64, n: u64) -> StdRng {
    StdRng::seed_from_u64(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(n))
}

/// A line of progress, seen in a failing test's output and in a soak's.
pub(super) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// In the errors of whatever fails under a seed.
pub(super) fn blame<T>(seed: u64, result: Result<T>) -> Result<T> {
    result.with_context(|| format!("R1_SEED={seed}"))
}
